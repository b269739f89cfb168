import AttentionTensors

/// A table that is read both ways: a row for each id, and for a row the scores of all ids, its products with the table's
/// rows (Press and Wolf, 1608.05859; Vaswani et al., 1706.03762, §3.4).
///
///     let tokens = TiedEmbedding(count: 50_257, width: 768, using: &generator)
///     let x = tokens([464, 3290])      // [2, 768]
///     let scores = tokens.scores(x)    // [2, 50257]
///
/// The table is held once: in panels from the first scores without gradients on, of which rows are gathered too; while it
/// is trained, in rows. Parameter: "weight" `[count, width]`, as PyTorch's `nn.Embedding`.
public struct TiedEmbedding: Layer {
  private var map: Linear

  /// `[count, width]`. Reading it copies it out of its panels if need be.
  ///
  /// - Precondition: a new table has the shape of the old one.
  public var weight: Tensor {
    get { map.weight }
    set { map.weight = newValue }
  }

  /// The number of ids.
  public var count: Int { map.outputs }
  /// The width of a row.
  public var width: Int { map.inputs }

  /// Creates a table from its rows.
  ///
  /// - Precondition: the weight has rank 2.
  public init(weight: Tensor) { map = Linear(weight: weight) }

  /// Creates a table from the map of rows to scores, such as one in panels.
  ///
  /// - Precondition: the map has neither a bias nor an activation.
  package init(map: Linear) {
    require(map.bias == nil && map.activation == nil, "TiedEmbedding: a map with a bias or an activation is no table")
    self.map = map
  }

  /// Creates a table of normal variates.
  public init(
    count: Int, width: Int, standardDeviation: Float = 1, using generator: inout some RandomNumberGenerator
  ) {
    require(count >= 0 && width >= 0, "TiedEmbedding: \(count) ids of width \(width)")
    self.init(weight: Tensor(randomNormal: [count, width], standardDeviation: standardDeviation, using: &generator))
  }

  /// The rows of these ids, `[ids, width]`. O(ids · width).
  ///
  /// - Precondition: every id is below ``count``.
  public func callAsFunction(_ ids: [Int]) -> Tensor { map.weightRows(ids) }

  /// The scores of all ids for each row, `[rows, count]` of `[rows, width]`. O(rows · count · width).
  ///
  /// - Precondition: the rows have the table's width.
  public func scores(_ rows: Tensor) -> Tensor { map(rows) }

  /// The cross-entropy of labels under the scores of some rows, which are never held all at once. As
  /// ``Linear/crossEntropy(_:labels:ignoring:smoothing:reduction:)``.
  ///
  /// - Precondition: the rows `[rows, width]` have the table's width; one label for each row, and each one an id or the
  ///   ignored one; the smoothing lies in 0...1.
  public func crossEntropy(
    _ rows: Tensor, labels: [Int], ignoring ignored: Int? = -100, smoothing: Float = 0,
    reduction: LossReduction = .mean
  ) -> Tensor {
    map.crossEntropy(rows, labels: labels, ignoring: ignored, smoothing: smoothing, reduction: reduction)
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try map.visitParameters(visit)
  }
}
