import AttentionBenchmarks
import Foundation
import Testing

@Suite struct RowwiseBandwidthTests {
  @Test func everySubjectHasAFigure() {
    let measured = RowwiseBandwidth.measure(bytes: 1 << 20, width: 96, repeats: 1)
    #expect(measured.count == 9)
    #expect(measured.allSatisfy { $0.gigabytesPerSecond > 0 && $0.gigabytesPerSecond.isFinite })
  }

  /// The figures themselves, where they are asked for: ATTENTION_MEASURE_ROWWISE=1, in a release build.
  @Test(.enabled(if: ProcessInfo.processInfo.environment["ATTENTION_MEASURE_ROWWISE"] != nil))
  func figures() {
    for row in RowwiseBandwidth.measure() { print("\(row.name): \(row.gigabytesPerSecond) GB/s") }
  }
}
