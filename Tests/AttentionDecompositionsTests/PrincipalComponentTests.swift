import Attention
import AttentionDecompositions
import AttentionTestSupport
import Testing

@Suite struct PrincipalComponentTests {
  /// Against NumPy in float64.
  @Test func knownComponents() throws {
    let points = Tensor([2, -1, 0, 4, 3, 1, -2, 5, 7, 1, 0, -3], shape: [4, 3])
    let components = try PrincipalComponents(of: points)
    #expect(components.mean == Tensor([1.25, 1.75, 1.25], shape: [3]))
    let expected = Tensor(
      [
        -0.334032045, 0.48138874, 0.810362557, 0.892868298, 0.437076336, 0.108399624, -0.302007939, 0.759755985,
        -0.575814248,
      ], shape: [3, 3])
    #expect(Matrices.distance(components.components, expected) < 2e-6)
    let variances: [Float] = [26.0201897, 4.04321291, 1.35326405]
    #expect(zip(components.explainedVariances, variances).allSatisfy { abs($0 - $1) < 1e-5 * $1 + 2e-6 })
    #expect(abs(components.explainedVarianceRatios.reduce(0, +) - 1) < 1e-6)
    // Coordinates of the points have the components' variances, and no mean.
    let coordinates = components.projected(points, count: 2)
    #expect(coordinates.shape == [4, 2])
    for column in 0..<2 {
      let values = (0..<4).map { coordinates[$0, column] }
      #expect(abs(values.reduce(0, +)) < 1e-5)
      #expect(abs(values.reduce(0) { $0 + $1 * $1 } / 3 - variances[column]) < 1e-4)
    }
  }

  /// A line in five dimensions, far from the origin: one component, and digits are not lost to the mean.
  @Test func aLineFarAway() throws {
    let points = Tensor((0..<20).flatMap { i in (0..<5).map { Float(10_000 + i * ($0 + 1)) } }, shape: [20, 5])
    let components = try PrincipalComponents(of: points)
    // Σ (i − 9.5)² / 19 = 35, times 1 + 4 + 9 + 16 + 25.
    #expect(abs(components.explainedVariances[0] - 35 * 55) < 0.01)
    #expect(components.explainedVariances[1] < 1e-6)
    let length = Float(55).squareRoot()
    for column in 0..<5 { #expect(abs(components.components[0, column] - Float(column + 1) / length) < 1e-6) }
  }

  @Test func equalPointsAndFewPoints() throws {
    let equal = try PrincipalComponents(of: Tensor(repeating: 3, shape: [4, 2]))
    #expect(equal.explainedVariances == [0, 0] && equal.explainedVarianceRatios == [0, 0])
    let two = try PrincipalComponents(of: Tensor([0, 0, 0, 3, 4, 0], shape: [2, 3]))
    #expect(two.components.shape == [2, 3])
    #expect(abs(two.explainedVariances[0] - 12.5) < 1e-5 && two.explainedVariances[1] < 1e-9)
  }

  @Test func oneVarianceNeedsTwoPoints() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = try PrincipalComponents(of: Tensor(zeros: [1, 3]))
    }
    #expect(message(result).contains("[1, 3]"))
  }

  @Test func pointsOfAnotherWidth() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = try PrincipalComponents(of: Tensor(zeros: [3, 3])).projected(Tensor(zeros: [3, 2]), count: 1)
    }
    #expect(message(result).contains("[3, 2]"))
  }
}
