import AttentionTensors

/// A table with a row for each id: token, segment or position embeddings.
///
///     let tokens = Embedding(count: 30_522, width: 384, using: &generator)
///     let x = tokens([101, 7592, 102])   // [3, 384]
///
/// A gather equals a product with one-hot rows; gradients of an id that occurs more than once add up. Parameter:
/// "weight" `[count, width]`, as PyTorch's `nn.Embedding`.
public struct Embedding: Layer {
  /// `[count, width]`.
  public var weight: Tensor

  /// The number of ids.
  public var count: Int { weight.shape[0] }
  /// The width of a row.
  public var width: Int { weight.shape[1] }

  /// Creates a table from its rows.
  ///
  /// - Precondition: the weight has rank 2.
  public init(weight: Tensor) {
    require(weight.rank == 2, "Embedding: a table has the shape [count, width], not \(weight.shape)")
    self.weight = weight
  }

  /// Creates a table of normal variates.
  public init(
    count: Int, width: Int, standardDeviation: Float = 1, using generator: inout some RandomNumberGenerator
  ) {
    require(count >= 0 && width >= 0, "Embedding: \(count) ids of width \(width)")
    self.init(weight: Tensor(randomNormal: [count, width], standardDeviation: standardDeviation, using: &generator))
  }

  /// The rows of these ids, `[ids, width]`. O(ids · width).
  ///
  /// - Precondition: every id is below ``count``: ids from outside go through ``rows(of:)``.
  public func callAsFunction(_ ids: [Int]) -> Tensor { weight.gathered(rows: ids) }

  /// The rows of ids that come from outside.
  ///
  /// - Throws: ``VocabularyError`` for the first id that the table has no row for.
  public func rows(of ids: [Int]) throws(VocabularyError) -> Tensor {
    if let index = ids.firstIndex(where: { $0 < 0 || $0 >= count }) {
      throw VocabularyError(id: ids[index], index: index, count: count)
    }
    return self(ids)
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try visit("weight", .parameter, &weight)
  }
}

/// An id that an embedding has no row for.
public struct VocabularyError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The id.
  public let id: Int
  /// Where it stands among the ids.
  public let index: Int
  /// The ids that there are: 0 ..< count.
  public let count: Int

  /// What is wrong, in one line.
  public var description: String { "the id \(id) at index \(index) is outside of the vocabulary, 0..<\(count)" }
}
