import AttentionTensors
import AttentionTestSupport
import Foundation
import Testing

@Suite struct SoftmaxTests {
  /// Shapes whose tasks hold one slice, many, and a last one that is not full; every axis.
  @Test(arguments: [[7], [1, 1], [5, 9, 4], [40_000, 1], [3, 20_000], [123, 3, 211], [20_011, 3]])
  func agreesWithFloat64(_ shape: [Int]) {
    var generator = SeededGenerator(seed: 5)
    let logits = Tensor(randomNormal: shape, standardDeviation: 3, using: &generator)
    let scalars = logits.scalars
    for axis in shape.indices {
      let result = logits.softmax(along: axis).scalars
      let length = shape[axis]
      let stride = shape[(axis + 1)...].reduce(1, *)
      var worst = 0.0
      for slice in 0..<logits.count / length {
        let start = slice / stride * length * stride + slice % stride
        let values = (0..<length).map { exp(Double(scalars[start + $0 * stride])) }
        let sum = values.reduce(0, +)
        for (index, value) in values.enumerated() {
          worst = max(worst, abs(Double(result[start + index * stride]) - value / sum))
        }
      }
      #expect(worst < 1e-6)
    }
  }

  /// An index of the pool costs some tens of nanoseconds: short slices share one, and long ones have their own.
  @Test(arguments: [1, 2, 64, 1000, 8192, 8193, 1_000_000])
  func tasksAreWorthTheirDispatch(_ length: Int) {
    let perTask = SoftmaxTasks.slicesPerTask(length: length)
    #expect(perTask >= 1)
    #expect(perTask * length >= 4096)
    #expect(perTask == 1 || perTask * length <= 8192)
  }
}
