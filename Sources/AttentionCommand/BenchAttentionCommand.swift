import ArgumentParser
import Attention
import AttentionBenchmarks
import Foundation

/// `attention bench attention`, which is `attention bench`
struct BenchAttentionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "attention",
    abstract: "Compare the paths that compute attention.",
    discussion: """
      CASES
      b8h12q512k512d64-causal is 8 sequences of 12 heads, 512 queries and 512 keys, heads 64 wide, under a causal \
      mask. b is 1 and k is q unless given. Suffixes:
        -causal      no key after the query's own position, aligned to the end
        -window256   causal, and at most 256 keys with the query's own
        -kv4         4 key and value heads, shared by groups of query heads
        -v128        values 128 wide
        -softcap50   scores capped as 50·tanh(score/50)
      A number may be a list (128,512) or a range: 128-1024*2 doubles, 64-256+64 steps by 64, 1-4 counts. Cases are \
      separated by spaces or semicolons. All of them have to fit into 75% of the machine's memory, or of the cgroup's \
      where that is less.

      COLUMNS
      GFLOP/s counts useful work, which is what the mask leaves open, over the median time; 'executed' is the work \
      that the path does. '% peak' is of the best of a fixed list of matrix products ('attention bench gemm') measured \
      in the same run. 'max error' is against float64, over all rows or a seeded sample (†; error_rows in JSON). \
      'repeatable' is whether two runs and one on a single thread gave the same bits; a row that is not, or whose \
      error is not finite, is warned of, and the exit code is 1. Samples of all cases are taken in turns, in random order, after a warm-up; \
      making the inputs is not timed. A naive run that would take too long is measured on fewer heads, and its row \
      says so (*).

      EXAMPLES
        attention bench
        attention bench --cases "b1,8h12q128-1024*2d64-causal" --format markdown
        attention bench --input layer.safetensors --paths blas --repeats 50
        attention bench --save before.json
        attention bench --baseline before.json
        attention bench --plot speed.svg

      EXIT CODES
      0 done, 1 wrong results or slower than the baseline, 64 wrong usage, 65 wrong contents of a file, 66 a file that cannot be \
      opened, 73 one that cannot be created, 74 a failure in reading or writing
      """)

  @Option(
    help: ArgumentHelp(
      "The cases to measure, instead of the default set; may be repeated.", valueName: "cases"))
  var cases: [String] = []

  @Option(help: ArgumentHelp("The paths to measure, separated by commas.", valueName: "paths"))
  var paths = AttentionPath.allCases.filter { $0 != .automatic }.map(\.rawValue).joined(separator: ",")

  @Option(
    help: ArgumentHelp(
      "Measure a safetensors file, too, or alone without --cases: tensors q [B, Hq, Lq, dk], k [B, Hkv, Lk, dk], "
        + "v [B, Hkv, Lk, dv]; optionally lengths (B integers: the keys that exist) and mask (BOOL, broadcast to "
        + "[B, Hq, Lq, Lk], true = may attend).", valueName: "file"))
  var input: String?

  @Option(help: ArgumentHelp("Draw GFLOP/s by case and path as SVG.", valueName: "file"))
  var plot: String?

  @OptionGroup var options: MeasuringOptions

  func validate() throws {
    _ = try AttentionPath.list(paths)
    _ = try chosenCases()
    let others = [
      ("--save", options.save, "--input", input), ("--plot", plot, "--input", input),
      ("--plot", plot, "--save", options.save), ("--plot", plot, "--baseline", options.baseline),
    ]
    for (option, file, other, kept) in others {
      if let file, let kept, TextFile.areSame(file, kept) {
        throw ValidationError("\(option) would overwrite the file of \(other)")
      }
    }
  }

  func run() throws {
    let paths = try AttentionPath.list(paths)
    var inputs: [AttentionInput] = []
    if let input {
      inputs.append(try AttentionInput(file: input))
    } else if self.cases.isEmpty {
      do throws(BenchmarkFileError) {
        inputs.append(try AttentionInput.sample())
      } catch {
        Terminal.warn("the sample input is left out: \(error)")
      }
    }
    // Once more, beside what the file takes.
    let cases = try chosenCases(beside: inputs)
    try options.run(alsoWriting: plot) { progress in
      let drawn = cases.map { AttentionInput($0, seed: UInt64(options.seed)) }
      return AttentionBenchmark(inputs: inputs + drawn, paths: paths, seed: options.seed, repeats: options.repeats)
        .run(progress: progress)
    } finish: { report in
      if let plot { try TextFile.write(BarChart(report).svg, to: plot) }
    }
  }

  /// The cases that are asked for; the default set when neither cases nor an input are.
  private func chosenCases(beside inputs: [AttentionInput] = []) throws -> [BenchmarkCase] {
    if cases.isEmpty && input != nil { return [] }
    let text = cases.isEmpty ? BenchmarkCase.defaultList : cases.joined(separator: " ")
    let taken = inputs.reduce(0) { $0 + ($1.memoryEstimate ?? 0) }
    do throws(BenchmarkCaseError) {
      return try BenchmarkCase.list(
        parsing: text, limits: CaseLimits(memory: max(0, CaseLimits.defaultMemory - taken)))
    } catch {
      throw ValidationError(error.description)
    }
  }
}
