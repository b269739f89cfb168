import Attention
import AttentionTestSupport
import Testing

/// What gradients of attention promise beside their values.
@Suite(.exclusiveThreadCount) struct GradientContractTests {
  private static let fastPaths: [AttentionPath] = [.naive, .blas, .fused]

  private static func operands(
    _ seed: UInt64 = 2, batch: Int = 2, heads: Int = 4, keyValueHeads: Int = 2, queries: Int = 24, keys: Int = 40
  ) -> (query: Tensor, key: Tensor, value: Tensor) {
    var generator = SeededGenerator(seed: seed)
    return (
      Tensor(randomNormal: [batch, heads, queries, 12], using: &generator),
      Tensor(randomNormal: [batch, keyValueHeads, keys, 12], using: &generator),
      Tensor(randomNormal: [batch, keyValueHeads, keys, 9], using: &generator)
    )
  }

  @Test func bitsDependOnNoThreads() {
    let (query, key, value) = Self.operands(batch: 1, queries: 150, keys: 2100)
    var generator = SeededGenerator(seed: 8)
    let bias = Tensor(randomNormal: [4, 1, 2100], using: &generator)
    let call = GradientCall(query: query, key: key, value: value, mask: .causal(.end) & .bias(bias))
    Engine.setThreadCount(1)
    let expected = call.gradients(.fused)
    for threads in [2, 3, 8] {
      Engine.setThreadCount(threads)
      #expect(hasEqualBits(call.gradients(.fused), expected), "\(threads) threads")
    }
  }

  /// What else is tracked changes no bit, with values that are not finite either.
  @Test(arguments: [Float(1), .nan, .infinity])
  func bitsDependOnNothingElseTracked(poison: Float) {
    var (query, key, value) = Self.operands()
    query[0, 1, 3, 2] = poison
    value[1, 0, 5, 1] = poison
    key[0, 1, 7, 0] = poison
    let call = GradientCall(query: query, key: key, value: value, mask: .causal(.end))
    let all = call.gradients(.fused)
    for (index, flags) in [(true, false, false), (false, true, false), (false, false, true)].enumerated() {
      let one = call.gradients(.fused, query: flags.0, key: flags.1, value: flags.2)
      #expect(hasEqualBits([one[index]], [all[index]]), "\(index)")
    }
  }

  private static let hidden = [7, 33, 39]

  /// Masks that hide the same three keys of the second sequence from all its queries, or more of them.
  private static func masks() -> [(String, AttentionMask)] {
    let cells = (0..<80).map { !(hidden.contains($0 - 40)) }
    return [
      ("allowed", .allowed(BooleanTensor(cells, shape: [2, 1, 1, 40]))),
      ("bias", .bias(Tensor(cells.map { $0 ? 0.5 : -.infinity }, shape: [2, 1, 1, 40]))),
      ("predicate", .predicate { !hidden.contains($1) }),
      (
        "documents",
        .documents(query: [[Int](repeating: 1, count: 24)], key: [(0..<40).map { hidden.contains($0) ? 2 : 1 }])
      ),
      ("lengths", .keyLengths([40, 7])),
      ("window", .window(left: 0, right: 0) & .keyLengths([40, 7])),
    ]
  }

  /// What a mask hides changes no bit of a gradient, and has none itself.
  @Test(arguments: fastPaths) func hiddenValuesAreIsolated(path: AttentionPath) {
    for (name, mask) in Self.masks() {
      let (query, key, value) = Self.operands()
      let clean = GradientCall(query: query, key: key, value: value, mask: mask)
      let expected = clean.gradients(path)
      for poison in [Float.nan, .infinity, -.infinity] {
        var dirty = clean
        for position in Self.hidden {
          for head in 0..<2 {
            dirty.key[1, head, position, 3] = poison
            dirty.value[1, head, position, 4] = poison
          }
        }
        let found = dirty.gradients(path)
        #expect(hasEqualBits(found, expected), "\(name), \(poison)")
        #expect(found[1]![1, 1, 33, 3] == 0 && found[2]![1, 1, 33, 4] == 0, "\(name), \(poison)")
      }
    }
  }

  /// A NaN in one key reaches the queries that see it and what they see, in its own sequence and heads.
  @Test(arguments: fastPaths) func visibleNaNsStayConnected(path: AttentionPath) {
    let (query, key, value) = Self.operands(queries: 40)
    let clean = GradientCall(query: query, key: key, value: value, mask: .causal(.start))
    let expected = clean.gradients(path)
    var dirty = clean
    dirty.key[1, 1, 20, 0] = .nan
    let found = dirty.gradients(path)
    for head in 0..<4 {
      for row in 0..<40 {
        for sequence in 0..<2 {
          let isReached = sequence == 1 && head >= 2 && row >= 20
          let (value, wanted) = (found[0]![sequence, head, row, 0], expected[0]![sequence, head, row, 0])
          #expect(isReached ? value.isNaN : value.bitPattern == wanted.bitPattern, "\(sequence) \(head) \(row)")
        }
      }
    }
    for (sequence, head) in [(0, 0), (0, 1), (1, 0)] {
      let (value, wanted) = (found[1]![sequence, head, 39, 0], expected[1]![sequence, head, 39, 0])
      #expect(value.bitPattern == wanted.bitPattern)
    }
    #expect(found[1]![1, 1, 39, 0].isNaN && found[1]![1, 1, 5, 0].isNaN)
    // A NaN that comes back to one row.
    dirty = clean
    dirty.upstream[0, 0, 12, 3] = .nan
    let back = dirty.gradients(path)
    #expect(back[0]![0, 0, 12, 0].isNaN && back[1]![0, 0, 12, 0].isNaN && back[2]![0, 0, 12, 3].isNaN)
    #expect(back[0]![0, 0, 11, 0] == expected[0]![0, 0, 11, 0] && back[1]![0, 0, 13, 0] == expected[1]![0, 0, 13, 0])
  }

