import AttentionCore
import AttentionTensors

/// Documents of sentences for BERT: sequences [CLS] A [SEP], or pairs [CLS] A [SEP] B [SEP], some of whose tokens are hidden
/// (Devlin et al., 1810.04805, §3.1 and A.2).
///
///     let lines = TokenDocuments(text.cut(.lines), tokenizer: tokenizer)   // text is cut into blocks
///     let data = try MaskedTokenData(
///       lines, length: 128, batchTokens: 2_048, classID: 2, separatorID: 3, corruption: corruption, seed: 1)
///
/// The sentences of a document are the documents that were cut from it. A and B are runs of neighbouring sentences, as many as
/// a sequence has room for. B follows A in half of the pairs, and comes from elsewhere in the others: from another document,
/// if there is one, and never with the sentence that follows. A run that has no neighbour is a sequence without B, which is
/// not judged. Which runs, which pairs, their order and what is hidden differ in each epoch, and depend on the seed and the
/// place of a batch alone.
public struct MaskedTokenData: TrainingData {
  /// The sentences.
  public let documents: TokenDocuments
  /// The tokens of a sequence at the most, [CLS] and [SEP] among them.
  public let length: Int
  /// The tokens of a batch at the most, but for a sequence that is longer.
  public let batchTokens: Int
  /// Whether sequences are pairs.
  public let makesPairs: Bool
  /// The token that each sequence begins with.
  public let classID: Int
  /// The token that each part ends with.
  public let separatorID: Int
  /// What hides tokens.
  public let corruption: any TokenCorruption
  /// What decides runs, pairs, order and what is hidden.
  public let seed: UInt64

  private let runs: SentenceRuns
  private let plans = EpochPlanCache<SentenceRuns.Sequence>()

  /// Creates data. O(sentences).
  ///
  /// - Throws: ``TextDataError`` when the documents have no tokens.
  /// - Precondition: a sequence has room for a token of each part; a batch has tokens; the documents have no begin and end
  ///   tokens; class and separator are special to the corruption.
  public init(
    _ documents: TokenDocuments, length: Int, batchTokens: Int, makesPairs: Bool = true, classID: Int,
    separatorID: Int, corruption: any TokenCorruption, seed: UInt64
  ) throws(TextDataError) {
    let added = makesPairs ? 3 : 2
    require(
      length >= (makesPairs ? added + 2 : added + 1) && batchTokens > 0,
      "MaskedTokenData: sequences of \(length) tokens, \(added) of them around the parts, in batches of \(batchTokens)")
    require(
      documents.beginID == nil && documents.endID == nil, "MaskedTokenData: the documents have begin or end tokens")
    require(
      corruption.vocabulary.specialIDs.isSuperset(of: [classID, separatorID]),
      "MaskedTokenData: class \(classID) and separator \(separatorID) are not both special to the corruption")
    runs = SentenceRuns(documents, room: length - added, makesPairs: makesPairs)
    guard !runs.isEmpty else { throw TextDataError(file: documents.name, reason: .nothingToPredict) }
    self.documents = documents
    self.length = length
    self.batchTokens = batchTokens
    self.makesPairs = makesPairs
    self.classID = classID
    self.separatorID = separatorID
    self.corruption = corruption
    self.seed = seed
  }

  /// The batches of an epoch. O(sentences) for an epoch that was not asked for last.
  public func batchCount(ofEpoch epoch: Int) -> Int { plan(epoch).batchCount }

  /// A batch of an epoch. O(its tokens), and O(sentences) for an epoch that was not asked for last.
  public func batch(_ index: Int, ofEpoch epoch: Int) -> MaskedTokenBatch {
    let sequences = plan(epoch).batch(index)
    var generator = SeededGenerator(seed: seed, epoch: epoch, index: index)
    var (ids, labels, segments): ([Int], [Int], [Int]) = ([], [], [])
    var lengths: [Int] = []
    for sequence in sequences {
      let (tokens, starts, segmentsOfTokens) = assembled(sequence)
      let corrupted = corruption.corrupted(tokens, wordStarts: starts, using: &generator)
      ids += corrupted.ids
      labels += corrupted.labels
      segments += segmentsOfTokens
      lengths.append(tokens.count)
    }
    let tokens = TokenBatch(ids: ids, labels: labels, segments: segments, layout: SequenceLayout(lengths: lengths))
    guard makesPairs else { return MaskedTokenBatch(tokens: tokens) }
    return MaskedTokenBatch(
      tokens: tokens,
      nextSentenceLabels: sequences.map { $0.second == nil ? TokenBatch.ignoredLabel : $0.isNext ? 0 : 1 })
  }

  private func assembled(_ sequence: SentenceRuns.Sequence) -> (ids: [Int], wordStarts: [Bool], segments: [Int]) {
    var ids = [classID]
    var starts = [true]
    for part in [sequence.first, sequence.second].compactMap({ $0 }) {
      ids += documents.ids(in: part)
      ids.append(separatorID)
      starts += documents.wordStarts(in: part)
      starts.append(true)
    }
    let firsts = sequence.first.count + 2
    let segments = ids.indices.map { $0 < firsts ? 0 : 1 }
    return (ids, starts, segments)
  }

  private func plan(_ epoch: Int) -> EpochPlan<SentenceRuns.Sequence> {
    plans.plan(ofEpoch: epoch) {
      var generator = SeededGenerator(seed: seed, epoch: epoch)
      var sequences = runs.sequences(using: &generator)
      sequences.shuffle(using: &generator)
      return EpochPlan(sequences, budget: batchTokens) { $0.tokenCount + ($0.second == nil ? 2 : 3) }
    }
  }
}
