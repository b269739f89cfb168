import ArgumentParser
import AttentionBenchmarks

/// `attention bench decode`
struct BenchDecodeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode",
    abstract: "Measure one step of generation over a key-value cache, against the read bandwidth.",
    discussion: """
      One new token for each sequence attends to a cache of keys and values, all of which a step has to read: that, not \
      arithmetic, is its limit. Each batch size is measured at each depth (keys, the new token's own included) with \
      each of the heads: h32d128-kv8 is 32 query heads over 8 kv heads, 128 wide; -v, -window and -softcap as in \
      'attention bench attention --help'. Of the default cases, those that do not fit into memory are left out.

      COLUMNS
      'attend' is the attention of the step alone; 'append+attend' appends the token's key and value first. 'K and V' \
      are the bytes that a step has to read, GB/s those bytes over the median time, '% reads' GB/s of the read \
      bandwidth: the best of several patterns of reading 512 MiB (less where memory is short) on all threads, measured \
      in turns with the cases. A cache that the processor's own caches could hold is there several times ('caches'), \
      and steps take turns: nothing is read twice within 256 MiB, or four times the last level of cache where that is \
      more. 'max error' and 'repeatable' as in 'attention bench attention --help'.

      EXAMPLES
        attention bench decode
        attention bench decode --depths 4096-65536*4 --batch 1,8 --heads h32d128-kv8
        attention bench decode --depths 16384 --heads "h12d64 h32d128-kv1" --format markdown
      """)

  @Option(help: ArgumentHelp("The keys that the caches hold.", valueName: "numbers"))
  var depths: String?

  @Option(help: ArgumentHelp("The sequences that take a step together.", valueName: "numbers"))
  var batch: String?

  @Option(help: ArgumentHelp("Heads and widths.", valueName: "cases"))
  var heads: String?

  @OptionGroup var options: MeasuringOptions

  func validate() throws { _ = try chosenCases() }

  func run() throws {
    let (cases, dropped) = try chosenCases()
    if !dropped.isEmpty {
      let names = dropped.map(\.description).joined(separator: ", ")
      Terminal.warn("left out, as memory is short: \(names)")
    }
    try options.run { progress in
      DecodeBenchmark(cases: cases, seed: options.seed, repeats: options.repeats).run(progress: progress)
    }
  }

  private func chosenCases() throws -> (cases: [BenchmarkCase], dropped: [BenchmarkCase]) {
    do throws(BenchmarkCaseError) {
      return try DecodeBenchmark.cases(
        depths: depths ?? DecodeBenchmark.defaultDepths, batches: batch ?? DecodeBenchmark.defaultBatches,
        heads: heads ?? DecodeBenchmark.defaultHeads, dropping: depths == nil && batch == nil && heads == nil)
    } catch {
      throw ValidationError(error.description)
    }
  }
}
