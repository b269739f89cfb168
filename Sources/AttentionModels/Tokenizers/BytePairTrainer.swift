import AttentionTensors

/// Learns byte-level BPE from texts (Sennrich et al., 1508.07909, §3.2, over the bytes of Radford et al. 2019, §2.2).
///
///     let trainer = BytePairTrainer(vocabularySize: 4096, specialTokens: ["<|endoftext|>"])
///     let tokenizer = trainer.train(on: texts)
///     try tokenizer.save(to: "tokenizer.json")
///
/// The pair that stands beside each other most often becomes a token, of equally frequent ones that of the smallest ids,
/// over and over. The vocabulary is that of Hugging Face's `BpeTrainer` with all bytes as its first alphabet: special
/// tokens, then bytes, then what was learnt. The same texts give the same tokenizer.
public struct BytePairTrainer: Sendable, Equatable {
  /// Tokens at the most. Special tokens and bytes are there in any case.
  public var vocabularySize: Int
  /// Pairs that occur less often are not learnt.
  public var minimumFrequency: Int
  /// Tokens with the first ids, which are never split and stand in no text that was spelt without them.
  public var specialTokens: [String]
  /// Whether a text that begins with no space gets one.
  public var addsPrefixSpace: Bool

  /// Creates a trainer.
  public init(
    vocabularySize: Int, minimumFrequency: Int = 2, specialTokens: [String] = ["<|endoftext|>"],
    addsPrefixSpace: Bool = false
  ) {
    self.vocabularySize = vocabularySize
    self.minimumFrequency = minimumFrequency
    self.specialTokens = specialTokens
    self.addsPrefixSpace = addsPrefixSpace
  }

  /// A tokenizer whose pairs were learnt from texts; fewer than asked for where the texts have no more.
  ///
  /// Words are counted on all cores; memory holds the distinct words, and some megabytes of text at a time. About
  /// O(text + pairs · log pairs).
  ///
  /// - Precondition: no special token is empty; the least frequency is not negative, the size less than 2³⁰.
  public func train(on texts: some Sequence<String>) -> SubwordTokenizer {
    require(specialTokens.allSatisfy { !$0.isEmpty }, "train: a special token is empty")
    require(minimumFrequency >= 0, "train: the least frequency is \(minimumFrequency)")
    require(vocabularySize < 1 << 30, "train: the vocabulary's size is \(vocabularySize)")
    let words = ByteLevelText(addsPrefixSpace: addsPrefixSpace, splits: true)
    var merging = BytePairMerging(specialTokens: specialTokens)
    for (word, count) in Self.count(texts, words) { merging.add(word, count: count) }
    let pairs = merging.learn(size: vocabularySize, minimumFrequency: max(1, minimumFrequency))
    guard let vocabulary = try? TokenVocabulary(merging.tokens.enumerated().map { (token: $1, id: $0) }),
      let model = try? BytePairModel(
        vocabulary: vocabulary, merges: pairs, ignoresMerges: false, unknown: nil, fusesUnknown: false)
    else { preconditionFailure("what was learnt is a model") }
    let special = specialTokens.reduce(into: [AddedToken]()) { tokens, content in
      guard let id = vocabulary.id(of: content), !tokens.contains(where: { $0.id == Int(id) }) else { return }
      tokens.append(AddedToken(content: content, id: Int(id), isSpecial: true))
    }
    return SubwordTokenizer(model: .bytePairs(words, model), addedTokens: special, decoder: .byteLevel)
  }

  // MARK: Words

  /// How often each word occurs.
  private static func count(_ texts: some Sequence<String>, _ words: ByteLevelText) -> [[UInt8]: Int] {
    var counts: [[UInt8]: Int] = [:]
    var batch: [String] = []
    var size = 0
    func countBatch() {
      merge(count(batch, size, words), into: &counts)
      batch.removeAll(keepingCapacity: true)
      size = 0
    }
    for text in texts {
      batch.append(text)
      size += text.utf8.count
      if size >= 1 << 23 { countBatch() }
    }
    countBatch()
    return counts
  }

  /// How often words occur in some texts, by parts that no word is shared between.
  private static func count(_ texts: [String], _ size: Int, _ words: ByteLevelText) -> [[[UInt8]: Int]] {
    let pieces = max(1, min(texts.count, size >> 20))
    let found = Guarded<[[[UInt8]: Int]]>([])
    WorkerPool.shared.forEachWithoutProducts(pieces, inline: pieces == 1) { piece in
      var counts: [[UInt8]: Int] = [:]
      var word = WordBuffer()
      for index in piece * texts.count / pieces..<(piece + 1) * texts.count / pieces {
        var text = texts[index]
        text.withUTF8 {
          _ = words.forEachWord($0, firstScalar: 0, word: &word) { word in
            counts[word.bytes, default: 0] += 1
            return true
          }
        }
      }
      found.withLock { $0.append(counts) }
    }
    return found.withLock { $0 }
  }

  private static func merge(_ parts: [[[UInt8]: Int]], into counts: inout [[UInt8]: Int]) {
    for part in parts {
      if counts.isEmpty { counts = part } else { counts.merge(part, uniquingKeysWith: +) }
    }
  }
}
