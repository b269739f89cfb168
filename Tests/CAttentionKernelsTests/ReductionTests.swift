import AttentionTestSupport
import CAttentionKernels
import Testing

@Suite struct ReductionTests {
  static let counts = Array(lengths) + [127, 128, 129, 512, 1000, 4099]

  @Test(arguments: KernelSet.available)
  func maxIsTheLargest(set: KernelSet) {
    for count in Self.counts {
      let x = Noise.floats(count, in: -50 ... -1, seed: count)
      for edge in GuardedBuffer<Float>.Edge.allCases {
        let largest = GuardedBuffer(x, edge: edge).withBase { set.kernels.max($0, count) }
        #expect(largest == x.max() ?? -.infinity)
      }
    }
  }

  @Test(arguments: KernelSet.available)
  func maxFindsTheLargestAndANaNAtEveryPosition(set: KernelSet) {
    for count in lengths {
      var x = [Float](repeating: -.infinity, count: count)
      #expect(set.kernels.max(x, count) == -.infinity)
      for position in 0..<count {
        for other: Float in [-.infinity, 0, .infinity] {
          x = [Float](repeating: other, count: count)
          x[position] = .nan
          #expect(set.kernels.max(x, count).isNaN, "NaN at \(position) of \(count), else \(other)")
        }
        x = [Float](repeating: -2, count: count)
        x[position] = -1
        #expect(set.kernels.max(x, count) == -1)
      }
    }
  }

  @Test(arguments: KernelSet.available)
  func sumAndDotAreCloseToDoubleAndDependOnTheLengthAlone(set: KernelSet) {
    for count in Self.counts {
      let x = Noise.floats(count, in: -1...1, seed: count)
      let y = Noise.floats(count, in: -1...1, seed: count + 1)
      var sums: Set<UInt32> = []
      var dots: Set<UInt32> = []
      for edge in GuardedBuffer<Float>.Edge.allCases {
        let (a, b) = (GuardedBuffer(x, edge: edge), GuardedBuffer(y, edge: edge))
        sums.insert(a.withBase { set.kernels.sum($0, count).bitPattern })
        dots.insert(a.withBase { a in b.withBase { b in set.kernels.dot(a, b, count).bitPattern } })
      }
      #expect(sums.count == 1 && dots.count == 1, "\(count)")
      // At most n/32 + 8 additions follow one another in an accumulator of the narrowest set.
      let bound = Double(count / 32 + 8) * 0x1p-24
      let sum = zip(x, y).reduce(into: (sum: 0.0, ofAbs: 0.0, dot: 0.0, ofAbsDot: 0.0)) {
        $0.sum += Double($1.0)
        $0.ofAbs += Double(abs($1.0))
        $0.dot += Double($1.0) * Double($1.1)
        $0.ofAbsDot += Double(abs($1.0 * $1.1))
      }
      #expect(abs(Double(Float(bitPattern: sums.first!)) - sum.sum) <= bound * sum.ofAbs, "sum of \(count)")
      #expect(abs(Double(Float(bitPattern: dots.first!)) - sum.dot) <= bound * sum.ofAbsDot, "dot of \(count)")
    }
  }

  @Test(arguments: KernelSet.available)
  func sumAndDotSeeEveryElement(set: KernelSet) {
    for count in lengths {
      let ones = [Float](repeating: 1, count: count)
      #expect(set.kernels.sum(ones, count) == Float(count) && set.kernels.dot(ones, ones, count) == Float(count))
      for position in 0..<count {
        var x = ones
        x[position] = .nan
        #expect(set.kernels.sum(x, count).isNaN && set.kernels.dot(x, ones, count).isNaN)
        #expect(set.kernels.dot(ones, x, count).isNaN)
      }
    }
  }

  @Test(arguments: KernelSet.available)
  func allFiniteFindsEveryKindAtEveryPosition(set: KernelSet) {
    for count in lengths {
      for edge in GuardedBuffer<Float>.Edge.allCases {
        let x = GuardedBuffer(repeating: Float.greatestFiniteMagnitude, count: count, edge: edge)
        #expect(x.withBase { set.kernels.all_finite($0, count) })
        for position in 0..<count {
          for bad: Float in [.infinity, -.infinity, .nan, -.nan, .signalingNaN] {
            x.elements[position] = bad
            #expect(!x.withBase { set.kernels.all_finite($0, count) }, "\(bad) at \(position) of \(count)")
          }
          x.elements[position] = -.leastNonzeroMagnitude
        }
      }
    }
  }
}
