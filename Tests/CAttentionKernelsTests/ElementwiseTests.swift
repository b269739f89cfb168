import AttentionTestSupport
import CAttentionKernels
import Testing

/// A kernel that computes y[i] from x[i], y[i] and the byte at i, in one form for all of them.
struct ElementwiseKernel: Sendable, CustomTestStringConvertible {
  struct Operands {
    var x: UnsafePointer<Float>
    var y: UnsafeMutablePointer<Float>
    var bytes: UnsafePointer<UInt8>
    /// Where the first element stands in the whole.
    var position: Int
    var count: Int
  }

  let testDescription: String
  /// Whether y is computed from x alone, so that they may be the same array.
  let mapsXToY: Bool
  let run: @Sendable (attention_kernels, Operands) -> Void

  static let all: [ElementwiseKernel] = [
    ElementwiseKernel(testDescription: "exp", mapsXToY: true) { $0.exp($1.x, $1.y, $1.count) },
    ElementwiseKernel(testDescription: "exp_sum", mapsXToY: true) { _ = $0.exp_sum($1.x, 0.75, $1.y, $1.count) },
    ElementwiseKernel(testDescription: "softcap", mapsXToY: true) { $0.softcap($1.x, $1.y, 3, $1.count) },
    ElementwiseKernel(testDescription: "scale", mapsXToY: true) { $0.scale($1.x, 0.3, $1.y, $1.count) },
    ElementwiseKernel(testDescription: "axpy", mapsXToY: false) { $0.axpy(0.3, $1.x, $1.y, $1.count) },
    ElementwiseKernel(testDescription: "keep_allowed", mapsXToY: false) { $0.keep_allowed($1.y, $1.bytes, $1.count) },
    ElementwiseKernel(testDescription: "add_bias", mapsXToY: false) { $0.add_bias($1.y, $1.x, $1.count) },
    ElementwiseKernel(testDescription: "add_distance_bias", mapsXToY: false) {
      $0.add_distance_bias($1.y, 0.3, Int32($1.position - 20), $1.count)
    },
  ]
}

@Suite struct ElementwiseTests {
  static let total = lengths.upperBound + 17
  /// Ordinary values with the special ones among them.
  static let x = Noise.floats(total, in: -20...20, seed: 1).enumerated().map {
    $0.offset % 2 == 0 ? $0.element : specials[$0.offset / 2 % specials.count]
  }
  static let y = Noise.floats(total, in: -20...20, seed: 2).enumerated().map {
    $0.offset % 7 == 3 ? specials[$0.offset % specials.count] : $0.element
  }
  static let bytes = (0..<total).map { UInt8(truncatingIfNeeded: $0 % 3 == 0 ? 0 : $0 * 37 | 1) }

  /// Each element computed alone: what it must be wherever it stands.
  func alone(_ kernel: ElementwiseKernel, _ set: KernelSet) -> [Float] {
    (0..<Self.total).map { i in
      var y = Self.y[i]
      withUnsafePointer(to: Self.x[i]) { x in
        withUnsafePointer(to: Self.bytes[i]) { bytes in
          withUnsafeMutablePointer(to: &y) { y in
            kernel.run(set.kernels, .init(x: x, y: y, bytes: bytes, position: i, count: 1))
          }
        }
      }
      return y
    }
  }

  @Test(arguments: KernelSet.available, ElementwiseKernel.all)
  func touchesItsElementsOnlyAndGivesEachTheSameBitsEverywhere(set: KernelSet, kernel: ElementwiseKernel) {
    let expected = alone(kernel, set)
    for count in lengths {
      for edge in GuardedBuffer<Float>.Edge.allCases {
        let x = GuardedBuffer(Self.x[..<count], edge: edge)
        let y = GuardedBuffer(Self.y[..<count], edge: edge)
        let bytes = GuardedBuffer(Self.bytes[..<count], edge: edge == .start ? .start : .end)
        kernel.run(set.kernels, .init(x: x.base, y: y.base, bytes: bytes.base, position: 0, count: count))
        #expect(sameBits(y.values, Array(expected[..<count])), "\(count) elements, guarded at the \(edge)")
        #expect(sameBits(x.values, Array(Self.x[..<count])), "x changed")
        #expect(x.surroundingsAreIntact && y.surroundingsAreIntact && bytes.surroundingsAreIntact)
        if kernel.mapsXToY {
          kernel.run(set.kernels, .init(x: x.base, y: x.base, bytes: bytes.base, position: 0, count: count))
          #expect(sameBits(x.values, Array(expected[..<count])), "\(count) elements in place")
          #expect(x.surroundingsAreIntact)
        }
      }
    }
  }

  @Test(arguments: KernelSet.available, ElementwiseKernel.all)
  func takesAnyAlignment(set: KernelSet, kernel: ElementwiseKernel) {
    let expected = alone(kernel, set)
    for offset in 0..<17 {
      for count in lengths {
        var y = Self.y
        Self.x.withUnsafeBufferPointer { x in
          Self.bytes.withUnsafeBufferPointer { bytes in
            y.withUnsafeMutableBufferPointer { y in
              kernel.run(
                set.kernels,
                .init(
                  x: x.baseAddress! + offset, y: y.baseAddress! + offset, bytes: bytes.baseAddress! + offset,
                  position: offset, count: count))
            }
          }
        }
        let inside = offset..<(offset + count)
        let right = y.indices.allSatisfy { sameBits(y[$0], inside.contains($0) ? expected[$0] : Self.y[$0]) }
        #expect(right, "\(count) elements from \(offset)")
      }
    }
  }
}
