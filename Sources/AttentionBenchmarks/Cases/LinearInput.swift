import Attention

/// A case of a linear map with its numbers, and the ways to compute it.
package struct LinearInput: Sendable {
  package let sizes: LinearCase
  let x: Tensor
  /// `[outputs, inputs]`, as PyTorch has it.
  let weight: Tensor
  let bias: Tensor
  private let packed: PackedMatrix
  /// `[inputs, outputs]`.
  private let columns: Tensor

  /// Draws a case. Weights are so small that outputs are of the size of the inputs, as in a model.
  package init(_ sizes: LinearCase, seed: UInt64) {
    self.sizes = sizes
    var generator = SeededGenerator(seed: seed ^ drawingHash(of: sizes.description))
    x = Tensor(randomNormal: [sizes.rows, sizes.inputs], using: &generator)
    let bound = 1 / Float(sizes.inputs).squareRoot()
    weight = Tensor(randomUniform: [sizes.outputs, sizes.inputs], in: -bound..<bound, using: &generator)
    bias = Tensor(randomUniform: [sizes.outputs], in: -1..<1, using: &generator)
    packed = PackedMatrix(transposing: weight)
    columns = packed.unpacked()
  }

  /// By one of the ways.
  ///
  /// - Parameter threads: OpenBLAS's own, for its products.
  package func run(_ way: LinearWay, threads: Int) -> Tensor {
    guard way != .linear else { return run() }
    var result = Tensor(uninitialized: [sizes.rows, sizes.outputs]) { _ in }
    OpenBLAS.withThreads(threads) { _ in product(way, into: &result) }
    return result
  }

  /// Bias and activation included, the weight packed before: as a layer runs it.
  func run() -> Tensor { linear(x, packed: packed, bias: bias, activation: sizes.activation) }

  /// The product alone by one call of `cblas_sgemm`, on as many threads as OpenBLAS is set to.
  func product(_ way: LinearWay, into result: inout Tensor) {
    let right = way == .sgemmTransposed ? weight : columns
    result.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      MatrixProduct.multiply(
        MatrixView(matrix: x), MatrixView(matrix: right), transposingRight: way == .sgemmTransposed,
        into: MutableMatrixView(base: base, rows: sizes.rows, columns: sizes.outputs, rowStride: sizes.outputs))
    }
    withExtendedLifetime(right) {}
  }

  /// What a way's results are held against.
  package func expected(of way: LinearWay) -> LinearReference { LinearReference(self, isWhole: way == .linear) }
}

/// How a linear map is computed.
package enum LinearWay: String, CaseIterable, Sendable {
  /// By tiles over the packed weight, bias and activation included.
  case linear
  /// The product alone by one `cblas_sgemm` on OpenBLAS's own threads, the weight lying `[inputs, outputs]`.
  case sgemm = "sgemm NN"
  /// The same, the weight lying `[outputs, inputs]`.
  case sgemmTransposed = "sgemm NT"
}

/// A linear map in float64.
package struct LinearReference: Verifiable {
  private let input: LinearInput
  /// Whether bias and activation are part of it.
  private let isWhole: Bool

  init(_ input: LinearInput, isWhole: Bool) {
    self.input = input
    self.isWhole = isWhole
  }

  package var outputRows: Int { input.sizes.rows }
  package var valueWidth: Int { input.sizes.outputs }
  package var rowWork: Double { Double(input.sizes.inputs) * Double(input.sizes.outputs) }

  package func forEachExpectedRow(_ rows: [Int], _ check: @Sendable (Int, [Double]) -> Void) {
    let (inputs, outputs) = (input.sizes.inputs, input.sizes.outputs)
    let (x, weight, bias) = (
      Unchecked(input.x.unsafeBase), Unchecked(input.weight.unsafeBase), Unchecked(input.bias.unsafeBase)
    )
    WorkerPool.shared.forEachWithoutProducts(rows.count, inline: Double(rows.count) * rowWork < 65536) { index in
      let row = x.value + rows[index] * inputs
      let expected = (0..<outputs).map { output in
        let other = weight.value + output * inputs
        var sum = 0.0
        for position in 0..<inputs { sum += Double(row[position]) * Double(other[position]) }
        guard isWhole else { return sum }
        sum += Double(bias.value[output])
        return input.sizes.activation?.reference(sum) ?? sum
      }
      check(rows[index], expected)
    }
    withExtendedLifetime(input) {}
  }

  /// None: outputs are of a size at which the contract's first bound is the one that holds.
  package func runNaively() -> Tensor? { nil }
}
