import Attention

/// One step of generation ready to run: a new token for each sequence over caches that are filled to a depth.
///
/// Keys and values repeat a random block whose length is prime, so that no two blocks of a cache's grid are alike. A
/// cache that the processor's own caches could hold is there several times, and steps take turns.
public struct DecodeInput: Sendable {
  /// The sizes: one query, and as many keys as the caches hold, the new token's included.
  public let sizes: BenchmarkCase
  /// `[B, Hq · dk]`.
  let query: Tensor
  /// `[B · period, Hkv · dk]`.
  private let keys: Tensor
  /// `[B · period, Hkv · dv]`.
  private let values: Tensor

  /// Draws an input: a function of case and seed.
  ///
  /// - Precondition: the case has one query.
  public init(_ sizes: BenchmarkCase, seed: UInt64) {
    precondition(sizes.queryLength == 1, "DecodeInput: \(sizes) has more than one query")
    self.sizes = sizes
    var generator = SeededGenerator(seed: seed ^ drawingHash(of: sizes.description))
    let tokens = sizes.batch * DecodeInput.period(sizes)
    query = Tensor(randomNormal: [sizes.batch, sizes.heads * sizes.keyWidth], using: &generator)
    keys = Tensor(randomNormal: [tokens, sizes.keyValueHeads * sizes.keyWidth], using: &generator)
    values = Tensor(randomNormal: [tokens, sizes.keyValueHeads * sizes.valueWidth], using: &generator)
  }

  /// What the rows of a report call it.
  public var name: String { sizes.description }

  private static func period(_ sizes: BenchmarkCase) -> Int { min(1021, sizes.keyLength) }

  /// The tokens at some positions of each sequence, which lie in one period.
  private func tokens(_ positions: Range<Int>) -> (key: Tensor, value: Tensor, layout: SequenceLayout) {
    let period = DecodeInput.period(sizes)
    let first = positions.lowerBound % period
    func rows(_ tensor: Tensor) -> Tensor {
      let width = tensor.shape[1]
      return tensor.withUnsafeBufferPointer { source in
        Tensor(uninitialized: [sizes.batch * positions.count, width]) { target in
          for sequence in 0..<sizes.batch {
            for index in 0..<positions.count * width {
              target[sequence * positions.count * width + index] = source[(sequence * period + first) * width + index]
            }
          }
        }
      }
    }
    return (
      rows(keys), rows(values),
      SequenceLayout(lengths: [Int](repeating: positions.count, count: sizes.batch))
    )
  }

  // MARK: Memory

  /// The bytes of keys and values that a step has to read.
  public var readBytes: Int { DecodeInput.readBytes(sizes) }

  private static func readBytes(_ sizes: BenchmarkCase) -> Int {
    let seen = min(sizes.keyLength, sizes.window ?? .max)
    return sizes.batch * seen * sizes.keyValueHeads * (sizes.keyWidth + sizes.valueWidth) * MemoryLayout<Float>.stride
  }

  /// What steps go through before they come back to the same keys: several times what the processor's caches hold.
  static let coldBytes = max(256 << 20, 4 * (LastLevelCache.bytes ?? 0))

  /// The caches that take turns; of tiny ones no more than it pays to fill.
  var copies: Int { DecodeInput.copies(sizes) }

  private static func copies(_ sizes: BenchmarkCase) -> Int {
    let bytes = readBytes(sizes)
    return min(1024, max(1, (coldBytes - 1) / bytes + 1))
  }

  /// The bytes that measuring a case takes, roughly and from above: its caches, and while it is checked one sequence's
  /// keys and values twice.
  ///
  /// - Precondition: the case was made, so that its sizes multiply to no more than `Int` holds.
  static func memoryEstimate(_ sizes: BenchmarkCase) -> (caches: Double, checking: Double) {
    let scalars = Double(sizes.keyValueHeads) * Double(sizes.keyWidth + ProductTiles.padded(sizes.valueWidth))
    // Up to eight blocks of keys at a time, in size classes of storage; beside a window, what is appended at a time.
    let held = min(Double(sizes.keyLength), Double(sizes.window ?? .max) + Double(period(sizes)))
    let depth = held + min(held, 8 * 256) + 256
    return (
      Double(copies(sizes)) * Double(sizes.batch) * 1.25 * 4 * depth * scalars,
      4 * scalars * Double(2 * sizes.keyLength + 3 * sizes.batch * period(sizes))
    )
  }

  // MARK: Running

  /// The output of a step over a cache of its own, `[B, Hq · dv]`, after a number of steps before it.
  package func run(_ step: DecodeStep, after others: Int = 0) -> Tensor {
    let caches = filledCaches(copies: 1)
    for _ in 0..<others { _ = caches.run(step) }
    return caches.run(step)
  }

