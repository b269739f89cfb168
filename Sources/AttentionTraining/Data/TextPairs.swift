import AttentionTensors

/// Texts in pairs, a source and what it is to become: lines `source<TAB>target` of a file.
///
///     let pairs = try TextPairs(contentsOf: "dates.tsv")
///     pairs.sources[0]   // "the third of May 1999"
///     pairs.targets[0]   // "1999-05-03"
public struct TextPairs: Sendable {
  /// The sources, a document for each pair.
  public let sources: TextDocuments
  /// The targets, in the same order.
  public let targets: TextDocuments

  /// Reads a file. Blank lines are left out. O(bytes).
  ///
  /// - Throws: ``TextDataError`` when the file cannot be read, is no UTF-8 or has no pairs, or a line has not just one tab
  ///   between two texts.
  public init(contentsOf path: String) throws(TextDataError) {
    try self.init(TextDocuments.bytes(ofFile: path), name: path)
  }

  /// Reads bytes as those of a file.
  package init(_ bytes: [UInt8], name: String) throws(TextDataError) {
    // What is wrong with the text as a whole is found as for every text.
    let text = try TextDocuments(bytes, name: name)
    var sources: [Range<Int>] = []
    var targets: [Range<Int>] = []
    var number = 0
    var fault: (line: Int, problem: String)?
    text.withText { bytes in
      TextCut.forEachLine(in: text.range(of: 0), of: bytes) { line in
        number += 1
        guard fault == nil, line.contains(where: { !TextCut.isSpace(bytes[$0]) }) else { return }
        let tabs = line.filter { bytes[$0] == 0x09 }
        guard let tab = tabs.first, tabs.count == 1 else {
          let found = tabs.isEmpty ? "it has no tab" : "it has \(tabs.count) tabs"
          fault = (number, "\(found); a line is a source, one tab and a target")
          return
        }
        let (source, target) = (line.lowerBound..<tab, tab + 1..<line.upperBound)
        guard !source.isEmpty, !target.isEmpty else {
          fault = (number, source.isEmpty ? "nothing stands before the tab" : "nothing stands behind the tab")
          return
        }
        sources.append(source)
        targets.append(target)
      }
    }
    if let fault { throw TextDataError(file: name, reason: .badLine(fault.line, problem: fault.problem)) }
    self.sources = text.replacing(sources)
    self.targets = text.replacing(targets)
  }

  private init(sources: TextDocuments, targets: TextDocuments) {
    self.sources = sources
    self.targets = targets
  }

  /// The number of pairs.
  public var count: Int { sources.count }

  /// Pairs to train on, and every so many one to measure on: numbers k − 1, 2k − 1 and so on.
  ///
  /// - Throws: ``TextDataError`` when there are fewer pairs.
  /// - Precondition: the interval is 2 at least.
  public func split(every interval: Int) throws(TextDataError) -> (training: TextPairs, heldOut: TextPairs) {
    let (sources, targets) = (try sources.split(.every(interval)), try targets.split(.every(interval)))
    return (
      TextPairs(sources: sources.training, targets: targets.training),
      TextPairs(sources: sources.heldOut, targets: targets.heldOut)
    )
  }
}
