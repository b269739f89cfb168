import Attention
import AttentionLayers
import AttentionTestSupport
import Testing

/// Additive, Luong's and local attention against PyTorch in float64: contexts, weights, and all gradients.
@Suite struct MechanismFixtureTests {
  static let fixtures = try! LayerFixture.all("mechanisms")

  @Test func noCaseIsMissing() { #expect(Self.fixtures.count == 39) }

  @Test(arguments: fixtures) func agreesWithPyTorch(_ fixture: LayerFixture) throws {
    let call = try MechanismCall(fixture)
    try fixture.check { inputs in
      let result = call.run(inputs, returningWeights: true)
      return ["context": result.context, "weights": result.weights!]
    }
  }

  /// The context alone takes less memory, and for products another way.
  @Test(arguments: fixtures) func withoutWeights(_ fixture: LayerFixture) throws {
    let call = try MechanismCall(fixture)
    let inputs = try fixture.inputs()
    let result = call.run(inputs, returningWeights: false)
    #expect(result.weights == nil)
    try fixture.compare(result.context, "output/context")
    // Gradients of the context alone, as with weights to which nothing flows.
    let tracked = inputs.mapValues { $0.tracked() }
    let names = tracked.keys.sorted()
    func found(returningWeights: Bool) -> [Tensor] {
      let context = call.run(tracked, returningWeights: returningWeights).context
      var generator = SeededGenerator(seed: 3)
      let upstream = Tensor(randomNormal: context.shape, using: &generator)
      return gradients(of: [context], upstream: [upstream], withRespectTo: names.map { tracked[$0]! })
    }
    for ((name, a), b) in zip(zip(names, found(returningWeights: false)), found(returningWeights: true)) {
      let difference = zip(a.scalars, b.scalars).map { abs($0 - $1) }.max() ?? 0
      #expect(difference < 2e-5, "\(fixture.name)/\(name)")
    }
  }
}

/// A fixture's layer and call, for any parameters and inputs of its roles.
struct MechanismCall {
  enum Mechanism {
    case additive(AdditiveAttention)
    case luong(LuongAttention)
    case local(LocalAttention)
  }

  let mechanism: Mechanism
  let isBatched: Bool
  let layout: SequenceLayout
  let keyLayout: SequenceLayout
  var mask = AttentionMask.none

  init(_ fixture: LayerFixture) throws {
    var generator = SeededGenerator(seed: 1)
    let widths = try fixture.integers("widths")
    let kind = AlignmentScore.Kind(rawValue: try fixture.string("score"))!
    let score = AlignmentScore(
      kind, queryWidth: widths[0], sourceWidth: widths[1], width: widths[2], using: &generator)
    switch try fixture.string("mechanism") {
    case "additive":
      mechanism = .additive(
        AdditiveAttention(queryWidth: widths[0], sourceWidth: widths[1], width: widths[2], using: &generator))
    case "luong": mechanism = .luong(LuongAttention(score: score))
    default:
      mechanism = .local(
        LocalAttention(
          LocalAttention.Centring(rawValue: try fixture.string("centring"))!, score: score,
          reach: try fixture.integer("reach"), hasGaussian: try fixture.bool("gaussian"), width: widths[2],
          using: &generator))
    }
    isBatched = try fixture.bool("batched")
    layout = SequenceLayout(lengths: try fixture.integers("queryLengths"))
    keyLayout = SequenceLayout(lengths: try fixture.integers("keyLengths"))
    let held = try fixture.integers("held")
    if !held.isEmpty { mask = mask & .keyLengths(held) }
    if fixture.has("allowed") { mask = mask & .allowed(try fixture.booleanInput("allowed")) }
  }

  func run(_ inputs: [String: Tensor], returningWeights: Bool, mask: AttentionMask? = nil) -> AlignedContext {
    let (query, source) = (inputs["query"]!, inputs["source"]!)
    let (layout, keyLayout) = isBatched ? (nil, nil) : (self.layout, self.keyLayout)
    let mask = mask ?? self.mask
    switch mechanism {
    case .additive(let plain):
      let layer = plain.withParameters(of: inputs)
      return layer(
        query: query, layout: layout, source: layer.prepared(source, layout: keyLayout), mask: mask,
        returningWeights: returningWeights)
    case .luong(let plain):
      let layer = plain.withParameters(of: inputs)
      return layer(
        query: query, layout: layout, source: layer.prepared(source, layout: keyLayout), mask: mask,
        returningWeights: returningWeights)
    case .local(let plain):
      let layer = plain.withParameters(of: inputs)
      return layer(
        query: query, layout: layout, source: layer.prepared(source, layout: keyLayout), mask: mask,
        returningWeights: returningWeights)
    }
  }
}

extension Layer {
  /// The layer with the parameters of a fixture, where the score's go without their prefix.
  func withParameters(of inputs: [String: Tensor]) -> Self {
    var copy = self
    copy.visitParameters { name, _, tensor in
      let role =
        name.hasPrefix("score.")
        ? String(name.dropFirst(6)) : self is LocalAttention && name == "v" ? "position.v" : name
      tensor = inputs[role]!
    }
    return copy
  }
}
