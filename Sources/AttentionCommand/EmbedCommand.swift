import ArgumentParser
import Attention
import AttentionBenchmarks
import AttentionModels
import AttentionTensors

/// `attention embed`
struct EmbedCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "embed",
    abstract: "Turn lines of text into vectors.",
    discussion: """
      Each line is a text; an empty one is one too. The vectors come in the order of the lines, as the model's own \
      pooling makes them (for all-MiniLM-L6-v2 the mean of the tokens' rows, of length 1). A text longer than the model \
      takes is cut, and a warning says so. A model of word vectors (type skip-gram) gives the mean of a text's words, and \
      zeros, with a warning, where it knows none of them. Bytes that are no UTF-8 are read as U+FFFD, with a warning.

      FORMATS
        jsonl        {"text": …, "embedding": […]} for each line, as soon as its batch is done
        npy          one array [lines, width] of float32
        safetensors  one tensor "embeddings" [lines, width] of float32

      EXAMPLES
        printf 'a\\nb\\n' | attention embed
        attention embed --input texts.txt --format npy --output rows.npy
        attention embed --model bge-small-en-v1.5 --input texts.txt > rows.jsonl
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable {
    case jsonl, npy, safetensors
  }

  @OptionGroup var model: ModelOptions
  @OptionGroup var embedding: EmbeddingCommandOptions

  @Option(help: ArgumentHelp("Lines of text; - is standard input.", valueName: "file"))
  var input = "-"

  @Option(help: "What to print.")
  var format = Format.jsonl

  @Option(help: ArgumentHelp("Write here instead of to standard output.", valueName: "file"))
  var output: String?

  func validate() throws {
    if format != .jsonl, output == nil {
      throw ValidationError("--format \(format.rawValue) wants --output: it is written as a file")
    }
    if let output, input != "-", TextFile.areSame(input, output) {
      throw ValidationError("--output would overwrite the file of --input")
    }
  }

  func run() throws {
    // Before the model is read and long before the last text is embedded.
    if let output {
      try TextFile.checkWritable(output)
      if format != .jsonl, fileExists(output), !TextFile.isRegular(output) {
        throw BenchmarkFileError.uncreatable(
          file: output, problem: "--format \(format.rawValue) is written as a regular file")
      }
    }
    var lines = try TextLines(path: input)
    let embedder = try embedding.embedder(model)
    let (width, run) = (embedder.width, EmbeddingLines(embedder: embedder, options: embedding.options))
    switch format {
    case .jsonl:
      let target = try output.map { try OutputFile(path: $0) }
      var row = JSONWriter()
      try run.forEachBatch(&lines) { texts, result in
        var text: [UInt8] = []
        result.rows.withUnsafeBufferPointer { values in
          for (index, line) in texts.enumerated() {
            row.removeAll()
            row.write(text: line, embedding: values[index * width..<(index + 1) * width])
            text += row.bytes
            text.append(UInt8(ascii: "\n"))
          }
        }
        if let target { try target.write(text) } else { return try Terminal.writeStream(text) }
        return true
      }
      try target?.close()
    case .npy, .safetensors:
      do {
        var target = try TensorRowsWriter(
          format == .npy ? .npy : .safetensors(name: "embeddings"), width: width, to: output!)
        try run.forEachBatch(&lines) { _, result in
          try target.append(result.rows)
          return true
        }
        try target.commit()
      } catch let error as TensorFileError {
        throw BenchmarkFileError.tensors(error)
      }
    }
  }
}

extension JSONWriter {
  fileprivate mutating func write(text: String, embedding: Slice<UnsafeBufferPointer<Float>>) {
    beginObject()
    key("text")
    string(text)
    key("embedding")
    beginArray()
    for value in embedding { number(value) }
    endArray()
    endObject()
  }
}
