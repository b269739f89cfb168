import AttentionTensors
import CAttentionKernels

/// What a dense mask holds in each cell of a coarse grid, looked up once for all heads and sequences that share it.
struct AllowedSummary: @unchecked Sendable {
  // @unchecked: written by `init` alone.

  /// What the cells of a region hold.
  struct Content: OptionSet {
    let rawValue: UInt8
    static let allowed = Content(rawValue: 1)
    static let forbidden = Content(rawValue: 2)
  }

  /// Queries of a cell of the grid.
  static let queryStep = 16

  private let cells: MaskGeometry.Dense<UInt8>
  private let columns: Int
  private let rows: Int
  private let heads: Int
  private let content: [UInt8]

  /// Reads every cell of the mask that exists once. O(cells).
  init(_ cells: MaskGeometry.Dense<UInt8>, sequences: Int, heads: Int, queries: Int, keys: Int, blockKeys: Int) {
    let (sequences, heads) = (cells.sequenceStride == 0 ? 1 : sequences, cells.headStride == 0 ? 1 : heads)
    let queries = cells.queryStride == 0 ? min(1, queries) : queries
    let (rows, columns) = ((queries + Self.queryStep - 1) / Self.queryStep, (keys + blockKeys - 1) / blockKeys)
    self.cells = cells
    self.heads = heads
    self.rows = rows
    self.columns = columns
    content = [UInt8](unsafeUninitializedCapacity: sequences * heads * rows * columns) { buffer, count in
      count = sequences * heads * rows * columns
      nonisolated(unsafe) let target = buffer.baseAddress!
      let strips = sequences * heads * rows
      WorkerPool.shared.forEach(strips, inline: sequences * heads * queries * keys < 1 << 18) { strip in
        let (place, row) = strip.quotientAndRemainder(dividingBy: rows)
        let (sequence, head) = place.quotientAndRemainder(dividingBy: heads)
        let into = target + strip * columns
        into.update(repeating: 0, count: columns)
        for query in row * Self.queryStep..<min(queries, (row + 1) * Self.queryStep) {
          let bytes = cells.row(sequence: sequence, head: head, query: query)
          for column in 0..<columns {
            let first = column * blockKeys
            into[column] |= UInt8(
              truncatingIfNeeded: KernelSet.kernels.pointee.classify_bytes(bytes + first, min(blockKeys, keys - first)))
          }
        }
      }
    }
  }

  var bytes: Int { content.count }

  func content(sequence: Int, heads range: Range<Int>, queries: Range<Int>, block: Int) -> Content {
    var found: UInt8 = 0
    let sequence = cells.sequenceStride == 0 ? 0 : sequence
    let heads = cells.headStride == 0 ? 0..<1 : range
    let rows =
      cells.queryStride == 0
      ? 0..<1 : queries.lowerBound / Self.queryStep..<(queries.upperBound - 1) / Self.queryStep + 1
    for head in heads {
      for row in rows { found |= content[((sequence * self.heads + head) * self.rows + row) * columns + block] }
    }
    return Content(rawValue: found)
  }
}
