import Attention
import AttentionTestSupport
import Testing

/// Caches in random use, against a model that keeps every row.
@Suite struct RandomCacheTests {
  /// What a sequence must hold.
  private struct Rows {
    var key: [Float] = []
    var value: [Float] = []
    var count = 0

    func prefix(_ length: Int, _ widths: (key: Int, value: Int)) -> Rows {
      Rows(
        key: Array(key[..<(length * widths.key)]), value: Array(value[..<(length * widths.value)]), count: length)
    }
  }

  /// A cache and its model.
  private struct Pair {
    var cache: KeyValueCache
    var model: [Rows]
    let heads: Int
    var text: String

    private var widths: (key: Int, value: Int) {
      (cache.keyValueHeads * cache.keyWidth, cache.keyValueHeads * cache.valueWidth)
    }

    init(_ draw: inout Draw) {
      cache = KeyValueCache(
        sequenceCount: 1, keyValueHeads: draw.int(1...3), keyWidth: draw.pick([8, 24, 64, 128, 260]),
        valueWidth: draw.pick([5, 16, 64, 100, 260]), window: draw.pick([nil, nil, 1, 5, 64, 128, 200, 1500]))
      model = [Rows()]
      heads = cache.keyValueHeads * draw.pick([1, 2, 5])
      text =
        "\(heads) heads over \(cache.keyValueHeads), \(cache.keyWidth) and \(cache.valueWidth) wide, window "
        + (cache.window.map(String.init) ?? "none") + ":"
    }

    mutating func append(_ draw: inout Draw) {
      let layout = SequenceLayout(
        lengths: model.map { _ in draw.pick([0, 1, 1, 3, 64, 130, draw.int(0...300), draw.int(0...1500)]) })
      text += " +\(layout.lengths)"
      let key = draw.tensor([layout.tokenCount, widths.key])
      let value = draw.tensor([layout.tokenCount, widths.value])
      cache.append(key: key, value: value, layout: layout)
      for index in model.indices {
        let tokens = layout.range(of: index)
        model[index].key += key.scalars[tokens.lowerBound * widths.key..<tokens.upperBound * widths.key]
        model[index].value += value.scalars[tokens.lowerBound * widths.value..<tokens.upperBound * widths.value]
        model[index].count += tokens.count
      }
    }

    /// A length that a sequence may be cut to.
    func length(_ sequence: Int, _ draw: inout Draw) -> Int? {
      let first = cache.retainedPositions(ofSequence: sequence).lowerBound
      let shortest = first == 0 ? 0 : first + cache.window! - 1
      return shortest <= model[sequence].count ? draw.int(shortest...model[sequence].count) : nil
    }

    mutating func truncate(_ draw: inout Draw) {
      let sequence = draw.int(0...model.count - 1)
      guard let length = length(sequence, &draw) else { return }
      cache.truncate(sequence: sequence, toLength: length)
      model[sequence] = model[sequence].prefix(length, widths)
      text += " \(sequence) to \(length)"
    }

    mutating func fork(_ draw: inout Draw) {
      let sequence = draw.int(0...model.count - 1)
      guard model.count < 5, let length = length(sequence, &draw) else { return }
      cache.appendSequence(forking: sequence, length: length)
      model.append(model[sequence].prefix(length, widths))
      text += " fork \(sequence) at \(length)"
    }

    mutating func select(_ draw: inout Draw) {
      let chosen = (0..<draw.int(1...4)).map { _ in draw.int(0...model.count - 1) }
      cache.select(sequences: chosen)
      model = chosen.map { model[$0] }
      text += " select \(chosen)"
    }

    mutating func addOrRemove(_ draw: inout Draw) {
      if model.count < 5, draw.chance(0.5) {
        cache.appendSequence()
        model.append(Rows())
        text += " new"
      } else if model.count > 1 {
        let sequence = draw.int(0...model.count - 1)
        cache.removeSequence(sequence)
        model.remove(at: sequence)
        text += " without \(sequence)"
      }
    }

