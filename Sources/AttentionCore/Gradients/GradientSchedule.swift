import AttentionTensors

/// Who computes what on the way back: a task owns some keys of one sequence and kv head, and goes through all queries that
/// see them, so that each score is formed once for all three gradients. Cut by lengths alone.
struct GradientSchedule: Sendable {
  struct Task: Sendable {
    let sequence: Int
    let keyValueHead: Int
    let blocks: Range<Int>
    /// The keys whose gradients the task writes: those of the blocks, and behind the last one all that exist for nobody.
    let keys: Range<Int>
    /// Which part of the sequence's keys it is.
    let part: Int
    /// Where its share of the query's gradients is summed up, `[head][query][dk]`; the first part's are the result's.
    let partial: Int?
    let work: Double
  }

  /// Query gradients whose parts are added up.
  struct Merge: Sendable {
    let sequence: Int
    let keyValueHead: Int
    let partials: [Int]
  }

  /// The parts of a long sequence's keys at the most.
  private static let maximumParts = 4
  /// The keys of a part at the least.
  private static let partKeys = 1024
  /// Fewer operations than this run on the caller's thread.
  private static let smallOperations = 1e6

  private(set) var tasks: [Task] = []
  private(set) var merges: [Merge] = []
  private(set) var partialScalars = 0
  let isSmall: Bool

  init(_ shape: AttentionShape, _ tiling: FusedTiling, wantsQuery: Bool) {
    var total = 0.0
    for sequence in 0..<shape.sequenceCount {
      let (queries, keys) = (shape.queryLengths[sequence], shape.keyLengths[sequence])
      let blocks = tiling.blocks(keys: keys)
      let parts = max(1, min(Self.maximumParts, keys / Self.partKeys))
      let step = max(1, (blocks + parts - 1) / parts)
      for head in 0..<shape.keyValueHeads {
        var partials: [Int] = []
        for (part, first) in stride(from: 0, to: max(1, blocks), by: step).enumerated() {
          let range = first..<min(blocks, first + step)
          let partial = part > 0 && wantsQuery ? partialScalars : nil
          if let partial {
            partials.append(partial)
            partialScalars += shape.group * queries * tiling.keyWidth
          }
          let own = range.lowerBound * tiling.blockKeys..<min(keys, range.upperBound * tiling.blockKeys)
          let work = Double(shape.group * queries) * Double(max(1, own.count))
          total += work
          tasks.append(
            Task(
              sequence: sequence, keyValueHead: head, blocks: range, keys: own, part: part, partial: partial, work: work
            ))
        }
        if !partials.isEmpty { merges.append(Merge(sequence: sequence, keyValueHead: head, partials: partials)) }
      }
    }
    isSmall = 4 * total * Double(shape.keyWidth + shape.valueWidth) < Self.smallOperations
    // Longest first; of equal ones the first keys first, which most queries see under a causal mask.
    tasks.sort { ($0.work, $1.part) > ($1.work, $0.part) }
  }
}
