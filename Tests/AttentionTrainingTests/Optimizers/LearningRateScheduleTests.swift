import AttentionTestSupport
import AttentionTraining
import Testing

@Suite struct LearningRateScheduleTests {
  /// Rates of transformers' and PyTorch's schedulers (`scripts/make-training-fixtures`), and of Vaswani et al.'s equation.
  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let peak, final: Float?
    let warmUp: Int
    let decay: String?
    let total, width: Int?
    let rates: [Double]

    var testDescription: String { name }
  }

  static let cases = (try? TrainingFixtures.json("schedules.json", as: [Case].self)) ?? []

  @Test func `all cases are there`() { #expect(Self.cases.count == 12) }

  @Test(arguments: cases) func `rates are those of PyTorch and transformers`(_ fixture: Case) throws {
    let schedule: LearningRateSchedule
    if let width = fixture.width {
      schedule = .vaswani(width: width, warmUpSteps: fixture.warmUp)
    } else {
      let decay = try #require(fixture.decay.flatMap(LearningRateSchedule.Decay.init(rawValue:)))
      schedule = LearningRateSchedule(
        peak: try #require(fixture.peak), warmUpSteps: fixture.warmUp, decay: decay, totalSteps: fixture.total ?? 0,
        finalShare: fixture.final ?? 0)
    }
    for (index, wanted) in fixture.rates.enumerated() {
      let rate = Double(schedule.rate(ofStep: index + 1))
      #expect(abs(rate - wanted) <= 1e-6 * wanted + 1e-9, "step \(index + 1)")
    }
  }

  @Test func `the rate grows in even steps to its peak and falls to its end`() {
    let schedule = LearningRateSchedule(peak: 2, warmUpSteps: 4, decay: .linear, totalSteps: 8, finalShare: 0.5)
    #expect((1...9).map(schedule.rate(ofStep:)) == [0.5, 1, 1.5, 2, 1.75, 1.5, 1.25, 1, 1])
  }

  @Test func `rates at the edges`() {
    // Behind its end it stays there, also along a cosine.
    let cosine = LearningRateSchedule(peak: 1, decay: .cosine, totalSteps: 10, finalShare: 0.25)
    #expect([10, 11, 1_000_000].map(cosine.rate(ofStep:)) == [0.25, 0.25, 0.25])
    // No steps at all behind the warm-up.
    let short = LearningRateSchedule(peak: 1, warmUpSteps: 5, decay: .linear, totalSteps: 5)
    #expect((4...6).map(short.rate(ofStep:)) == [0.8, 1, 0])
    let long = LearningRateSchedule(peak: 1, warmUpSteps: 5, decay: .cosine, totalSteps: 3)
    #expect((1...6).map(long.rate(ofStep:)) == [0.2, 0.4, 0.6, 0.8, 1, 0])
    // Without a warm-up, 1/√step.
    let root = LearningRateSchedule(peak: 1, decay: .inverseSquareRoot)
    #expect([1, 4, 16].map(root.rate(ofStep:)) == [1, 0.5, 0.25])
    #expect(LearningRateSchedule(peak: 0).rate(ofStep: 1) == 0)
  }
}
