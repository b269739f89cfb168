import AttentionTensors

/// A mask as the fused path asks it: intervals of keys for each row, and what each block's cells hold.
final class FusedMasks: Sendable {
  let geometry: MaskGeometry
  /// Whether bands and lengths are all that bounds what a query sees.
  let slides: Bool
  private let summaries: [AllowedSummary]
  /// Whether every visible block has cells to look at: biases to add, or documents that lie scattered.
  private let alwaysNeedsCells: Bool

  init(_ geometry: MaskGeometry, blockKeys: Int) {
    self.geometry = geometry
    slides = geometry.slides
    alwaysNeedsCells =
      !geometry.biases.isEmpty || !geometry.linearBiases.isEmpty
      || !geometry.documents.allSatisfy(\.isContiguous)
    summaries = geometry.allowed.filter { $0.keyStride != 0 }.map { cells in
      AllowedSummary(
        cells, sequences: geometry.queryLengths.count, heads: geometry.heads,
        queries: geometry.queryLengths.max() ?? 0, keys: geometry.keyLengths.max() ?? 0, blockKeys: blockKeys)
    }
  }

  var summaryBytes: Int { summaries.reduce(0) { $0 + $1.bytes } }

  /// What a block holds for some rows inside their intervals: no `allowed`, no cell to visit; no `forbidden`, no cell to
  /// look at.
  func content(sequence: Int, heads: Range<Int>, queries: Range<Int>, block: Int) -> AllowedSummary.Content {
    var content: AllowedSummary.Content = alwaysNeedsCells ? [.allowed, .forbidden] : .allowed
    for summary in summaries {
      let found = summary.content(sequence: sequence, heads: heads, queries: queries, block: block)
      guard found.contains(.allowed) else { return [] }
      content.formUnion(found)
    }
    return content
  }
}
