import AttentionModels
import AttentionTensors
import AttentionTraining
import Foundation
import Testing

@Suite struct SkipGramDataTests {
  /// Words by Zipf's law: word n of 60 about 4000/n times, in lines of 20.
  private static let corpus: WordCorpus = {
    var generator = SeededGenerator(seed: 2)
    var words = (1...60).flatMap { [String](repeating: "w\($0)", count: 4000 / $0) }
    words.shuffle(using: &generator)
    let lines = stride(from: 0, to: words.count, by: 20).map {
      words[$0..<min(words.count, $0 + 20)].joined(separator: " ")
    }
    return WordCorpus(lines, vocabulary: WordVocabulary(countingWordsOf: lines, minimumCount: 1))
  }()

  private func pairs(_ data: SkipGramData, epochs: Int) -> [SkipGramBatch] {
    (0..<epochs).flatMap { epoch in (0..<data.batchCount(ofEpoch: epoch)).map { data.batch($0, ofEpoch: epoch) } }
  }

  @Test("Sentences are lines, without words that the vocabulary lacks; a long one is cut")
  func corpus() {
    let vocabulary = WordVocabulary(["a", "b"])
    let corpus = WordCorpus(["a b\nx\n\nB c a", String(repeating: "a ", count: 2500)], vocabulary: vocabulary)
    #expect(corpus.wordCount == 2504 && corpus.sentenceCount == 5)
    #expect(corpus.counts == [2502, 2])
    #expect(WordCorpus([], vocabulary: vocabulary).sentenceCount == 0)
  }

