import Attention
import AttentionModels

/// A BERT-like sentence encoder in float64, by its definition; slow and plain.
package struct ReferenceEncoder: Sendable {
  private let configuration: BERTConfiguration
  private let parameters: [String: [Double]]
  private let blocks: [ReferenceLayers]

  package init(_ model: BERT) {
    configuration = model.configuration
    var all: [String: [Double]] = [:]
    for (name, _, tensor) in model.namedTensors { all[name] = tensor.scalars.map(Double.init) }
    parameters = all
    blocks = (0..<model.configuration.blockCount).map { index in
      let prefix = "encoder.layers.\(index)."
      return ReferenceLayers(
        parameters: Dictionary(
          uniqueKeysWithValues: all.filter { $0.key.hasPrefix(prefix) }.map {
            (String($0.key.dropFirst(prefix.count)), $0.value)
          }))
    }
  }

  /// The row of a text whose tokens are in segment 0.
  func row(_ ids: [Int], _ encoder: SentenceEncoder) -> [Double] {
    let (width, epsilon) = (configuration.width, Double(configuration.epsilon))
    func rows(_ table: String, _ numbers: [Int]) -> [Double] {
      let values = parameters["embeddings.\(table).weight"] ?? []
      return numbers.flatMap { values[$0 * width..<($0 + 1) * width] }
    }
    let sums = zip(
      zip(rows("word_embeddings", ids), rows("position_embeddings", Array(ids.indices))).map(+),
      rows("token_type_embeddings", ids.map { _ in 0 })
    ).map(+)
    var x = ReferenceLayers.layerNorm(
      sums, width: width, weight: parameters["embeddings.LayerNorm.weight"] ?? [],
      bias: parameters["embeddings.LayerNorm.bias"] ?? [], epsilon: epsilon)
    for block in blocks {
      x = block.block(
        x, width: width, heads: configuration.heads, feedForward: configuration.feedForwardWidth, isPre: false,
        activation: configuration.activation, epsilon: epsilon)
    }
    return pooled(x, encoder)
  }

  private func pooled(_ x: [Double], _ encoder: SentenceEncoder) -> [Double] {
    let (width, count) = (configuration.width, x.count / configuration.width)
    let row = (0..<width).map { column in
      let values = (0..<count).map { x[$0 * width + column] }
      switch encoder.pooling {
      case .mean: return count > 0 ? values.reduce(0, +) / Double(count) : 0
      case .firstToken: return values.first ?? 0
      case .maximum: return values.max() ?? 0
      }
    }
    guard encoder.normalizes else { return row }
    let length = max(row.reduce(0) { $0 + $1 * $1 }.squareRoot(), 1e-12)
    return row.map { $0 / length }
  }
}
