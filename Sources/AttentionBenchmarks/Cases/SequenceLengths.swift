import Attention
import Foundation

/// The lengths of a ragged batch's sequences, as the command line writes them: `uniform:256x512`, `zipf:256x512`,
/// `3,0,5,128` or `@file`.
public enum SequenceLengths: Sendable, Hashable {
  /// As many sequences of one length.
  case uniform(sequences: Int, length: Int)
  /// As many sequences of lengths from 1 to `longest`, drawn from the seed: length n with a probability in proportion to
  /// 1/n, which is Zipf's law with an exponent of 1.
  case zipf(sequences: Int, longest: Int, seed: Int)
  /// These lengths; one may be 0.
  case list([Int])
  /// Those of a file: a whole number on each line.
  case file(String)

  /// The sequences of a batch at the most.
  public static let mostSequences = 1_000_000
  /// The longest sequence that is drawn: its law is a table.
  public static let longestDrawn = 1 << 24

  /// Whether all sequences are equally long whatever is drawn or read.
  var isUniform: Bool { if case .uniform = self { true } else { false } }

  /// The lengths themselves: drawn, or read from the file.
  public func lengths() throws(BenchmarkFileError) -> [Int] {
    switch self {
    case .uniform(let sequences, let length): [Int](repeating: length, count: sequences)
    case .zipf(let sequences, let longest, let seed):
      SequenceLengths.draw(sequences, upTo: longest, seed: UInt64(truncatingIfNeeded: seed))
    case .list(let lengths): lengths
    case .file(let path): try SequenceLengths.read(path)
    }
  }

  private static func draw(_ count: Int, upTo longest: Int, seed: UInt64) -> [Int] {
    // The cumulated weights, and for each draw the first that exceeds it.
    var sum = 0.0
    let sums = (1...longest).map { length in
      sum += 1 / Double(length)
      return sum
    }
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in
      let draw = Double.random(in: 0..<sum, using: &generator)
      var (low, high) = (0, longest - 1)
      while low < high {
        let middle = (low + high) / 2
        if sums[middle] > draw { high = middle } else { low = middle + 1 }
      }
      return low + 1
    }
  }

  private static func read(_ path: String) throws(BenchmarkFileError) -> [Int] {
    let bytes = try TextFile.bytes(of: path, limit: 64 << 20) { .notLengths(file: path, problem: $0) }
    var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    guard !lines.isEmpty else { throw .notLengths(file: path, problem: "it is empty; expected a length on each line") }
    guard lines.count <= mostSequences else {
      throw .notLengths(file: path, problem: "it has \(lines.count) lines; expected at most \(mostSequences)")
    }
    var lengths: [Int] = []
    for (index, line) in lines.enumerated() {
      let text = String(decoding: line, as: UTF8.self)
      // Int reads a sign, too.
      guard line.first.map({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) == true,
        let length = Int(text), length <= CaseLimits.largestSize
      else {
        throw .notLengths(
          file: path,
          problem: "line \(index + 1) is \(quoted(text)); expected a whole number from 0 to \(CaseLimits.largestSize)")
      }
      lengths.append(length)
    }
    guard lengths.contains(where: { $0 > 0 }) else {
      throw .notLengths(file: path, problem: "all lengths are 0; there is nothing to measure")
    }
    return lengths
  }
}

extension SequenceLengths: CustomStringConvertible {
  /// What rows call it: canonical, but for long lists, of which the first lengths stand for all.
  public var description: String {
    switch self {
    case .uniform(let sequences, let length): "uniform:\(sequences)x\(length)"
    case .zipf(let sequences, let longest, let seed):
      "zipf:\(sequences)x\(longest)" + (seed == 0 ? "" : ":\(seed)")
    case .list(let lengths):
      lengths.prefix(8).map(String.init).joined(separator: ",")
        + (lengths.count > 8 ? ",… (\(lengths.count) lengths)" : "")
    case .file(let path): "@\(AttentionInput.name(ofFile: path))"
    }
  }
}

