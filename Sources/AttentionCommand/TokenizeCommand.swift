import ArgumentParser
import AttentionBenchmarks
import AttentionModels
import AttentionTensors
import Foundation

/// `attention tokenize`
struct TokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize",
    abstract: "Cut texts into the tokens of a model.",
    discussion: """
      One text a line in, one JSON object a line out, in the order of the lines:
      {"ids": [...], "tokens": [...], "offsets": [[start, end], ...]}, offsets counting Unicode scalars of the line. \
      Lines end with LF or CRLF; an empty line is a text. Bytes that are no UTF-8 are read as U+FFFD, and a warning \
      names the first such line.

      The folder has a tokenizer.json, or vocab.txt, or vocab.json and merges.txt.

      EXAMPLES
        echo "Attention is all you need" | attention tokenize
        attention tokenize --model folder --input texts.txt --no-special
        attention tokenize --max-length 128 < texts.txt
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: ArgumentHelp("The file of texts; - is standard input.", valueName: "file"))
  var input = "-"

  @Flag(name: .customLong("no-special"), help: "Leave out what the model wants around a text, such as [CLS] and [SEP].")
  var hasNoTemplate = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("At most this many tokens of a text, those around it among them.", valueName: "n"),
    transform: { text in
      guard let value = Int(text), value >= 1 else { throw ValidationError("expected a whole number from 1") }
      return value
    })
  var maxLength: Int?

  func run() throws {
    let tokenizer = try SubwordTokenizer(model.folder())
    let options = EncodingOptions(maximumLength: maxLength, addsTemplate: !hasNoTemplate)
    let least = hasNoTemplate ? 0 : tokenizer.template.tokenCount(isPair: false)
    guard maxLength ?? .max >= least else {
      throw ValidationError("--max-length \(maxLength ?? 0): the model puts \(least) tokens around each text")
    }
    var lines = try TextLines(path: input)
    var failure: (any Error)?
    do {
      while true {
        let texts = try lines.next(atMost: 4096, bytes: 1 << 20)
        guard !texts.isEmpty, try Self.print(tokenizer.encode(texts, options: options), tokenizer) else { break }
      }
    } catch {
      failure = error
    }
    if let warning = lines.warning { Terminal.warn(warning) }
    if let failure { throw failure }
  }

  /// Prints rows; false when nobody reads on.
  private static func print(_ encodings: [Encoding], _ tokenizer: SubwordTokenizer) throws(BenchmarkFileError) -> Bool {
    var writer = JSONWriter()
    var text: [UInt8] = []
    for encoding in encodings {
      writer.beginObject()
      writer.key("ids")
      writer.integers(encoding.ids)
      writer.key("tokens")
      writer.beginArray()
      for token in tokenizer.tokens(encoding) { writer.string(token) }
      writer.endArray()
      writer.key("offsets")
      writer.beginArray()
      for offset in encoding.offsets { writer.integers([offset.lowerBound, offset.upperBound]) }
      writer.endArray()
      writer.endObject()
      text += writer.bytes
      text.append(UInt8(ascii: "\n"))
      writer.removeAll()
    }
    return try Terminal.writeStream(text)
  }
}
