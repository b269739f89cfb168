import Attention
import AttentionModels

/// One case of the subject `generate`: a model, how deep its sequences are, and how many take a step together.
public struct GenerationCase: Sendable, Hashable {
  /// Of the model: its text on the command line, or the folder that it was read from.
  public let shape: String
  /// The tokens of a sequence.
  public let depth: Int
  /// The sequences that take a step together.
  public let batch: Int

  /// What is measured unless something else is asked for: GPT-2 small.
  public static let (defaultShape, defaultDepths, defaultBatches) = ("l12h12d768v50257", "64,512,1000", "1,8")

  /// The configuration that a text such as l12h12d768v50257 means: blocks, heads, width and tokens; i is the inner width
  /// of the feed-forward part, 4·d unless given.
  ///
  /// - Parameter depth: the positions that it needs.
  public static func configuration(
    parsing text: String, depth: Int, limits: CaseLimits = .init()
  ) throws(BenchmarkCaseError) -> GPT2Configuration {
    let sizes = try CaseScanner.sizes(text, letters: ["l", "h", "d", "v"], optional: ["i"])
    let (blocks, heads, width, tokens) = (sizes["l"]!, sizes["h"]!, sizes["d"]!, sizes["v"]!)
    guard width.isMultiple(of: heads), blocks <= 10_000 else {
      throw .lengths(text: text, expected: "heads that divide the width, and 10,000 blocks at the most")
    }
    let configuration = GPT2Configuration(
      vocabularySize: tokens, width: width, blockCount: blocks, heads: heads, feedForwardWidth: sizes["i"],
      maximumLength: depth)
    let bytes = configuration.weightBytes
    // Drawn in rows, and then packed.
    guard 2 * bytes <= Double(limits.memory) else {
      throw .tooLarge(case: text, bytes: Int(min(2 * bytes, 0x1p62)), limit: limits.memory)
    }
    return configuration
  }

  /// Each depth with each batch size.
  public static func list(
    shape: String, depths: String, batches: String, limits: CaseLimits = .init()
  ) throws(BenchmarkCaseError) -> [GenerationCase] {
    var cases: [GenerationCase] = []
    for batch in try CaseScanner.numbers(batches, of: "--batch", limit: limits.cases) {
      for depth in try CaseScanner.numbers(depths, of: "--depths", limit: limits.cases) {
        guard cases.count < limits.cases else { throw .tooMany(limit: limits.cases) }
        let one = GenerationCase(shape: shape, depth: depth, batch: batch)
        guard (1...1 << 24).contains(depth), (1...1 << 16).contains(batch) else {
          throw .sizeOutOfRange(case: one.description, field: "depth or batch", largest: 1 << 24)
        }
        if !cases.contains(one) { cases.append(one) }
      }
    }
    return cases
  }
}

extension GenerationCase: CustomStringConvertible {
  /// The shape, and the tokens of a sequence, and the sequences.
  public var description: String { "\(shape) b\(batch)k\(depth)" }
}

extension GPT2Configuration {
  /// The scalars of the weights that a step reads whole: maps, norms, and what scores tokens.
  private var stepScalars: Double {
    let (d, inner) = (Double(width), Double(feedForwardWidth))
    return Double(blockCount) * (4 * d * d + 2 * d * inner + 9 * d + inner) + 2 * d + Double(vocabularySize) * d
  }

  /// The bytes of the weights that a step reads whole.
  var stepBytes: Double { 4 * stepScalars }

  /// The bytes of all weights.
  var weightBytes: Double {
    let tables = Double(maximumLength) + (isTied ? 0 : Double(vocabularySize))
    return 4 * (stepScalars + tables * Double(width))
  }

  /// The bytes of keys and values of so many tokens.
  func cacheBytes(tokens: Int) -> Double { 8 * Double(tokens) * Double(width) * Double(blockCount) }

  /// The operations of one token's products with weights, forward; the scores of tokens apart.
  var tokenOperations: Double {
    let (d, inner) = (Double(width), Double(feedForwardWidth))
    return 2 * Double(blockCount) * (4 * d * d + 2 * d * inner)
  }
}
