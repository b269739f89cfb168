import Attention
import AttentionTestSupport
import AttentionTraining
import Testing

@Suite struct GradientClippingTests {
  /// Against float64, over many chunks, and far out where squares of floats overflow or vanish.
  @Test(arguments: [1, 1e-30, 1e25] as [Float]) func `the norm is that of all gradients together`(_ scale: Float) {
    var generator = SeededGenerator(seed: 4)
    let shapes = [[257, 211], [50_000], [1], [0, 4], [3, 5]]
    let tensors = shapes.map { Tensor(randomNormal: $0, using: &generator) * scale }
    let expected = tensors.flatMap(\.scalars).reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    let norm = Parameters(tensors).gradients(tensors).norm
    #expect(abs(Double(norm) - expected) <= 1e-7 * expected)
  }

  @Test(.exclusiveThreadCount) func `its bits do not depend on threads`() {
    var generator = SeededGenerator(seed: 5)
    let tensors = [[400, 401], [70_000]].map { Tensor(randomNormal: $0, using: &generator) }
    let slopes = Parameters(tensors).gradients(tensors)
    let norms = [1, 2, 3].map { threads in
      Engine.setThreadCount(threads)
      return slopes.norm
    }
    #expect(Set(norms.map(\.bitPattern)).count == 1)
  }

  @Test func `gradients that are not finite have no norm`() {
    for (value, isNaN) in [(Float.nan, true), (.infinity, false)] {
      let tensors = [Tensor([1, 2], shape: [2]), Tensor([3, value], shape: [2])]
      let norm = Parameters(tensors).gradients(tensors).norm
      #expect(isNaN ? norm.isNaN : norm == .infinity)
    }
  }

  /// `torch.nn.utils.clip_grad_norm_`: max_norm / (norm + 1e-6), 1 at the most.
  @Test func `the factor brings the norm down and never up`() {
    #expect(clippingFactor(norm: 5, maximum: nil) == 1)
    #expect(clippingFactor(norm: 0.5, maximum: 1) == 1 && clippingFactor(norm: 0, maximum: 1) == 1)
    #expect(clippingFactor(norm: 4, maximum: 1) == 1 / (4 + 1e-6))
    #expect(clippingFactor(norm: .infinity, maximum: 1) == 0)
  }
}