  /// The caches, filled.
  func filledCaches(copies: Int) -> DecodeCaches {
    let period = DecodeInput.period(sizes)
    var caches = (0..<copies).map { _ in
      KeyValueCache(
        sequenceCount: sizes.batch, keyValueHeads: sizes.keyValueHeads, keyWidth: sizes.keyWidth,
        valueWidth: sizes.valueWidth, window: sizes.window)
    }
    let whole = tokens(0..<period)
    let rest = tokens(0..<sizes.keyLength % period)
    for index in caches.indices {
      for _ in 0..<sizes.keyLength / period {
        caches[index].append(key: whole.key, value: whole.value, layout: whole.layout)
      }
      if sizes.keyLength % period > 0 {
        caches[index].append(key: rest.key, value: rest.value, layout: rest.layout)
      }
    }
    let last = tokens(sizes.keyLength - 1..<sizes.keyLength)
    return DecodeCaches(caches: caches, query: query, token: last, sizes: sizes)
  }
}

extension DecodeInput: Verifiable {
  package var outputRows: Int { sizes.batch * sizes.heads }
  package var valueWidth: Int { sizes.valueWidth }
  package var rowWork: Double { Double(sizes.keyLength) * Double(sizes.keyWidth + sizes.valueWidth) }

  /// One sequence at a time: all of them laid out for the reference would take more memory than the caches.
  package func forEachExpectedRow(_ rows: [Int], _ check: @Sendable (Int, [Double]) -> Void) {
    var left = rows[...]
    while let first = left.first {
      let sequence = first / sizes.heads
      let own = left.prefix { $0 / sizes.heads == sequence }
      left = left.dropFirst(own.count)
      let reference = reference(sequence)
      WorkerPool.shared.forEach(own.count) { index in
        let row = own[own.startIndex + index]
        check(row, reference.row(sequence: 0, head: row % sizes.heads, query: 0).output)
      }
    }
  }

  /// There is no plain path over a cache. Scores of normal variates are far from ±64, so that none is needed.
  package func runNaively() -> Tensor? { nil }

  private func reference(_ sequence: Int) -> ReferenceAttention {
    let period = DecodeInput.period(sizes)
    func unrolled(_ tensor: Tensor) -> Tensor {
      let width = tensor.shape[1]
      return tensor.withUnsafeBufferPointer { source in
        Tensor(uninitialized: [sizes.keyLength, width]) { target in
          for position in 0..<sizes.keyLength {
            let from = (sequence * period + position % period) * width
            for column in 0..<width { target[position * width + column] = source[from + column] }
          }
        }
      }
    }
    let width = sizes.heads * sizes.keyWidth
    return ReferenceAttention(
      query: query.withUnsafeBufferPointer {
        Tensor($0[sequence * width..<(sequence + 1) * width], shape: [1, width])
      },
      key: unrolled(keys), value: unrolled(values), layout: SequenceLayout(lengths: [1]),
      keyLayout: SequenceLayout(lengths: [sizes.keyLength]), heads: sizes.heads, keyValueHeads: sizes.keyValueHeads,
      mask: sizes.mask, options: AttentionOptions(softcap: sizes.softcap.map { Float($0) }))
  }
}

/// What a timed step does.
public enum DecodeStep: String, Sendable, CaseIterable {
  /// The new token's query attends to a cache that holds its key and value already.
  case attend
  /// The new token's key and value are appended first.
  case append = "append+attend"
}

/// The caches of a case, which take turns.
final class DecodeCaches {
  private var caches: [KeyValueCache]
  private let query: Tensor
  private let token: (key: Tensor, value: Tensor, layout: SequenceLayout)
  private let sizes: BenchmarkCase
  private var turn = 0

  init(
    caches: [KeyValueCache], query: Tensor, token: (key: Tensor, value: Tensor, layout: SequenceLayout),
    sizes: BenchmarkCase
  ) {
    (self.caches, self.query, self.token, self.sizes) = (caches, query, token, sizes)
  }

  /// One step. An appended token takes the place of the last one, which is the same: the cache is then as it was.
  func run(_ step: DecodeStep) -> Tensor {
    defer { turn = (turn + 1) % caches.count }
    if step == .append {
      for sequence in 0..<sizes.batch { caches[turn].truncate(sequence: sequence, toLength: sizes.keyLength - 1) }
      caches[turn].append(key: token.key, value: token.value, layout: token.layout)
    }
    return scaledDotProductAttention(
      query: query, layout: token.layout, cache: caches[turn], heads: sizes.heads,
      options: AttentionOptions(softcap: sizes.softcap.map { Float($0) })
    ).output
  }
}
