import Attention
import AttentionDecompositions
import AttentionLayers
import AttentionTestSupport
import Testing

@Suite struct InitialisationTests {
  /// Every way to draw a weight, with the variance that its paper gives.
  enum Method: String, CaseIterable {
    case xavierUniform, xavierNormal, heUniform, heUniformOutput, heNormal, heNormalOutput, linearUniform, orthogonal

    func draw(_ shape: [Int], gain: Float = 1, seed: UInt64) -> Tensor {
      var generator = SeededGenerator(seed: seed)
      return switch self {
      case .xavierUniform: Tensor(xavierUniform: shape, gain: gain, using: &generator)
      case .xavierNormal: Tensor(xavierNormal: shape, gain: gain, using: &generator)
      case .heUniform: Tensor(heUniform: shape, gain: gain, using: &generator)
      case .heUniformOutput: Tensor(heUniform: shape, mode: .output, gain: gain, using: &generator)
      case .heNormal: Tensor(heNormal: shape, gain: gain, using: &generator)
      case .heNormalOutput: Tensor(heNormal: shape, mode: .output, gain: gain, using: &generator)
      case .linearUniform: Tensor(linearUniform: shape, inputs: shape[1], using: &generator)
      case .orthogonal: Tensor(orthogonal: shape, gain: gain, using: &generator)
      }
    }

    func variance(inputs: Float, outputs: Float, gain: Float) -> Float {
      switch self {
      case .xavierUniform, .xavierNormal: gain * gain * 2 / (inputs + outputs)
      case .heUniform, .heNormal: gain * gain / inputs
      case .heUniformOutput, .heNormalOutput: gain * gain / outputs
      case .linearUniform: 1 / (3 * inputs)
      // The short side's vectors have length 1.
      case .orthogonal: gain * gain / max(inputs, outputs)
      }
    }

    var isUniform: Bool { self != .orthogonal && rawValue.hasSuffix("niform") || self == .heUniformOutput }
  }

  @Test(arguments: Method.allCases) func moments(_ method: Method) {
    for (shape, gain) in [([300, 200], Float(1)), ([150, 400], 1.7), ([40, 20, 9], 1)] {
      let weight = method.draw(shape, gain: gain, seed: 7)
      #expect(weight.shape == shape)
      let field = Float(shape.dropFirst(2).reduce(1, *))
      var (inputs, outputs) = (Float(shape[1]) * field, Float(shape[0]) * field)
      if method == .linearUniform { inputs = Float(shape[1]) }
      if method == .orthogonal { outputs = Float(shape[0]) }
      let variance = method.variance(inputs: inputs, outputs: outputs, gain: gain)
      let count = Float(weight.count)
      let mean = weight.scalars.reduce(0, +) / count
      let found = weight.scalars.reduce(0) { $0 + $1 * $1 } / count
      // Five standard errors; a fourth moment is at most 3 variances squared.
      #expect(abs(mean) < 5 * (variance / count).squareRoot())
      #expect(abs(found / variance - 1) < 5 * (2 / count).squareRoot())
      if method.isUniform {
        let bound = (3 * variance).squareRoot() * 1.000001
        #expect(weight.scalars.allSatisfy { abs($0) <= bound })
        // Of 7,200 variates one lies this close to each bound.
        #expect(weight.scalars.max()! > 0.99 * bound && weight.scalars.min()! < -0.99 * bound)
      } else if method != .orthogonal {
        let beyond = weight.scalars.count { abs($0) > 2 * variance.squareRoot() }
        #expect(abs(Float(beyond) / count - 0.0455) < 5 * (0.0455 / count).squareRoot())
      }
    }
  }

  @Test(arguments: Method.allCases) func seeds(_ method: Method) {
    #expect(method.draw([9, 7], seed: 3) == method.draw([9, 7], seed: 3))
    #expect(method.draw([9, 7], seed: 3) != method.draw([9, 7], seed: 4))
    for shape in [[0, 3], [3, 0], [0, 0]] { #expect(method.draw(shape, seed: 1) == Tensor(zeros: shape)) }
    if method != .linearUniform { #expect(method.draw([2, 3], gain: 0, seed: 1) == Tensor(zeros: [2, 3])) }
  }

  @Test func gainOfRectifiers() {
    // He's gain keeps the mean square of what ReLU lets through: 2 / inputs.
    var generator = SeededGenerator(seed: 11)
    for weight in [
      Tensor(heNormal: [400, 300], using: &generator), Tensor(heUniform: [400, 300], using: &generator),
    ] {
      let square = weight.scalars.reduce(0) { $0 + $1 * $1 } / Float(weight.count)
      #expect(abs(square * 300 / 2 - 1) < 0.03)
    }
  }

  @Test(arguments: [[1, 1], [5, 5], [64, 64], [90, 33], [33, 90], [10, 4, 3]]) func orthogonality(_ shape: [Int]) {
    var generator = SeededGenerator(seed: 5)
    let weight = Tensor(orthogonal: shape, gain: 2, using: &generator)
    let (rows, columns) = (shape[0], shape.dropFirst().reduce(1, *))
    let scalars = weight.scalars.map(Double.init)
    let vectors =
      rows <= columns
      ? (0..<rows).map { row in (0..<columns).map { scalars[row * columns + $0] } }
      : (0..<columns).map { column in (0..<rows).map { scalars[$0 * columns + column] } }
    for (i, a) in vectors.enumerated() {
      for (j, b) in vectors.enumerated() {
        let product = zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
        #expect(abs(product - (i == j ? 4 : 0)) < 1e-5)
      }
    }
  }

  /// Uniform over rotations *and* reflections: without turned signs, traces would lean to one side.
  @Test func orthogonalMatricesAreUnbiased() {
    var generator = SeededGenerator(seed: 6)
    let traces = (0..<2000).map { _ in
      let weight = Tensor(orthogonal: [4, 4], using: &generator)
      return (0..<4).reduce(0) { $0 + weight[$1, $1] }
    }
    // A uniform orthogonal matrix's trace has mean 0 and variance 1.
    #expect(abs(traces.reduce(0, +) / 2000) < 5 / Float(2000).squareRoot())
    #expect(abs(traces.reduce(0) { $0 + $1 * $1 } / 2000 - 1) < 0.2)
  }

  @Test func aWeightHasTwoAxes() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      _ = Tensor(xavierUniform: [3], using: &generator)
    }
    #expect(message(result).contains("xavierUniform") && message(result).contains("[3]"))
  }

  @Test func gainsAreFinite() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      _ = Tensor(orthogonal: [3, 3], gain: .nan, using: &generator)
    }
    #expect(message(result).contains("a gain of nan"))
  }
}
