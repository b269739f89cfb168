import Attention
import Testing

@Suite struct GradientTests {
  @Test func leavesAreTrackedAndWritingDetaches() {
    var x = Tensor([1, 2], shape: [2]).tracked()
    #expect(x.isTracked && !x.detached().isTracked)
    x[0] = 3
    #expect(!x.isTracked)
  }

  @Test func reshapingPassesGradients() {
    let x = Tensor([1, 2, 3, 4], shape: [4]).tracked()
    let upstream = Tensor([5, 6, 7, 8], shape: [2, 2])
    let found = gradients(of: [x.reshaped(to: [2, 2])], upstream: [upstream], withRespectTo: [x])
    #expect(found == [upstream.reshaped(to: [4])])
  }

  /// A chain far deeper than the stack: freed and walked without recursion.
  @Test func deepChains() {
    let x = Tensor([2], shape: [1]).tracked()
    var y = x
    for _ in 0..<100_000 { y = y.derived(from: y) { $0 } }
    let found = gradients(of: y, withRespectTo: [x])
    #expect(found == [Tensor([1], shape: [1])])
  }
}
