import AttentionTensors

/// Which documents a model is measured on, and not trained.
public enum HeldOutSplit: Sendable, Equatable {
  /// Every so many documents one: numbers k − 1, 2k − 1 and so on. It takes something from all over a text.
  case every(Int)
  /// The last documents, with this share of the bytes; of a single document its last lines.
  case tail(share: Double)
}

extension TextDocuments {
  /// Documents to train on, and documents to measure on. The same documents give the same parts.
  ///
  /// - Throws: ``TextDataError`` when one of the parts would be empty.
  /// - Precondition: an interval is 2 at least, a share lies between 0 and 1.
  public func split(_ split: HeldOutSplit) throws(TextDataError) -> (training: TextDocuments, heldOut: TextDocuments) {
    switch split {
    case .every(let interval):
      require(interval > 1, "TextDocuments: every \(interval) documents one is held out")
      let isHeldOut = { ($0 + 1) % interval == 0 }
      let (training, heldOut) = (
        selecting((0..<count).filter { !isHeldOut($0) }), selecting((0..<count).filter(isHeldOut))
      )
      guard heldOut.count > 0 else { throw TextDataError(file: name, reason: .tooFewToSplit(documents: count)) }
      return (training, heldOut)
    case .tail(let share):
      require(share > 0 && share < 1, "TextDocuments: a share of \(share) is held out")
      guard count != 1 else { return try splitOne(share) }
      let wanted = Int((Double(byteCount) * share).rounded())
      // The tail begins with the document whose beginning lies nearest to the place.
      var (first, bytes) = (count, 0)
      while first > 1, abs(bytes + byteCount(of: first - 1) - wanted) <= abs(bytes - wanted) || first == count {
        first -= 1
        bytes += byteCount(of: first)
      }
      guard first < count else { throw TextDataError(file: name, reason: .tooFewToSplit(documents: count)) }
      return (selecting(Array(0..<first)), selecting(Array(first..<count)))
    }
  }

  private func splitOne(_ share: Double) throws(TextDataError) -> (training: TextDocuments, heldOut: TextDocuments) {
    let range = range(of: 0)
    let wanted = range.lowerBound + min(max(1, Int(Double(range.count) * (1 - share))), max(1, range.count - 1))
    let place = withText { text in
      // What is held out is one character at least.
      let last = range.indices.last { text[$0] & 0xC0 != 0x80 } ?? range.lowerBound
      return last <= wanted ? last : TextCut.place(from: wanted, to: last, of: text)
    }
    guard place > range.lowerBound, place < range.upperBound else {
      throw TextDataError(file: name, reason: .tooFewToSplit(documents: 1))
    }
    return (replacing([range.lowerBound..<place]), replacing([place..<range.upperBound]))
  }
}
