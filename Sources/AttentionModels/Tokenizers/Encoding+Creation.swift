import AttentionTensors

extension Encoding {
  /// Creates an encoding: for tokenizers of your own.
  ///
  /// - Parameters:
  ///   - ids: the tokens.
  ///   - offsets: where each stands in its text; 0..<0 for all unless given.
  ///   - segments: the segment of each; 0 for all unless given.
  ///   - isTemplate: whether each is the template's; none unless given.
  ///   - isTruncated: whether tokens were left out.
  /// - Precondition: there are as many offsets, segments and marks as ids.
  public init(
    ids: [Int], offsets: [Range<Int>]? = nil, segments: [Int]? = nil, isTemplate: [Bool]? = nil,
    isTruncated: Bool = false
  ) {
    self.init()
    require(
      offsets?.count ?? ids.count == ids.count && segments?.count ?? ids.count == ids.count
        && isTemplate?.count ?? ids.count == ids.count,
      """
      Encoding: \(offsets?.count ?? ids.count) offsets, \(segments?.count ?? ids.count) segments and \
      \(isTemplate?.count ?? ids.count) marks for \(ids.count) ids
      """)
    self.ids = ids
    self.offsets = offsets ?? ids.map { _ in 0..<0 }
    self.segments = segments ?? ids.map { _ in 0 }
    self.isTemplate = isTemplate ?? ids.map { _ in false }
    self.isTruncated = isTruncated
  }
}
