/// How far a run is: for a line on a terminal.
public struct BenchmarkProgress: Sendable {
  /// What is going on.
  public let stage: String
  /// The steps done.
  public let done: Int
  /// The steps in all; 0 when not known yet.
  public let all: Int
}
