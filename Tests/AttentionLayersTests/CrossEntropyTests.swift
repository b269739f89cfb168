import Attention
import AttentionTestSupport
import Foundation
import Testing

@Suite struct CrossEntropyTests {
  static let fixtures = ((try? LayerFixture.all("operations")) ?? []).filter {
    ["softmax", "logSoftmax", "crossEntropy"].contains((try? $0.string("operation")) ?? "")
  }

  @Test func allFixturesAreThere() { #expect(Self.fixtures.count == 11) }

  @Test(arguments: fixtures) func agreesWithPyTorch(_ fixture: LayerFixture) throws {
    let operation = try fixture.string("operation")
    try fixture.check { inputs in
      let x = try #require(inputs["x"])
      let result: Tensor
      if operation == "crossEntropy" {
        let reduction = try #require(LossReduction(rawValue: try fixture.string("reduction")))
        result = crossEntropy(x, labels: try fixture.integerInput("labels"), reduction: reduction)
      } else {
        let axis = try fixture.integer("axis")
        result = operation == "softmax" ? x.softmax(along: axis) : x.logSoftmax(along: axis)
      }
      return ["result": result]
    }
  }

  static func logits(_ rows: Int, _ classes: Int, scale: Float = 2) -> Tensor {
    var generator = SeededGenerator(seed: UInt64(rows * 1000 + classes))
    return Tensor(randomNormal: [rows, classes], standardDeviation: scale, using: &generator)
  }

  /// log Σ exp − logit, in float64.
  static func loss(_ row: ArraySlice<Float>, _ label: Int) -> Double {
    let values = row.map(Double.init)
    let maximum = values.max()!
    return log(values.reduce(0) { $0 + exp($1 - maximum) }) + maximum - values[label]
  }

  /// One class, widths past the edges of vectors, many rows: every reduction, and gradients by central differences.
  @Test(arguments: [1, 2, 17, 1000], [1, 5, 300])
  func agreesWithFloat64(classes: Int, rows: Int) {
    let logits = Self.logits(rows, classes).tracked()
    let labels = (0..<rows).map { $0 % 7 == 3 ? -100 : $0 * 31 % classes }
    let scalars = logits.scalars
    let expected = labels.enumerated().map { row, label in
      label == -100 ? 0 : Self.loss(scalars[row * classes..<(row + 1) * classes], label)
    }
    let each = crossEntropy(logits, labels: labels, reduction: .none)
    #expect(each.shape == [rows])
    for (value, wanted) in zip(each.scalars, expected) { #expect(abs(Double(value) - wanted) < 1e-5) }
    let total = expected.reduce(0, +)
    let sum = crossEntropy(logits, labels: labels, reduction: .sum)
    #expect(sum.shape == [] && abs(Double(sum.scalars[0]) - total) < 1e-5 * (1 + total))
    let mean = crossEntropy(logits, labels: labels)
    let counted = labels.count { $0 != -100 }
    #expect(abs(Double(mean.scalars[0]) - total / Double(counted)) < 1e-5)

    var generator = SeededGenerator(seed: 3)
    let upstream = Tensor(randomNormal: [rows], using: &generator)
    let gradient = gradients(of: [each], upstream: [upstream], withRespectTo: [logits])[0].scalars
    let step: Float = 0x1p-6
    for place in stride(from: 0, to: rows * classes, by: max(1, rows * classes / 97)) {
      let row = place / classes
      guard labels[row] != -100 else {
        #expect(gradient[place] == 0)
        continue
      }
      var (above, below) = (Array(scalars[row * classes..<(row + 1) * classes]), [Float]())
      below = above
      above[place % classes] += step
      below[place % classes] -= step
      let slope =
        (Self.loss(above[...], labels[row]) - Self.loss(below[...], labels[row]))
        / (Double(above[place % classes]) - Double(below[place % classes]))
      // The difference's own error is of the order of step²/6.
      #expect(abs(Double(gradient[place]) - slope * Double(upstream.scalars[row])) < 2e-4)
    }
  }

  /// Two equal logits far from zero: one float for the log-sum-exp would lose 1e-4 of the probabilities.
  @Test func isAccurateForLargeLogits() {
    let logits = Tensor([2500.25, 2500.25, 0], shape: [1, 3]).tracked()
    let loss = crossEntropy(logits, labels: [1])
    #expect(abs(loss.scalars[0] - Float(log(2.0))) < 1e-6)
    let gradient = gradients(of: loss, withRespectTo: [logits])[0].scalars
    #expect(zip(gradient, [0.5, -0.5, 0]).allSatisfy { abs($0 - $1) < 1e-6 })
  }

  @Test func allIgnoredIsNaNForTheMeanAndHasNoGradient() {
    let logits = Self.logits(3, 4).tracked()
    let labels = [-100, -100, -100]
    let mean = crossEntropy(logits, labels: labels)
    #expect(mean.scalars[0].isNaN)
    #expect(gradients(of: mean, withRespectTo: [logits])[0] == Tensor(zeros: [3, 4]))
    #expect(crossEntropy(logits, labels: labels, reduction: .sum).scalars == [0])
    #expect(crossEntropy(logits, labels: labels, reduction: .none).scalars == [0, 0, 0])
    #expect(crossEntropy(Tensor(zeros: [0, 4]), labels: []).scalars[0].isNaN)
    #expect(crossEntropy(Tensor(zeros: [0, 4]), labels: [], reduction: .none).shape == [0])
  }

  /// Any label can be the one to ignore, a class included; none need be.
  @Test func ignoresTheLabelItIsTold() {
    let logits = Self.logits(2, 4)
    let all = crossEntropy(logits, labels: [0, 2], ignoring: nil, reduction: .none).scalars
    #expect(crossEntropy(logits, labels: [0, 2], ignoring: 0, reduction: .none).scalars == [0, all[1]])
    #expect(crossEntropy(logits, labels: [7, 2], ignoring: 7).scalars == [all[1]])
  }

  @Test func specialLogitsStayInTheirRows() {
    var logits = Self.logits(4, 20)
    let plain = crossEntropy(logits, labels: [1, 2, 3, 4], reduction: .none).scalars
    logits[0, 7] = .nan
    logits[1, 5] = .infinity
    logits[2, 3] = -.infinity
    let tracked = logits.tracked()
    let loss = crossEntropy(tracked, labels: [1, 2, 3, 4], reduction: .none)
    let values = loss.scalars
    #expect(values[0].isNaN && values[1].isNaN && values[2] == .infinity && values[3] == plain[3])
    let gradient = gradients(of: loss.sum(), withRespectTo: [tracked])[0].scalars
    let third = gradient[40..<60].allSatisfy(\.isFinite)
    let fourth = gradient[60...].allSatisfy(\.isFinite)
    #expect(gradient[0].isNaN && gradient[20].isNaN && third && fourth)
  }

  @Test func wrongLabelsAreRefused() async {
    let range = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = crossEntropy(Tensor(zeros: [2, 5]), labels: [1, 5])
    }
    #expect(message(range).contains("the label 5 of row 1 is not one of 5 classes"))
    let negative = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = crossEntropy(Tensor(zeros: [2, 5]), labels: [-100, 0], ignoring: nil)
    }
    #expect(message(negative).contains("the label -100 of row 0"))
    let count = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = crossEntropy(Tensor(zeros: [2, 5]), labels: [1])
    }
    #expect(message(count).contains("1 labels for logits [2, 5]"))
    let axis = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Tensor(zeros: [2, 5]).logSoftmax(along: 2)
    }
    #expect(message(axis).contains("logSoftmax: the shape [2, 5] has no axis 2"))
  }
}
