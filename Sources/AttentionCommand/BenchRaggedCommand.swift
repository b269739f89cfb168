import ArgumentParser
import Attention
import AttentionBenchmarks

/// `attention bench ragged`
struct BenchRaggedCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ragged",
    abstract: "Measure batches of sequences of unequal lengths, which are not padded.",
    discussion: """
      LENGTHS
        uniform:256x512     256 sequences of 512 tokens
        zipf:256x512        256 sequences of 1 to 512 tokens, length n with a probability in proportion to 1/n (an \
      exponent of 1), drawn from --seed, or from 7 in zipf:256x512:7
        3,0,5,128           these lengths
        @file               one length on each line of a file; the name ends at a semicolon
      Cases are separated by spaces or semicolons; the numbers of uniform and zipf may be lists and ranges, as in \
      'attention bench attention --help'. Each is measured with all heads: h12d64-kv4-causal, as in cases, without b, q \
      and k. Beside a batch of unequal lengths, a uniform one is measured: as many sequences, of the length whose useful \
      work is nearest.

      COLUMNS
      '× uniform' is the rate (GFLOP/s) over that of this uniform batch. 'padding' is what would be useful if every \
      sequence were as long as the longest, over what is: what padding would cost. The others as in 'attention bench \
      attention --help'.

      EXAMPLES
        attention bench ragged
        attention bench ragged --lengths "zipf:64,256x512; 3,0,5,128" --heads "h12d64 h16d128-kv4-causal"
        attention bench ragged --lengths "@lengths of a day.txt" --paths fused
      """)

  @Option(
    help: ArgumentHelp("The lengths of the sequences of each batch; may be repeated.", valueName: "cases"))
  var lengths: [String] = [RaggedBenchmark.defaultLengths]

  @Option(help: ArgumentHelp("Heads, widths and mask.", valueName: "cases"))
  var heads = RaggedBenchmark.defaultHeads

  @Option(help: ArgumentHelp("The paths to measure, separated by commas.", valueName: "paths"))
  var paths = RaggedBenchmark.defaultPaths.map(\.rawValue).joined(separator: ",")

  @OptionGroup var options: MeasuringOptions

  func validate() throws {
    _ = try AttentionPath.list(paths)
    let heads = try chosenHeads()
    for case .file(let file) in try sources() {
      if let save = options.save, TextFile.areSame(save, file) {
        throw ValidationError("--save would overwrite the file of --lengths")
      }
    }
    // What a file has is checked when it is read.
    _ = try cases(try sources().filter { if case .file = $0 { false } else { true } }, heads)
  }

  func run() throws {
    let paths = try AttentionPath.list(paths)
    let cases = try cases(try sources(), try chosenHeads())
    try options.run { progress in
      RaggedBenchmark(cases: cases, paths: paths, seed: options.seed, repeats: options.repeats).run(progress: progress)
    }
  }

  private func sources() throws -> [SequenceLengths] {
    do throws(BenchmarkCaseError) {
      return try SequenceLengths.list(parsing: lengths.joined(separator: ";"), seed: options.seed)
    } catch {
      throw ValidationError(error.description)
    }
  }

  private func chosenHeads() throws -> [BenchmarkCase] {
    do throws(BenchmarkCaseError) {
      return try RaggedBenchmark.heads(parsing: heads)
    } catch {
      throw ValidationError(error.description)
    }
  }

  private func cases(_ sources: [SequenceLengths], _ heads: [BenchmarkCase]) throws -> [RaggedInput.Case] {
    let lengths = try sources.map { (source: $0, lengths: try $0.lengths()) }
    do throws(BenchmarkCaseError) {
      return try RaggedBenchmark.cases(lengths: lengths, heads: heads)
    } catch {
      throw ValidationError(error.description)
    }
  }
}