extension SequenceLengths {
  /// Reads cases between spaces or semicolons; what follows @ up to a semicolon or the end is a file's name.
  ///
  ///     try SequenceLengths.list(parsing: "zipf:256x512 3,0,5,128; @lengths of a day.txt", seed: 0)
  ///
  /// The numbers of `uniform` and `zipf` may be lists and ranges, as those of a case: `uniform:16x128-512*2`. Lengths of
  /// `zipf:256x512:7` are drawn from 7, others from `seed`. A case that comes twice is kept once.
  public static func list(
    parsing text: String, seed: Int, limits: CaseLimits = .init()
  ) throws(BenchmarkCaseError) -> [SequenceLengths] {
    var found: [SequenceLengths] = []
    var known: Set<SequenceLengths> = []
    for part in text.split(separator: ";") {
      // An @ begins a file's name where a word may begin.
      let isStart = { (index: String.Index) in
        part[index] == "@" && (index == part.startIndex || part[part.index(before: index)].isWhitespace)
      }
      let head = part.indices.first(where: isStart) ?? part.endIndex
      var parsed: [SequenceLengths] = []
      for word in BenchmarkCase.words(of: String(part[..<head])) {
        parsed += try SequenceLengths.expand(word, seed: seed, limits: limits)
      }
      if head < part.endIndex {
        let path = part[head...].dropFirst().trimmingCharacters(in: .whitespacesAndNewlines)
        guard !path.isEmpty else { throw .lengths(text: String(part), expected: "the name of a file after @") }
        parsed.append(.file(path))
      }
      for one in parsed where known.insert(one).inserted { found.append(one) }
      guard found.count <= limits.cases else { throw .tooMany(limit: limits.cases) }
    }
    guard !found.isEmpty else { throw .lengths(text: text, expected: grammar) }
    return found
  }

  private static let grammar = "uniform:256x512, zipf:256x512, lengths such as 3,0,5,128, or @file"

  private static func expand(
    _ text: String, seed: Int, limits: CaseLimits
  ) throws(BenchmarkCaseError) -> [SequenceLengths] {
    var scanner = CaseScanner(text)
    let isZipf = scanner.skip("zipf:")
    guard isZipf || scanner.skip("uniform:") else {
      guard scanner.hasDigit() else { throw .lengths(text: text, expected: grammar) }
      let lengths = try scanner.numbers(of: "a length", limit: mostSequences)
      guard scanner.isAtEnd else { throw scanner.expected("a comma or the end") }
      guard lengths.contains(where: { $0 > 0 }) else {
        throw .lengths(text: text, expected: "a length that is not 0: there is nothing to measure")
      }
      return [.list(lengths)]
    }
    let counts = try scanner.numbers(of: "the colon", limit: limits.cases)
    guard scanner.skip("x") else { throw scanner.expected("x and a length, as in zipf:256x512") }
    let lengths = try scanner.numbers(of: "x", limit: limits.cases)
    let ownSeed = isZipf && scanner.skip(":") ? try scanner.number(of: "the colon") : nil
    guard scanner.isAtEnd else { throw scanner.expected(isZipf && ownSeed == nil ? "a colon or the end" : "the end") }
    guard counts.count * lengths.count <= limits.cases else { throw .tooMany(limit: limits.cases) }
    guard counts.allSatisfy({ (1...mostSequences).contains($0) }), !lengths.contains(0) else {
      throw .lengths(text: text, expected: "from 1 to \(mostSequences) sequences, of 1 token or more")
    }
    guard !isZipf || lengths.allSatisfy({ $0 <= longestDrawn }) else {
      throw .lengths(text: text, expected: "sequences of at most \(longestDrawn) tokens where they are drawn")
    }
    return counts.flatMap { count in
      lengths.map { length in
        isZipf
          ? .zipf(sequences: count, longest: length, seed: ownSeed ?? seed)
          : .uniform(sequences: count, length: length)
      }
    }
  }
}
