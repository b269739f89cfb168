import Attention
import AttentionTestSupport
import Testing

/// Cross-entropy with label smoothing, and the head that never holds all logits.
@Suite struct LinearCrossEntropyTests {
  static let fixtures = (try? LayerFixture.all("cross_entropy")) ?? []

  @Test func `all cases are there`() { #expect(Self.fixtures.count == 24) }

  @Test(arguments: fixtures) func `agrees with PyTorch`(_ fixture: LayerFixture) throws {
    let smoothing = try fixture.float("smoothing")
    let reduction = try #require(LossReduction(rawValue: try fixture.string("reduction")))
    let labels = try fixture.integerInput("labels")
    let isHead = try fixture.string("operation") == "head"
    try fixture.check(sameBits: !isHead) { inputs in
      let x = try #require(inputs["x"])
      guard isHead else {
        return ["result": crossEntropy(x, labels: labels, smoothing: smoothing, reduction: reduction)]
      }
      return [
        "result": linearCrossEntropy(
          x, weight: try #require(inputs["weight"]), bias: inputs["bias"], labels: labels, smoothing: smoothing,
          reduction: reduction)
      ]
    }
  }

  /// A head of many rows and classes, some of whose labels are ignored.
  struct Head {
    var x, weight, bias: Tensor
    var labels: [Int]

    init(rows: Int, inputs: Int, classes: Int, ignoring share: Int = 5, scale: Float = 0.5) {
      var generator = SeededGenerator(seed: UInt64(rows + classes))
      x = Tensor(randomNormal: [rows, inputs], using: &generator)
      weight = Tensor(randomNormal: [classes, inputs], standardDeviation: scale, using: &generator)
      bias = Tensor(randomNormal: [classes], using: &generator)
      labels = (0..<rows).map { share > 0 && $0 % share == 1 ? -100 : $0 * 31 % classes }
    }

    var leaves: [Tensor] { [x, weight, bias] }

    /// The loss and all gradients, the fused way and by all logits.
    func run(isFused: Bool, smoothing: Float, reduction: LossReduction) -> [Tensor] {
      let inputs = leaves.map { $0.tracked() }
      let loss =
        isFused
        ? linearCrossEntropy(
          inputs[0], weight: inputs[1], bias: inputs[2], labels: labels, smoothing: smoothing, reduction: reduction)
        : crossEntropy(
          linear(inputs[0], weight: inputs[1], bias: inputs[2]), labels: labels, smoothing: smoothing,
          reduction: reduction)
      return [loss.detached()] + gradients(of: 0.5 * loss, withRespectTo: inputs)
    }
  }

  private static func expectNear(_ found: [Tensor], _ wanted: [Tensor], _ tolerance: Float = 2e-6) {
    #expect(found.map(\.shape) == wanted.map(\.shape))
    for (index, (left, right)) in zip(found, wanted).enumerated() {
      let size = right.scalars.reduce(0) { max($0, abs($1)) }
      let error = zip(left.scalars, right.scalars).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(error <= tolerance * size, "\(index): off by \(error) of \(size)")
    }
  }

  /// One piece and several, ranges of classes, and every row and none ignored.
  @Test(
    arguments: [(30, 5000, 0), (1100, 4200, 3), (1300, 70, 1), (2, 3, 0), (700, 1, 4), (600, 9001, 2)],
    [(0, .sum), (0.1, .mean)] as [(Float, LossReduction)])
  func `is what all logits give`(shape: (rows: Int, classes: Int, share: Int), loss: (Float, LossReduction)) {
    let head = Head(rows: shape.rows, inputs: 19, classes: shape.classes, ignoring: shape.share == 1 ? 0 : shape.share)
    Self.expectNear(
      head.run(isFused: true, smoothing: loss.0, reduction: loss.1),
      head.run(isFused: false, smoothing: loss.0, reduction: loss.1))
  }

  @Test(.exclusiveThreadCount) func `bits do not depend on threads`() {
    let head = Head(rows: 1100, inputs: 70, classes: 2300)
    let results = [1, 2, 3].map { threads in
      Engine.setThreadCount(threads)
      return head.run(isFused: true, smoothing: 0.1, reduction: .mean)
    }
    for other in results[1...] {
      for (left, right) in zip(results[0], other) {
        #expect(zip(left.scalars, right.scalars).allSatisfy { $0.bitPattern == $1.bitPattern })
      }
    }
  }

  /// The gradients are handed out once; whoever walks again has them computed again, with another upstream gradient too.
  @Test func `a second walk back finds the same`() {
    let head = Head(rows: 40, inputs: 8, classes: 33)
    let inputs = head.leaves.map { $0.tracked() }
    let loss = linearCrossEntropy(inputs[0], weight: inputs[1], bias: inputs[2], labels: head.labels)
    let first = gradients(of: loss, withRespectTo: inputs)
    let second = gradients(of: loss, withRespectTo: inputs)
    #expect(first == second)
    let doubled = gradients(of: [loss], upstream: [Tensor([2], shape: [])], withRespectTo: inputs)
    Self.expectNear(doubled, first.map { $0 * 2 })
  }

  /// Only what is tracked has a gradient, and whatever is tracked has the same one.
  @Test(arguments: 0..<8) func `any of the inputs may be tracked`(_ kinds: Int) {
    let head = Head(rows: 40, inputs: 8, classes: 33)
    let wanted = head.run(isFused: true, smoothing: 0, reduction: .sum)
    let inputs = head.leaves.enumerated().map { kinds >> $0 & 1 == 1 ? $1.tracked() : $1 }
    let loss = linearCrossEntropy(
      inputs[0], weight: inputs[1], bias: inputs[2], labels: head.labels, reduction: .sum)
    #expect(loss.isTracked == (kinds > 0))
    #expect(abs(loss.scalars[0] - wanted[0].scalars[0]) <= 1e-6 * wanted[0].scalars[0])
    let places = (0..<3).filter { kinds >> $0 & 1 == 1 }
    guard !places.isEmpty else { return }
    Self.expectNear(
      gradients(of: 0.5 * loss, withRespectTo: places.map { inputs[$0] }), places.map { wanted[$0 + 1] })
  }

  /// A layer whose weight lies in panels, as it does once it was used without gradients.
  @Test(arguments: LossReduction.allCases) func `a packed weight gives the same`(_ reduction: LossReduction) {
    let head = Head(rows: 300, inputs: 24, classes: 2100)
    let layer = Linear(weight: head.weight, bias: head.bias)
    let x = head.x.tracked()
    let loss = layer.crossEntropy(x, labels: head.labels, smoothing: 0.1, reduction: reduction)
    let plain = crossEntropy(layer(x), labels: head.labels, smoothing: 0.1, reduction: reduction)
    Self.expectNear([loss], [plain])
    let upstream = [Tensor(repeating: 1.5, shape: loss.shape)]
    Self.expectNear(
      gradients(of: [loss], upstream: upstream, withRespectTo: [x]),
      gradients(of: [plain], upstream: upstream, withRespectTo: [x]))
    let table = TiedEmbedding(weight: head.weight)
    Self.expectNear(
      [table.crossEntropy(head.x, labels: head.labels, reduction: reduction)],
      [crossEntropy(table.scores(head.x), labels: head.labels, reduction: reduction)])
  }

  @Test func `nothing to predict is no loss, and its mean NaN`() {
    var head = Head(rows: 3, inputs: 4, classes: 5)
    head.labels = [-100, -100, -100]
    let zeros = [Tensor(zeros: [3, 4]), Tensor(zeros: [5, 4]), Tensor(zeros: [5])]
    let sum = head.run(isFused: true, smoothing: 0.1, reduction: .sum)
    #expect(sum[0].scalars == [0] && Array(sum[1...]) == zeros)
    let mean = head.run(isFused: true, smoothing: 0, reduction: .mean)
    #expect(mean[0].scalars[0].isNaN && Array(mean[1...]) == zeros)
    let empty = linearCrossEntropy(Tensor(zeros: [0, 4]), weight: head.weight, labels: [], reduction: .sum)
    #expect(empty.scalars == [0])
    #expect(linearCrossEntropy(Tensor(zeros: [0, 4]), weight: head.weight, labels: []).scalars[0].isNaN)
    // No classes at all, and no inputs.
    #expect(linearCrossEntropy(head.x, weight: Tensor(zeros: [0, 4]), labels: head.labels, reduction: .sum) == sum[0])
    let blind = linearCrossEntropy(
      Tensor(zeros: [2, 0]), weight: Tensor(zeros: [4, 0]), labels: [0, 3], reduction: .sum)
    #expect(abs(blind.scalars[0] - 2.7725887) < 1e-5)
  }

  /// A row that is not finite spoils the sum and its own gradient; a row whose label has no chance has an infinite loss and
  /// a finite gradient.
  @Test func `rows that are not finite`() {
    var head = Head(rows: 6, inputs: 4, classes: 5, ignoring: 0)
    let plain = head.run(isFused: true, smoothing: 0, reduction: .sum)
    head.x[2, 1] = .nan
    let spoilt = head.run(isFused: true, smoothing: 0, reduction: .sum)
    #expect(spoilt[0].scalars[0].isNaN && spoilt[2].scalars.contains { $0.isNaN })
    for row in 0..<6 where row != 2 { #expect(spoilt[1][row, 0] == plain[1][row, 0]) }
    #expect(spoilt[1][2, 0].isNaN)
    // Unless nobody looks at it.
    head.labels[2] = -100
    let ignored = head.run(isFused: true, smoothing: 0, reduction: .sum)
    let finite = ignored.allSatisfy { $0.isFinite }
    #expect(finite && ignored[1][2, 0] == 0)

    var hopeless = Head(rows: 2, inputs: 4, classes: 5, ignoring: 0)
    hopeless.bias[hopeless.labels[1]] = -.infinity
    let infinite = hopeless.run(isFused: true, smoothing: 0, reduction: .sum)
    #expect(infinite[0].scalars == [.infinity])
    let gradientsAreFinite = infinite[1...].allSatisfy { $0.isFinite }
    #expect(gradientsAreFinite)
  }

  @Test func `misuse stops with the shapes`() async {
    let labels = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = linearCrossEntropy(Tensor(zeros: [2, 3]), weight: Tensor(zeros: [4, 3]), labels: [1])
    }
    #expect(message(labels).contains("linearCrossEntropy: 1 labels for rows [2, 3]"))
    let label = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = linearCrossEntropy(Tensor(zeros: [2, 3]), weight: Tensor(zeros: [4, 3]), labels: [1, 4])
    }
    #expect(message(label).contains("the label 4 of row 1 is not one of 4 classes"))
    let shape = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = linearCrossEntropy(Tensor(zeros: [2, 5]), weight: Tensor(zeros: [4, 3]), labels: [1, 2])
    }
    #expect(message(shape).contains("rows [2, 5] and a bias [] for a weight [4, 3]"))
    let smoothing = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = crossEntropy(Tensor(zeros: [2, 5]), labels: [1, 2], smoothing: 1.5)
    }
    #expect(message(smoothing).contains("crossEntropy: a smoothing of 1.5 is not in 0...1"))
    let activation = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = Linear(weight: Tensor(zeros: [4, 3]), activation: .gelu).crossEntropy(Tensor(zeros: [1, 3]), labels: [1])
    }
    #expect(message(activation).contains("the results of an activation are no logits"))
  }
}
