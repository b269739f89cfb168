import AttentionBenchmarks
import AttentionTraining
import Foundation

/// Tells a person, or a program, how a run goes: a line for each look at the held-out data, and a line that moves on a
/// terminal.
final class TrainingReporter {
  private let format: TrainCommand.Format
  private let steps: Int
  private let line = ProgressLine()
  /// Of the steps since the last line.
  private var losses: [Float] = []
  private var tokens = 0
  private var seconds = 0.0
  /// Of all steps, for the time that is left.
  private var paces: [Double] = []

  init(format: TrainCommand.Format, steps: Int) {
    self.format = format
    self.steps = steps
  }

  func tell(_ event: TrainingEvent) {
    switch event {
    case .step(let step): tell(step)
    case .evaluation(let step, let found, let isBest):
      var text = "step \(step)"
      if !losses.isEmpty { text += "  loss \(Decimals.fixed(mean(losses), 3))" }
      text += "  held-out \(Decimals.fixed(found.loss, 3))"
      if found.losses.count > 1 {
        text +=
          " ("
          + found.losses.map { "\($0.name) \(Decimals.fixed($0.sum / Double($0.items), 3))" }.joined(separator: ", ")
          + ")"
      }
      if let bits = found.bitsPerByte { text += "  \(Decimals.fixed(bits, 3)) bits per byte" }
      if seconds > 0 { text += "  \(Int(Double(tokens) / seconds)) tokens/s" }
      write(text + (isBest ? "  best" : ""))
      (losses, tokens, seconds) = ([], 0, 0)
    case .checkpoint: break
    }
    guard format == .jsonl else { return }
    line.clear()
    _ = try? Terminal.writeStream(event.json + [UInt8(ascii: "\n")])
  }

  private func tell(_ step: TrainingStep) {
    losses.append(step.loss)
    tokens += step.tokens
    seconds += step.seconds
    paces.append(step.seconds)
    let recent = paces.suffix(50)
    let left = Double(steps - step.step) * recent.reduce(0, +) / Double(recent.count)
    line.show(
      """
      step \(step.step)/\(steps)  loss \(Decimals.fixed(mean(Array(losses.suffix(20))), 3))  \
      \(Int(Double(step.tokens) / max(step.seconds, 1e-9))) tokens/s  \(TrainingReporter.spoken(left)) left
      """)
  }

  /// A line of text on standard output.
  func write(_ text: String) {
    guard format == .text else { return }
    line.clear()
    _ = try? Terminal.writeStream(Array((text + "\n").utf8))
  }

  func clear() { line.clear() }

  private func mean(_ values: [Float]) -> Double {
    values.reduce(0) { $0 + Double($1) } / Double(max(1, values.count))
  }

  static func spoken(_ seconds: Double) -> String {
    switch seconds {
    case ..<90: "\(Int(seconds.rounded())) s"
    case ..<5_400: "\(Int((seconds / 60).rounded())) min"
    default: "\(Decimals.fixed(seconds / 3_600, 1)) h"
    }
  }
}
