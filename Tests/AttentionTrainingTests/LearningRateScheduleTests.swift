import AttentionTraining
import Testing

@Suite struct LearningRateScheduleTests {
  @Test func `the rate grows in even steps to its peak and falls to its end`() {
    let schedule = LearningRateSchedule(peak: 2, warmUpSteps: 4, decay: .linear, totalSteps: 8, finalShare: 0.5)
    #expect((1...9).map(schedule.rate(ofStep:)) == [0.5, 1, 1.5, 2, 1.75, 1.5, 1.25, 1, 1])
  }
}
