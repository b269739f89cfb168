import ArgumentParser
import Attention
import AttentionBenchmarks
import AttentionModels

/// `attention similar`
struct SimilarCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "similar",
    abstract: "Rank lines of text by how near their meaning is to a query's.",
    discussion: """
      Prints the lines whose vectors have the largest cosine with the query's, best first; equal ones in their order. \
      Lines are read and embedded as by 'attention embed'; those that are kept are held in memory, not the file.

      EXAMPLES
        attention similar --query "the cat sleeps" --input sentences.txt
        ls /usr/share/doc | attention similar --query "image formats" --top 5 --format jsonl
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable {
    case text, jsonl
  }

  @OptionGroup var model: ModelOptions
  @OptionGroup var embedding: EmbeddingCommandOptions

  @Option(help: ArgumentHelp("What to look for.", valueName: "text"))
  var query: String

  @Option(help: ArgumentHelp("Lines of text; - is standard input.", valueName: "file"))
  var input = "-"

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Print this many lines at the most.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...Int.max) })
  var top = 10

  @Option(help: "What to print: cosine and line, or an object with line number, score and text.")
  var format = Format.text

  /// A line, and how near it is.
  private struct Match {
    let score: Float
    let line: Int
    let text: String

    /// Nearer, or as near and earlier.
    static func isBetter(_ one: Match, _ other: Match) -> Bool {
      one.score != other.score ? one.score > other.score : one.line < other.line
    }
  }

  func run() throws {
    var lines = try TextLines(path: input)
    let embedder = try embedding.embedder(model)
    let width = embedder.width
    let sought = embedder.result(for: [query], options: .init(), progress: nil)
    if sought.isTruncated[0] {
      Terminal.warn("the query has more than \(embedder.tokenLimit ?? 0) tokens and was cut to them")
    }
    if sought.tokenCounts[0] == 0 { Terminal.warn("the query has no word that the model knows: all lines are as near") }
    let wanted = unitRow(sought.rows.scalars)
    var best: [Match] = []
    var count = 0
    try EmbeddingLines(embedder: embedder, options: embedding.options).forEachBatch(&lines) { texts, result in
      let rows = result.rows.scalars
      for (index, text) in texts.enumerated() {
        count += 1
        let row = unitRow(Array(rows[index * width..<(index + 1) * width]))
        let score = Float(zip(row, wanted).reduce(0) { $0 + $1.0 * $1.1 })
        best.append(Match(score: score, line: count, text: text))
      }
      // No more than twice what is wanted is held.
      if best.count > 2 * min(top, 1 << 40) + 1024 { keepBest(&best) }
      return true
    }
    keepBest(&best)
    var text = ""
    for match in best {
      switch format {
      case .text: text += "\(Decimals.fixed(Double(match.score), 4))  \(match.text.printable)\n"
      case .jsonl:
        var row = JSONWriter()
        row.beginObject()
        row.key("line")
        row.integer(match.line)
        row.key("score")
        row.number(match.score)
        row.key("text")
        row.string(match.text)
        row.endObject()
        text += String(decoding: row.bytes, as: UTF8.self) + "\n"
      }
    }
    try Terminal.write(text)
  }

  private func keepBest(_ matches: inout [Match]) {
    matches.sort(by: Match.isBetter)
    matches.removeLast(max(0, matches.count - top))
  }

  /// In float64; zeros stay zeros.
  private func unitRow(_ row: [Float]) -> [Double] {
    let length = row.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    return row.map { length > 0 ? Double($0) / length : 0 }
  }
}
