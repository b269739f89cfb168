import Attention
import AttentionTestSupport
import Testing

/// One call of attention on seeded random operands, as every path must answer it.
struct AttentionCase: Sendable, CustomTestStringConvertible {
  var name: String
  var batch = 2
  var heads = 2
  var keyValueHeads = 2
  var queries = 7
  var keys = 7
  var keyWidth = 16
  var valueWidth = 16
  var mask = AttentionMask.none
  var options = AttentionOptions()
  /// The standard deviation of query and key; scores have about its square.
  var magnitude: Float = 1

  var testDescription: String { name }

  var operands: (query: Tensor, key: Tensor, value: Tensor) {
    var generator = SeededGenerator(seed: 17)
    return (
      Tensor(
        randomNormal: [batch, heads, queries, keyWidth], standardDeviation: magnitude, using: &generator),
      Tensor(
        randomNormal: [batch, keyValueHeads, keys, keyWidth], standardDeviation: magnitude, using: &generator),
      Tensor(randomNormal: [batch, keyValueHeads, keys, valueWidth], using: &generator)
    )
  }

  func on(_ path: AttentionPath) -> AttentionOptions {
    var options = options
    options.path = path
    return options
  }
}

/// The paths that every case runs over.
let paths: [AttentionPath] = [.naive, .blas, .fused, .automatic]

extension AttentionCase {
  static let all: [AttentionCase] = plain + lengths + widths + masks + combinations + magnitudes

  private static let plain: [AttentionCase] = [
    AttentionCase(name: "plain"),
    AttentionCase(name: "one query", queries: 1, keys: 33),
    AttentionCase(name: "one key", queries: 33, keys: 1),
    AttentionCase(name: "scale given", options: .init(scale: 0.3)),
    AttentionCase(name: "scale 0", options: .init(scale: 0)),
    AttentionCase(name: "scale negative", options: .init(scale: -0.7)),
    AttentionCase(name: "softcap", options: .init(softcap: 0.8), magnitude: 2),
    AttentionCase(name: "softcap 50", options: .init(softcap: 50), magnitude: 4),
    AttentionCase(name: "softcap small scores", options: .init(scale: 1e-3, softcap: 30)),
    AttentionCase(name: "grouped heads 4 over 2", heads: 4, keyValueHeads: 2),
    AttentionCase(name: "grouped heads 6 over 2", heads: 6, keyValueHeads: 2),
    AttentionCase(name: "one kv head", heads: 4, keyValueHeads: 1),
  ]

  /// Every length that a kernel, a block or a product could treat apart, and its neighbours.
  private static let lengths: [AttentionCase] =
    [0, 1, 2, 3, 8, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 128, 129].flatMap { length in
      [
        AttentionCase(name: "L \(length)", batch: 1, queries: length, keys: length),
        AttentionCase(name: "L \(length) causal", batch: 1, queries: length, keys: length, mask: .causal(.start)),
        AttentionCase(name: "Lq \(length) Lk 5", batch: 1, queries: length, keys: 5, mask: .causal(.end)),
        AttentionCase(name: "Lq 5 Lk \(length)", batch: 1, queries: 5, keys: length, mask: .causal(.end)),
      ]
    } + [
      AttentionCase(name: "no sequence", batch: 0),
      AttentionCase(name: "Lk 1,023", batch: 1, queries: 4, keys: 1023, mask: .causal(.end)),
      AttentionCase(name: "Lk 1,024", batch: 1, queries: 4, keys: 1024, mask: .causal(.end)),
      AttentionCase(name: "Lk 1,025", batch: 1, queries: 4, keys: 1025, mask: .causal(.end)),
      AttentionCase(
        name: "Lk 3,100", batch: 1, heads: 4, keyValueHeads: 1, queries: 70, keys: 3100, mask: .causal(.end)),
      AttentionCase(name: "several blocks", batch: 1, heads: 1, keyValueHeads: 1, queries: 700, keys: 650),
      AttentionCase(
        name: "several blocks causal", batch: 1, heads: 1, keyValueHeads: 1, queries: 700, keys: 650,
        mask: .causal(.end)),
      AttentionCase(
        name: "several blocks window", batch: 1, heads: 1, keyValueHeads: 1, queries: 700, keys: 700,
        mask: .window(left: 20, right: 3)),
      AttentionCase(
        name: "Lk past 65,536", batch: 1, heads: 1, keyValueHeads: 1, queries: 3, keys: 65_551, keyWidth: 8,
        valueWidth: 4),
      AttentionCase(
        name: "Lk past 65,536 causal", batch: 1, heads: 1, keyValueHeads: 1, queries: 3, keys: 65_551, keyWidth: 8,
        valueWidth: 4, mask: .causal(.end)),
    ]

  private static let widths: [AttentionCase] =
    [1, 2, 3, 5, 15, 17, 20, 33, 64, 80, 128, 256, 257, 600].map {
      AttentionCase(name: "dk \($0)", queries: 19, keys: 21, keyWidth: $0)
    }
    + [0, 1, 3, 17, 33, 64, 128, 256, 257, 600].map {
      AttentionCase(name: "dv \($0)", queries: 19, keys: 21, valueWidth: $0)
    }

