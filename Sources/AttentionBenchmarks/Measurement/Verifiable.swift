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