    /// The rows, and attention over them by some of the last queries, in the bits of a call without a cache.
    func check(_ draw: inout Draw) {
      #expect(cache.lengths == model.map(\.count), "\(text)")
      for (index, rows) in model.enumerated() {
        let kept = cache.retainedPositions(ofSequence: index)
        let held = cache.rows(ofSequence: index)
        #expect(held.key.scalars.elementsEqual(rows.key[(kept.lowerBound * widths.key)...]), "\(text)")
        #expect(held.value.scalars.elementsEqual(rows.value[(kept.lowerBound * widths.value)...]), "\(text)")
      }
      let queries = model.indices.map { index in
        let first = cache.retainedPositions(ofSequence: index).lowerBound
        let most = first == 0 ? model[index].count : max(0, model[index].count - first - cache.window! + 1)
        return min(most, draw.pick([0, 1, 2, 40, 1000]))
      }
      let (layout, keys) = (SequenceLayout(lengths: queries), SequenceLayout(lengths: model.map(\.count)))
      let query = draw.tensor([layout.tokenCount, heads * cache.keyWidth])
      let cached = scaledDotProductAttention(
        query: query, layout: layout, cache: cache, heads: heads, returning: [.logSumExp, .weights])
      let window = cache.window.map { AttentionMask.window(left: $0 - 1, right: nil, alignment: .end) } ?? .none
      let plain = scaledDotProductAttention(
        query: query, key: Tensor(model.flatMap(\.key), shape: [keys.tokenCount, widths.key]),
        value: Tensor(model.flatMap(\.value), shape: [keys.tokenCount, widths.value]), layout: layout, keyLayout: keys,
        heads: heads, keyValueHeads: cache.keyValueHeads, mask: .causal(.end) & window, options: .init(path: .fused),
        returning: [.logSumExp, .weights])
      // A cache's last panel is as wide as any; of other cores that decides about bits.
      func same(_ left: Tensor, _ right: Tensor) -> Bool {
        OpenBLAS.hasSmallMatrixKernels ? left.hasBits(of: right) : left.isNear(right, 1e-5)
      }
      #expect(same(cached.output, plain.output), "\(queries) queries: \(text)")
      #expect(same(cached.logSumExp!, plain.logSumExp!), "\(queries) queries: \(text)")
      #expect(zip(cached.weights!, plain.weights!).allSatisfy(same), "\(queries) queries: \(text)")
    }
  }

  @Test(arguments: Draw.seeds)
  func againstAModel(seed: Int) {
    var draw = Draw(seed: 4000 + seed)
    var pair = Pair(&draw)
    var copies: [Pair] = []
    for _ in 0..<12 {
      switch draw.int(0...9) {
      case 0...4: pair.append(&draw)
      case 5: pair.truncate(&draw)
      case 6: pair.fork(&draw)
      case 7: pair.addOrRemove(&draw)
      case 8: pair.select(&draw)
      default: copies.append(pair)
      }
      if draw.chance(0.4) { pair.check(&draw) }
    }
    pair.check(&draw)
    // Values: what was copied has not changed.
    for copy in copies { copy.check(&draw) }
  }

  /// Tasks that read copies of a cache while it grows, is cut and grows again.
  @Test func copiesAreReadWhileTheCacheGrows() async {
    var draw = Draw(seed: 5000)
    let count = 400
    let (query, key, value) = (draw.tensor([count, 64]), draw.tensor([count, 32]), draw.tensor([count, 32]))
    let whole = await scaledDotProductAttention(
      query: query, key: key, value: value, layout: SequenceLayout(lengths: [count]), heads: 4, keyValueHeads: 2,
      mask: .causal(.end), options: .init(path: .fused)
    ).output
    let wrong = await withTaskGroup(of: Bool.self) { group in
      var cache = KeyValueCache(sequenceCount: 1, keyValueHeads: 2, keyWidth: 16, valueWidth: 16)
      func append(_ range: Range<Int>) {
        cache.append(
          key: key.rows(range), value: value.rows(range), layout: SequenceLayout(lengths: [range.count]))
      }
      for position in 0..<count {
        append(position..<position + 1)
        group.addTask { [cache] in
          let own = position..<position + 1
          let output = await scaledDotProductAttention(
            query: query.rows(own), layout: SequenceLayout(lengths: [1]), cache: cache, heads: 4
          ).output
          return OpenBLAS.hasSmallMatrixKernels
            ? !output.hasBits(of: whole.rows(own)) : !output.isNear(whole.rows(own), 1e-5)
        }
        if position % 50 == 49 {
          cache.truncate(sequence: 0, toLength: position - 20)
          append(position - 20..<position + 1)
        }
      }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(wrong == 0)
  }
}