  /// Masks for sequences of 9 queries and 13 keys (or the other way round) in the default batch and heads.
  static func kinds(queries: Int, keys: Int) -> [(name: String, mask: AttentionMask)] {
    var generator = SeededGenerator(seed: 5)
    func cells(_ shape: [Int]) -> BooleanTensor {
      BooleanTensor(
        (0..<shape.reduce(1, *)).map { _ in Double.random(in: 0..<1, using: &generator) < 0.6 }, shape: shape)
    }
    func bias(_ shape: [Int], masking share: Double = 0) -> Tensor {
      var tensor = Tensor(randomNormal: shape, using: &generator)
      tensor.withUnsafeMutableBufferPointer { buffer in
        for index in buffer.indices where Double.random(in: 0..<1, using: &generator) < share {
          buffer[index] = -.infinity
        }
      }
      return tensor
    }
    let shapes = [
      [keys], [queries, keys], [1, keys], [queries, 1], [1, 1], [2, queries, keys], [2, 1, keys], [2, queries, 1],
      [1, queries, keys], [2, 2, queries, keys], [2, 1, queries, keys], [1, 2, queries, keys], [2, 1, 1, keys],
      [2, 2, 1, 1], [1, 1, 1, 1],
    ]
    var kinds: [(name: String, mask: AttentionMask)] = []
    for alignment in AttentionMask.Alignment.allCases {
      kinds += [
        ("causal \(alignment)", .causal(alignment)),
        ("window 2 1 \(alignment)", .window(left: 2, right: 1, alignment: alignment)),
        ("window 0 0 \(alignment)", .window(left: 0, right: 0, alignment: alignment)),
        ("window left \(alignment)", .window(left: 3, right: nil, alignment: alignment)),
        ("window right \(alignment)", .window(left: nil, right: 2, alignment: alignment)),
        ("window wide \(alignment)", .window(left: .max, right: .max, alignment: alignment)),
        ("linear bias \(alignment)", .linearBias(slopes: [0.5, 0.25], alignment: alignment)),
      ]
    }
    let blocks = AttentionMask.documents(
      query: [(0..<queries).map { $0 / 4 }, (0..<queries).map { $0 / 6 }],
      key: [(0..<keys).map { $0 / 4 }, (0..<keys).map { $0 / 5 + 1 }])
    let interleaved = AttentionMask.documents(
      query: [(0..<queries).map { $0 % 3 }], key: [(0..<keys).map { $0 % 2 }])
    kinds += [
      ("key lengths", .keyLengths([keys, keys / 2])),
      ("key lengths 0", .keyLengths([0, keys - 1])),
      ("documents in blocks", blocks),
      ("documents interleaved", interleaved),
      ("predicate", .predicate { ($0 + $1) % 3 != 0 }),
      ("predicate banded", .predicate { $0 % 4 == $1 % 4 && $1 < 8 }),
      ("predicate never", .predicate { _, _ in false }),
    ]
    for shape in shapes {
      kinds.append(("allowed \(shape)", .allowed(cells(shape))))
      kinds.append(("bias \(shape)", .bias(bias(shape))))
      kinds.append(("bias with −∞ \(shape)", .bias(bias(shape, masking: 0.4))))
    }
    return kinds
  }

  private static let masks: [AttentionCase] = [(9, 13), (13, 9), (11, 11)].flatMap { queries, keys in
    kinds(queries: queries, keys: keys).map { name, mask in
      AttentionCase(name: "\(name) \(queries)×\(keys)", queries: queries, keys: keys, mask: mask)
    }
  }

  /// Each kind with each other one.
  private static let combinations: [AttentionCase] = {
    let chosen = kinds(queries: 9, keys: 13).filter {
      [
        "causal end", "window 2 1 start", "linear bias end", "key lengths", "documents in blocks",
        "documents interleaved",
        "predicate", "allowed [2, 1, 9, 13]", "allowed [9, 1]", "bias [2, 9, 13]", "bias with −∞ [1, 13]",
        "bias with −∞ [9, 13]",
      ].contains($0.name)
    }
    let pairs = chosen.indices.flatMap { first in
      chosen.indices.filter { $0 > first }.map { second in
        AttentionCase(
          name: "\(chosen[first].name) & \(chosen[second].name)", queries: 9, keys: 13,
          mask: chosen[first].mask & chosen[second].mask)
      }
    }
    return pairs + [
      AttentionCase(
        name: "everything", heads: 4, queries: 9, keys: 13, keyWidth: 20, valueWidth: 5,
        mask: .causal(.end) & .keyLengths([12, 7]) & .window(left: 6, right: nil, alignment: .end)
          & .linearBias(slopes: AttentionMask.linearBiasSlopes(heads: 4), alignment: .end)
          & .bias(Tensor(repeating: 0.25, shape: [9, 13])) & .predicate { ($0 * $1) % 5 != 1 },
        options: .init(scale: 0.4, softcap: 3))
    ]
  }()

  private static let magnitudes: [AttentionCase] = [
    AttentionCase(name: "scores of 16", queries: 40, keys: 50, magnitude: 4),
    AttentionCase(name: "scores of 800", queries: 40, keys: 50, magnitude: 28),
    AttentionCase(name: "scores of 1e4", queries: 40, keys: 50, magnitude: 100),
    AttentionCase(name: "scores of 1e-8", queries: 40, keys: 50, magnitude: 1e-4),
  ]
}
