import Attention

/// A problem whose results can be held against the float64 reference: its output is rows of dv values, one for each
/// query and head.
package protocol Verifiable: Sendable {
  /// The rows of the output.
  var outputRows: Int { get }
  /// dv.
  var valueWidth: Int { get }
  /// The multiplications that the reference spends on a row at the most.
  var rowWork: Double { get }
  /// Calls `check` with what each of the rows should be, from several threads at once.
  ///
  /// - Parameter rows: in ascending order.
  func forEachExpectedRow(_ rows: [Int], _ check: @Sendable (_ row: Int, _ expected: [Double]) -> Void)
  /// The output by plain float32 arithmetic; nil where no such path is.
  func runNaively() -> Tensor?
  /// The rows that are looked at, in ascending order: all of them, or so many that the reference takes a moment only.
  func sampledRows(seed: UInt64) -> [Int]
  /// How far each value of a row may lie from what it should be.
  func tolerances(of expected: [Double]) -> [Double]
}

extension Verifiable {
  /// Multiplications of the reference that take some 0.3 s on two threads.
  private var referenceWork: Double { 1.2e8 }

  package func sampledRows(seed: UInt64) -> [Int] {
    let total = outputRows
    return Verification.sample(
      min(total, max(16, Int(referenceWork / max(1, rowWork)))), of: total, seed: seed)
  }

  /// The contract's: 1e-5 + 5e-6·|x|.
  package func tolerances(of expected: [Double]) -> [Double] { expected.map { 1e-5 + 5e-6 * abs($0) } }
}

extension AttentionInput: Verifiable {
  package var outputRows: Int { batch * heads * queryLength }
  package var rowWork: Double { Double(keyLength * (keyWidth + valueWidth)) }

  package func forEachExpectedRow(_ rows: [Int], _ check: @Sendable (Int, [Double]) -> Void) {
    let reference = ReferenceAttention(
      query: query, key: key, value: value, mask: mask, options: options(.naive))
    WorkerPool.shared.forEach(rows.count) { index in
      let (head, query) = rows[index].quotientAndRemainder(dividingBy: queryLength)
      check(rows[index], reference.row(sequence: head / heads, head: head % heads, query: query).output)
    }
  }

  package func runNaively() -> Tensor? { run(.naive) }
}
