import Attention

/// The gradients of a case in float64, on whole kv heads of some sequences: every row of dQ, dK and dV there.
///
/// A key's gradient needs every query that sees it. Where even one kv head would take too long, the gradient that flows in
/// is 0 except in some queries: then those alone have to be computed, and what comes back to all keys and values is still
/// known, and that nothing comes back to the other queries.
package struct BackwardReference: Verifiable {
  private let sizes: BenchmarkCase
  /// sequence · Hkv + kv head, ascending.
  private let units: [Int]
  /// Of each unit.
  private let gradients: [UnitGradients]
  /// What has to flow in for these gradients.
  package let upstream: Tensor
  /// Of the queries of the units, those into which a gradient flows.
  package let flowingQueries: Int

  /// Multiplications that take about a second on two threads: a head of 2048 queries and keys, 64 wide, is 1.3e9.
  package static let defaultWork = 1.5e9

  /// - Parameters:
  ///   - seed: what units and queries are drawn from.
  ///   - work: the multiplications to spend.
  package init(_ input: BackwardInput, seed: UInt64, work: Double = defaultWork) {
    let sizes = input.sizes
    self.sizes = sizes
    let group = sizes.heads / sizes.keyValueHeads
    let queryWork = Double(sizes.keyLength) * Double(3 * sizes.keyWidth + 2 * sizes.valueWidth)
    let unitQueries = group * sizes.queryLength
    let unitWork = (0..<sizes.queryLength).reduce(0.0) {
      $0 + Double(sizes.visibleKeys(ofQuery: $1).count) / Double(sizes.keyLength) * queryWork * Double(group)
    }
    units = Verification.sample(
      max(1, Int(min(work / max(1, unitWork), 1e9))), of: sizes.batch * sizes.keyValueHeads, seed: seed)
    var flowing = Array(0..<unitQueries)
    if unitWork > work {
      flowing = Verification.sample(max(1, Int(work / queryWork)), of: unitQueries, seed: seed &+ 1)
    }
    flowingQueries = units.count * flowing.count
    upstream = BackwardReference.upstream(input, unit: units[0], flowing: flowing, of: unitQueries)
    let unit = UnitProblem(input, flowing: flowing)
    gradients = units.map(unit.gradients)
  }

  /// Without what flows into other queries of the unit than these.
  private static func upstream(_ input: BackwardInput, unit: Int, flowing: [Int], of queries: Int) -> Tensor {
    guard flowing.count < queries else { return input.upstream }
    let (width, kept) = (input.sizes.valueWidth, Set(flowing))
    var result = input.upstream
    result.withUnsafeMutableBufferPointer { values in
      for query in 0..<queries where !kept.contains(query) {
        for column in 0..<width { values[(unit * queries + query) * width + column] = 0 }
      }
    }
    return result
  }

  // MARK: Rows

  private var queryRows: Int { sizes.batch * sizes.heads * sizes.queryLength }
  private var keyRows: Int { sizes.batch * sizes.keyValueHeads * sizes.keyLength }
  private var unitQueries: Int { sizes.heads / sizes.keyValueHeads * sizes.queryLength }

  /// Those of dQ, then dK, then dV.
  package var outputRows: Int { queryRows + 2 * keyRows }
  package var valueWidth: Int { max(sizes.keyWidth, sizes.valueWidth) }
  package var rowWork: Double { 1 }

  package func sampledRows(seed: UInt64) -> [Int] {
    let sections = [(0, unitQueries), (queryRows, sizes.keyLength), (queryRows + keyRows, sizes.keyLength)]
    return sections.flatMap { start, rows in
      units.flatMap { unit in start + unit * rows..<start + (unit + 1) * rows }
    }
  }

  package func forEachExpectedRow(_ rows: [Int], _ check: @Sendable (Int, [Double]) -> Void) {
    WorkerPool.shared.forEachWithoutProducts(rows.count, inline: rows.count < 256) { check(rows[$0], row(rows[$0])) }
  }

  private func row(_ row: Int) -> [Double] {
    let (section, start) =
      row < queryRows ? (0, 0) : row < queryRows + keyRows ? (1, queryRows) : (2, queryRows + keyRows)
    let rows = section == 0 ? unitQueries : sizes.keyLength
    let (unit, place) = (row - start).quotientAndRemainder(dividingBy: rows)
    guard let known = units.firstIndex(of: unit) else { return [Double](repeating: .nan, count: valueWidth) }
    let width = section == 2 ? sizes.valueWidth : sizes.keyWidth
    let values = gradients[known][section][place * width..<(place + 1) * width]
    return values + [Double](repeating: 0, count: valueWidth - width)
  }

  /// None: the way back is the same whichever path went forward.
  package func runNaively() -> Tensor? { nil }

  /// A gradient is a sum over many rows: what cancels in it leaves its error behind.
  package func tolerances(of expected: [Double]) -> [Double] {
    let size = (expected.reduce(0) { $0 + $1 * $1 } / Double(max(1, expected.count))).squareRoot()
    return expected.map { 1e-5 + 1e-5 * max(abs($0), size) }
  }
}

extension BenchmarkCase {
  /// The keys that a query sees.
  func visibleKeys(ofQuery query: Int) -> Range<Int> {
    guard isCausal else { return 0..<keyLength }
    let end = max(0, query + keyLength - queryLength + 1)
    return max(0, end - (window ?? keyLength))..<end
  }
}
