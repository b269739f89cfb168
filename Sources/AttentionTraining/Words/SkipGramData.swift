import AttentionModels
import AttentionTensors

/// How pairs of words are taken from a text.
public struct SkipGramOptions: Sendable, Equatable {
  /// The words on each side of one that it is paired with at the most: for each word in the middle a number from 1 to this is
  /// drawn, so that near ones come more often (Mikolov et al., 1301.3781, §3.2).
  public var window: Int
  /// Words that are drawn beside each pair, to tell from it (1310.4546, §2.2).
  public var negatives: Int
  /// The share t of all words above which a word's occurrences are thinned: one is left out with the probability
  /// 1 − √(t / f), f being the word's share (1310.4546, §2.3). nil thins nothing.
  public var subsampling: Double?
  /// Words of text that make a batch of pairs, in whole sentences.
  public var batchWords: Int
  /// What everything is drawn from.
  public var seed: UInt64

  /// Creates options; the defaults are the paper's, for large texts. Of a text of some hundred thousand words t = 10⁻⁵ leaves
  /// little: 10⁻⁴ or 10⁻³ is better there.
  ///
  /// - Precondition: the window, the negatives and the batch are positive, and t if there is one.
  public init(
    window: Int = 5, negatives: Int = 5, subsampling: Double? = 1e-5, batchWords: Int = 2_000, seed: UInt64 = 0
  ) {
    precondition(
      window > 0 && negatives > 0 && batchWords > 0 && subsampling ?? 1 > 0,
      """
      SkipGramOptions: a window of \(window), \(negatives) negatives, t = \(subsampling ?? 0), batches of \(batchWords) words
      """)
    self.window = window
    self.negatives = negatives
    self.subsampling = subsampling
    self.batchWords = batchWords
    self.seed = seed
  }
}

/// Pairs of words, and the words that each is to be told from.
public struct SkipGramBatch: Sendable, Equatable {
  /// The word in the middle of each pair.
  public let centres: [Int32]
  /// For each pair the word beside it, and then the drawn ones.
  public let targets: [Int32]
  /// Targets of each pair.
  public let targetsPerPair: Int
  /// The words of text that the pairs were taken from, those that were thinned out among them.
  public let wordCount: Int

  /// The number of pairs.
  public var pairCount: Int { centres.count }

  /// Creates a batch.
  ///
  /// - Precondition: there are as many targets as pairs have.
  public init(centres: [Int32], targets: [Int32], targetsPerPair: Int, wordCount: Int) {
    precondition(
      targetsPerPair > 0 && targets.count == centres.count * targetsPerPair,
      "SkipGramBatch: \(targets.count) targets for \(centres.count) pairs of \(targetsPerPair)")
    self.centres = centres
    self.targets = targets
    self.targetsPerPair = targetsPerPair
    self.wordCount = wordCount
  }
}

/// What words are thinned and drawn by: their frequencies in a corpus.
public struct SkipGramSampler: Sendable {
  /// How pairs are taken.
  public let options: SkipGramOptions
  /// That an occurrence of each word stays.
  public let keepProbabilities: [Double]
  private let negatives: AliasTable

  /// What the shares of words are raised to before they are drawn from (Mikolov et al., 1310.4546, §2.2).
  static let negativePower = 0.75

  /// Creates a sampler of a corpus that is trained on.
  ///
  /// - Precondition: the corpus has a word.
  public init(_ corpus: WordCorpus, options: SkipGramOptions) {
    precondition(corpus.wordCount > 0, "SkipGramSampler: the corpus has no word")
    self.options = options
    let (counts, total) = (corpus.counts, Double(corpus.wordCount))
    keepProbabilities = counts.map { count in
      guard let t = options.subsampling, count > 0 else { return 1 }
      return min(1, (t * total / Double(count)).squareRoot())
    }
    negatives = AliasTable(weights: counts.map { SkipGramSampler.power(Double($0)) })
  }

  /// x^¾ by roots, which every machine rounds alike.
  private static func power(_ x: Double) -> Double {
    let root = x.squareRoot()
    return root * root.squareRoot()
  }

  /// The probability with which each word is drawn as a negative one, as the table has it.
  public var negativeProbabilities: [Double] { negatives.probabilities }

