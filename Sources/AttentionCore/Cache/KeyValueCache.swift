import AttentionTensors

/// The keys and values of sequences that grow: what generation keeps of the tokens it has seen.
///
///     var cache = KeyValueCache(sequenceCount: 1, keyValueHeads: 8, keyWidth: 128, valueWidth: 128)
///     cache.append(key: k, value: v, layout: SequenceLayout(lengths: [12]))  // a prompt
///     let output = scaledDotProductAttention(query: q, layout: SequenceLayout(lengths: [12]), cache: cache, heads: 32)
///
/// Keys are kept transposed, in the panels that the fused path multiplies by, so that prefill, chunked prefill, a reused
/// prefix and one token at a time are one code path on one grid. On cores with small-matrix kernels
/// (`OpenBLAS.hasSmallMatrixKernels`) all of them give equal bits.
///
/// A value type whose pages are shared until written to: copying a cache, or forking a sequence, copies no key.
public struct KeyValueCache: Sendable {
  /// The heads of key and value, Hkv.
  public let keyValueHeads: Int
  /// The width of a key head, dk.
  public let keyWidth: Int
  /// The width of a value head, dv.
  public let valueWidth: Int
  /// How many positions a query sees, its own included; all before it if nil.
  ///
  /// Attention over the cache applies this window, and what no later query can see is forgotten at the next
  /// `append(key:value:layout:)`, in whole blocks.
  public let window: Int?

  let tiling: FusedTiling
  private var sequences: [Sequence]

  /// One sequence: pages from block `firstBlock` on.
  fileprivate struct Sequence: Sendable {
    var length = 0
    /// The first position that is not forgotten.
    var firstKept = 0
    var firstBlock = 0
    var pages: [KeyValuePage] = []
    /// The pages that were added since the sequence was forked from another.
    var ownPages = 0
  }

  /// Creates a cache of empty sequences.
  ///
  /// - Precondition: counts and widths are positive; a window, if any, is positive.
  public init(sequenceCount: Int, keyValueHeads: Int, keyWidth: Int, valueWidth: Int, window: Int? = nil) {
    require(
      sequenceCount >= 0 && keyValueHeads > 0 && keyWidth > 0 && valueWidth > 0 && (window ?? 1) > 0,
      """
      KeyValueCache: \(sequenceCount) sequences of \(keyValueHeads) kv heads, keys \(keyWidth) and values \(valueWidth) \
      wide, window \(window.map(String.init) ?? "none") cannot be
      """)
    self.keyValueHeads = keyValueHeads
    self.keyWidth = keyWidth
    self.valueWidth = valueWidth
    self.window = window
    tiling = FusedTiling(keyWidth: keyWidth, valueWidth: valueWidth)
    sequences = [Sequence](repeating: Sequence(), count: sequenceCount)
  }

  /// The positions of a block.
  package var blockKeys: Int { tiling.blockKeys }

  /// The number of sequences.
  public var sequenceCount: Int { sequences.count }

  /// The positions that were appended to each sequence, those that a window has left behind included.
  public var lengths: [Int] { sequences.map(\.length) }

  /// The positions of a sequence that are not forgotten.
  ///
  /// - Precondition: the sequence exists.
  public func retainedPositions(ofSequence sequence: Int) -> Range<Int> {
    check(sequence)
    return sequences[sequence].firstKept..<sequences[sequence].length
  }

  /// The bytes that are held for the keys and values of all sequences; what sequences share is counted once.
  ///
  /// Memory is taken for up to eight blocks at a time (less with a window, and while a sequence is short), and given back
  /// when all of them are forgotten.
  public var byteCount: Int {
    var slabs: [ObjectIdentifier: Int] = [:]
    for sequence in sequences {
      for page in sequence.pages { slabs[ObjectIdentifier(page.slab)] = page.slab.byteCount }
    }
    return slabs.values.reduce(0, +)
  }

  /// Pages of a new slab: a quarter of a window at the most, which frees whole slabs.
  private var maximumSlabPages: Int {
    min(KeyValueSlab.maximumPages, window.map { max(1, $0 / (4 * tiling.blockKeys)) } ?? .max)
  }

