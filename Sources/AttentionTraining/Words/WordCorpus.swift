import AttentionModels
import AttentionTensors

/// Texts as the ids of their words, in sentences that windows do not cross.
///
/// Words that the vocabulary does not have are left out before windows are laid, as word2vec's own program does it. A sentence
/// is a line of a text, or a part of 1,000 words of a longer one.
public struct WordCorpus: Sendable {
  /// The words.
  public let vocabulary: WordVocabulary
  /// The words of all sentences, end to end.
  private(set) var ids: [Int32] = []
  /// Where each sentence begins, and after the last one the number of words.
  private(set) var starts: [Int] = [0]

  /// Words of a sentence at the most.
  static let longestSentence = 1000

  /// Reads texts. O(text).
  public init(_ texts: some Sequence<String>, vocabulary: WordVocabulary) {
    self.vocabulary = vocabulary
    for text in texts {
      for line in text.utf8.split(separator: UInt8(ascii: "\n")) { append(vocabulary.ids(of: String(Substring(line)))) }
    }
  }

  private mutating func append(_ line: [Int]) {
    for first in stride(from: 0, to: line.count, by: WordCorpus.longestSentence) {
      ids += line[first..<min(line.count, first + WordCorpus.longestSentence)].lazy.map { Int32($0) }
      starts.append(ids.count)
    }
  }

  /// The number of words, those of the vocabulary.
  public var wordCount: Int { ids.count }
  /// The number of sentences that have a word.
  public var sentenceCount: Int { starts.count - 1 }

  /// How often each word of the vocabulary occurs. O(words).
  public var counts: [Int] {
    var counts = [Int](repeating: 0, count: vocabulary.count)
    for id in ids { counts[Int(id)] += 1 }
    return counts
  }

  /// Where batches of whole sentences begin, each the first that reach so many words, and after the last one the number of
  /// sentences.
  func batchStarts(words: Int) -> [Int] {
    var batches = [0]
    for sentence in 0..<sentenceCount where starts[sentence + 1] - starts[batches[batches.count - 1]] >= words {
      batches.append(sentence + 1)
    }
    if batches[batches.count - 1] < sentenceCount { batches.append(sentenceCount) }
    return batches
  }
}
