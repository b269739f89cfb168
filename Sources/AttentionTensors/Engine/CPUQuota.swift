#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The processor time that a process's cgroup grants it, in processors (1.5 is one and a half).
///
/// Version 2 keeps it in `cpu.max`, version 1 in `cpu.cfs_quota_us` and `cpu.cfs_period_us`; the limit of every
/// ancestor holds too. A container runtime often mounts the process's own cgroup as the root, so a path that does not
/// exist below the mount point is looked for at the root.
package enum CPUQuota {
  static func current() -> Double? {
    #if os(Linux)
      guard let memberships = contents(of: "/proc/self/cgroup") else { return nil }
      return quota(memberships: memberships, root: "/sys/fs/cgroup", read: contents(of:))
    #else
      return nil
    #endif
  }

  /// The smallest quota on the way from the process's cgroup up to the root.
  ///
  /// - Parameters:
  ///   - memberships: the text of `/proc/self/cgroup`.
  ///   - root: where cgroups are mounted.
  ///   - read: the text of a file, or nil when there is none.
  package static func quota(memberships: String, root: String, read: (String) -> String?) -> Double? {
    var smallest: Double?
    for line in memberships.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isVersion2 = fields[0] == "0" && fields[1].isEmpty
      let controllers = fields[1].split(separator: ",")
      guard isVersion2 || controllers.contains("cpu") else { continue }
      let mounts = isVersion2 ? [root, "\(root)/unified"] : ["\(root)/\(fields[1])", "\(root)/cpu"]
      for mount in mounts {
        for directory in ancestors(of: String(fields[2])) {
          let path = mount + directory
          let found =
            isVersion2
            ? read("\(path)/cpu.max").flatMap(version2)
            : version1(quota: read("\(path)/cpu.cfs_quota_us"), period: read("\(path)/cpu.cfs_period_us"))
          if let found { smallest = min(smallest ?? found, found) }
        }
      }
    }
    return smallest
  }

  /// "/a/b" gives "/a/b", "/a" and "".
  private static func ancestors(of path: String) -> [String] {
    let names = path.split(separator: "/")
    return (0...names.count).reversed().map { names.prefix($0).map { "/\($0)" }.joined() }
  }

  /// `cpu.max` holds "max 100000" or "150000 100000".
  private static func version2(_ text: String) -> Double? {
    let words = text.split { $0 == " " || $0 == "\n" }
    guard words.count == 2 else { return nil }
    return ratio(words[0], words[1])
  }

  private static func version1(quota: String?, period: String?) -> Double? {
    guard let quota = quota?.split(separator: "\n").first, let period = period?.split(separator: "\n").first else {
      return nil
    }
    return ratio(quota, period)  // a quota of −1 means none
  }

  private static func ratio(_ quota: Substring, _ period: Substring) -> Double? {
    guard let quota = Double(quota), let period = Double(period), quota > 0, period > 0 else { return nil }
    return quota / period
  }

  private static func contents(of path: String) -> String? { SmallFile.text(at: path) }
}
