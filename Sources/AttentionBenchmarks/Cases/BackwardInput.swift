import Attention

/// A case of attention with its numbers and a gradient that flows in, and the ways to run it forward and back.
package struct BackwardInput: Sendable {
  package let sizes: BenchmarkCase
  let input: AttentionInput
  /// Of the output, `[B, Hq, Lq, dv]`.
  package let upstream: Tensor

  /// The query, key and value that `attention bench` draws for the case, and normal variates that flow in.
  package init(_ sizes: BenchmarkCase, seed: UInt64) {
    self.sizes = sizes
    input = AttentionInput(sizes, seed: seed)
    var generator = SeededGenerator(seed: seed ^ drawingHash(of: "upstream of \(sizes)"))
    upstream = Tensor(
      randomNormal: [sizes.batch, sizes.heads, sizes.queryLength, sizes.valueWidth], using: &generator)
  }

  /// The output, of tracked inputs.
  func forward() -> (output: Tensor, leaves: [Tensor]) {
    let leaves = [input.query.tracked(), input.key.tracked(), input.value.tracked()]
    let output = scaledDotProductAttention(
      query: leaves[0], key: leaves[1], value: leaves[2], mask: input.mask, options: input.options(.automatic))
    return (output, leaves)
  }

  /// The gradients of query, key and value.
  func gradients(through forward: (output: Tensor, leaves: [Tensor]), upstream: Tensor? = nil) -> [Tensor] {
    Attention.gradients(
      of: [forward.output], upstream: [upstream ?? self.upstream], withRespectTo: forward.leaves)
  }

  /// The result to check: by the forward pass the output, else the gradients in the layout of ``BackwardReference``.
  ///
  /// - Parameters:
  ///   - upstream: the gradient that flows in.
  ///   - kept: a forward pass that was run before; nil: another is run.
  package func run(upstream: Tensor, kept: (output: Tensor, leaves: [Tensor])? = nil) -> Tensor {
    packed(gradients(through: kept ?? forward(), upstream: upstream))
  }

  /// Rows of gradients under each other, those of queries, keys and values, as wide as the widest.
  package func packed(_ gradients: [Tensor]) -> Tensor {
    let width = max(sizes.keyWidth, sizes.valueWidth)
    let rows = gradients.reduce(0) { $0 + $1.shape.dropLast().reduce(1, *) }
    return Tensor(uninitialized: [rows, width]) { target in
      target.initialize(repeating: 0)
      var row = 0
      for gradient in gradients {
        let own = gradient.shape[3]
        gradient.withUnsafeBufferPointer { source in
          for index in source.indices { target[(row + index / own) * width + index % own] = source[index] }
        }
        row += gradient.count / own
      }
    }
  }
}

/// What is timed.
package enum BackwardWay: String, CaseIterable, Sendable {
  /// What a step of training runs.
  case both = "forward + backward"
  /// Attention over tracked tensors, which keeps two numbers of each row for the way back.
  case forward = "forward tracked"
  /// The gradients of a forward pass that was run before.
  case backward

  /// Useful floating-point operations: forward two products over the visible cells, Q·Kᵀ and P·V; backward five, Q·Kᵀ
  /// again, dO·Vᵀ, Pᵀ·dO, dS·K and dSᵀ·Q (Dao, 2307.08691).
  ///
  /// - Parameter forward: those of the forward pass.
  package func usefulOperations(_ sizes: BenchmarkCase, forward: Double) -> Double {
    let (keys, values) = (Double(sizes.keyWidth), Double(sizes.valueWidth))
    let backward = forward * (3 * keys + 2 * values) / (keys + values)
    return switch self {
    case .both: forward + backward
    case .forward: forward
    case .backward: backward
    }
  }
}

extension BenchmarkCase {
  /// What `attention bench backward` measures unless told otherwise: many short sequences, and long ones.
  public static let defaultBackwardList =
    "b32h12q128k128d64 b8h12q512k512d64-causal b1h12q2048k2048d64 b1h12q2048k2048d64-causal"

  /// The cases of `attention bench backward`, which take more memory than those of `attention bench`.
  public static func backwardList(
    parsing text: String, limits: CaseLimits = .init()
  ) throws(BenchmarkCaseError) -> [BenchmarkCase] {
    let cases = try list(parsing: text, limits: limits)
    var sum = 0.0
    for one in cases {
      let bytes = one.backwardMemoryEstimate
      guard bytes <= Double(limits.memory) else {
        throw .tooLarge(case: one.description, bytes: Int(min(bytes, 0x1p62)), limit: limits.memory)
      }
      sum += bytes
    }
    guard sum <= Double(limits.memory) else { throw .tooLargeTogether(cases: cases.count, limit: limits.memory) }
    return cases
  }

  /// The bytes that measuring forward and back takes, roughly and from above: what attention alone takes, two upstreams,
  /// two outputs with what is kept of them, two sets of gradients with the threads' scratch, three of rows to check, and
  /// those in float64.
  var backwardMemoryEstimate: Double {
    let (queries, keys) = (
      Double(batch * heads) * Double(queryLength), Double(batch * keyValueHeads) * Double(keyLength)
    )
    let (keyWidth, valueWidth) = (Double(keyWidth), Double(valueWidth))
    let plan = AttentionPlan(
      queryShape: [batch, heads, queryLength, self.keyWidth],
      keyShape: [batch, keyValueHeads, keyLength, self.keyWidth],
      valueShape: [batch, keyValueHeads, keyLength, self.valueWidth], mask: mask)
    let gradients = queries * keyWidth + keys * (keyWidth + valueWidth)
    let packed = (queries + 2 * keys) * max(keyWidth, valueWidth)
    // Beside the gradients of all kv heads, operands and results of the one that is computed.
    let reference =
      8 * (gradients + 2 * queries * valueWidth) * (1 + 3 / Double(batch * keyValueHeads)) + 1024 * Double(keyLength)
    return Double(memoryEstimate ?? .max) + 4 * (queries * (4 * valueWidth + 6) + 2 * gradients + 3 * packed)
      + reference + Double(max(plan.scratchBytes, plan.backwardScratchBytes))
  }
}
