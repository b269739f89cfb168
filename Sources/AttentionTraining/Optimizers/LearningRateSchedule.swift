#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The learning rate over the steps of a run: it grows in even steps to its peak, and falls from there.
///
///     let schedule = LearningRateSchedule(peak: 1e-3, warmUpSteps: 100, decay: .cosine, totalSteps: 2_000)
///     schedule.rate(ofStep: 50)   // 5e-4
public struct LearningRateSchedule: Sendable, Equatable {
  /// How the rate falls after the warm-up.
  public enum Decay: String, Sendable, CaseIterable {
    /// It stays at its peak.
    case constant
    /// In even steps to its end.
    case linear
    /// Along half a cosine to its end (Loshchilov and Hutter, 1608.03983, without restarts).
    case cosine
    /// As 1/√step (Vaswani et al., 1706.03762, §5.3), whatever the number of steps.
    case inverseSquareRoot = "inverse-square-root"
  }

  /// The largest rate.
  public var peak: Float
  /// The steps of the way there: step n of these has the rate peak · n / warmUpSteps.
  public var warmUpSteps: Int
  /// How the rate falls.
  public var decay: Decay
  /// The step at which it reaches its end, where it has one.
  public var totalSteps: Int
  /// The end, as a share of the peak.
  public var finalShare: Float

  /// Creates a schedule.
  ///
  /// - Precondition: the peak is not negative, the share lies in 0...1, and no number of steps is negative.
  public init(
    peak: Float, warmUpSteps: Int = 0, decay: Decay = .constant, totalSteps: Int = 0, finalShare: Float = 0
  ) {
    precondition(
      peak >= 0 && warmUpSteps >= 0 && totalSteps >= 0 && (0...1).contains(finalShare),
      """
      LearningRateSchedule: peak \(peak), \(warmUpSteps) steps of warm-up of \(totalSteps), to a share of \(finalShare)
      """)
    self.peak = peak
    self.warmUpSteps = warmUpSteps
    self.decay = decay
    self.totalSteps = totalSteps
    self.finalShare = finalShare
  }

  /// Vaswani et al.'s schedule (1706.03762, §5.3, equation 3): width^-½ · min(step^-½, step · warmUpSteps^-1½).
  ///
  /// - Precondition: the width and the steps are positive.
  public static func vaswani(width: Int, warmUpSteps: Int = 4_000) -> LearningRateSchedule {
    precondition(width > 0 && warmUpSteps > 0, "LearningRateSchedule: width \(width), \(warmUpSteps) steps of warm-up")
    let peak = 1 / (Double(width) * Double(warmUpSteps)).squareRoot()
    return LearningRateSchedule(peak: Float(peak), warmUpSteps: warmUpSteps, decay: .inverseSquareRoot)
  }

  /// The rate of a step; steps count from 1.
  ///
  /// - Precondition: the step is positive.
  public func rate(ofStep step: Int) -> Float {
    precondition(step > 0, "LearningRateSchedule: step \(step); steps count from 1")
    guard step > warmUpSteps else { return Float(Double(peak) * Double(step) / Double(warmUpSteps)) }
    let share: Double
    let end = Double(finalShare)
    switch decay {
    case .constant: share = 1
    case .linear: share = 1 - (1 - end) * progress(step)
    case .cosine: share = end + (1 - end) * 0.5 * (1 + cos(.pi * progress(step)))
    case .inverseSquareRoot: share = (Double(max(1, warmUpSteps)) / Double(step)).squareRoot()
    }
    return Float(Double(peak) * share)
  }

  /// How much of the way after the warm-up lies behind: 0 at its end, 1 at the last step and later.
  private func progress(_ step: Int) -> Double {
    guard totalSteps > warmUpSteps else { return 1 }
    return min(1, Double(step - warmUpSteps) / Double(totalSteps - warmUpSteps))
  }
}
