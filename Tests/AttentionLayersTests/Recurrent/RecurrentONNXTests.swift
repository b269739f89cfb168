import Attention
import AttentionTestSupport
import Testing

/// ONNX's own cases of RNN, LSTM and GRU. Its gates stand in another order, and its GRU resets before the product.
@Suite struct RecurrentONNXTests {
  /// The one case that ``LSTM`` has no parameters for: weights from the cell to the gates (Gers and Schmidhuber, 2000).
  static let unsupported: Set = ["lstm_with_peepholes"]

  @Test(arguments: [("RNN", 4), ("LSTM", 4), ("GRU", 4)]) func allCasesAreThere(_ op: String, _ count: Int) {
    let cases = ONNXCase.all(op)
    #expect(cases.count == count, "scripts/fetch-onnx-cases brings them")
    #expect(cases.allSatisfy { $0.opset == 22 })
    let withPeepholes = cases.filter { $0.inputs.contains { $0.role == "P" } }.map(\.name)
    #expect(Set(withPeepholes) == (op == "LSTM" ? Self.unsupported : []))
  }

  @Test(
    arguments: (ONNXCase.all("RNN") + ONNXCase.all("LSTM") + ONNXCase.all("GRU")).filter {
      !unsupported.contains($0.name)
    })
  func agrees(_ testCase: ONNXCase) throws {
    #expect(testCase.hasOnly(attributes: "hidden_size", "layout"))
    let hidden = Int(try #require(testCase.number("hidden_size")))
    var x = try #require(try testCase.tensor("X"))
    let isBatchFirst = testCase.number("layout") == 1
    if !isBatchFirst { x = x.permuted([1, 0, 2]) }
    let (batch, length, width) = (x.shape[0], x.shape[1], x.shape[2])
    let layout = SequenceLayout(lengths: [Int](repeating: length, count: batch))
    let rows = x.reshaped(to: [batch * length, width])
    var generator = SeededGenerator(seed: 1)
    let (output, state): (Tensor, Tensor)
    switch testCase.op {
    case "LSTM":
      var layer = LSTM(inputWidth: width, hiddenWidth: hidden, using: &generator)
      // i, o, f, c there.
      try fill(&layer, from: testCase, hidden: hidden, gates: [0, 2, 3, 1])
      let result = layer(rows, layout: layout)
      (output, state) = (result.output, result.state.hidden)
    case "GRU":
      var layer = GRU(inputWidth: width, hiddenWidth: hidden, resetsAfterProduct: false, using: &generator)
      // z, r, h there.
      try fill(&layer, from: testCase, hidden: hidden, gates: [1, 0, 2])
      (output, state) = layer(rows, layout: layout)
    default:
      var layer = RNN(inputWidth: width, hiddenWidth: hidden, using: &generator)
      try fill(&layer, from: testCase, hidden: hidden, gates: [0])
      (output, state) = layer(rows, layout: layout)
    }
    try testCase.expect("Y_h", isBatchFirst ? state.permuted([1, 0, 2]) : state)
    guard testCase.outputs.contains(where: { $0.role == "Y" }) else { return }
    #expect(isBatchFirst)
    try testCase.expect("Y", output.reshaped(to: [batch, length, 1, hidden]))
  }

  /// - Parameter gates: where each of our gates stands in ONNX's.
  private func fill(_ layer: inout some Layer, from testCase: ONNXCase, hidden: Int, gates: [Int]) throws {
    func ordered(_ tensor: Tensor, _ first: Int) -> Tensor {
      .concatenated(gates.map { tensor.sliced((first + $0) * hidden..<(first + $0 + 1) * hidden) })
    }
    func matrix(_ role: String) throws -> Tensor {
      let all = try #require(try testCase.tensor(role))
      return ordered(all.reshaped(to: Array(all.shape[1...])), 0)
    }
    let rows = gates.count * hidden
    let biases = try testCase.tensor("B")?.reshaped(to: [2 * rows]) ?? Tensor(zeros: [2 * rows])
    try layer.load([
      "weight_ih_l0": try matrix("W"), "weight_hh_l0": try matrix("R"),
      "bias_ih_l0": ordered(biases, 0), "bias_hh_l0": ordered(biases, gates.count),
    ])
  }
}
