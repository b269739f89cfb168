import ArgumentParser
import Attention
import AttentionBenchmarks
import AttentionModels

/// How a command embeds.
struct EmbeddingCommandOptions: ParsableArguments {
  @Option(
    parsing: .unconditional, help: ArgumentHelp("Compute on this many threads.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...ThreadCount.maximum) })
  var threads: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Cut texts to this many tokens, [CLS] and [SEP] among them; what the model says unless given.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...1 << 24) })
  var maxLength: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Hold rows between the layers in so many MiB at the most: smaller batches, down to one text.", valueName: "MiB"),
    transform: { try wholeNumber($0, in: 1...1 << 30) })
  var memory: Int?

  var options: EmbeddingOptions { EmbeddingOptions(memoryBudget: memory.map { $0 << 20 }) }

  /// Sets the threads; throws where they cannot compute at all.
  func validate() throws {
    if let threads { Engine.setThreadCount(threads) }
    if let problem = AddressSpace.problem(remaining: AddressSpace.remaining(), threads: Engine.threadCount.count) {
      throw ValidationError(problem)
    }
  }

  /// What makes the vectors, of whatever kind the folder's model is.
  func embedder(_ model: ModelOptions) throws -> any TextEmbedder {
    let embedder = try model.folder().textEmbedder()
    guard let maxLength else { return embedder }
    guard let encoder = embedder as? SentenceEncoder else {
      throw ValidationError("--max-length \(maxLength): this model takes texts of any length")
    }
    let (least, most) = (max(1, encoder.tokenizer.encode("").count), encoder.model.configuration.maximumLength)
    guard (least...most).contains(maxLength) else {
      throw ValidationError("--max-length \(maxLength): this model takes \(least) to \(most) tokens")
    }
    var cut = SentenceEncoder(
      model: encoder.model, tokenizer: encoder.tokenizer, pooling: encoder.pooling, normalizes: encoder.normalizes,
      maximumLength: maxLength)
    cut.prompt = encoder.prompt
    return cut
  }
}

/// Lines of text to vectors, batch by batch, with what is to be said about them.
struct EmbeddingLines {
  let embedder: any TextEmbedder
  let options: EmbeddingOptions

  /// Lines that are held at once, and their bytes.
  private static let (batchLines, batchBytes) = (1 << 13, 1 << 22)

  /// Calls `body` with the lines and their rows until it answers false or there are no more.
  func forEachBatch(_ lines: inout TextLines, _ body: ([String], EmbeddingResult) throws -> Bool) throws {
    let progress = ProgressLine()
    defer { progress.clear() }
    let limit = embedder.tokenLimit ?? 0
    var (cut, empty) = (LineWarnings(), LineWarnings())
    var first = 0
    var tokens = 0
    let clock = ContinuousClock()
    let start = clock.now
    while true {
      let batch = try lines.next(atMost: EmbeddingLines.batchLines, bytes: EmbeddingLines.batchBytes)
      guard !batch.isEmpty else { break }
      let state = Guarded((shown: start, line: progress))
      let (done, before) = (first, tokens)
      let result = embedder.result(for: batch, options: options) { step in
        state.withLock {
          // A terminal need not be told more than some times a second.
          guard clock.now - $0.shown > .milliseconds(100) else { return }
          $0.shown = clock.now
          let seconds = start.duration(to: $0.shown) / .seconds(1)
          $0.line.show("\(done + step.completed) texts, \(Int(Double(before + step.tokens) / seconds)) tokens/s")
        }
      }
      tokens += result.tokenCounts.reduce(0, +)
      progress.clear()
      for (index, isCut) in result.isTruncated.enumerated() where isCut {
        cut.warn("\(lines.name): line \(first + index + 1) has more than \(limit) tokens and was cut to them")
      }
      for (index, count) in result.tokenCounts.enumerated() where count == 0 {
        empty.warn("\(lines.name): line \(first + index + 1) has no word that the model knows: its vector is zeros")
      }
      let width = embedder.width
      let damaged = result.rows.withUnsafeBufferPointer { values in
        batch.indices.first { !values[$0 * width..<($0 + 1) * width].allSatisfy(\.isFinite) }
      }
      if let damaged {
        progress.clear()
        Terminal.writeError(
          "attention: the vector of line \(first + damaged + 1) is not finite: the model's weights are damaged\n")
        throw ExitCode(65)
      }
      first += batch.count
      guard try body(batch, result) else { break }
    }
    cut.warnOfAll { "\(lines.name): \($0) lines in all were cut to \(limit) tokens" }
    empty.warnOfAll { "\(lines.name): \($0) lines in all have no word that the model knows" }
    if let warning = lines.warning { Terminal.warn(warning) }
  }
}

/// Warnings of one kind: the first lines are named one by one, all are counted.
private struct LineWarnings {
  private var count = 0
  private static let named = 5

  mutating func warn(_ text: @autoclosure () -> String) {
    count += 1
    if count <= LineWarnings.named { Terminal.warn(text()) }
  }

  func warnOfAll(_ text: (_ count: Int) -> String) {
    if count > LineWarnings.named { Terminal.warn(text(count)) }
  }
}
