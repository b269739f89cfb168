extension BenchmarkCase {
  /// What `attention bench` measures beside the sample input unless told otherwise: short and long, one sequence and
  /// eight, the common head widths, causal, grouped heads, a window.
  public static let defaultList =
    "b1h12q128d64 b8h12q128d32 b1h12q512d64 b8h12q512d64-causal b1h16q512d128-kv4-causal b1h12q2048d64 "
    + "b1h12q2048d64-causal b1h8q2048d128 b1h12q2048d64-window256"
}
