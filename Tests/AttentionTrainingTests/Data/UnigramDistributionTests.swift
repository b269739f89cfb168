import Attention
import AttentionTraining
import Foundation
import Testing

@Suite struct UnigramDistributionTests {
  @Test func `probabilities are Laplace's, and sum to one`() {
    let unigrams = UnigramDistribution(TokenDocuments(ids: [[0, 0, 1], [], [0]]), vocabularySize: 4)
    // 3, 1, 0 and 0 of four tokens, one more each.
    let expected = [4.0, 2, 1, 1].map { log($0 / 8) }
    for id in 0..<4 { #expect(abs(unigrams.logProbability(of: id) - expected[id]) < 1e-15) }
    #expect(abs((0..<4).reduce(0) { $0 + exp(unigrams.logProbability(of: $1)) } - 1) < 1e-12)
  }

  @Test func `labels that are ignored do not count`() throws {
    let unigrams = UnigramDistribution(TokenDocuments(ids: [[0, 0, 1, 0]]), vocabularySize: 4)
    let found = try #require(unigrams.crossEntropy(of: [-100, 0, 3, -100]))
    #expect(abs(found - (log(2) + log(8)) / 2) < 1e-12)
    #expect(unigrams.crossEntropy(of: [-100]) == nil)
    let layout = SequenceLayout(lengths: [4])
    let batch = TokenBatch(ids: [0, 1, 2, 3], labels: [-100, 0, 3, -100], layout: layout)
    #expect(unigrams.crossEntropy(of: HeldOutData(batches: [batch])) == found)
    #expect(unigrams.crossEntropy(of: HeldOutData(batches: [MaskedTokenBatch(tokens: batch)])) == found)
  }

  @Test func `a token outside the vocabulary is a mistake of the caller`() async {
    await #expect(processExitsWith: .failure) {
      _ = UnigramDistribution(TokenDocuments(ids: [[4]]), vocabularySize: 4)
    }
  }
}
