import Attention
import AttentionModels

/// How texts come to a sentence encoder.
public enum EmbeddingMode: String, Sendable, CaseIterable {
  /// All of them in one call, which sorts them by length.
  case sorted
  /// 32 at a time, in the order given.
  case unsorted
  /// One at a time.
  case single
  /// As unsorted, by several tasks at once, each of which embeds all texts; they begin at different ones.
  case concurrent

  /// Those that are measured unless others are asked for: one caller's.
  public static let ofOneCaller: [EmbeddingMode] = [.sorted, .unsorted, .single]

  /// The texts of a call.
  func calls(_ count: Int) -> [Range<Int>] {
    let size =
      switch self {
      case .sorted: max(1, count)
      case .unsorted, .concurrent: EmbeddingMode.batch
      case .single: 1
      }
    return stride(from: 0, to: count, by: size).map { $0..<min(count, $0 + size) }
  }

  /// The texts that come together when they are not sorted.
  static let batch = 32
}

/// Texts through a sentence encoder in one way, and what should come out.
package struct EmbeddingInput: Verifiable {
  package let pass: EmbeddingPass
  /// The tokens of each text, as the encoder reads them.
  package let lengths: [Int]
  private let ids: [[Int]]
  private let reference: ReferenceEncoder

  init(_ pass: EmbeddingPass, reference: ReferenceEncoder) {
    self.pass = pass
    self.reference = reference
    let encoder = pass.encoder
    ids = encoder.tokenizer.encode(
      pass.texts.map { encoder.prompt + $0 }, options: EncodingOptions(maximumLength: encoder.maximumLength)
    ).map(\.ids)
    lengths = ids.map(\.count)
  }

  var encoder: SentenceEncoder { pass.encoder }
  var texts: [String] { pass.texts }
  var mode: EmbeddingMode { pass.mode }
  var callers: Int { pass.callers }

  package var outputRows: Int { callers * texts.count }
  package var valueWidth: Int { encoder.width }
  package var rowWork: Double { Double(lengths.max() ?? 0) * operationsPerToken / 2 }

  /// The multiplications and additions of the linear maps for a token.
  private var operationsPerToken: Double {
    let sizes = encoder.model.configuration
    let (width, inner) = (Double(sizes.width), Double(sizes.feedForwardWidth))
    return Double(sizes.blockCount) * 2 * (4 * width * width + 2 * width * inner)
  }

  /// The floating-point operations of one pass: no padding in them.
  var operations: Double {
    let sizes = encoder.model.configuration
    let squares = lengths.reduce(0.0) { $0 + Double($1) * Double($1) }
    return Double(callers)
      * (Double(lengths.reduce(0, +)) * operationsPerToken
        + 4 * Double(sizes.blockCount) * Double(sizes.width) * squares)
  }

  /// The share of tokens in what an engine computes that pads the texts of each call, 32 at a time, to their longest.
  var paddingEfficiency: Double {
    let lengths = mode == .sorted ? self.lengths.sorted() : self.lengths
    let size = mode == .single ? 1 : EmbeddingMode.batch
    let padded = stride(from: 0, to: lengths.count, by: size).reduce(0) { sum, first in
      let part = lengths[first..<min(lengths.count, first + size)]
      return sum + part.count * (part.max() ?? 0)
    }
    return padded > 0 ? Double(lengths.reduce(0, +)) / Double(padded) : 1
  }

  /// Short texts, drawn by the seed, that the reference has done in a moment; each of one caller.
  package func sampledRows(seed: UInt64) -> [Int] {
    var generator = SeededGenerator(seed: seed)
    var (left, rows) = (1e9 / max(1, operationsPerToken / 2), [Int]())
    for row in lengths.indices.shuffled(using: &generator) where Double(lengths[row]) <= left {
      left -= Double(lengths[row])
      rows.append(row)
    }
    if rows.isEmpty, let shortest = lengths.indices.min(by: { lengths[$0] < lengths[$1] }) { rows = [shortest] }
    return rows.map { Int.random(in: 0..<callers, using: &generator) * texts.count + $0 }.sorted()
  }

  package func forEachExpectedRow(_ rows: [Int], _ check: @Sendable (Int, [Double]) -> Void) {
    WorkerPool.shared.forEachWithoutProducts(rows.count, inline: false) { index in
      check(rows[index], reference.row(ids[rows[index] % texts.count], encoder))
    }
  }

  /// 1e-5 for a unit vector's values, and in proportion for larger ones.
  package func tolerances(of expected: [Double]) -> [Double] {
    let bound = 1e-5 * max(1, expected.reduce(0) { max($0, abs($1)) })
    return expected.map { _ in bound }
  }

  package func runNaively() -> Tensor? { nil }
}
