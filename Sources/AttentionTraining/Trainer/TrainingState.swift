import AttentionTensors

/// The numbers that a run goes on from, beside the model and what the optimizer keeps.
struct TrainingState: Sendable {
  var step = 0
  var position = DataPosition.start
  /// The step after which the held-out data were looked at last.
  var evaluated = 0
  var best: (step: Int, loss: Double)?
  var divergence = DivergenceWatch.State()
}

extension TrainingState {
  /// As JSON; numbers that are not whole by their bits, so that nothing is rounded and infinities have a form.
  var json: String {
    var json = JSONWriter()
    json.beginObject()
    func add(_ key: String, _ value: Int) {
      json.key(key)
      json.integer(value)
    }
    func add(_ key: String, _ value: Double) {
      json.key(key)
      json.string(String(value.bitPattern, radix: 16))
    }
    add("step", step)
    add("epoch", position.epoch)
    add("batch", position.batch)
    add("evaluated", evaluated)
    if let best {
      add("best_step", best.step)
      add("best_loss", best.loss)
    }
    add("divergence_steps", divergence.steps)
    add("divergence_sum", divergence.sum)
    add("divergence_weight", divergence.weight)
    add("divergence_least", divergence.least)
    json.endObject()
    return String(decoding: json.bytes, as: UTF8.self)
  }

  /// Reads what ``json`` wrote; nil if it is none.
  init?(json text: String) {
    guard case .some(.object(let object)) = try? JSONParser.parse(Array(text.utf8)) else { return nil }
    func integer(_ key: String) -> Int? { object[key]?.integerValue.flatMap { $0 >= 0 ? $0 : nil } }
    func number(_ key: String) -> Double? {
      object[key]?.stringValue.flatMap { UInt64($0, radix: 16) }.map(Double.init(bitPattern:))
    }
    guard let step = integer("step"), let epoch = integer("epoch"), let batch = integer("batch"),
      let evaluated = integer("evaluated"), let steps = integer("divergence_steps"),
      let sum = number("divergence_sum"), let weight = number("divergence_weight"),
      let least = number("divergence_least")
    else { return nil }
    self.init(
      step: step, position: DataPosition(epoch: epoch, batch: batch), evaluated: evaluated,
      divergence: .init(sum: sum, weight: weight, least: least, steps: steps))
    if let step = integer("best_step"), let loss = number("best_loss") { best = (step, loss) }
  }
}
