import AttentionBenchmarks
import Foundation
import Testing

/// The memory that cases may take: the machine's, or the cgroup's where that is less.
@Suite("Memory limit")
struct MemoryLimitTests {
  struct Group: Sendable {
    var memberships: String
    var files: [String: String]
    /// Of 1,000 bytes of physical memory.
    var limit: Int
  }

  @Test(arguments: [
    Group(memberships: "0::/\n", files: [:], limit: 1000),
    Group(memberships: "0::/\n", files: ["memory.max": "max\n"], limit: 1000),
    Group(memberships: "0::/\n", files: ["memory.max": "300\n"], limit: 300),
    Group(memberships: "0::/\n", files: ["memory.max": "1001\n"], limit: 1000),
    Group(memberships: "0::/a/b\n", files: ["a/b/memory.max": "400\n"], limit: 400),
    // The limit of an ancestor holds, and the smallest counts.
    Group(
      memberships: "0::/a/b\n", files: ["a/b/memory.max": "max\n", "a/memory.max": "200\n", "memory.max": "300\n"],
      limit: 200),
    // Inside a container the path of the host is not there.
    Group(memberships: "0::/docker/0123\n", files: ["memory.max": "500\n"], limit: 500),
    // Version 1.
    Group(memberships: "4:memory:/x\n3:cpu:/\n", files: ["memory/x/memory.limit_in_bytes": "250\n"], limit: 250),
    Group(memberships: "4:hugetlb,memory:/x\n", files: ["hugetlb,memory/memory.limit_in_bytes": "250\n"], limit: 250),
    Group(memberships: "3:cpu:/\n", files: ["memory/memory.limit_in_bytes": "250\n"], limit: 1000),
    Group(memberships: "4:memory:/\n", files: ["memory/memory.limit_in_bytes": "9223372036854771712\n"], limit: 1000),
    // Both at once (hybrid).
    Group(
      memberships: "4:memory:/\n0::/\n",
      files: ["memory/memory.limit_in_bytes": "700\n", "unified/memory.max": "600\n"], limit: 600),
    // Nonsense is no limit.
    Group(memberships: "nonsense", files: ["memory.max": "1"], limit: 1000),
    Group(memberships: "0::/\n", files: ["memory.max": ""], limit: 1000),
    Group(memberships: "0::/\n", files: ["memory.max": "-5\n"], limit: 1000),
    Group(memberships: "0::/\n", files: ["memory.max": "99999999999999999999\n"], limit: 1000),
  ])
  func smallestOnTheWayUp(_ group: Group) throws {
    try withTemporaryFile { path in
      let root = URL(fileURLWithPath: path)
      for (file, text) in group.files.merging(["self": group.memberships], uniquingKeysWith: { $1 }) {
        let url = root.appendingPathComponent(file)
        try FileManager.default.createDirectory(
          at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: url)
      }
      #expect(MemoryLimit.smallest(physical: 1000, memberships: "\(path)/self", root: path) == group.limit)
    }
  }

  @Test(
    "The read bandwidth takes a quarter of what is left",
    arguments: [
      (8192, 0, 512), (2048, 0, 512), (2048, 1024, 256), (2048, 1792, 64), (2048, 1793, nil), (2048, 3000, nil),
      (255, 0, nil),
    ] as [(Int, Int, Int?)])
  func readBandwidth(allowed: Int, taken: Int, expected: Int?) {
    #expect(ReadBandwidth.bytes(allowed: allowed << 20, taken: taken << 20) == expected.map { $0 << 20 })
  }

  @Test func theDefaultLeavesSomeOfTheMachinesMemory() {
    let physical = Int(clamping: ProcessInfo.processInfo.physicalMemory)
    #expect((1...physical / 4 * 3).contains(CaseLimits.defaultMemory))
  }
}