  @Test(arguments: fastPaths) func rowsThatSeeNothing(path: AttentionPath) {
    let (query, key, value) = Self.operands()
    let call = GradientCall(query: query, key: key, value: value, mask: .keyLengths([0, 40]))
    let found = call.gradients(path)
    let (half, shared) = (found[0]!.count / 2, found[1]!.count / 2)
    #expect(found[0]!.scalars[..<half].allSatisfy { $0 == 0 } && found[1]!.scalars[..<shared].allSatisfy { $0 == 0 })
    #expect(excess(found, call.reference) <= 0)
  }

  /// A visible score of −∞ passes nothing back, as if its key were masked.
  @Test(arguments: fastPaths) func scoresOfMinusInfinity(path: AttentionPath) {
    var (query, key, value) = Self.operands()
    for index in 0..<query.count where index % 12 == 0 { query.withUnsafeMutableBufferPointer { $0[index] = 1 } }
    let masked = GradientCall(query: query, key: key, value: value, mask: .predicate { $1 != 9 })
    for (b, h) in [(0, 0), (0, 1), (1, 0), (1, 1)] { key[b, h, 9, 0] = -.infinity }
    value[0, 0, 3, 0] += 0
    let found = GradientCall(query: query, key: key, value: value).gradients(path)
    #expect(excess(found, masked.reference) <= 0)
  }

  /// exp(score − log-sum-exp) would lose three digits here: scores of integers are exact.
  @Test(arguments: fastPaths) func largeScores(path: AttentionPath) {
    var generator = SeededGenerator(seed: 4)
    func integers(_ shape: [Int]) -> Tensor {
      Tensor((0..<shape.reduce(1, *)).map { _ in Float(Int.random(in: -55...55, using: &generator)) }, shape: shape)
    }
    let (query, key) = (integers([1, 2, 20, 4]), integers([1, 2, 20, 4]))
    // Keys that differ by little: neighbours of each have scores near its own.
    var near = key
    for row in 10..<20 { for column in 0..<4 { near[0, 0, row, column] = key[0, 0, row - 10, column] } }
    near[0, 0, 12, 1] += 0x1p-8
    let value = Tensor(randomNormal: [1, 2, 20, 5], using: &generator)
    for scale in [Float(1), -1] {
      let call = GradientCall(query: query, key: near, value: value, options: .init(scale: scale))
      #expect(excess(call.gradients(path), call.reference, absolute: 2e-5, relative: 1e-5) <= 0, "\(scale)")
    }
    let equal = Tensor(repeating: 256, shape: [1, 2, 20, 4])
    let call = GradientCall(query: equal, key: equal, value: value)
    #expect(excess(call.gradients(path), call.reference, absolute: 1e-4, relative: 1e-5) <= 0)
  }

