import Attention
import AttentionBenchmarks
import AttentionTestSupport
import Testing

/// What a row says of its results: that they repeat, and how far they are from float64.
@Suite("Verification", .exclusiveThreadCount)
struct VerificationTests {
  private static let quiet = Float(bitPattern: 0x7FC0_0000)

  @Test(
    "Bits are compared, not values",
    arguments: [
      ([1, 2], [1, 2], true), ([0, 1], [-0.0, 1], false), ([quiet, 1], [quiet, 1], true),
      ([quiet], [Float(bitPattern: 0x7FC0_0001)], false), ([quiet], [Float(bitPattern: 0xFFC0_0000)], false),
      ([1, 2], [1, Float(2).nextUp], false), ([.infinity], [.infinity], true), ([.infinity], [-.infinity], false),
    ] as [([Float], [Float], Bool)])
  func sameBits(left: [Float], right: [Float], same: Bool) {
    let (left, right) = (Tensor(left, shape: [left.count]), Tensor(right, shape: [right.count]))
    #expect(Verification.haveSameBits(left, right) == same)
    #expect(Verification.haveSameBits(right, left) == same)
  }

  @Test("Every bit counts", arguments: 0..<32)
  func oneFlippedBit(bit: Int) {
    let values: [Float] = [0.5, -3, 7]
    var flipped = values
    flipped[1] = Float(bitPattern: values[1].bitPattern ^ 1 << UInt32(bit))
    #expect(!Verification.haveSameBits(Tensor(values, shape: [3]), Tensor(flipped, shape: [3])))
  }

  /// The runs are one, another, and one on a single thread; each of the two must match the first.
  @Test(arguments: [(nil, true), (0, false), (1, false), (2, false)] as [(Int?, Bool)])
  func oneRunThatDiffersIsNotRepeatable(odd: Int?, isRepeatable: Bool) throws {
    let input = AttentionInput(try BenchmarkCase(parsing: "h1q3d2"), seed: 0)
    let threads = Engine.threadCount.count
    var run = 0
    let verification = Verification(input, seed: 0) {
      defer { run += 1 }
      let output = input.run(.naive)
      var scalars = output.scalars
      if run == odd { scalars[5] = scalars[5].nextUp }
      return Tensor(scalars, shape: output.shape)
    }
    #expect(run == 3)
    #expect(verification.isRepeatable == isRepeatable)
    #expect(verification.maximumError < 1e-5 && verification.rows == 3)
    #expect(Engine.threadCount.count == threads)
  }

  @Test(arguments: [(Float(0), true), (1e-6, true), (1e-3, false), (.nan, false), (.infinity, false)])
  func wrongNumbersAreOutsideTheContract(shift: Float, isWithin: Bool) throws {
    let input = AttentionInput(try BenchmarkCase(parsing: "h1q3d2"), seed: 0)
    let verification = Verification(input, seed: 0) {
      let output = input.run(.blas)
      return Tensor(output.scalars.map { $0 + shift }, shape: output.shape)
    }
    #expect(verification.isWithinContract == isWithin)
  }
}
