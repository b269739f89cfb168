import AttentionTensors

extension TrainingEvent {
  /// A row of the metrics.
  package var json: [UInt8] {
    var json = JSONWriter()
    json.beginObject()
    func add(_ key: String, _ value: Double) {
      json.key(key)
      json.number(value)
    }
    func add(_ key: String, _ value: Float) {
      json.key(key)
      json.number(value)
    }
    func add(_ key: String, _ value: Int) {
      json.key(key)
      json.integer(value)
    }
    func addEvent(_ name: String, _ step: Int) {
      json.key("event")
      json.string(name)
      add("step", step)
    }
    switch self {
    case .step(let step):
      addEvent("step", step.step)
      add("loss", step.loss)
      if step.losses.count > 1 {
        for (name, mean) in step.losses { add("loss of \(name)", mean) }
      }
      add("rate", step.rate)
      add("gradient_norm", step.gradientNorm)
      add("tokens", step.tokens)
      add("seconds", step.seconds)
      add("tokens_per_second", Double(step.tokens) / max(step.seconds, 1e-9))
    case .evaluation(let step, let found, let isBest):
      addEvent("evaluation", step)
      add("loss", found.loss)
      if found.losses.count > 1 {
        for (name, sum, items) in found.losses { add("loss of \(name)", sum / Double(items)) }
      }
      if let bits = found.bitsPerByte { add("bits_per_byte", bits) }
      json.key("best")
      json.boolean(isBest)
    case .checkpoint(let step):
      addEvent("checkpoint", step)
    }
    json.endObject()
    return json.bytes
  }
}
