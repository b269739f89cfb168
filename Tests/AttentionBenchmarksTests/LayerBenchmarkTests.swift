import Attention
import AttentionBenchmarks
import AttentionTestSupport
import Testing

/// The subject `layers`: its cases, its references, and whether it finds what is wrong.
@Suite("Subject layers", .exclusiveThreadCount)
struct LayerBenchmarkTests {
  private func cases(_ text: String, memory: Int = 1 << 40) throws(BenchmarkCaseError) -> [String] {
    try LayerCase.list(parsing: text, limits: CaseLimits(memory: memory, cases: 1_000)).map(\.description)
  }

  @Test func listsAndRanges() throws {
    #expect(try cases("block-t8w4h2f16") == ["block-t8w4h2f16"])
    #expect(try cases("lstm,gru-b1,2l3i4h5; lstm-b1l3i4h5").count == 4)
    #expect(try cases("gelu-w2m1-4*2") == ["gelu-m1w2", "gelu-m2w2", "gelu-m4w2"])
    #expect(try cases(LayerCase.defaultList).count == 8)
    for kind in LayerCase.Kind.allCases {
      let sizes = kind.isRowwise ? "m2w4" : kind.isRecurrent ? "b1l2i3h4" : "t3w4h2f5"
      #expect(try cases("\(kind)-\(sizes)") == ["\(kind)-\(sizes)"])
    }
  }

