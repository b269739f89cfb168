import AttentionTensors
import CAttentionKernels

/// A vector for each word form, whatever stands around it (Mikolov et al., 1301.3781): what contextual embeddings are
/// compared with.
///
///     let vectors = try WordVectors(ModelFolder(path: "bible-vectors"))
///     vectors.nearest(to: "king", count: 3)      // words with their cosines, nearest first
///     let rows = vectors.embed(["In the beginning", "The end of all flesh"])   // [2, width]
///
/// A folder holds config.json of model type "skip-gram", model.safetensors with "embeddings.weight" `[words, width]`, and
/// vocab.txt with a word on each line, as ``SkipGram`` writes it.
public struct WordVectors: Sendable {
  /// The words.
  public let vocabulary: WordVocabulary
  /// A row for each word, `[words, width]`.
  public let rows: Tensor
  /// The Euclidean length of each row.
  private let lengths: [Double]

  /// The length of a row.
  public var width: Int { rows.shape[1] }

  /// Creates vectors from words and a row for each.
  ///
  /// - Precondition: the rows are `[words, width]`.
  public init(vocabulary: WordVocabulary, rows: Tensor) {
    require(
      rows.rank == 2 && rows.shape[0] == vocabulary.count,
      "WordVectors: rows \(rows.shape) for \(vocabulary.count) words")
    self.vocabulary = vocabulary
    self.rows = rows.detached()
    let width = rows.shape[1]
    lengths = rows.withUnsafeBufferPointer { buffer in
      (0..<vocabulary.count).map { WordVectors.length(buffer[$0 * width..<($0 + 1) * width]) }
    }
  }

  /// Reads vectors from a folder.
  ///
  /// - Throws: ``ModelFileError`` when a file is missing, is none of its kind, or contradicts another.
  public init(_ folder: ModelFolder) throws(ModelFileError) {
    let configuration = try SkipGramConfiguration(folder.configuration(ofType: SkipGramConfiguration.modelType))
    let vocabulary = try configuration.vocabulary(in: folder)
    let rows = try folder.checkpoint().tensor(
      "embeddings.weight", [configuration.vocabularySize, configuration.width])
    self.init(vocabulary: vocabulary, rows: rows)
  }

  private static func length(_ row: Slice<UnsafeBufferPointer<Float>>) -> Double {
    row.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
  }

  // MARK: Words

  /// The row of a word, `[width]`; nil where the vocabulary has none. The word is as texts are read: lowercase.
  public subscript(word: String) -> Tensor? {
    vocabulary.id(of: word).map { rows.sliced($0..<$0 + 1).reshaped(to: [width]) }
  }

  /// A word and how near it is.
  public struct Neighbour: Sendable, Equatable {
    /// The word.
    public let word: String
    /// Its id.
    public let id: Int
    /// The cosine of its row and the one that was asked for.
    public let cosine: Float
  }

  /// The words whose rows have the largest cosines with a word's, without the word itself; nil where there is no such word.
  ///
  /// Equally near ones come in the order of their ids. O(words · (width + log words)).
  public func nearest(to word: String, count: Int = 10) -> [Neighbour]? {
    guard let id = vocabulary.id(of: word), let row = self[word] else { return nil }
    return nearest(to: row, count: count, except: [id])
  }

  /// The words whose rows have the largest cosines with a row: a sum of words, say.
  ///
  /// A row of zeros has the cosine 0 with all. O(words · (width + log words)).
  ///
  /// - Parameters:
  ///   - row: `[width]`.
  ///   - count: words at the most.
  ///   - ids: of words that are passed over.
  /// - Precondition: the row has the vectors' width.
  public func nearest(to row: Tensor, count: Int = 10, except ids: Set<Int> = []) -> [Neighbour] {
    require(row.shape == [width], "WordVectors: a row \(row.shape) for vectors \(width) wide")
    let length = row.withUnsafeBufferPointer { WordVectors.length($0[...]) }
    let products = row.withUnsafeBufferPointer { row in
      rows.withUnsafeBufferPointer { buffer in
        (0..<vocabulary.count).map { word in
          var product = 0.0
          for column in 0..<width { product += Double(row[column]) * Double(buffer[word * width + column]) }
          let lengths = length * lengths[word]
          return lengths > 0 ? product / lengths : 0
        }
      }
    }
    return products.indices.filter { !ids.contains($0) }
      .sorted { (products[$1], $0) < (products[$0], $1) }
      .prefix(max(0, count))
      .map { Neighbour(word: vocabulary[$0], id: $0, cosine: Float(products[$0])) }
  }

  // MARK: Texts

  /// The mean of the rows of a text's words, `[width]`: those that the vocabulary has, each as often as it occurs. A text
  /// without any gives zeros.
  public func embed(_ text: String) -> Tensor { embed([text]).reshaped(to: [width]) }

  /// The means of texts, `[texts, width]`. O(words of the texts · width), on all threads.
  public func embed(_ texts: [String]) -> Tensor { result(for: texts).rows }

  /// The means of texts, and the words that each is made of: 0 where the row is zeros because no word is known.
  ///
  /// - Parameters:
  ///   - texts: any number.
  ///   - options: change nothing here: rows of words need no memory between layers.
  ///   - progress: told once, of all.
  public func result(
    for texts: [String], options: EmbeddingOptions = .init(),
    progress: (@Sendable (EmbeddingProgress) -> Void)? = nil
  ) -> EmbeddingResult {
    var counts = [Int](repeating: 0, count: texts.count)
    let means = counts.withUnsafeMutableBufferPointer { counts in
      let counts = Unchecked(counts.baseAddress)
      return Tensor(uninitialized: [texts.count, width]) { buffer in
        guard let base = buffer.baseAddress else { return }
        let target = Unchecked(base)
        let bytes = texts.reduce(0) { $0 + $1.utf8.count }
        let pieces = max(1, min(texts.count, bytes >> 14))
        WorkerPool.shared.forEachWithoutProducts(pieces, inline: pieces == 1) { piece in
          var words = WordText()
          var sums = [Double](repeating: 0, count: width)
          for index in piece * texts.count / pieces..<(piece + 1) * texts.count / pieces {
            counts.value![index] = mean(texts[index], &words, &sums, into: target.value + index * width)
          }
        }
      }
    }
    let total = counts.reduce(0, +)
    progress?(EmbeddingProgress(completed: texts.count, total: texts.count, tokens: total))
    return EmbeddingResult(
      rows: means, tokenCounts: counts, isTruncated: [Bool](repeating: false, count: texts.count))
  }

  /// Writes a text's mean, and answers how many words it is made of.
  private func mean(
    _ text: String, _ words: inout WordText, _ sums: inout [Double], into target: UnsafeMutablePointer<Float>
  ) -> Int {
    var count = 0
    for column in sums.indices { sums[column] = 0 }
    var text = text
    sums.withUnsafeMutableBufferPointer { sums in
      text.withUTF8 { bytes in
        vocabulary.forEachID(of: bytes, &words) { id in
          count += 1
          KernelSet.kernels.pointee.add_to_doubles(rows.unsafeBase + id * width, sums.baseAddress!, width)
        }
      }
    }
    for column in sums.indices { target[column] = Float(sums[column] / Double(max(1, count))) }
    return count
  }
}
