import Attention
import Foundation

/// What a random test draws from. Every round has a seed of its own, which a failure names: ATTENTION_FUZZ_SEED and
/// ATTENTION_FUZZ_ROUNDS=1 repeat it alone.
struct Draw {
  var generator: SeededGenerator

  static let rounds = ProcessInfo.processInfo.environment["ATTENTION_FUZZ_ROUNDS"].flatMap(Int.init) ?? 40
  static let seeds: Range<Int> = {
    let first = ProcessInfo.processInfo.environment["ATTENTION_FUZZ_SEED"].flatMap(Int.init) ?? 1
    return first..<first + rounds
  }()

  init(seed: Int) { generator = SeededGenerator(seed: UInt64(seed)) }

  mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
  mutating func pick<Element>(_ elements: [Element]) -> Element { elements[int(0...elements.count - 1)] }
  mutating func chance(_ share: Double) -> Bool { Double.random(in: 0..<1, using: &generator) < share }

  mutating func tensor(_ shape: [Int], magnitude: Float = 1) -> Tensor {
    Tensor(randomNormal: shape, standardDeviation: magnitude, using: &generator)
  }

  /// Some of these values in place of a few scalars.
  mutating func poison(_ tensor: inout Tensor, with values: [Float]) {
    guard tensor.count > 0 else { return }
    for _ in 0..<int(1...3) {
      let (index, value) = (int(0...tensor.count - 1), pick(values))
      tensor.withUnsafeMutableBufferPointer { $0[index] = value }
    }
  }

  /// Up to four conditions of any kind, and what they are.
  mutating func mask(batch: Int, heads: Int, queries: Int, keys: Int) -> (mask: AttentionMask, text: String) {
    var (mask, text) = (AttentionMask.none, "")
    func axes(_ draw: inout Draw) -> [Int] {
      [draw.pick([1, batch]), draw.pick([1, heads]), draw.pick([1, queries]), draw.pick([1, keys])]
    }
    for _ in 0..<int(0...4) {
      let alignment = pick(AttentionMask.Alignment.allCases)
      switch int(0...7) {
      case 0:
        mask = mask & .causal(alignment)
        text += " causal \(alignment)"
      case 1:
        let (left, right) = (pick([nil, 0, 3, 20, 130, .max]), pick([nil, 0, 5, 64, .max]))
        mask = mask & .window(left: left, right: right, alignment: alignment)
        text += " window \(left.map(String.init) ?? "-") \(right.map(String.init) ?? "-") \(alignment)"
      case 2:
        let lengths = (0..<batch).map { _ in int(0...keys) }
        mask = mask & .keyLengths(lengths)
        text += " lengths \(lengths)"
      case 3:
        let (count, isScattered, rows) = (pick([1, 2, 7, 50]), chance(0.4), pick([1, batch]))
        func numbers(_ length: Int, _ draw: inout Draw) -> [[Int]] {
          (0..<rows).map { _ in
            let offset = draw.int(0...5)
            let size = max(1, (length + count - 1) / count)
            return (0..<length).map { isScattered ? ($0 * 7 + offset) % count : ($0 + offset) / size }
          }
        }
        mask = mask & .documents(query: numbers(queries, &self), key: numbers(keys, &self))
        text += " documents \(count) \(isScattered)"
      case 4:
        let (shape, share, isTiled) = (axes(&self), pick([0.02, 0.5, 0.98]), chance(0.5))
        let cells = (0..<shape.reduce(1, *)).map { cell in
          guard isTiled else { return chance(share) }
          let (query, key) = (cell / max(1, shape[3]) % max(1, shape[2]), cell % max(1, shape[3]))
          return (key / 64 + query / 32).isMultiple(of: 2)
        }
        mask = mask & .allowed(BooleanTensor(cells, shape: shape))
        text += " allowed \(shape) \(isTiled ? "tiles" : String(share))"
      case 5:
        let (shape, share) = (axes(&self), pick([0, 0.4]))
        var bias = tensor(shape)
        for index in 0..<bias.count where chance(share) {
          bias.withUnsafeMutableBufferPointer { $0[index] = -.infinity }
        }
        mask = mask & .bias(bias)
        text += " bias \(shape) \(share)"
      case 6:
        mask = mask & .linearBias(slopes: (1...heads).map { 0.03 * Float($0) }, alignment: alignment)
        text += " linear bias \(alignment)"
      default:
        let divisor = int(2...5)
        mask = mask & .predicate { !($0 &* 3 &+ $1).isMultiple(of: divisor) }
        text += " predicate \(divisor)"
      }
    }
    return (mask, text)
  }
}

extension Tensor {
  /// ``hasBits(of:)``, any NaN for any other: which of two it comes from is not promised.
  func hasBitsOrNaN(of other: Tensor) -> Bool {
    shape == other.shape
      && zip(scalars, other.scalars).allSatisfy { $0.bitPattern == $1.bitPattern || ($0.isNaN && $1.isNaN) }
  }

  /// Whether each scalar is equal, or near where both are finite, or NaN where the other is.
  func isNear(_ other: Tensor, _ tolerance: Float) -> Bool {
    shape == other.shape
      && zip(scalars, other.scalars).allSatisfy {
        $0 == $1 || ($0.isNaN && $1.isNaN)
          || ($0.isFinite && $1.isFinite && abs($0 - $1) <= tolerance + tolerance * abs($1))
      }
  }
}