  /// Every axis that a bias may repeat along, and several of them at once.
  @Test func biases() {
    var generator = SeededGenerator(seed: 6)
    let (query, key, value) = Self.operands(queries: 19, keys: 21)
    for axes in 0..<16 {
      let shape = [2, 4, 19, 21].enumerated().map { axes >> $0 & 1 == 0 ? 1 : $1 }
      var bias = Tensor(randomNormal: shape, using: &generator)
      if axes == 15 { bias[1, 2, 3, 4] = -.infinity }
      let row = Tensor(randomNormal: [19, 1], using: &generator)
      let call = GradientCall(
        query: query, key: key, value: value, mask: .bias(bias) & .causal(.end) & .bias(row),
        options: .init(softcap: 4))
      for path in Self.fastPaths { #expect(excess(call.gradients(path), call.reference) <= 0, "\(path) \(shape)") }
      #expect(call.gradients(.fused, biases: false).count == 3)
    }
  }

  @Test func dropout() {
    var generator = SeededGenerator(seed: 9)
    let query = Tensor(randomNormal: [2, 4, 20, 8], using: &generator)
    let key = Tensor(randomNormal: [2, 2, 33, 8], using: &generator)
    // Values of an identity give the weights that were kept.
    let identity = Tensor((0..<4 * 33 * 33).map { $0 % (33 * 33) % 34 == 0 ? 1 : 0 }, shape: [2, 2, 33, 33])
    let options = AttentionOptions(dropout: AttentionDropout(probability: 0.3, seed: 77))
    let kept: Tensor = scaledDotProductAttention(query: query, key: key, value: identity, options: options)
    let share = Double(kept.scalars.count { $0 != 0 }) / Double(kept.count)
    #expect(abs(share - 0.7) < 0.03)
    let value = Tensor(randomNormal: [2, 2, 33, 5], using: &generator)
    let call = GradientCall(query: query, key: key, value: value, options: options)
    let scalars = kept.scalars
    let expected = call.reference { b, h, i, j in
      scalars[((b * 4 + h) * 20 + i) * 33 + j] == 0 ? 0 : 1 / Double(Float(1) - 0.3)
    }
    for path in Self.fastPaths { #expect(excess(call.gradients(path), expected) <= 0, "\(path)") }
  }

  /// A ragged batch, a fused projection and each sequence alone: the same bits.
  @Test func raggedAndProjected() {
    var generator = SeededGenerator(seed: 12)
    let layout = SequenceLayout(lengths: [5, 0, 37, 1])
    let (heads, width) = (2, 8)
    let projected = Tensor(randomNormal: [43, 3 * heads * width], using: &generator)
    let upstream = Tensor(randomNormal: [43, heads * width], using: &generator)
    func columns(_ x: Tensor, _ part: Int, _ rows: Range<Int>? = nil) -> Tensor {
      let rows = rows ?? 0..<43
      return Tensor(
        rows.flatMap { row in (0..<heads * width).map { x[row, part * heads * width + $0] } },
        shape: [rows.count, heads * width])
    }
    let leaf = projected.tracked()
    let whole = scaledDotProductAttention(queryKeyValue: leaf, layout: layout, heads: heads, mask: .causal(.start))
    let fused = gradients(of: [whole.output], upstream: [upstream], withRespectTo: [leaf])[0]
    let parts = (0..<3).map { columns(projected, $0).tracked() }
    let apart = scaledDotProductAttention(
      query: parts[0], key: parts[1], value: parts[2], layout: layout, heads: heads, mask: .causal(.start),
      returning: .logSumExp)
    let separate = gradients(of: [apart.output], upstream: [upstream], withRespectTo: parts)
    for part in 0..<3 { #expect(separate[part].hasBits(of: columns(fused, part))) }
    for sequence in [0, 2, 3] {
      let rows = layout.range(of: sequence)
      let alone = (0..<3).map { columns(projected, $0, rows).tracked() }
      let output = scaledDotProductAttention(
        query: alone[0], key: alone[1], value: alone[2], layout: SequenceLayout(lengths: [rows.count]), heads: heads,
        mask: .causal(.start)
      ).output
      let found = gradients(of: [output], upstream: [columns(upstream, 0, rows)], withRespectTo: alone)
      for part in 0..<3 { #expect(found[part].hasBits(of: columns(fused, part, rows)), "sequence \(sequence)") }
    }
    let untracked = scaledDotProductAttention(
      queryKeyValue: projected, layout: layout, heads: heads, mask: .causal(.start))
    #expect(untracked.output.hasBits(of: whole.output) && !untracked.output.isTracked && whole.output.isTracked)
  }

  @Test func onlyTheLogSumExp() {
    let (query, key, value) = Self.operands()
    let leaves = [query.tracked(), key.tracked(), value.tracked()]
    let result = scaledDotProductAttention(
      query: leaves[0], key: leaves[1], value: leaves[2], returning: [.logSumExp, .weights])
    #expect(result.weights?.isTracked == false)
    var call = GradientCall(query: query, key: key, value: value)
    call.upstream = Tensor(zeros: call.upstream.shape)
    let found = gradients(of: [result.logSumExp!], upstream: [call.logSumExpUpstream!], withRespectTo: leaves)
    #expect(excess(found, call.reference) <= 0)
  }

  /// In a process of its own, on one thread: what the way back takes and gives back, its results but one left out.
  @Test func scratchIsBounded() async {
    await #expect(processExitsWith: .success) {
      Engine.setThreadCount(1)
      for (heads, queries, keys) in [(4, 300, 70), (32, 200, 40), (2, 30, 2100)] {
        let query = Tensor(repeating: 1, shape: [1, heads, queries, 16])
        let key = Tensor(repeating: 1, shape: [1, 1, keys, 16])
        let plan = AttentionPlan(queryShape: query.shape, keyShape: key.shape, valueShape: key.shape)
        let leaf = query.tracked()
        let output: Tensor = scaledDotProductAttention(query: leaf, key: key, value: key)
        let upstream = Tensor(repeating: 1, shape: output.shape)
        TensorStorage.releaseCache()
        let found = gradients(of: [output], upstream: [upstream], withRespectTo: [leaf])
        #expect(TensorStorage.cachedBytes <= plan.backwardScratchBytes, "\(heads) \(queries) \(keys)")
        #expect(TensorStorage.cachedBytes >= plan.backwardScratchBytes / 2, "\(heads) \(queries) \(keys)")
        #expect(found[0].count == query.count)
      }
    }
  }
}