  /// The pairs of some sentences; equal generators give equal ones.
  func pairs(
    _ corpus: WordCorpus, sentences: Range<Int>, using generator: inout SeededGenerator
  ) -> SkipGramBatch {
    let perPair = 1 + options.negatives
    var (centres, targets): ([Int32], [Int32]) = ([], [])
    var kept: [Int32] = []
    for sentence in sentences {
      kept.removeAll(keepingCapacity: true)
      for id in corpus.ids[corpus.starts[sentence]..<corpus.starts[sentence + 1]] {
        let keep = keepProbabilities[Int(id)]
        if keep >= 1 || Double(generator.next() >> 11) * 0x1p-53 < keep { kept.append(id) }
      }
      guard kept.count > 1 else { continue }
      for (place, centre) in kept.enumerated() {
        let reach = 1 + Int(((generator.next() >> 32) &* UInt64(options.window)) >> 32)
        for other in max(0, place - reach)...min(kept.count - 1, place + reach) where other != place {
          centres.append(centre)
          targets.append(kept[other])
          for _ in 1..<perPair { targets.append(negative(besides: kept[other], &generator)) }
        }
      }
    }
    return SkipGramBatch(
      centres: centres, targets: targets, targetsPerPair: perPair,
      wordCount: corpus.starts[sentences.upperBound] - corpus.starts[sentences.lowerBound])
  }

  /// A word that is not the pair's own, as word2vec's own program passes over that one; after some vain draws it may be.
  @inline(__always)
  private func negative(besides word: Int32, _ generator: inout SeededGenerator) -> Int32 {
    for _ in 0..<8 {
      let drawn = negatives.draw(generator.next())
      if drawn != word { return drawn }
    }
    return word
  }
}

/// Pairs of words of a corpus, batch by batch: sentences in the order of the text, thinned and paired anew in each epoch.
///
///     let corpus = WordCorpus(verses, vocabulary: vocabulary)
///     let data = SkipGramData(corpus, options: SkipGramOptions(subsampling: 1e-4))
///     var trainer = Trainer(
///       model: SkipGram(vocabulary: vocabulary, using: &generator), objective: NegativeSampling(), data: data, …)
public struct SkipGramData: TrainingData {
  /// The text.
  public let corpus: WordCorpus
  /// What words are thinned and drawn by.
  public let sampler: SkipGramSampler
  private let batches: [Int]

  /// Creates data of a corpus whose own frequencies are drawn by.
  ///
  /// - Precondition: the corpus has a word.
  public init(_ corpus: WordCorpus, options: SkipGramOptions = .init()) {
    self.init(corpus, sampler: SkipGramSampler(corpus, options: options))
  }

  /// Creates data whose words are drawn by the frequencies of another corpus: held-out text by those of the training text.
  ///
  /// - Precondition: both have one vocabulary, and the corpus has a word.
  public init(_ corpus: WordCorpus, sampler: SkipGramSampler) {
    precondition(
      corpus.wordCount > 0 && sampler.keepProbabilities.count == corpus.vocabulary.count,
      """
      SkipGramData: \(corpus.wordCount) words of \(corpus.vocabulary.count), and a sampler of \
      \(sampler.keepProbabilities.count)
      """)
    self.corpus = corpus
    self.sampler = sampler
    batches = corpus.batchStarts(words: sampler.options.batchWords)
  }

  /// As many in each epoch.
  public func batchCount(ofEpoch epoch: Int) -> Int { batches.count - 1 }

  /// A batch of an epoch. O(its words · window · negatives). May have no pairs, where all words are thinned out.
  ///
  /// - Precondition: the index lies in 0 ..< ``batchCount(ofEpoch:)``.
  public func batch(_ index: Int, ofEpoch epoch: Int) -> SkipGramBatch {
    precondition(
      index >= 0 && index < batches.count - 1, "SkipGramData: batch \(index) of \(batches.count - 1)")
    var generator = SeededGenerator(seed: sampler.options.seed, epoch: epoch, index: index)
    return sampler.pairs(corpus, sentences: batches[index]..<batches[index + 1], using: &generator)
  }
}
