import Attention
import AttentionBenchmarks
import Testing

/// Ragged batches against the reference, and against each sequence alone.
@Suite struct RaggedTests {
  struct Batch: Sendable, CustomTestStringConvertible {
    var name: String
    var queryLengths: [Int]
    var keyLengths: [Int]
    var heads = 4
    var keyValueHeads = 2
    var keyWidth = 20
    var valueWidth = 12
    var mask = AttentionMask.none
    var testDescription: String { name }

    var layouts: (query: SequenceLayout, key: SequenceLayout) {
      (SequenceLayout(lengths: queryLengths), SequenceLayout(lengths: keyLengths))
    }

    var operands: (query: Tensor, key: Tensor, value: Tensor) {
      var generator = SeededGenerator(seed: 23)
      let (queries, keys) = (layouts.query.tokenCount, layouts.key.tokenCount)
      return (
        Tensor(randomNormal: [queries, heads * keyWidth], using: &generator),
        Tensor(randomNormal: [keys, keyValueHeads * keyWidth], using: &generator),
        Tensor(randomNormal: [keys, keyValueHeads * valueWidth], using: &generator)
      )
    }

    func attend(_ path: AttentionPath, returning extras: AttentionExtras = []) -> RaggedAttentionResult {
      let (query, key, value) = operands
      return scaledDotProductAttention(
        query: query, key: key, value: value, layout: layouts.query, keyLayout: layouts.key, heads: heads,
        keyValueHeads: keyValueHeads, mask: mask, options: .init(path: path), returning: extras)
    }
  }

  static let lengths = [5, 0, 17, 1, 64, 33]

  static let batches: [Batch] = [
    Batch(name: "self", queryLengths: lengths, keyLengths: lengths),
    Batch(name: "causal", queryLengths: lengths, keyLengths: lengths, mask: .causal(.start)),
    Batch(name: "cross", queryLengths: lengths, keyLengths: [3, 7, 0, 70, 1, 33]),
    Batch(name: "cross causal end", queryLengths: lengths, keyLengths: [3, 7, 0, 70, 1, 33], mask: .causal(.end)),
    Batch(name: "no sequence", queryLengths: [], keyLengths: []),
    Batch(name: "empty sequences", queryLengths: [0, 0], keyLengths: [0, 4]),
    Batch(
      name: "key lengths and window", queryLengths: lengths, keyLengths: lengths,
      mask: .keyLengths([5, 0, 9, 0, 60, 33]) & .window(left: 8, right: 3)),
    Batch(
      name: "documents", queryLengths: [6, 8], keyLengths: [6, 8],
      mask: .documents([[0, 0, 1, 1, 1, 2], [3, 3, 3, 3, 4, 4, 5, 5]])),
    Batch(
      name: "dense masks longer than the longest", queryLengths: lengths, keyLengths: lengths,
      mask: .allowed(
        BooleanTensor((0..<6 * 66 * 70).map { $0 % 7 != 0 }, shape: [6, 1, 66, 70]))
        & .bias(Tensor((0..<4 * 64).map { Float($0 % 9) / 4 }, shape: [4, 1, 64]))
        & .linearBias(slopes: [1, 0.5, 0.25, 0.125], alignment: .end)),
    Batch(name: "one head a group of four", queryLengths: lengths, keyLengths: lengths, keyValueHeads: 1),
  ]

  @Test(arguments: batches, paths)
  func agreesWithReference(_ batch: Batch, _ path: AttentionPath) {
    let (query, key, value) = batch.operands
    let reference = ReferenceAttention(
      query: query, key: key, value: value, layout: batch.layouts.query, keyLayout: batch.layouts.key,
      heads: batch.heads, keyValueHeads: batch.keyValueHeads, mask: batch.mask)
    let result = batch.attend(path, returning: allExtras)
    #expect(result.output.shape == [batch.layouts.query.tokenCount, batch.heads * batch.valueWidth])
    #expect(result.logSumExp?.shape == [batch.layouts.query.tokenCount, batch.heads])
    var difference = Difference()
    for sequence in batch.queryLengths.indices {
      let keys = batch.keyLengths[sequence]
      #expect(result.weights![sequence].shape == [batch.heads, batch.queryLengths[sequence], keys])
      for head in 0..<batch.heads {
        for i in 0..<batch.queryLengths[sequence] {
          let row = reference.row(sequence: sequence, head: head, query: i)
          let token = batch.layouts.query.offsets[sequence] + i
          for column in 0..<batch.valueWidth {
            difference.add(
              "output", result.output[token, head * batch.valueWidth + column], row.output[column])
          }
          difference.add("log-sum-exp", result.logSumExp![token, head], row.logSumExp)
          for j in 0..<keys {
            difference.add("weights", result.weights![sequence][head, i, j], row.weights[j])
            for (stage, scores) in result.scores {
              difference.add(stage.rawValue, scores[sequence][head, i, j], row.scores[stage]![j])
            }
          }
        }
      }
    }
    #expect(difference.mismatch == nil)
    #expect(difference.excess <= 0)
  }

