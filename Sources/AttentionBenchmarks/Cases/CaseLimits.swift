import Attention

/// What a case may take at the most.
public struct CaseLimits: Sendable, Equatable {
  /// The bytes that one case may take.
  public var memory: Int
  /// The cases that one list may expand to.
  public var cases: Int

  /// The largest size in a case: OpenBLAS counts in 32 bits.
  public static let largestSize = Int(Int32.max)

  /// Creates limits: ``defaultMemory`` and 1,000 cases unless given.
  public init(memory: Int = CaseLimits.defaultMemory, cases: Int = 1_000) {
    self.memory = memory
    self.cases = cases
  }

  /// 75% of the physical memory, or of what the process's cgroup or its resource limits grant where that is less,
  /// without ``cacheShare`` and the operands of the machine's peaks.
  public static var defaultMemory: Int {
    max(0, allowed - cacheShare - MachinePeaks.bytes(threads: Engine.threadCount.count))
  }

  /// What is left to the tensors that are kept for reuse: less than the engine's own limit where memory is small.
  static let cacheShare = min(256 << 20, allowed / 8)

  private static let allowed = MemoryLimit.current() / 4 * 3
}
