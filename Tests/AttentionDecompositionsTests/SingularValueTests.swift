import Attention
import AttentionDecompositions
import AttentionTestSupport
import Testing

@Suite struct SingularValueTests {
  typealias Algorithm = SingularValueDecomposition.Algorithm

  /// Both routines: the second is there for matrices on which the first does not converge.
  @Test(arguments: Matrices.shapes, Algorithm.allCases) func factors(_ shape: [Int], _ algorithm: Algorithm) throws {
    let matrix = Matrices.normal(shape)
    let decomposition = try SingularValueDecomposition(of: matrix, by: algorithm)
    let values = decomposition.singularValues.values
    let inner = min(shape[0], shape[1])
    #expect(values.count == inner && decomposition.singularValues.shape == shape)
    #expect(values == values.sorted(by: >) && values.allSatisfy { $0 >= 0 })
    #expect(decomposition.leftVectors.shape == [shape[0], inner])
    #expect(decomposition.rightVectorsTransposed.shape == [inner, shape[1]])
    let scaled = Matrices.product(decomposition.leftVectors, Matrices.diagonal(values))
    #expect(Matrices.distance(Matrices.product(scaled, decomposition.rightVectorsTransposed), matrix) < 3e-5)
    #expect(Matrices.orthonormalityError(ofColumnsOf: decomposition.leftVectors) < 5e-6)
    #expect(
      Matrices.orthonormalityError(ofColumnsOf: Matrices.transposed(decomposition.rightVectorsTransposed)) < 5e-6)
    let alone = try SingularValues(of: matrix).values
    #expect(zip(alone, values).allSatisfy { abs($0 - $1) <= 1e-5 * values[0] })
  }

  /// Against NumPy in float64.
  @Test func knownSpectra() throws {
    let matrix = Tensor([2, -1, 0, 4, 3, 1, -2, 5, 7, 1, 0, -3], shape: [4, 3])
    let values = try SingularValues(of: matrix)
    let expected: [Float] = [9.41267239, 5.12573576, 2.03185418]
    #expect(zip(values.values, expected).allSatisfy { abs($0 - $1) < 4e-6 })
    #expect(abs(values.effectiveRank - 2.5639545383) < 1e-6)
    let hilbert = try SingularValues(of: Matrices.hilbert(6)).values
    let known: [Float] = [1.61889986, 0.242360871, 0.0163215213, 0.000615748354, 1.25707571e-05, 1.0827995e-07]
    #expect(zip(hilbert, known).allSatisfy { abs($0 - $1) < 3e-7 })
  }

  @Test func ranks() throws {
    let left = Matrices.normal([40, 3], seed: 2)
    let right = Matrices.normal([3, 25], seed: 3)
    let deficient = try SingularValues(of: Matrices.product(left, right))
    #expect(deficient.rank() == 3)
    #expect(deficient.effectiveRank < 3.01 && deficient.effectiveRank > 2)
    #expect(deficient.rank(tolerance: deficient.values[0]) == 0)
    #expect(deficient.rank(tolerance: deficient.values[1]) == 1)
    let even = try SingularValues(of: Matrices.diagonal([2, 2, 2, 2, 2]))
    #expect(abs(even.effectiveRank - 5) < 1e-5 && even.rank() == 5)
    let one = try SingularValues(of: Tensor(repeating: 1, shape: [6, 4]))
    #expect(abs(one.effectiveRank - 1) < 1e-4 && one.rank() == 1)
    let zero = try SingularValues(of: Tensor(zeros: [3, 3]))
    #expect(zero.effectiveRank == 0 && zero.rank() == 0 && zero.values == [0, 0, 0])
    // Two equal values and a third of half their size: by hand, shares 0.4, 0.4, 0.2.
    let uneven = SingularValues(values: [2, 2, 1], shape: [3, 3])
    #expect(abs(uneven.effectiveRank - 2.8717458875) < 1e-9)
  }

  @Test func extremeScales() throws {
    for scale in [Float(1e-38), 1e-20, 1e20, 1e37] {
      let matrix = Matrices.diagonal([scale, 3 * scale, 2 * scale])
      let values = try SingularValues(of: matrix).values
      #expect(zip(values, [3, 2, 1]).allSatisfy { abs($0 / scale - $1) < 1e-4 })
    }
  }

  @Test(arguments: [[0, 0], [0, 3], [4, 0]]) func emptyMatrices(_ shape: [Int]) throws {
    let decomposition = try SingularValueDecomposition(of: Tensor(zeros: shape))
    #expect(decomposition.leftVectors.shape == [shape[0], 0])
    #expect(decomposition.rightVectorsTransposed.shape == [0, shape[1]])
    #expect(decomposition.singularValues.values.isEmpty && decomposition.singularValues.effectiveRank == 0)
    #expect(try SingularValues(of: Tensor(zeros: shape)).rank() == 0)
  }
}
