import Attention
import AttentionTestSupport
import Testing

@Suite struct DropoutTests {
  static let x = {
    var generator = SeededGenerator(seed: 4)
    return Tensor(randomUniform: [300, 401], in: 1..<2, using: &generator)
  }()

  /// As many are dropped as the probability says, within five standard deviations, and no neighbours together.
  @Test(arguments: [0.01, 0.1, 0.5, 0.9] as [Float])
  func dropsWithItsProbability(_ probability: Float) {
    let y = Self.x.dropped(probability: probability, seed: 99).scalars
    let (n, p) = (Double(y.count), Double(probability))
    let dropped = y.map { $0 == 0 }
    #expect(abs(Double(dropped.count { $0 }) - n * p) < 5 * (n * p * (1 - p)).squareRoot())
    for distance in [1, 16, 64, 401] {
      let both = zip(dropped, dropped.dropFirst(distance)).count { $0 && $1 }
      #expect(abs(Double(both) - n * p * p) < 5 * (n * p * p).squareRoot() + 5, "at a distance of \(distance)")
    }
    for (kept, value) in zip(y, Self.x.scalars) where kept != 0 { #expect(kept == value * (1 / (1 - probability))) }
  }

  @Test func theWayBackDropsTheSame() {
    let x = Self.x.tracked()
    let y = dropout(x, probability: 0.3, seed: 5)
    let gradient = gradients(of: y.sum(), withRespectTo: [x])[0].scalars
    #expect(zip(y.scalars, gradient).allSatisfy { $1 == ($0 == 0 ? 0 : 1 / (1 - 0.3 as Float)) })
  }

  @Test func seedsAndPlacesDecideAndNothingElse() {
    let y = Self.x.dropped(probability: 0.5, seed: 1)
    #expect(Self.x.dropped(probability: 0.5, seed: 1) == y)
    #expect(Self.x.dropped(probability: 0.5, seed: 2) != y)
    // The first words are the same for a shorter tensor.
    let part = Self.x.sliced(0..<7).dropped(probability: 0.5, seed: 1)
    #expect(part == y.sliced(0..<7))
  }

  @Test func zeroIsTheIdentityAndTheLayerIsInInference() {
    #expect(Self.x.dropped(probability: 0, seed: 1) == Self.x)
    let layer = Dropout(probability: 0.5)
    #expect(layer(Self.x) == Self.x)
    #expect(layer(Self.x, seed: 3) == Self.x.dropped(probability: 0.5, seed: 3))
    var (one, other) = (SeededGenerator(seed: 8), SeededGenerator(seed: 8))
    let first = layer(Self.x, using: &one)
    #expect(first == layer(Self.x, using: &other))
    #expect(first != layer(Self.x, using: &one))
    #expect(Tensor(zeros: [0, 3]).dropped(probability: 0.5, seed: 1).shape == [0, 3])
  }

  @Test func whatIsDroppedIsZeroWhateverItWas() {
    let y = Tensor(repeating: .nan, shape: [100]).dropped(probability: 0.5, seed: 1).scalars
    #expect(y.contains(0) && y.contains { $0.isNaN })
  }

  @Test func wrongProbabilitiesAreRefused() async {
    let one = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Tensor(zeros: [2]).dropped(probability: 1, seed: 1)
    }
    #expect(message(one).contains("a probability of 1.0 does not lie in 0..<1"))
    let layer = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Dropout(probability: .nan)
    }
    #expect(message(layer).contains("Dropout: a probability of nan"))
  }
}