  // MARK: Growing

  /// Appends tokens to every sequence: `layout.lengths[s]` to sequence s, which may be 0. O(tokens · Hkv · (dk + dv)).
  ///
  /// - Parameters:
  ///   - key: `[tokens, Hkv · dk]`.
  ///   - value: `[tokens, Hkv · dv]`.
  ///   - layout: the tokens of each sequence, in the cache's order.
  /// - Precondition: the shapes fit the layout and the cache.
  public mutating func append(key: Tensor, value: Tensor, layout: SequenceLayout) {
    require(
      layout.sequenceCount == sequenceCount && key.shape == [layout.tokenCount, keyValueHeads * keyWidth]
        && value.shape == [layout.tokenCount, keyValueHeads * valueWidth],
      """
      KeyValueCache: key \(key.shape), value \(value.shape), lengths \(layout.lengths) do not fit \(sequenceCount) \
      sequences of \(keyValueHeads) kv heads, keys \(keyWidth) and values \(valueWidth) wide
      """)
    append(
      CacheRows(
        key: key.unsafeBase, keyStride: keyValueHeads * keyWidth, value: value.unsafeBase,
        valueStride: keyValueHeads * valueWidth), layout)
    withExtendedLifetime((key, value)) {}
  }

  /// Appends the keys and values of a fused projection, where they lie. As `append(key:value:layout:)`, bit for bit.
  ///
  /// - Parameters:
  ///   - queryKeyValue: `[tokens, Hq · dk + Hkv · dk + Hkv · dv]`: queries, then keys, then values.
  ///   - layout: the tokens of each sequence, in the cache's order.
  ///   - heads: Hq.
  /// - Precondition: the shape fits the layout, the heads and the cache.
  public mutating func append(queryKeyValue: Tensor, layout: SequenceLayout, heads: Int) {
    let columns = heads * keyWidth + keyValueHeads * (keyWidth + valueWidth)
    require(
      heads > 0 && layout.sequenceCount == sequenceCount && queryKeyValue.shape == [layout.tokenCount, columns],
      """
      KeyValueCache: query, key and value \(queryKeyValue.shape) with \(heads) heads, lengths \(layout.lengths) do not \
      fit \(sequenceCount) sequences of \(keyValueHeads) kv heads, keys \(keyWidth) and values \(valueWidth) wide
      """)
    let key = queryKeyValue.unsafeBase + heads * keyWidth
    append(
      CacheRows(key: key, keyStride: columns, value: key + keyValueHeads * keyWidth, valueStride: columns), layout)
    withExtendedLifetime(queryKeyValue) {}
  }

  private mutating func append(_ rows: CacheRows, _ layout: SequenceLayout) {
    var writes: [PageWrite] = []
    for sequence in 0..<sequenceCount where layout.lengths[sequence] > 0 {
      let tokens = layout.range(of: sequence)
      if let window { sequences[sequence].evict(window: window, tiling) }
      writes += sequences[sequence].extend(
        by: tokens.count, tiling, heads: keyValueHeads, maximumSlabPages: maximumSlabPages
      ).map { page, positions, first in
        PageWrite(page: page, positions: positions, token: tokens.lowerBound + first)
      }
    }
    let planned = writes
    WorkerPool.shared.forEachWithoutProducts(writes.count, inline: !isLong(layout)) { rows.write(planned[$0]) }
  }

  /// Whether appending so many tokens is worth other threads.
  private func isLong(_ layout: SequenceLayout) -> Bool {
    layout.tokenCount * keyValueHeads * (keyWidth + valueWidth) >= 1 << 17
  }

  /// `append(key:value:layout:)` without blocking the task's thread: many tokens are appended on a thread that the engine
  /// keeps for such calls, a few at once, on the task's own.
  ///
  /// - Precondition: the shapes fit the layout and the cache.
  public mutating func append(key: Tensor, value: Tensor, layout: SequenceLayout) async {
    await appendWithoutBlocking(layout) { $0.append(key: key, value: value, layout: layout) }
  }

