import Attention
import AttentionLayers
import AttentionTestSupport
import Testing

/// Hard attention against its exact expectation, which goes through all locations.
@Suite struct HardAttentionTests {
  /// One query over a source of seven states, and a log-likelihood of what it sees.
  struct Problem {
    let layer: HardAttention
    let query: Tensor
    let source: Tensor
    let target: Tensor
    let locations = 7

    init(_ kind: AlignmentScore.Kind) {
      var generator = SeededGenerator(seed: 21)
      let score = AlignmentScore(kind, queryWidth: 4, sourceWidth: 4, width: 5, using: &generator)
      var layer = HardAttention(score: score)
      // Scores that differ, so that probabilities do.
      layer.visitParameters { $2 = $2 * 2 }
      self.layer = layer.tracked()
      query = Tensor(randomNormal: [1, 1, 4], using: &generator).tracked()
      source = Tensor(randomNormal: [1, 7, 4], using: &generator).tracked()
      target = Tensor(randomNormal: [4], using: &generator).tracked()
    }

    /// Of every context: −¼·|context − target|² − 5, of the shape without the last axis.
    func likelihoods(_ context: Tensor) -> Tensor {
      (context - target).squared().sum(along: -1) * -0.25 - 5
    }

    /// What gradients are asked of: the layer's parameters, query, source and target.
    var inputs: [Tensor] { layer.namedTensors.map(\.tensor) + [query, source, target] }

    func sample(at location: Int) -> HardAttentionSample {
      layer.sample(query: query, source: layer.prepared(source), at: [location])
    }

    var probabilities: [Double] {
      (0..<locations).map { Double(sample(at: $0).logProbabilities.exp().scalars[0]) }
    }

    /// Minus the loss's gradient of one draw: the estimate.
    func estimate(_ location: Int, baseline: Float, entropyWeight: Float = 0) -> [Double] {
      let sample = sample(at: location)
      let loss = sample.loss(
        logLikelihoods: likelihoods(sample.context), baseline: baseline, entropyWeight: entropyWeight)
      return gradients(of: loss, withRespectTo: inputs).flatMap { $0.scalars.map { -Double($0) } }
    }

    var meanLikelihood: Float {
      Float(
        zip(probabilities, 0..<locations).reduce(0.0) {
          $0 + $1.0 * Double(likelihoods(sample(at: $1.1).context).scalars[0])
        })
    }

    func exactGradient() -> [Double] {
      let expectation = layer.exactExpectation(query: query, source: layer.prepared(source), of: likelihoods)
      return gradients(of: expectation.sum(), withRespectTo: inputs).flatMap { $0.scalars.map(Double.init) }
    }

    /// The estimates' mean and the sum of their variances over all draws, exactly.
    func moments(baseline: Float, entropyWeight: Float = 0) -> (mean: [Double], variance: Double) {
      let estimates = (0..<locations).map {
        estimate($0, baseline: baseline, entropyWeight: entropyWeight)
      }
      let probabilities = probabilities
      let mean = estimates[0].indices.map { index in
        zip(probabilities, estimates).reduce(0.0) { $0 + $1.0 * $1.1[index] }
      }
      let variance = zip(probabilities, estimates).reduce(0.0) { sum, pair in
        sum + pair.0 * zip(pair.1, mean).reduce(0.0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
      }
      return (mean, variance)
    }
  }

  @Test(arguments: AlignmentScore.Kind.allCases, [Float(0), -6, 3])
  func theMeanIsTheExactGradient(_ kind: AlignmentScore.Kind, _ baseline: Float) {
    let problem = Problem(kind)
    let exact = problem.exactGradient()
    let mean = problem.moments(baseline: baseline).mean
    let size = exact.map { abs($0) }.max() ?? 0
    let error = (zip(mean, exact).map { abs($0 - $1) }.max() ?? .infinity) / max(1, size)
    #expect(error < 1e-6)
    #expect(exact.contains { abs($0) > 0.05 })
  }

