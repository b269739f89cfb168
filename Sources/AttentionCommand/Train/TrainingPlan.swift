import ArgumentParser
import AttentionTraining

/// What is trained.
enum TrainingKind: String, ExpressibleByArgument, CaseIterable {
  case gpt, bert, seq2seq, lstm, gru, rnn, skipgram

  /// Whether it is a language model of recurrent layers.
  var isRecurrent: Bool { [.lstm, .gru, .rnn].contains(self) }
}

/// How large a model is, and with it how it is trained.
enum TrainingSize: String, ExpressibleByArgument, CaseIterable {
  case tiny, small, medium, large
}

/// Everything that a run depends on beside its text: defaults by kind and size, and what was asked for.
struct TrainingPlan {
  var width: Int
  var blocks: Int
  var heads: Int
  var length: Int
  var vocabulary: Int
  var batchTokens: Int
  var steps: Int
  var rate: Double
  var warmUp: Int
  var schedule: LearningRateSchedule.Decay
  var dropout: Double
  var weightDecay: Double
  var labelSmoothing = 0.0
  /// The steps between two looks at the held-out text.
  var evaluationInterval = 250

  /// The defaults.
  init(_ kind: TrainingKind, _ size: TrainingSize) {
    // Width, blocks, heads, length, tokens of a batch, steps, rate.
    let choice: (Int, Int, Int, Int, Int, Int, Double)
    switch (kind.isRecurrent, size) {
    case (false, .tiny): choice = (128, 4, 4, 128, 2048, 2_000, 2e-3)
    case (false, .small): choice = (256, 6, 4, 256, 4096, 2_000, 1e-3)
    case (false, .medium): choice = (384, 6, 6, 256, 8192, 4_000, 1e-3)
    case (false, .large): choice = (512, 8, 8, 512, 16_384, 8_000, 6e-4)
    case (true, .tiny): choice = (128, 1, 1, 64, 2048, 2_000, 4e-3)
    case (true, .small): choice = (384, 2, 1, 128, 4096, 2_000, 2e-3)
    case (true, .medium): choice = (512, 2, 1, 128, 8192, 4_000, 2e-3)
    case (true, .large): choice = (1024, 2, 1, 256, 16_384, 8_000, 1e-3)
    }
    (width, blocks, heads, length, batchTokens, steps, rate) = choice
    vocabulary = size == .tiny ? 512 : size == .small ? 2048 : 4096
    warmUp = min(200, steps / 10)
    schedule = .cosine
    dropout = 0.1
    weightDecay = 0.1
    if kind == .skipgram {
      // A vector for each word, and nothing else.
      width = [.tiny: 50, .small: 100, .medium: 200, .large: 300][size]!
      (blocks, heads, length, vocabulary) = (1, 1, 1, 1 << 20)
      (batchTokens, rate, schedule, dropout, weightDecay) = (2_000, 1e-2, .linear, 0, 0)
    }
  }

  /// What must be the same when a run is taken up again, by the names of the options.
  var settings: [String: String] {
    [
      "width": "\(width)", "blocks": "\(blocks)", "heads": "\(heads)", "length": "\(length)",
      "vocabulary": "\(vocabulary)", "batch-tokens": "\(batchTokens)", "steps": "\(steps)", "rate": "\(rate)",
      "warm-up": "\(warmUp)", "schedule": schedule.rawValue, "dropout": "\(dropout)",
      "weight-decay": "\(weightDecay)", "label-smoothing": "\(labelSmoothing)",
    ]
  }

  var learningRates: LearningRateSchedule {
    LearningRateSchedule(
      peak: Float(rate), warmUpSteps: warmUp, decay: schedule, totalSteps: steps, finalShare: 0.1)
  }
}
