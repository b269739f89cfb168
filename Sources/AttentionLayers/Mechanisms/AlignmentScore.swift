import AttentionCore
import AttentionTensors

/// How well a query and a state of the source match (Luong et al., 1508.04025, §3.1; Bahdanau et al., 1409.0473, A.1.2).
///
/// Parameters: none of ``Kind/dot``; "weight" `[dq, ds]` of ``Kind/general``; "query.weight" `[d, dq]`, "source.weight"
/// `[d, ds]` and "v" `[d]` of ``Kind/concat``.
public struct AlignmentScore: Layer {
  /// The form of a score.
  public enum Kind: String, Sendable, CaseIterable {
    /// q · h, of equal widths.
    case dot
    /// q · W·h.
    case general
    /// v · tanh(W·q + U·h), which is Luong's v · tanh(W·[q; h]) with the halves of his matrix apart.
    case concat
  }

  /// The form of the scores.
  public let kind: Kind
  /// The width of queries.
  public let queryWidth: Int
  /// The width of the source's states.
  public let sourceWidth: Int
  /// W and U of a concat score, the U of which is the W of a general one.
  private var query: Linear?
  private var source: Linear?
  private var v: Tensor?

  /// Creates a score with initial values that are uniform on ±1/√(a parameter's inputs).
  ///
  /// The width is d of ``Kind/concat``, which no other kind needs: that of queries unless given.
  ///
  /// - Precondition: the widths are positive, and equal for ``Kind/dot``.
  public init(
    _ kind: Kind, queryWidth: Int, sourceWidth: Int, width: Int? = nil,
    using generator: inout some RandomNumberGenerator
  ) {
    self.init(kind, queryWidth: queryWidth, sourceWidth: sourceWidth, width: width) { _, shape, inputs in
      Tensor(linearUniform: shape, inputs: inputs, using: &generator)
    }
  }

  /// Creates a score whose parameters come from elsewhere, such as a checkpoint.
  init<Failure: Error>(
    _ kind: Kind, queryWidth: Int, sourceWidth: Int, width: Int? = nil, from parameter: ParameterMaker<Failure>
  ) throws(Failure) {
    let width = width ?? queryWidth
    require(
      queryWidth > 0 && sourceWidth > 0 && width > 0 && (kind != .dot || queryWidth == sourceWidth),
      "AlignmentScore: \(kind.rawValue) of queries \(queryWidth), a source \(sourceWidth) and scores \(width) wide")
    self.kind = kind
    self.queryWidth = queryWidth
    self.sourceWidth = sourceWidth
    switch kind {
    case .dot: break
    case .general:
      source = Linear(weight: try parameter("weight", [queryWidth, sourceWidth], sourceWidth))
    case .concat:
      query = Linear(weight: try parameter("query.weight", [width, queryWidth], queryWidth))
      source = Linear(weight: try parameter("source.weight", [width, sourceWidth], sourceWidth))
      v = try parameter("v", [width], width)
    }
  }

  /// Lists the parameters, by the names above.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    if kind == .general {
      try source?.visitParameters(visit)
    } else {
      try query?.visitParameters(under: "query", visit)
      try source?.visitParameters(under: "source", visit)
    }
    if v != nil { try visit("v", .parameter, &v!) }
  }

  /// The source as the scores need it: what stays the same for all queries, computed once.
  ///
  /// - Parameters:
  ///   - source: `[B, Lk, ds]`, or `[tokens, ds]` with a layout.
  ///   - layout: the sequences of a ragged batch.
  /// - Precondition: the source has the layer's width.
  public func prepared(_ source: Tensor, layout: SequenceLayout? = nil) -> AlignmentSource {
    require(
      source.rank == (layout == nil ? 3 : 2) && source.shape.last == sourceWidth
        && layout.map { $0.tokenCount == source.shape[0] } ?? true,
      """
      AlignmentScore: a source \(source.shape) is not [B, Lk, \(sourceWidth)]\
      \(layout.map { ", nor [\($0.tokenCount), \(sourceWidth)] of the layout" } ?? "; ragged rows need their layout")
      """)
    return AlignmentSource(key: self.source.map { $0(source) } ?? source, value: source, layout: layout, kind: kind)
  }

  /// What a mechanism attends with: queries as the scores need them, and the source beside them.
  ///
  /// - Precondition: the queries have the layer's width, and the source was prepared by a layer of the same kind.
  func rows(_ query: Tensor, layout: SequenceLayout?, source: AlignmentSource, _ name: String) -> AlignmentRows {
    require(
      query.rank == (layout == nil ? 3 : 2) && query.shape.last == queryWidth,
      "\(name): a query \(query.shape) is not [\(layout == nil ? "B, Lq" : "tokens"), \(queryWidth)]")
    require(
      source.kind == kind && (source.layout == nil) == (layout == nil),
      """
      \(name): the source was prepared for \(source.kind.rawValue) scores \
      \(source.layout == nil ? "as [B, Lk, d]" : "as a ragged batch"), the query \(query.shape) is for \
      \(kind.rawValue) scores \(layout == nil ? "as [B, Lq, d]" : "as a ragged batch")
      """)
    return AlignmentRows(
      query: self.query.map { $0(query) } ?? query, key: source.key, value: source.value, layout: layout,
      keyLayout: source.layout, name)
  }

  var pairwise: PairwiseScore { v.map { .additive(v: $0) } ?? .dot }
}

/// A source that queries are aligned with, projected once and used for any number of steps.
public struct AlignmentSource: Sendable {
  /// What the scores are formed with.
  let key: Tensor
  /// The states themselves, which contexts are made of: `[B, Lk, ds]`, or `[tokens, ds]` of a ragged batch.
  public let value: Tensor
  /// The sequences of a ragged batch.
  public let layout: SequenceLayout?
  let kind: AlignmentScore.Kind

  /// Some sequences of a ragged batch, in this order; one may be named several times. O(their tokens · width).
  ///
  /// - Precondition: the source is a ragged batch, and every sequence exists.
  package func selecting(sequences: [Int]) -> AlignmentSource {
    guard let layout else { preconditionFailure("AlignmentSource: only a ragged batch has sequences to choose from") }
    guard !sequences.elementsEqual(0..<layout.sequenceCount) else { return self }
    let selected = SequenceLayout(lengths: sequences.map { layout.lengths[$0] })
    func rows(_ tensor: Tensor) -> Tensor {
      // The first ones need no numbers.
      sequences.elementsEqual(sequences.indices)
        ? tensor.sliced(0..<selected.tokenCount) : tensor.gathered(rows: sequences.flatMap(layout.range(of:)))
    }
    return AlignmentSource(key: rows(key), value: rows(value), layout: selected, kind: kind)
  }
}