  /// What varies with b is the score-function term: the gradients of query and parameters of the score.
  @Test(arguments: AlignmentScore.Kind.allCases) func aBaselineReducesTheVariance(_ kind: AlignmentScore.Kind) {
    let problem = Problem(kind)
    // The path through the context has a variance of its own, which no baseline touches: it is left out by taking the
    // gradient of the query alone, which the context does not hold.
    func variance(_ baseline: Float) -> Double {
      let estimates = (0..<problem.locations).map { location -> [Double] in
        let sample = problem.sample(at: location)
        let loss = sample.loss(logLikelihoods: problem.likelihoods(sample.context), baseline: baseline)
        return gradients(of: loss, withRespectTo: [problem.query])[0].scalars.map(Double.init)
      }
      let probabilities = problem.probabilities
      return estimates[0].indices.reduce(0.0) { sum, index in
        let mean = zip(probabilities, estimates).reduce(0.0) { $0 + $1.0 * $1.1[index] }
        return sum
          + zip(probabilities, estimates).reduce(0.0) {
            $0 + $1.0 * ($1.1[index] - mean) * ($1.1[index] - mean)
          }
      }
    }
    let (without, with) = (variance(0), variance(problem.meanLikelihood))
    #expect(with < 0.1 * without, "\(kind): \(with) of \(without)")
  }

  /// The entropy's term adds λ_H·∇H, whatever was drawn.
  @Test func entropyTerm() {
    let problem = Problem(.concat)
    let weight: Float = 0.75
    let entropy = problem.sample(at: 0).entropies
    let expected = gradients(of: entropy.sum(), withRespectTo: problem.inputs).flatMap { $0.scalars }
    for location in 0..<problem.locations {
      let with = problem.estimate(location, baseline: -6, entropyWeight: weight)
      let without = problem.estimate(location, baseline: -6)
      let error = zip(zip(with, without), expected).map { abs($0.0 - $0.1 - Double(weight * $1)) }.max() ?? .infinity
      #expect(error < 2e-6)
    }
    let known = problem.probabilities.reduce(0.0) { $0 - $1 * Double(Tensor([Float($1)], shape: []).log().scalars[0]) }
    #expect(abs(Double(entropy.scalars[0]) - known) < 1e-6)
    // Of equal scores it is the logarithm of their number, and at its largest: its gradient is 0.
    let flat = problem.layer.sample(
      query: Tensor(zeros: [1, 1, 4]).tracked(), source: problem.layer.prepared(Tensor(zeros: [1, 7, 4])), at: [0])
    #expect(abs(flat.entropies.scalars[0] - 1.9459101) < 1e-6)
  }

  /// 20,000 draws: each location as often as its probability says.
  @Test func drawsFollowTheProbabilities() {
    let problem = Problem(.general)
    let count = 20_000
    let queries = Tensor(zeros: [1, count, 4]) + problem.query.detached()
    let layer = problem.layer.detached()
    var generator = SeededGenerator(seed: 5)
    let sample = layer.sample(query: queries, source: layer.prepared(problem.source.detached()), using: &generator)
    #expect(sample.context.shape == [1, count, 4] && sample.logProbabilities.shape == [1, count])
    #expect(!sample.logProbabilities.isTracked && !sample.context.isTracked)
    for (location, probability) in problem.probabilities.enumerated() {
      let share = Double(sample.locations.count { $0 == location }) / Double(count)
      #expect(abs(share - probability) < 5 * (probability * (1 - probability) / Double(count)).squareRoot() + 1e-9)
    }
    for query in stride(from: 0, to: count, by: 997) {
      let location = sample.locations[query]!
      #expect((0..<4).allSatisfy { sample.context[0, query, $0] == problem.source[0, location, $0] })
    }
  }

  @Test func equalSeedsAndMasks() {
    var generator = SeededGenerator(seed: 8)
    let score = AlignmentScore(.concat, queryWidth: 3, sourceWidth: 5, width: 4, using: &generator)
    let layer = HardAttention(score: score)
    let query = Tensor(randomNormal: [2, 40, 3], using: &generator)
    var source = Tensor(randomNormal: [2, 6, 5], using: &generator)
    for column in 0..<5 { source[0, 4, column] = .nan }
    let mask = AttentionMask.keyLengths([4, 6]) & .predicate { query, key in query != 7 && key != 2 }
    func draw(_ seed: UInt64) -> HardAttentionSample {
      var generator = SeededGenerator(seed: seed)
      return layer.sample(query: query, source: layer.prepared(source), mask: mask, using: &generator)
    }
    let sample = draw(1)
    #expect(sample.locations == draw(1).locations && sample.locations != draw(2).locations)
    for (index, location) in sample.locations.enumerated() {
      let (sequence, row) = index.quotientAndRemainder(dividingBy: 40)
      if row == 7 {
        #expect(location == nil)
        #expect(sample.logProbabilities[sequence, row] == 0 && sample.entropies[sequence, row] == 0)
        let isZero = (0..<5).allSatisfy { sample.context[sequence, row, $0] == 0 }
        #expect(isZero)
      } else {
        #expect(location != nil && location != 2 && (sequence == 1 || location! < 4))
      }
    }
    let isFinite = sample.context.scalars.allSatisfy { $0.isFinite }
    #expect(isFinite)
  }