  @Test("Pairs are a word and those around it in its line, each once, in a window of the drawn size")
  func windows() {
    let lines = ["a b c d e f g", "h", "i j"]
    let vocabulary = WordVocabulary(countingWordsOf: lines, minimumCount: 1)
    let corpus = WordCorpus(lines, vocabulary: vocabulary)
    let data = SkipGramData(
      corpus, options: SkipGramOptions(window: 3, negatives: 2, subsampling: nil, batchWords: 100))
    #expect(data.batchCount(ofEpoch: 0) == 1)
    var reaches: [Int: Int] = [:]
    let letters = Array("abcdefg").map(String.init)
    for epoch in 0..<300 {
      let batch = data.batch(0, ofEpoch: epoch)
      #expect(batch.wordCount == 10 && batch.targetsPerPair == 3)
      var found: [String: [String]] = [:]
      for pair in 0..<batch.pairCount {
        found[vocabulary[Int(batch.centres[pair])], default: []].append(vocabulary[Int(batch.targets[3 * pair])])
        // Drawn words are never the pair's own.
        #expect(
          batch.targets[3 * pair + 1] != batch.targets[3 * pair]
            && batch.targets[3 * pair + 2] != batch.targets[3 * pair])
      }
      #expect(found["i"] == ["j"] && found["j"] == ["i"] && found["h"] == nil)
      for (place, letter) in letters.enumerated() {
        let contexts = found[letter] ?? []
        let windows = (1...3).map { reach in
          (max(0, place - reach)...min(6, place + reach)).filter { $0 != place }.map { letters[$0] }
        }
        #expect(windows.contains(contexts), "\(letter): \(contexts)")
        if letter == "d" { reaches[windows.firstIndex(of: contexts) ?? -1, default: 0] += 1 }
      }
    }
    // Each size about as often: 100 of 300, within four deviations.
    #expect(reaches.count == 3 && reaches.values.allSatisfy { abs($0 - 100) < 33 }, "\(reaches)")
  }

  @Test("A batch depends on its place alone")
  func places() {
    let data = SkipGramData(Self.corpus, options: SkipGramOptions(subsampling: 1e-2, batchWords: 500, seed: 3))
    let other = SkipGramData(Self.corpus, options: SkipGramOptions(subsampling: 1e-2, batchWords: 500, seed: 4))
    let count = data.batchCount(ofEpoch: 0)
    #expect(count > 20 && data.batchCount(ofEpoch: 7) == count)
    let first = data.batch(5, ofEpoch: 1)
    _ = data.batch(2, ofEpoch: 0)
    #expect(data.batch(5, ofEpoch: 1) == first)
    #expect(
      data.batch(5, ofEpoch: 2) != first && data.batch(6, ofEpoch: 1) != first && other.batch(5, ofEpoch: 1) != first)
    // All words are in some batch, in whole lines.
    let words = (0..<count).map { data.batch($0, ofEpoch: 0).wordCount }
    #expect(words.reduce(0, +) == Self.corpus.wordCount && words.dropLast().allSatisfy { (500..<520).contains($0) })
  }

  @Test("Frequent words stay with the probability √(t/f)")
  func subsampling() {
    let t = 2e-3
    let sampler = SkipGramSampler(Self.corpus, options: SkipGramOptions(window: 1, negatives: 1, subsampling: t))
    let (counts, total) = (Self.corpus.counts, Double(Self.corpus.wordCount))
    for (keep, count) in zip(sampler.keepProbabilities, counts) {
      #expect(abs(keep - min(1, (t / (Double(count) / total)).squareRoot())) < 1e-12)
    }
    // With a window of 1, a word that stays in a line of many is in two pairs, at an end in one.
    let epochs = 40
    var found = [Double](repeating: 0, count: counts.count)
    for batch in pairs(SkipGramData(Self.corpus, sampler: sampler), epochs: epochs) {
      for centre in batch.centres { found[Int(centre)] += 1 }
    }
    let perWord = found.reduce(0, +) / zip(sampler.keepProbabilities, counts).reduce(0) { $0 + $1.0 * Double($1.1) }
    for word in [0, 1, 5, 20, 59] {
      let expected = sampler.keepProbabilities[word] * Double(counts[word]) * perWord
      #expect(abs(found[word] / expected - 1) < 0.1, "\(word): \(found[word]) for \(expected)")
    }
  }

  @Test("Negatives are drawn by the words' counts to the power of ¾")
  func negatives() {
    let sampler = SkipGramSampler(Self.corpus, options: SkipGramOptions(window: 2, negatives: 8, subsampling: 1e-3))
    let powers = Self.corpus.counts.map { pow(Double($0), 0.75) }
    let sum = powers.reduce(0, +)
    for (found, power) in zip(sampler.negativeProbabilities, powers) {
      #expect(abs(found - power / sum) < 1e-7)
    }
    // What is drawn beside a word is the table without that word.
    var (found, expected) = ([Double](repeating: 0, count: 60), [Double](repeating: 0, count: 60))
    for batch in pairs(SkipGramData(Self.corpus, sampler: sampler), epochs: 4) {
      for pair in 0..<batch.pairCount {
        let own = Int(batch.targets[9 * pair])
        for word in 0..<60 where word != own { expected[word] += 8 * powers[word] / (sum - powers[own]) }
        for place in 1..<9 { found[Int(batch.targets[9 * pair + place])] += 1 }
      }
    }
    let squares = zip(found, expected).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) / $1.1 }
    // χ² of 59 degrees of freedom: 59 ± 11; draws besides some words are a little less spread.
    #expect(squares < 110 && found.reduce(0, +) > 100_000, "\(squares)")
  }

  @Test("A text in which every word is thinned out gives batches without pairs")
  func thinnedOut() {
    let corpus = WordCorpus(["a b a b"], vocabulary: WordVocabulary(["a", "b"]))
    let data = SkipGramData(corpus, options: SkipGramOptions(subsampling: 1e-12))
    #expect(data.batch(0, ofEpoch: 0).pairCount == 0 && data.batch(0, ofEpoch: 0).wordCount == 4)
    // A vocabulary of one word has no other to draw.
    let single = SkipGramData(
      WordCorpus(["a a a"], vocabulary: WordVocabulary(["a"])), options: SkipGramOptions(subsampling: nil))
    #expect(single.batch(0, ofEpoch: 0).pairCount >= 4)
  }

  @Test("Words of one topic end up nearer to each other than to those of another")
  func topics() throws {
    var generator = SeededGenerator(seed: 11)
    let topics = [["sea", "ship", "sail", "wind", "wave"], ["field", "plough", "corn", "ox", "barn"]]
    let lines = (0..<1200).map { index in
      (0..<8).map { _ in
        Int.random(in: 0..<4, using: &generator) == 0 ? "the" : topics[index % 2].randomElement(using: &generator)!
      }.joined(separator: " ")
    }
    let vocabulary = WordVocabulary(countingWordsOf: lines)
    #expect(vocabulary.count == 11 && vocabulary[0] == "the")
    let data = SkipGramData(
      WordCorpus(lines, vocabulary: vocabulary), options: SkipGramOptions(subsampling: 0.05, batchWords: 400))
    var trainer = Trainer(
      model: SkipGram(vocabulary: vocabulary, width: 16, using: &generator), objective: NegativeSampling(), data: data,
      optimizer: Adam(),
      options: TrainingOptions(
        steps: 200, schedule: LearningRateSchedule(peak: 0.02, decay: .linear, totalSteps: 200), clippingNorm: nil))
    let before = try #require(NegativeSampling().evaluation(of: trainer.model, on: data.heldOutData(epoch: 9)))
    try trainer.run()
    let after = try #require(NegativeSampling().evaluation(of: trainer.model, on: data.heldOutData(epoch: 9)))
    // At the beginning every product is 0: six times log 2.
    #expect(abs(before.loss - 6 * 0.693_147) < 1e-3 && after.loss < before.loss - 0.3, "\(before.loss) \(after.loss)")
    let vectors = trainer.model.wordVectors
    for topic in topics {
      for word in topic {
        let nearest = try #require(vectors.nearest(to: word, count: 4)).map(\.word)
        #expect(Set(nearest).isSubset(of: topic), "\(word): \(nearest)")
      }
    }
  }
}
