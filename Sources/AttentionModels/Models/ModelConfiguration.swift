import AttentionLayers
import AttentionTensors

/// What the configurations of several models have in common.
extension JSONField {
  /// The ids of tokens: one, several, or none.
  func tokenIDs(in range: ClosedRange<Int> = 0...Int(Int32.max)) throws(ModelFileError) -> [Int] {
    guard exists else { return [] }
    guard value?.arrayValue != nil else { return [try integer(in: range)] }
    var ids: [Int] = []
    for field in try array() { ids.append(try field.integer(in: range)) }
    return ids
  }

  /// A probability below 1; 0 where there is nothing.
  func probability() throws(ModelFileError) -> Float {
    let value = Float(try number(default: 0, in: 0...1))
    guard value < 1 else { throw notExpected("a number from 0 and below 1") }
    return value
  }
}

extension JSONWriter {
  /// Writes one id, an array of several, or null.
  mutating func tokenIDs(_ ids: [Int]) {
    switch ids.count {
    case 0: null()
    case 1: integer(ids[0])
    default: integers(ids)
    }
  }
}

extension CheckpointTensors {
  /// All parameters of a model, under its own names.
  init(of model: some Layer) {
    for (name, _, tensor) in model.namedTensors { vector(name, tensor) }
  }
}

extension Checkpoint {
  /// Throws when there is a weight that the configuration leaves no place for: whoever wrote both meant another model.
  func requireNone(_ name: String, if isLeftOut: Bool, _ reason: String) throws(ModelFileError) {
    guard isLeftOut, contains(name) else { return }
    throw ModelFileError(
      file: path, reason: .inconsistent(problem: "it has \(quotedForMessage(name)), and \(reason)"))
  }
}