  /// `append(queryKeyValue:layout:heads:)` without blocking the task's thread.
  ///
  /// - Precondition: the shape fits the layout, the heads and the cache.
  public mutating func append(queryKeyValue: Tensor, layout: SequenceLayout, heads: Int) async {
    await appendWithoutBlocking(layout) { $0.append(queryKeyValue: queryKeyValue, layout: layout, heads: heads) }
  }

  private mutating func appendWithoutBlocking(
    _ layout: SequenceLayout, _ append: @escaping @Sendable (inout KeyValueCache) -> Void
  ) async {
    guard isLong(layout) else { return append(&self) }
    let moved = Guarded(self)
    // Pages that are held twice would be copied before they are written to.
    sequences = []
    await CallerThreads.shared.run { moved.withLock { append(&$0) } }
    self = moved.withLock { $0 }
  }

  // MARK: Shrinking and forking

  /// Forgets the positions of a sequence from `length` on. Blocks that are left empty are freed as far as no other block of
  /// the same stretch of memory is in use: see ``byteCount``.
  ///
  /// - Precondition: `length` is not past the end. With a window, it is 0 or leaves all that the next query sees: it does
  ///   not reach behind the tokens of the last `append(key:value:layout:)` once something was forgotten.
  public mutating func truncate(sequence: Int, toLength length: Int) {
    let kept = retainedPositions(ofSequence: sequence)
    let needed = max(0, length - (window ?? .max) + 1)
    require(
      length >= 0 && length <= kept.upperBound && (length == 0 || kept.lowerBound <= needed),
      """
      KeyValueCache: sequence \(sequence) holds positions \(kept), window \(window.map(String.init) ?? "none"); it cannot \
      be truncated to \(length)
      """)
    sequences[sequence].truncate(to: length, tiling)
  }

  /// Adds a sequence that begins with the first `length` positions of another one, and shares their pages with it until
  /// either writes to them. O(pages).
  ///
  /// - Returns: the number of the new sequence.
  /// - Precondition: as for ``truncate(sequence:toLength:)``.
  @discardableResult
  public mutating func appendSequence(forking sequence: Int, length: Int? = nil) -> Int {
    check(sequence)
    var fork = sequences[sequence]
    fork.ownPages = 0
    sequences.append(fork)
    truncate(sequence: sequenceCount - 1, toLength: length ?? sequences[sequence].length)
    return sequenceCount - 1
  }

  /// Adds an empty sequence, and returns its number.
  @discardableResult
  public mutating func appendSequence() -> Int {
    sequences.append(Sequence())
    return sequenceCount - 1
  }

  /// Keeps these sequences, in this order: what a step of beam search goes on with. One that is named several times shares
  /// its pages with its copies until they are written to. O(pages).
  ///
  /// - Precondition: every sequence exists.
  public mutating func select(sequences numbers: [Int]) {
    require(
      numbers.allSatisfy(sequences.indices.contains), "KeyValueCache: of \(sequenceCount) sequences, no \(numbers)")
    var seen: Set<Int> = []
    sequences = numbers.map { number in
      var chosen = sequences[number]
      if !seen.insert(number).inserted { chosen.ownPages = 0 }
      return chosen
    }
  }

  /// Removes a sequence; later ones move up.
  ///
  /// - Precondition: the sequence exists.
  public mutating func removeSequence(_ sequence: Int) {
    check(sequence)
    sequences.remove(at: sequence)
  }

  private func check(_ sequence: Int) {
    require(
      sequences.indices.contains(sequence), "KeyValueCache: of \(sequenceCount) sequences, no number \(sequence)")
  }

  // MARK: Reading

