import AttentionTensors

/// As the synchronous function of the same parameters, bit for bit, without blocking the task's thread.
///
///     let output = await scaledDotProductAttention(query: q, key: k, value: v, mask: .causal(.end))
///
/// The call runs on a thread that the engine keeps for such calls, and the task is suspended until it is done. Few calls
/// run at once (as many as the engine has threads, four at least), in turns; others wait, first come first served. A call
/// does not look at whether its task is cancelled: it runs to its end, and returns its result.
///
/// Going there and back takes 10 to 20 microseconds, and small calls go too: even they may have to wait for others
/// that compute. Where that matters, call the synchronous function from a function or closure that is not `async`; inside
/// one that is, Swift takes this one.
///
/// - Precondition: the shapes fit each other and the mask.
public func scaledDotProductAttention(
  query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask = .none, options: AttentionOptions = .init()
) async -> Tensor {
  await CallerThreads.shared.run {
    scaledDotProductAttention(query: query, key: key, value: value, mask: mask, options: options)
  }
}

/// Scaled dot-product attention that also returns what `extras` asks for, without blocking the task's thread.
///
/// As the synchronous function of the same parameters, bit for bit; how it runs is said at the `async` function that
/// returns the output alone.
public func scaledDotProductAttention(
  query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask = .none, options: AttentionOptions = .init(),
  returning extras: AttentionExtras
) async -> AttentionResult {
  await CallerThreads.shared.run {
    scaledDotProductAttention(query: query, key: key, value: value, mask: mask, options: options, returning: extras)
  }
}

/// Scaled dot-product attention over a ragged batch, without blocking the task's thread.
///
/// As the synchronous function of the same parameters, bit for bit; how it runs is said at the `async` function that
/// returns the output alone.
public func scaledDotProductAttention(
  query: Tensor, key: Tensor, value: Tensor, layout: SequenceLayout, keyLayout: SequenceLayout? = nil, heads: Int,
  keyValueHeads: Int? = nil, mask: AttentionMask = .none, options: AttentionOptions = .init(),
  returning extras: AttentionExtras = []
) async -> RaggedAttentionResult {
  await CallerThreads.shared.run {
    scaledDotProductAttention(
      query: query, key: key, value: value, layout: layout, keyLayout: keyLayout, heads: heads,
      keyValueHeads: keyValueHeads, mask: mask, options: options, returning: extras)
  }
}

/// Scaled dot-product attention over a cache, without blocking the task's thread. The cache is read as it is now: the
/// call holds its pages, and what is appended meanwhile is written to copies.
///
/// As the synchronous function of the same parameters, bit for bit; how it runs is said at the `async` function that
/// returns the output alone.
public func scaledDotProductAttention(
  query: Tensor, layout: SequenceLayout, cache: KeyValueCache, heads: Int, mask: AttentionMask = .causal(.end),
  options: AttentionOptions = .init(), returning extras: AttentionExtras = []
) async -> RaggedAttentionResult {
  await CallerThreads.shared.run {
    scaledDotProductAttention(
      query: query, layout: layout, cache: cache, heads: heads, mask: mask, options: options, returning: extras)
  }
}

/// Scaled dot-product self-attention over a fused projection, without blocking the task's thread.
///
/// As the synchronous function of the same parameters, bit for bit; how it runs is said at the `async` function that
/// returns the output alone.
public func scaledDotProductAttention(
  queryKeyValue: Tensor, layout: SequenceLayout, heads: Int, keyValueHeads: Int? = nil, mask: AttentionMask = .none,
  options: AttentionOptions = .init(), returning extras: AttentionExtras = []
) async -> RaggedAttentionResult {
  await CallerThreads.shared.run {
    scaledDotProductAttention(
      queryKeyValue: queryKeyValue, layout: layout, heads: heads, keyValueHeads: keyValueHeads, mask: mask,
      options: options, returning: extras)
  }
}

/// Scaled dot-product attention of a fused projection's queries over a cache, without blocking the task's thread. The
/// cache is read as it is now.
///
/// As the synchronous function of the same parameters, bit for bit; how it runs is said at the `async` function that
/// returns the output alone.
public func scaledDotProductAttention(
  queryKeyValue: Tensor, layout: SequenceLayout, cache: KeyValueCache, heads: Int,
  mask: AttentionMask = .causal(.end), options: AttentionOptions = .init(), returning extras: AttentionExtras = []
) async -> RaggedAttentionResult {
  await CallerThreads.shared.run {
    scaledDotProductAttention(
      queryKeyValue: queryKeyValue, layout: layout, cache: cache, heads: heads, mask: mask, options: options,
      returning: extras)
  }
}

/// An unfinished softmax over some of the keys, without blocking the task's thread.
///
/// As the synchronous function of the same parameters, bit for bit; how it runs is said at the `async` function
/// `scaledDotProductAttention` that returns the output alone.
public func partialAttention(
  query: Tensor, key: Tensor, value: Tensor, positions: Range<Int>? = nil, keyCount: Int? = nil,
  mask: AttentionMask = .none, options: AttentionOptions = .init()
) async -> PartialAttention {
  await CallerThreads.shared.run {
    partialAttention(
      query: query, key: key, value: value, positions: positions, keyCount: keyCount, mask: mask, options: options)
  }
}
