import Attention

/// The gradients of attention over 4-D tensors in float64, row by row from the definitions, on the rows of
/// ``ReferenceAttention``.
public struct ReferenceGradients: Sendable {
  /// `[B, Hq, Lq, dk]`, row-major.
  public private(set) var query: [Double]
  /// `[B, Hkv, Lk, dk]`.
  public private(set) var key: [Double]
  /// `[B, Hkv, Lk, dv]`.
  public private(set) var value: [Double]
  /// Of each bias in the mask, in its shape.
  public private(set) var biases: [[Double]]

  /// - Parameters:
  ///   - upstream: the gradient of the output, `[B, Hq, Lq, dv]`.
  ///   - logSumExpUpstream: of the log-sum-exp, `[B, Hq, Lq]`.
  ///   - factor: what dropout multiplies a weight by, at a sequence, head, query and key.
  public init(
    query queries: Tensor, key keys: Tensor, value values: Tensor, upstream: Tensor, logSumExpUpstream: Tensor? = nil,
    mask: AttentionMask = .none, options: AttentionOptions = .init(),
    factor: (_ sequence: Int, _ head: Int, _ query: Int, _ key: Int) -> Double = { _, _, _, _ in 1 }
  ) {
    let reference = ReferenceAttention(query: queries, key: keys, value: values, mask: mask, options: options)
    let (batch, heads, rows, keyWidth) = (queries.shape[0], queries.shape[1], queries.shape[2], queries.shape[3])
    let (keyValueHeads, columns, valueWidth) = (keys.shape[1], keys.shape[2], values.shape[3])
    let scale = options.scale.map(Double.init) ?? 1 / Double(keyWidth).squareRoot()
    let (q, k, v) = (queries.scalars.map(Double.init), keys.scalars.map(Double.init), values.scalars.map(Double.init))
    let (g, l) = (upstream.scalars.map(Double.init), logSumExpUpstream?.scalars.map(Double.init))
    query = [Double](repeating: 0, count: q.count)
    key = [Double](repeating: 0, count: k.count)
    value = [Double](repeating: 0, count: v.count)
    let biasShapes = mask.conditions.compactMap { if case .bias(let tensor) = $0 { tensor.shape } else { nil } }
    biases = biasShapes.map { [Double](repeating: 0, count: $0.reduce(1, *)) }
    for b in 0..<batch {
      for h in 0..<heads {
        let shared = b * keyValueHeads + h / (heads / keyValueHeads)
        for i in 0..<rows {
          let row = reference.row(sequence: b, head: h, query: i)
          let place = (b * heads + h) * rows + i
          let seen = (0..<columns).filter { row.weights[$0] != 0 }
          var slopes = [Double](repeating: 0, count: columns)
          var mean = 0.0
          for j in seen {
            let dropping = factor(b, h, i, j)
            for c in 0..<valueWidth {
              slopes[j] += dropping * g[place * valueWidth + c] * v[(shared * columns + j) * valueWidth + c]
              value[(shared * columns + j) * valueWidth + c] +=
                dropping * row.weights[j] * g[place * valueWidth + c]
            }
            mean += row.weights[j] * slopes[j]
          }
          mean -= l?[place] ?? 0
          for j in seen {
            let biased = row.weights[j] * (slopes[j] - mean)
            for (index, shape) in biasShapes.enumerated() {
              let position = zip(shape, [b, h, i, j].suffix(shape.count)).reduce(0) {
                $0 * $1.0 + ($1.0 == 1 ? 0 : $1.1)
              }
              biases[index][position] += biased
            }
            var gradient = biased * scale
            if let cap = options.softcap.map(Double.init) {
              let share = row.scores[.capped]![j] / cap
              gradient *= 1 - share * share
            }
            for c in 0..<keyWidth {
              query[place * keyWidth + c] += gradient * k[(shared * columns + j) * keyWidth + c]
              key[(shared * columns + j) * keyWidth + c] += gradient * q[place * keyWidth + c]
            }
          }
        }
      }
    }
  }
}