  /// Batch mates change no bit: each sequence alone gives its rows of the batch.
  @Test(arguments: paths)
  func aloneEqualsBatched(_ path: AttentionPath) {
    for batch in Self.batches where ["self", "causal", "cross causal end"].contains(batch.name) {
      let (query, key, value) = batch.operands
      let together = batch.attend(path).output
      for sequence in batch.queryLengths.indices {
        let alone = scaledDotProductAttention(
          query: query.rows(batch.layouts.query.range(of: sequence)),
          key: key.rows(batch.layouts.key.range(of: sequence)),
          value: value.rows(batch.layouts.key.range(of: sequence)),
          layout: SequenceLayout(lengths: [batch.queryLengths[sequence]]),
          keyLayout: SequenceLayout(lengths: [batch.keyLengths[sequence]]), heads: batch.heads,
          keyValueHeads: batch.keyValueHeads, mask: batch.mask, options: .init(path: path)
        ).output
        #expect(alone.hasBits(of: together.rows(batch.layouts.query.range(of: sequence))))
      }
    }
  }

  /// A padded 4-D batch with key lengths gives the rows of the ragged batch, whatever the padding holds: bit by bit
  /// where the sequences have equal numbers of queries, so that products have as many rows in both.
  @Test(
    arguments: [
      batches[0],
      Batch(name: "equal queries", queryLengths: [40, 40, 40, 40], keyLengths: [33, 7, 64, 0]),
    ], paths)
  func paddedEqualsRagged(_ batch: Batch, _ path: AttentionPath) {
    let (heads, width, valueWidth) = (batch.heads, batch.keyWidth, batch.valueWidth)
    let (query, key, value) = batch.operands
    let ragged = batch.attend(path).output
    let padded = scaledDotProductAttention(
      query: query.padded(batch.layouts.query, heads: heads, width: width),
      key: key.padded(batch.layouts.key, heads: batch.keyValueHeads, width: width),
      value: value.padded(batch.layouts.key, heads: batch.keyValueHeads, width: valueWidth),
      mask: .keyLengths(batch.keyLengths), options: .init(path: path))
    let isBitwise = path == .naive || Set(batch.queryLengths).count == 1
    var wrong = 0
    for (sequence, length) in batch.queryLengths.enumerated() {
      for head in 0..<heads {
        for i in 0..<length {
          for column in 0..<valueWidth {
            let expected = ragged[batch.layouts.query.offsets[sequence] + i, head * valueWidth + column]
            let actual = padded[sequence, head, i, column]
            let agree =
              isBitwise ? actual.bitPattern == expected.bitPattern : abs(actual - expected) <= 2e-6
            if !agree { wrong += 1 }
          }
        }
      }
    }
    #expect(wrong == 0)
  }
}

extension Tensor {
  /// Some rows of a matrix.
  func rows(_ range: Range<Int>) -> Tensor {
    Tensor(scalars[range.lowerBound * shape[1]..<range.upperBound * shape[1]], shape: [range.count, shape[1]])
  }

  /// `[tokens, heads · width]` as `[B, heads, longest, width]`, NaN where there is no token.
  func padded(_ layout: SequenceLayout, heads: Int, width: Int) -> Tensor {
    let longest = layout.lengths.max() ?? 0
    var result = Tensor(repeating: .nan, shape: [layout.sequenceCount, heads, longest, width])
    for sequence in 0..<layout.sequenceCount {
      for (row, token) in layout.range(of: sequence).enumerated() {
        for head in 0..<heads {
          for column in 0..<width { result[sequence, head, row, column] = self[token, head * width + column] }
        }
      }
    }
    return result
  }
}
