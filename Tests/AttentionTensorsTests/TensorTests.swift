import AttentionTensors
import AttentionTestSupport
import Foundation
import Testing

@Suite struct TensorTests {
  @Test func shapeAndScalars() {
    let tensor = Tensor((0..<6).map(Float.init), shape: [2, 3])
    #expect(tensor.rank == 2)
    #expect(tensor.count == 6)
    #expect(tensor[1, 0] == 3)
    #expect(tensor.reshaped(to: [3, 2])[1, 0] == 2)
    #expect(Tensor([7], shape: [])[] == 7)
    #expect(Tensor(zeros: [2, 0, 3]).count == 0)
    #expect(Tensor(zeros: [2, 0, 3]).scalars.isEmpty)
    #expect(tensor == Tensor((0..<6).map(Float.init), shape: [2, 3]))
    #expect(tensor != tensor.reshaped(to: [6]))
    #expect(Tensor([.nan], shape: [1]) != Tensor([.nan], shape: [1]))
    #expect(tensor.description.contains("[2, 3]"))
  }

  @Test func writingACopyLeavesTheOriginal() {
    let original = Tensor(repeating: 1, shape: [4])
    var copy = original
    copy[2] = 9
    copy.withUnsafeMutableBufferPointer { $0[0] = 8 }
    #expect(original.scalars == [1, 1, 1, 1])
    #expect(copy.scalars == [8, 1, 9, 1])
    var reshaped = original.reshaped(to: [2, 2])
    reshaped[0, 0] = 5
    #expect(original[0] == 1)
  }

  @Test func copiesInManyTasksAreIndependent() async {
    let original = Tensor((0..<1000).map(Float.init), shape: [1000])
    let sums = await withTaskGroup(of: Float.self) { group in
      for task in 0..<32 {
        group.addTask {
          var copy = original
          for index in 0..<1000 { copy[index] += Float(task) }
          return copy.scalars.reduce(0, +)
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(Set(sums) == Set((0..<32).map { Float(499_500 + 1000 * $0) }))
    #expect(original.scalars.reduce(0, +) == 499_500)
  }

  @Test(arguments: [
    0, 1, 63, 64, 65, 80, 81, 100, 127, 128, 129, 1_000, 4_096, 5_000, 1 << 20, (1 << 20) + 1, 3_000_000,
  ])
  func sizeClassesHoldWithLittleSlack(_ bytes: Int) {
    let sizeClass = TensorStorage.sizeClass(forBytes: bytes)
    #expect(sizeClass >= bytes)
    #expect(sizeClass % 64 == 0)
    #expect(sizeClass <= max(64, bytes + max(64, bytes / 4)))
    #expect(TensorStorage.sizeClass(forBytes: sizeClass) == sizeClass)
  }

  @Test func storageIsAligned() {
    for count in [1, 15, 16, 17, 1000, 100_000] {
      Tensor(zeros: [count]).withUnsafeBufferPointer {
        #expect(UInt(bitPattern: $0.baseAddress) % 64 == 0)
      }
    }
  }

  @Test func randomIsSeededAndNormal() {
    var first = SeededGenerator(seed: 3)
    var second = SeededGenerator(seed: 3)
    var other = SeededGenerator(seed: 4)
    let a = Tensor(randomNormal: [100_001], mean: 2, standardDeviation: 3, using: &first)
    #expect(a == Tensor(randomNormal: [100_001], mean: 2, standardDeviation: 3, using: &second))
    #expect(a != Tensor(randomNormal: [100_001], mean: 2, standardDeviation: 3, using: &other))
    let mean = a.scalars.reduce(0.0) { $0 + Double($1) } / 100_001
    let variance = a.scalars.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / 100_000
    // Four standard errors.
    #expect(abs(mean - 2) < 4 * 3 / 316)
    #expect(abs(variance / 9 - 1) < 4 * 0.00447)
    let u = Tensor(randomUniform: [10_000], in: -1..<1, using: &first)
    #expect(u.scalars.allSatisfy { $0 >= -1 && $0 < 1 })
    #expect(abs(u.scalars.reduce(0, +) / 10_000) < 0.03)
  }

  /// The numbers of a seed are what the standard library's own functions make of the generator, and as many are drawn;
  /// fixtures and benchmark cases are seeded.
  @Test(arguments: [0, 1, 2, 2047, 2048, 2049, 10_001])
  func randomNumbersOfASeed(_ count: Int) {
    var generator = SeededGenerator(seed: UInt64(count))
    var plain = generator
    let normal = Tensor(randomNormal: [count], mean: 0.5, standardDeviation: 3, using: &generator)
    var expected: [Float] = []
    while expected.count < count {
      let radius = (-2 * log(1 - Double.random(in: 0..<1, using: &plain))).squareRoot()
      let angle = 2 * Double.pi * Double.random(in: 0..<1, using: &plain)
      expected += [0.5 + 3 * Float(radius * cos(angle)), 0.5 + 3 * Float(radius * sin(angle))]
    }
    #expect(normal.scalars == Array(expected.prefix(count)))
    // On few floats, many draws round to the upper bound and are drawn again.
    for range in [-0.3..<0.7, Float(1)..<1.0000005] {
      let uniform = Tensor(randomUniform: [count], in: range, using: &generator)
      #expect(uniform.scalars == (0..<count).map { _ in Float.random(in: range, using: &plain) })
    }
    #expect(generator.next() == plain.next())
  }

  @Test func misuseShowsTheShape() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Tensor([1, 2, 3], shape: [2, 2])
    }
    #expect(message(result).contains("[2, 2]"))
    let negative = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Tensor(zeros: [2, -2])
    }
    #expect(message(negative).contains("[2, -2]"))
    let huge = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Tensor(zeros: [1 << 40, 1 << 40])
    }
    #expect(message(huge).contains("1099511627776"))
    await #expect(processExitsWith: .failure) { _ = Tensor(zeros: [2, 3])[2, 0] }
    await #expect(processExitsWith: .failure) { _ = Tensor(zeros: [2, 3]).reshaped(to: [7]) }
    await #expect(processExitsWith: .failure) { _ = Tensor(zeros: [2]).softmax(along: 1) }
    await #expect(processExitsWith: .failure) {
      var generator = SeededGenerator(seed: 1)
      _ = Tensor(randomUniform: [2], in: 1..<1, using: &generator)
    }
    await #expect(processExitsWith: .failure) { _ = BooleanTensor([true], shape: [2]) }
  }

  @Test func booleanTensors() {
    let cells = BooleanTensor([true, false, true, true], shape: [2, 2])
    #expect(cells.cells == [true, false, true, true])
    #expect(cells == BooleanTensor([true, false, true, true], shape: [2, 2]))
    #expect(cells != BooleanTensor([true, false, true, true], shape: [4]))
    #expect(cells != BooleanTensor([true, false, false, true], shape: [2, 2]))
    #expect(BooleanTensor([], shape: [0, 3]).cells.isEmpty)
  }
}
