import Attention
import Foundation

/// The memory that this process may take: the machine's, or what its cgroup or its resource limits grant where that is
/// less.
///
/// Version 2 keeps the grant in `memory.max`, version 1 in `memory.limit_in_bytes`; the limit of every ancestor holds
/// too. A container runtime often mounts the process's own cgroup as the root, so a path that does not exist below the
/// mount point is looked for at the root.
package enum MemoryLimit {
  /// In bytes.
  static func current() -> Int {
    let physical = Int(clamping: ProcessInfo.processInfo.physicalMemory)
    #if os(Linux)
      let granted = smallest(physical: physical, memberships: "/proc/self/cgroup", root: "/sys/fs/cgroup")
      guard let space = AddressSpace.remaining() else { return granted }
      return min(granted, max(0, space - Engine.threadCount.count * AddressSpace.bytesPerThread))
    #else
      return physical
    #endif
  }

  /// The smallest of the physical memory and the limits on the way from the process's cgroup up to the root.
  ///
  /// - Parameters:
  ///   - physical: the machine's bytes.
  ///   - memberships: the file that tells the process's cgroups, `/proc/self/cgroup`.
  ///   - root: where cgroups are mounted.
  package static func smallest(physical: Int, memberships: String, root: String) -> Int {
    var smallest = physical
    for line in text(of: memberships)?.split(separator: "\n") ?? [] {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isVersion2 = fields[0] == "0" && fields[1].isEmpty
      guard isVersion2 || fields[1].split(separator: ",").contains("memory") else { continue }
      let mounts = isVersion2 ? [root, "\(root)/unified"] : ["\(root)/\(fields[1])", "\(root)/memory"]
      let file = isVersion2 ? "memory.max" : "memory.limit_in_bytes"
      for mount in mounts {
        for folder in ancestors(of: fields[2]) {
          smallest = min(smallest, bytes(text(of: "\(mount)\(folder)/\(file)")) ?? smallest)
        }
      }
    }
    return smallest
  }

  /// "/a/b" gives "/a/b", "/a" and "".
  private static func ancestors(of path: Substring) -> [String] {
    let names = path.split(separator: "/")
    return (0...names.count).reversed().map { names.prefix($0).map { "/\($0)" }.joined() }
  }

  /// Nil for "max", which is no limit, and for nonsense. Version 1 writes a number beyond every machine for none.
  private static func bytes(_ text: String?) -> Int? {
    text.flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }.flatMap { $0 > 0 ? $0 : nil }
  }

  private static func text(of path: String) -> String? {
    (try? TextFile.bytes(of: path)).map { String(decoding: $0, as: UTF8.self) }
  }
}