  /// Ragged sources of unequal lengths, one of them empty: Σ p·f by hand.
  @Test func expectationsOfARaggedBatch() {
    var generator = SeededGenerator(seed: 8)
    let layer = HardAttention(
      score: AlignmentScore(.general, queryWidth: 3, sourceWidth: 5, using: &generator))
    let (queries, keys) = (SequenceLayout(lengths: [2, 1, 3]), SequenceLayout(lengths: [4, 0, 6]))
    let query = Tensor(randomNormal: [6, 3], using: &generator)
    let source = Tensor(randomNormal: [10, 5], using: &generator)
    let prepared = layer.prepared(source, layout: keys)
    let expectation = layer.exactExpectation(query: query, layout: queries, source: prepared) {
      $0.squared().sum(along: 1)
    }
    #expect(expectation.shape == [6] && expectation[2] == 0)
    for sequence in [0, 2] {
      for row in queries.range(of: sequence) {
        var sum = 0.0
        for (location, key) in keys.range(of: sequence).enumerated() {
          var locations = [Int?](repeating: nil, count: 6)
          locations[row] = location
          let sample = layer.sample(query: query, layout: queries, source: prepared, at: locations)
          let square = (0..<5).reduce(Float(0)) { $0 + source[key, $1] * source[key, $1] }
          sum += Double(sample.logProbabilities.exp()[row] * square)
        }
        #expect(abs(Double(expectation[row]) - sum) < 1e-5 * max(1, sum))
      }
    }
  }

  /// Ascending the estimates finds the location that pays.
  @Test func learnsWhereToLook() {
    var generator = SeededGenerator(seed: 2)
    var layer = HardAttention(
      score: AlignmentScore(.general, queryWidth: 2, sourceWidth: 3, using: &generator))
    let source = Tensor([1, 0, 0, 0, 1, 0, 0, 0, 1], shape: [1, 3, 3])
    let query = Tensor(repeating: 1, shape: [1, 16, 2])
    let target = Tensor([0, 1, 0], shape: [3])
    var baseline = MovingBaseline()
    for _ in 0..<150 {
      let tracked = layer.tracked()
      let sample = tracked.sample(query: query, source: tracked.prepared(source), using: &generator)
      let likelihoods = (sample.context - target).squared().sum(along: -1) * -1
      let loss = sample.loss(logLikelihoods: likelihoods, baseline: baseline.value)
      baseline.update(with: likelihoods)
      var found = gradients(of: loss, withRespectTo: tracked.namedTensors.map(\.tensor))[...]
      layer.visitParameters { $2 = $2 - found.removeFirst() * 0.5 }
    }
    let sample = layer.sample(query: query, source: layer.prepared(source), at: [Int?](repeating: 1, count: 16))
    #expect(sample.logProbabilities.exp()[0, 0] > 0.95)
    #expect(baseline.value > -0.2)
  }

  @Test func movingBaseline() {
    var baseline = MovingBaseline()
    baseline.update(with: Tensor([-4, -6], shape: [2]))
    #expect(abs(baseline.value + 0.5) < 1e-6)
    baseline.update(with: Tensor([-10], shape: [1, 1]))
    #expect(abs(baseline.value + 1.45) < 1e-6)
    baseline.update(with: Tensor(zeros: [0]))
    #expect(abs(baseline.value + 1.45) < 1e-6)
  }

  @Test func likelihoodsOfOtherQueries() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let sample = Problem(.dot).sample(at: 0)
      _ = sample.loss(logLikelihoods: Tensor(zeros: [3]), baseline: 0)
    }
    #expect(message(result).contains("log-likelihoods [3] for queries [1, 1]"))
  }

  @Test func decayOfABaseline() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = MovingBaseline(decay: 1)
    }
    #expect(message(result).contains("a decay of 1.0"))
  }
}