  @Test(arguments: [
    ("", "expected a case such as lstm-b32l128i384h384 at character 1, found none"),
    ("conv-m1w2", "expected one of block, preblock, rnn"), ("lstm", "expected -, as in lstm-b32l128i384h384"),
    ("lstm-b1l2i3", "expected h (hidden), as in lstm-b32l128i384h384 at character 12, found the end"),
    ("lstm,gelu-b1l2i3h4", "expected a layer with the sizes of lstm"), ("lstm,lstm-b1l2i3h4", "lstm is given twice"),
    ("gelu-m1m2w3", "m is given twice"), ("gelu-m0w3", "m is out of range"), ("gelu-m1w3x", "expected the end"),
    ("gelu-m99999999999w3", "m is out of range"), ("block-t4w6h4f8", "expected a width that 4 heads divide"),
    ("lstm-m3w4", "expected b (batch)"), ("gelu-m1-2000w2", "more than 1000 cases"),
  ])
  func whatIsNoCaseIsRefused(text: String, reason: String) {
    #expect {
      try cases(text)
    } throws: { error in
      (error as? BenchmarkCaseError)?.description.contains(reason) ?? false
    }
  }

  @Test func memoryIsLimited() throws {
    #expect(try cases("gelu-m1000w1000", memory: 17 << 20).count == 1)
    #expect(throws: BenchmarkCaseError.tooLargeTogether(cases: 2, limit: 17 << 20)) {
      try cases("gelu,softmax-m1000w1000", memory: 17 << 20)
    }
    #expect {
      try cases("block-t2147483647w2147483647h1f2147483647")
    } throws: { error in
      (error as? BenchmarkCaseError)?.description.contains("block-t2147483647w2147483647h1f2147483647") ?? false
    }
  }

  @Test func lengthsAreEachFromOneToSixtyThree() throws {
    let one = try LayerCase.list(parsing: "block-t2016w4h2f4")[0]
    #expect(one.lengths.sorted() == Array(1...63))
    #expect(try LayerCase.list(parsing: "block-t100w4h2f4")[0].lengths == [1, 30, 59, 10])
  }

  /// Sizes that are no multiple of a vector, and past the edges of tiles.
  @Test(arguments: [
    "block-t70w36h3f52", "preblock-t70w36h3f52", "rnn-b3l5i7h9", "lstm-b3l5i7h35", "gru-b3l5i7h35",
  ])
  func layersAreRight(name: String) throws {
    let reference = LayerReference(LayerInput(try LayerCase.list(parsing: name)[0], seed: 3))
    for output in [reference.input.forward(), reference.input.training().output] {
      let found = Verification(reference, seed: 3) { output }
      #expect(found.isWithinContract && found.maximumError < 1e-5)
      #expect(found.rows == reference.outputRows)
    }
    let slopes = try #require(reference.checkSlopes(seed: 3) { reference.input.training(upstream: $0).gradients })
    #expect(slopes.error < 1e-5)
  }

  @Test(arguments: ["layernorm", "rmsnorm", "softmax", "gelu"])
  func operationsOnRowsAreRight(kind: String) throws {
    let reference = LayerReference(LayerInput(try LayerCase.list(parsing: "\(kind)-m37w101")[0], seed: 5))
    let found = Verification(reference, seed: 5) { reference.input.forward() }
    #expect(found.isWithinContract && found.maximumError < 1e-5 && found.rows == 37)
  }

  /// One scalar off by a hundredth, and a NaN.
  @Test(arguments: ["block-t70w36h3f52", "lstm-b3l5i7h9", "gelu-m37w101"])
  func wrongOutputsAreFound(name: String) throws {
    let reference = LayerReference(LayerInput(try LayerCase.list(parsing: name)[0], seed: 3))
    let right = reference.input.forward()
    for wrong: (Float) -> Float in [{ $0 + 0.01 }, { _ in .nan }] {
      for place in [0, right.count / 2, right.count - 1] {
        var output = right
        output.withUnsafeMutableBufferPointer { $0[place] = wrong($0[place]) }
        #expect(!Verification(reference, seed: 3) { output }.isWithinContract)
      }
    }
  }

  /// A gradient left out, doubled, of another sign, or not a number: of each parameter, and of the input.
  @Test(arguments: ["block-t20w12h3f20", "preblock-t20w12h3f20", "rnn-b2l4i5h6", "lstm-b2l4i5h6", "gru-b2l4i5h6"])
  func wrongGradientsAreFound(name: String) throws {
    let reference = LayerReference(LayerInput(try LayerCase.list(parsing: name)[0], seed: 7))
    let places = reference.input.parameters.count + 1
    for factor: Float in [0, 2, -1, 1.01, .nan] {
      for place in 0..<places {
        let found = reference.checkSlopes(seed: 7) { upstream in
          var gradients = reference.input.training(upstream: upstream).gradients
          gradients[place] = gradients[place] * factor
          return gradients
        }
        let error = try #require(found).error
        #expect(!(error <= LayerReference.SlopeCheck.tolerance), "\(place) times \(factor): \(error)")
      }
    }
  }

  @Test func rowsSayWhatWasMeasured() throws {
    let cases = try LayerCase.list(parsing: "block-t20w12h3f20 gru-b2l4i5h6 softmax-m64w32")
    let report = LayerBenchmark(cases: cases, seed: 1, repeats: 2).run().report
    let ways = report.rows.map(\.key)
    #expect(
      ways == [
        "block-t20w12h3f20 forward", "block-t20w12h3f20 training", "gru-b2l4i5h6 forward", "gru-b2l4i5h6 training",
        "softmax-m64w32 forward", "softmax-m64w32 copy in pieces", "softmax-m64w32 copy in parts",
      ])
    #expect(report.rows.allSatisfy { $0.faults.isEmpty })
    let (linear, squares) = (2.0 * 20 * 12 * (48 + 40), 4.0 * 12 * (1 + 19 * 19))
    #expect(report.rows[0].usefulGFLOP == (linear + squares) / 1e9)
    #expect(report.rows[1].usefulGFLOP == (3 * linear + 3.5 * squares) / 1e9)
    #expect(report.rows[2].usefulGFLOP == 2 * 3 * 8 * 6 * 11 / 1e9)
    #expect(report.rows[4].gflops == nil && report.rows[4].copyFraction != nil && report.rows[5].checks == nil)
    #expect(report.rows[1].slopeError.map { $0 < 1e-5 } == true && report.rows[0].slopeError == nil)
  }
}