  /// The keys and values of a sequence's retained positions, as they were appended: `[positions, Hkv · dk]` and
  /// `[positions, Hkv · dv]`.
  public func rows(ofSequence sequence: Int) -> (key: Tensor, value: Tensor) {
    let positions = retainedPositions(ofSequence: sequence)
    let source = sequences[sequence]
    func gather(_ width: Int, _ load: @Sendable (KeyValuePage, Int, Int, UnsafeMutablePointer<Float>) -> Void) -> Tensor
    {
      Tensor(uninitialized: [positions.count, keyValueHeads * width]) { buffer in
        nonisolated(unsafe) let target = buffer.baseAddress!
        let (firstBlock, heads, blockKeys) = (source.firstBlock, keyValueHeads, tiling.blockKeys)
        let blocks = tiling.blocks(of: positions)
        WorkerPool.shared.forEachWithoutProducts(blocks.count, inline: buffer.count < 1 << 17) { index in
          let block = blocks.lowerBound + index
          for position in positions.clamped(to: block * blockKeys..<(block + 1) * blockKeys) {
            for head in 0..<heads {
              load(
                source.pages[block - firstBlock], head, position - block * blockKeys,
                target + ((position - positions.lowerBound) * heads + head) * width)
            }
          }
        }
      }
    }
    return (
      gather(keyWidth) { $0.loadKey($1, position: $2, into: $3) },
      gather(valueWidth) { $0.loadValue($1, position: $2, into: $3) }
    )
  }

  /// The pages as a call of attention reads them.
  func table() -> KeyValueTable {
    KeyValueTable(
      tiling: tiling, heads: keyValueHeads, pages: sequences.map(\.pages), firstBlocks: sequences.map(\.firstBlock))
  }
}

extension KeyValueCache.Sequence {
  /// Makes room for tokens. Returns which positions of which pages they take, and the first token of each.
  mutating func extend(
    by count: Int, _ tiling: FusedTiling, heads: Int, maximumSlabPages: Int
  ) -> [(page: KeyValuePage, positions: Range<Int>, first: Int)] {
    var writes: [(KeyValuePage, Range<Int>, Int)] = []
    var done = 0
    while done < count {
      let (block, offset) = (length + done).quotientAndRemainder(dividingBy: tiling.blockKeys)
      let index = block - firstBlock
      if index == pages.count {
        // What a sequence holds beside what it shares doubles at the most.
        let needed = (offset + count - done + tiling.blockKeys - 1) / tiling.blockKeys
        let slabPages = min(maximumSlabPages, max(needed, min(ownPages, pages.count)))
        ownPages += 1
        pages.append(KeyValuePage(tiling, heads: heads, after: pages.last, slabPages: slabPages))
      } else if !isKnownUniquelyReferenced(&pages[index]) {
        pages[index] = KeyValuePage(copying: pages[index])
      }
      let taken = min(count - done, tiling.blockKeys - offset)
      writes.append((pages[index], offset..<offset + taken, done))
      done += taken
    }
    length += count
    return writes
  }

  /// Forgets what the next query does not see, and frees the blocks that it leaves empty.
  mutating func evict(window: Int, _ tiling: FusedTiling) {
    firstKept = max(0, length - window + 1)
    let first = firstKept / tiling.blockKeys
    guard first > firstBlock else { return }
    pages.removeFirst(min(pages.count, first - firstBlock))
    firstBlock = first
  }

  mutating func truncate(to newLength: Int, _ tiling: FusedTiling) {
    length = newLength
    if newLength == 0 {
      self = KeyValueCache.Sequence()
      return
    }
    let blocks = (newLength + tiling.blockKeys - 1) / tiling.blockKeys - firstBlock
    if blocks < pages.count { pages.removeLast(pages.count - blocks) }
  }
}

/// Positions of one page, and the first token that goes there.
private struct PageWrite: Sendable {
  let page: KeyValuePage
  let positions: Range<Int>
  let token: Int
}

/// The rows that are appended.
private struct CacheRows: @unchecked Sendable {
  // @unchecked: pointers into tensors that the caller keeps alive, for reading.
  let key: UnsafePointer<Float>
  let keyStride: Int
  let value: UnsafePointer<Float>
  let valueStride: Int

  func write(_ write: PageWrite) {
    write.page.write(
      write.positions, key: key + write.token * keyStride, keyStride: keyStride,
      value: value + write.token * valueStride, valueStride: valueStride)
  }
}

/// The pages of a cache while a call reads them.
struct KeyValueTable: Sendable {
  let tiling: FusedTiling
  let heads: Int
  let pages: [[KeyValuePage]]
  let firstBlocks: [Int]

  func page(sequence: Int, block: Int) -> KeyValuePage { pages[sequence][block - firstBlocks[sequence]] }
}
