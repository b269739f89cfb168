import AttentionTestSupport
import CAttentionKernels
import Testing

@Suite struct DispatchTests {
  @Test func everyMachineHasThePortableSetAndTheWidestIsTheLastOfTheAvailable() {
    #expect(KernelSet.available.first?.testDescription == "portable")
    #expect(attention_kernels_widest().pointee.isa.rawValue == KernelSet.available.last?.isa)
    #expect(attention_kernels_for(attention_instruction_set(rawValue: 99)) == nil)
  }

  @Test(arguments: KernelSet.available)
  func theSetIsWhatWasAskedFor(set: KernelSet) {
    let expected: [(isa: UInt32, name: String, lanes: Int)] = [(0, "portable", 4), (1, "avx2", 8), (2, "avx512", 16)]
    let found = expected[Int(set.isa)]
    #expect(set.kernels.isa.rawValue == found.isa)
    #expect(set.testDescription == found.name && set.kernels.lanes == found.lanes)
  }

  @Test(arguments: KernelSet.available)
  func peakCountsItsOperationsAndEndsOnAFiniteNumber(set: KernelSet) {
    var sink = Float.nan
    let one = set.kernels.fma_peak(1, &sink)
    #expect(one > 0 && one.truncatingRemainder(dividingBy: Double(2 * set.kernels.lanes)) == 0 && sink.isFinite)
    #expect(set.kernels.fma_peak(1000, &sink) == 1000 * one)
    // x/2 + 1 tends to 2 in every lane of every chain.
    #expect(sink == Float(one))
  }

  @Test(arguments: KernelSet.available)
  func everyReadPatternReadsEveryElementAndNoOther(set: KernelSet) {
    var names: Set<String> = []
    for pattern in 0..<set.kernels.read_patterns {
      names.insert(String(cString: attention_read_pattern_name(pattern)))
      for count in Array(lengths) + [255, 256, 257, 511, 512, 1111] {
        for edge in GuardedBuffer<Float>.Edge.allCases {
          let x = GuardedBuffer((0..<count).map { Float($0 % 16) }, edge: edge)
          let sum = Float((0..<count).reduce(0) { $0 + $1 % 16 })
          #expect(x.withBase { set.kernels.read($0, count, pattern) } == sum, "\(count) by pattern \(pattern)")
        }
      }
      var x = [Float](repeating: 0, count: 600)
      for position in x.indices {
        x[position] = 1
        #expect(set.kernels.read(x, x.count, pattern) == 1, "element \(position) by pattern \(pattern)")
        x[position] = 0
      }
    }
    #expect(names.count == Int(set.kernels.read_patterns) && !names.contains("unknown"))
    #expect(String(cString: attention_read_pattern_name(-1)) == "unknown")
  }
}
