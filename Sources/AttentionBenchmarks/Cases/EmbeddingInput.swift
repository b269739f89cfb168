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

  /// The texts of a call.
  func calls(_ count: Int) -> [Range<Int>] {
    let size = self == .sorted ? max(1, count) : self == .unsorted ? EmbeddingMode.batch : 1
    return stride(from: 0, to: count, by: size).map { $0..<min(count, $0 + size) }
  }

  /// The texts that come together when they are not sorted.
  static let batch = 32
}

/// Texts through a sentence encoder in one way, and what should come out.
package struct EmbeddingInput: Verifiable {
  package let encoder: SentenceEncoder
  package let texts: [String]
  package let mode: EmbeddingMode
  /// The tokens of each text, as the encoder reads them.
  package let lengths: [Int]
  private let ids: [[Int]]
  private let reference: ReferenceEncoder

  init(_ encoder: SentenceEncoder, _ texts: [String], _ mode: EmbeddingMode, reference: ReferenceEncoder) {
    self.encoder = encoder
    self.texts = texts
    self.mode = mode
    self.reference = reference
    ids = encoder.tokenizer.encode(texts, options: EncodingOptions(maximumLength: encoder.maximumLength)).map(\.ids)
    lengths = ids.map(\.count)
  }

  package var outputRows: Int { texts.count }
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
    return Double(lengths.reduce(0, +)) * operationsPerToken
      + 4 * Double(sizes.blockCount) * Double(sizes.width) * squares
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

  /// Short texts, drawn by the seed, that the reference has done in a moment.
  package func sampledRows(seed: UInt64) -> [Int] {
    var generator = SeededGenerator(seed: seed)
    var (left, rows) = (1e9 / max(1, operationsPerToken / 2), [Int]())
    for row in lengths.indices.shuffled(using: &generator) where Double(lengths[row]) <= left {
      left -= Double(lengths[row])
      rows.append(row)
    }
    if rows.isEmpty, let shortest = lengths.indices.min(by: { lengths[$0] < lengths[$1] }) { rows = [shortest] }
    return rows.sorted()
  }

  package func forEachExpectedRow(_ rows: [Int], _ check: @Sendable (Int, [Double]) -> Void) {
    WorkerPool.shared.forEachWithoutProducts(rows.count, inline: false) { index in
      check(rows[index], reference.row(ids[rows[index]], encoder))
    }
  }

  /// 1e-5 for a unit vector's values, and in proportion for larger ones.
  package func tolerances(of expected: [Double]) -> [Double] {
    let bound = 1e-5 * max(1, expected.reduce(0) { max($0, abs($1)) })
    return expected.map { _ in bound }
  }

  package func runNaively() -> Tensor? { nil }

  /// One pass over all texts.
  ///
  /// - Parameter call: is told the seconds of each call.
  func run(call: ((Double) -> Void)? = nil) -> Tensor {
    var parts: [Tensor] = []
    for range in mode.calls(texts.count) {
      let seconds = Stopwatch.seconds { parts.append(encoder.embed(Array(texts[range]))) }
      call?(seconds)
    }
    return parts.count == 1 ? parts[0] : Tensor.concatenated(parts)
  }
}
