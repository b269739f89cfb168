import Attention
import AttentionTestSupport
import Foundation
import Testing

@Suite struct EmbeddingTests {
  @Test func gatherEqualsAProductWithOneHotRows() {
    var generator = SeededGenerator(seed: 1)
    let table = Embedding(count: 5, width: 3, using: &generator)
    let ids = [4, 0, 4, 2]
    var hot = Tensor(zeros: [4, 5])
    for (row, id) in ids.enumerated() { hot[row, id] = 1 }
    #expect(table(ids) == matmul(hot, table.weight))
    #expect(table([]).shape == [0, 3])
  }

  @Test func repeatedIdsAccumulate() {
    let table = Embedding(weight: Tensor(zeros: [3, 2])).tracked()
    let slopes = gradients(of: table([2, 0, 2, 2]).sum(), withRespectTo: table)
    #expect(slopes["weight"] == Tensor([1, 1, 0, 0, 3, 3], shape: [3, 2]))
  }

  @Test(arguments: [-1, 5, Int.max]) func idsFromOutsideAreTypedErrors(_ id: Int) throws {
    let table = Embedding(weight: Tensor(zeros: [5, 2]))
    #expect(try table.rows(of: [0, 4]).shape == [2, 2])
    let error = #expect(throws: VocabularyError.self) { _ = try table.rows(of: [1, id]) }
    #expect(error?.id == id && error?.index == 1 && error?.count == 5)
    #expect(error?.description.contains("\(id)") == true)
  }

  @Test func idsInsideAreAPrecondition() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Embedding(weight: Tensor(zeros: [5, 2]))([5])
    }
    #expect(message(result).contains("no row 5 in a table [5, 2]"))
  }

  @Test func positionsOfALayout() {
    let layout = SequenceLayout(lengths: [3, 0, 2])
    #expect(layout.positions() == [0, 1, 2, 0, 1])
    #expect(layout.positions(startingAt: [5, 9, 1]) == [5, 6, 7, 1, 2])
  }

  /// Vaswani et al., §3.5, in float64.
  @Test(arguments: [1, 2, 7, 64]) func sinusoids(_ width: Int) {
    let positions = [0, 1, 2, 500, 100_000]
    let rows = SinusoidalPositions(width: width)(positions)
    for (row, position) in positions.enumerated() {
      for column in 0..<width {
        let angle = Double(position) / pow(10_000, Double(column / 2 * 2) / Double(width))
        let wanted = column.isMultiple(of: 2) ? sin(angle) : cos(angle)
        #expect(abs(Double(rows[row, column]) - wanted) < 1e-7)
      }
    }
  }

  /// The defining property (Su et al., §3.2): products of turned queries and keys depend on the distance alone.
  @Test(arguments: RotaryEmbedding.Pairing.allCases, [4, 8]) func rotary(
    _ pairing: RotaryEmbedding.Pairing, _ turned: Int
  ) {
    var generator = SeededGenerator(seed: 2)
    let (q, k) = (Tensor(randomNormal: [1, 8], using: &generator), Tensor(randomNormal: [1, 8], using: &generator))
    let rotary = RotaryEmbedding(width: turned, pairing: pairing)
    func product(_ i: Int, _ j: Int) -> Float {
      let (a, b) = (
        rotary(q, positions: [i], heads: 1, headWidth: 8), rotary(k, positions: [j], heads: 1, headWidth: 8)
      )
      return zip(a.scalars, b.scalars).reduce(0) { $0 + $1.0 * $1.1 }
    }
    #expect(abs(product(3, 1) - product(1003, 1001)) < 1e-5)
    #expect(abs(product(0, 0) - zip(q.scalars, k.scalars).reduce(0) { $0 + $1.0 * $1.1 }) < 1e-6)
    #expect(abs(product(3, 1) - product(3, 2)) > 1e-3)
    // Columns behind the turned ones stay, and so do those behind the heads.
    let wide = Tensor(randomNormal: [2, 20], using: &generator)
    let result = rotary(wide, positions: [7, 9], heads: 2, headWidth: 8)
    for row in 0..<2 {
      for column in 0..<20 where column >= 16 || column % 8 >= turned {
        #expect(result[row, column] == wide[row, column])
      }
    }
  }

  @Test func rotaryMisuse() async {
    let odd = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = RotaryEmbedding(width: 3)
    }
    #expect(message(odd).contains("a width of 3"))
    let narrow = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = RotaryEmbedding(width: 8)(Tensor(zeros: [2, 8]), positions: [0, 1], heads: 2, headWidth: 4)
    }
    #expect(message(narrow).contains("[2, 8] with 2 positions"))
  }
}
