import AttentionModels

/// One case of the subject `train`: a GPT-2, and what it reads in a step.
public struct TrainingCase: Sendable, Hashable {
  /// Blocks, heads, width, inner width of the feed-forward part, and tokens that there are.
  public let blocks, heads, width, innerWidth, vocabulary: Int
  /// The tokens of a sequence.
  public let length: Int
  /// The sequences of a batch.
  public let batch: Int

  /// What is measured unless something else is asked for.
  public static let defaults = "l6h6d384t256b8v256,l6h6d384t256b8v4096,l4h4d128t128b16v256"

  /// Reads cases such as l6h6d384t256b8v4096: blocks, heads, width, tokens of a sequence, sequences, and tokens that there
  /// are; i is the inner width of the feed-forward part, 4·d unless given.
  public static func list(
    parsing text: String, limits: CaseLimits = .init()
  ) throws(BenchmarkCaseError) -> [TrainingCase] {
    var cases: [TrainingCase] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let one = try TrainingCase(parsing: String(part), limits: limits)
      guard cases.count < limits.cases else { throw .tooMany(limit: limits.cases) }
      if !cases.contains(one) { cases.append(one) }
    }
    return cases
  }

  private init(parsing text: String, limits: CaseLimits) throws(BenchmarkCaseError) {
    let sizes = try CaseScanner.sizes(text, letters: ["l", "h", "d", "t", "b", "v"], optional: ["i"])
    (blocks, heads, width) = (sizes["l"]!, sizes["h"]!, sizes["d"]!)
    (length, batch, vocabulary) = (sizes["t"]!, sizes["b"]!, sizes["v"]!)
    innerWidth = sizes["i"] ?? 4 * width
    guard width.isMultiple(of: heads), blocks <= 10_000 else {
      throw .lengths(text: text, expected: "heads that divide the width, and 10,000 blocks at the most")
    }
    guard memoryEstimate <= Double(limits.memory) else {
      throw .tooLarge(case: text, bytes: Int(min(memoryEstimate, 0x1p62)), limit: limits.memory)
    }
  }

  /// The model, without dropout.
  public var configuration: GPT2Configuration {
    GPT2Configuration(
      vocabularySize: vocabulary, width: width, blockCount: blocks, heads: heads, feedForwardWidth: innerWidth,
      maximumLength: length)
  }

  /// The tokens of a step.
  public var tokens: Int { length * batch }

  /// The operations of a step: linear maps three times forward's, attention over the open half three and a half times.
  var operations: Double {
    let (tokens, d) = (Double(tokens), Double(width))
    let maps = configuration.tokenOperations + 2 * d * Double(vocabulary)
    let attention = 2 * Double(length) * d * Double(blocks)
    return tokens * (3 * maps + 3.5 * attention)
  }

  /// The bytes that a step takes, roughly and from above: weights, gradients and the optimizer's two moments, and what is
  /// kept for the way back.
  var memoryEstimate: Double {
    let rows = Double(blocks) * (14 * Double(width) + 3 * Double(innerWidth)) + 2 * Double(vocabulary)
    return 6 * configuration.weightBytes + 4 * Double(tokens) * rows
  }
}

extension TrainingCase: CustomStringConvertible {
  /// As it is read.
  public var description: String {
    "l\(blocks)h\(heads)d\(width)t\(length)b\(batch)v\(vocabulary)"
      + (innerWidth == 4 * width ? "" : "i\(innerWidth)")
  }
}

extension CaseScanner {
  /// Letters with a number each, in any order.
  static func sizes(
    _ text: String, letters: [String], optional: [String]
  ) throws(BenchmarkCaseError) -> [String: Int] {
    var scanner = CaseScanner(text)
    var sizes: [String: Int] = [:]
    let all = letters + optional
    let expected = all.dropLast().joined(separator: ", ") + " and " + all[all.count - 1]
    while !scanner.isAtEnd {
      guard let letter = all.first(where: { scanner.skip($0) }) else {
        throw scanner.expected("one of \(expected), and a number")
      }
      guard sizes[letter] == nil else { throw .repeated(text: text, field: letter) }
      let value = try scanner.number(of: letter)
      guard (1...1 << 24).contains(value) else {
        throw .sizeOutOfRange(case: text, field: letter, largest: 1 << 24)
      }
      sizes[letter] = value
    }
    for letter in letters where sizes[letter] == nil {
      throw .lengths(text: text, expected: "\(letters.joined(separator: ", ")) with a number each")
    }
    return sizes
  }
}
