import AttentionTensors
import Testing

@Suite struct ThreadCountTests {
  struct Choice: Sendable {
    var limits: ThreadCount.Limits
    var variable: String?
    var count: Int
    var reason: ThreadCount.Reason
    var warns = false
  }

  @Test(arguments: [
    Choice(limits: .init(cores: 8), count: 8, reason: .cores),
    Choice(limits: .init(cores: 8, affinity: 3), count: 3, reason: .affinity),
    Choice(limits: .init(cores: 8, affinity: 8), count: 8, reason: .cores),
    Choice(limits: .init(cores: 8, affinity: 8, quota: 4), count: 4, reason: .quota),
    Choice(limits: .init(cores: 8, affinity: 2, quota: 4), count: 2, reason: .affinity),
    Choice(limits: .init(cores: 8, quota: 1.5), count: 2, reason: .quota),
    Choice(limits: .init(cores: 8, quota: 0.1), count: 1, reason: .quota),
    Choice(limits: .init(cores: 2, quota: 64), count: 2, reason: .cores),
    Choice(limits: .init(cores: 512), count: 64, reason: .cores),
    Choice(limits: .init(cores: 8), variable: "3", count: 3, reason: .environment),
    Choice(limits: .init(cores: 8), variable: "", count: 8, reason: .cores),
    Choice(limits: .init(cores: 8), variable: "64", count: 64, reason: .environment),
    Choice(limits: .init(cores: 8), variable: "0", count: 8, reason: .cores, warns: true),
    Choice(limits: .init(cores: 8), variable: "-1", count: 8, reason: .cores, warns: true),
    Choice(limits: .init(cores: 8), variable: "65", count: 8, reason: .cores, warns: true),
    Choice(limits: .init(cores: 8), variable: "two", count: 8, reason: .cores, warns: true),
    Choice(limits: .init(cores: 8), variable: "99999999999999999999", count: 8, reason: .cores, warns: true),
  ])
  func smallestLimitOrTheVariable(_ choice: Choice) {
    let (threads, warning) = ThreadCount.resolve(limits: choice.limits, environment: choice.variable, maximum: 64)
    #expect(threads.count == choice.count)
    #expect(threads.reason == choice.reason)
    #expect((warning != nil) == choice.warns)
    if let warning, let variable = choice.variable { #expect(warning.contains(variable)) }
  }

  struct Group: Sendable {
    var memberships: String
    var files: [String: String]
    var quota: Double?
  }

  @Test(arguments: [
    Group(memberships: "0::/\n", files: [:], quota: nil),
    Group(memberships: "0::/\n", files: ["/c/cpu.max": "max 100000\n"], quota: nil),
    Group(memberships: "0::/\n", files: ["/c/cpu.max": "150000 100000\n"], quota: 1.5),
    Group(memberships: "0::/a/b\n", files: ["/c/a/b/cpu.max": "400000 100000\n"], quota: 4),
    // The limit of an ancestor holds, and the smallest counts.
    Group(
      memberships: "0::/a/b\n",
      files: ["/c/a/b/cpu.max": "max 100000\n", "/c/a/cpu.max": "200000 100000\n", "/c/cpu.max": "300000 100000\n"],
      quota: 2),
    // Inside a container the path of the host is not there.
    Group(memberships: "0::/docker/0123\n", files: ["/c/cpu.max": "50000 100000\n"], quota: 0.5),
    // Version 1.
    Group(
      memberships: "4:memory:/x\n3:cpu,cpuacct:/a\n",
      files: ["/c/cpu,cpuacct/a/cpu.cfs_quota_us": "250000\n", "/c/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n"],
      quota: 2.5),
    Group(
      memberships: "3:cpu,cpuacct:/a\n",
      files: ["/c/cpu/a/cpu.cfs_quota_us": "-1\n", "/c/cpu/a/cpu.cfs_period_us": "100000\n"], quota: nil),
    // Both at once (hybrid).
    Group(
      memberships: "3:cpu:/\n0::/\n",
      files: [
        "/c/cpu/cpu.cfs_quota_us": "300000\n", "/c/cpu/cpu.cfs_period_us": "100000\n",
        "/c/unified/cpu.max": "max 100000",
      ], quota: 3),
    // Nonsense is no limit.
    Group(memberships: "nonsense", files: [:], quota: nil),
    Group(memberships: "0::/\n", files: ["/c/cpu.max": ""], quota: nil),
    Group(memberships: "0::/\n", files: ["/c/cpu.max": "1 0\n"], quota: nil),
    Group(memberships: "0::/\n", files: ["/c/cpu.max": "-5 100\n"], quota: nil),
    Group(memberships: "0::/\n", files: ["/c/cpu.max": "a b\n"], quota: nil),
  ])
  func quotaOfTheControlGroup(_ group: Group) {
    #expect(CPUQuota.quota(memberships: group.memberships, root: "/c") { group.files[$0] } == group.quota)
  }

  @Test func kernelSetVariable() {
    #expect(KernelSet.resolve(environment: "portable").set == .portable)
    #expect(KernelSet.resolve(environment: "portable").warning == nil)
    let widest = KernelSet.resolve(environment: nil).set
    #expect(widest.isAvailable)
    let wrong = KernelSet.resolve(environment: "sse9")
    #expect(wrong.set == widest)
    #expect(wrong.warning?.contains("sse9") == true)
    for set in KernelSet.allCases where !set.isAvailable {
      #expect(KernelSet.resolve(environment: set.rawValue).set == widest)
      #expect(KernelSet.resolve(environment: set.rawValue).warning != nil)
    }
  }
}
