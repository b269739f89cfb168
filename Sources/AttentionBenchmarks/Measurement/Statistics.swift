/// What the samples of one measurement come to. Medians, because a machine that others use too is late now and then
/// and never early.
public struct Statistics: Sendable, Equatable {
  /// The number of samples.
  public let count: Int
  /// The middle sample, or the mean of the middle two.
  public let median: Double
  /// The median of the samples' distances from the median.
  public let medianAbsoluteDeviation: Double
  /// The smallest sample.
  public let minimum: Double
  /// The samples farther from the median than ``outlierDistance`` median absolute deviations.
  public let outliers: Int

  /// Ten standard deviations of a normal distribution, whose median absolute deviation is 1/1.4826 of one.
  public static let outlierDistance = 14.826
  /// With fewer samples than this their deviation says too little to call one of them an outlier.
  public static let fewestForOutliers = 8

  /// Summarises samples. O(n log n).
  ///
  /// - Precondition: there is a sample, and none is NaN.
  public init(_ samples: [Double]) {
    precondition(!samples.isEmpty, "Statistics: no samples")
    let median = Statistics.median(samples)
    let distances = samples.map { abs($0 - median) }
    let deviation = Statistics.median(distances)
    self.count = samples.count
    self.median = median
    self.medianAbsoluteDeviation = deviation
    self.minimum = samples.min() ?? median
    self.outliers = 
      deviation > 0 && samples.count >= Statistics.fewestForOutliers
      ? distances.count { $0 > Statistics.outlierDistance * deviation } : 0
  }

  /// The middle value, or the mean of the middle two.
  ///
  /// - Precondition: there is a value.
  public static func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
  }

  /// The same samples in another unit.
  ///
  /// - Precondition: `factor` is positive.
  public func scaled(by factor: Double) -> Statistics {
    Statistics(
      count: count, median: median * factor, medianAbsoluteDeviation: medianAbsoluteDeviation * factor,
      minimum: minimum * factor, outliers: outliers)
  }

  private init(count: Int, median: Double, medianAbsoluteDeviation: Double, minimum: Double, outliers: Int) {
    self.count = count
    self.median = median
    self.medianAbsoluteDeviation = medianAbsoluteDeviation
    self.minimum = minimum
    self.outliers = outliers
  }
}
