import Attention

extension AttentionInput {
  /// How much of an input is run.
  package struct Part: Sendable, Equatable {
    /// The first sequences.
    package var sequences: Int
    /// The first query heads of each: whole groups, or a part of the first one.
    package var heads: Int
    /// The last queries of each: they keep their place under every mask that is aligned to the end.
    package var queries: Int

    package init(sequences: Int, heads: Int, queries: Int) {
      self.sequences = sequences
      self.heads = heads
      self.queries = queries
    }
  }

  /// The whole input.
  var whole: Part { Part(sequences: batch, heads: heads, queries: queryLength) }

  /// A part that does about `fraction` of the work: fewer sequences, then fewer heads, then, when a head on each thread
  /// is still more than `queryFraction` of the work, fewer queries.
  package func part(fraction: Double, queryFraction: Double, threads: Int) -> Part {
    var part = whole
    let total = batch * heads
    let wanted = max(min(threads, total), Int(min(Double(total), (Double(total) * fraction).rounded(.down))))
    if wanted >= heads {
      part.sequences = wanted / heads
    } else {
      part.sequences = 1
      part.heads = wanted
      if wanted > threads { part.heads -= wanted % threads }
      let group = heads / keyValueHeads
      if part.heads > group { part.heads -= part.heads % group }
    }
    let share = Double(part.sequences * part.heads) / Double(total)
    if share > queryFraction {
      part.queries = max(1, Int((Double(queryLength) * queryFraction / share).rounded(.down)))
    }
    return part
  }

  /// The input cut down to a part.
  ///
  /// - Precondition: the part lies inside the input, its heads forming whole groups or lying in one.
  package func cut(to part: Part) -> AttentionInput {
    guard part != whole else { return self }
    let group = heads / keyValueHeads
    let keyValueHeads = (part.heads + group - 1) / group
    var result = AttentionInput(
      name: name, query: query.cut(part.sequences, part.heads, lastRows: part.queries),
      key: key.cut(part.sequences, keyValueHeads, lastRows: keyLength),
      value: value.cut(part.sequences, keyValueHeads, lastRows: keyLength))
    result.isCausal = isCausal
    result.window = window
    result.softcap = softcap
    result.keyLengths = keyLengths.map { Array($0.prefix(part.sequences)) }
    result.allowed = allowed.map { cells in
      // As rank 4: leading axes that were left out have length 1.
      let shape = [Int](repeating: 1, count: 4 - cells.rank) + cells.shape
      let kept = [
        min(shape[0], part.sequences), min(shape[1], part.heads), min(shape[2], part.queries), shape[3],
      ]
      let all = cells.cells
      var chosen: [Bool] = []
      chosen.reserveCapacity(kept.reduce(1, *))
      for sequence in 0..<kept[0] {
        for head in 0..<kept[1] {
          let start = ((sequence * shape[1] + head) * shape[2] + shape[2] - kept[2]) * shape[3]
          chosen += all[start..<start + kept[2] * shape[3]]
        }
      }
      return BooleanTensor(chosen, shape: kept)
    }
    return result
  }
}

extension Tensor {
  /// The first sequences and heads, and the last rows of each, of `[B, H, L, d]`.
  fileprivate func cut(_ sequences: Int, _ heads: Int, lastRows: Int) -> Tensor {
    let (rows, width) = (shape[2], shape[3])
    return withUnsafeBufferPointer { source in
      Tensor(uninitialized: [sequences, heads, lastRows, width]) { target in
        for sequence in 0..<sequences {
          for head in 0..<heads {
            let from = ((sequence * shape[1] + head) * rows + rows - lastRows) * width
            let to = (sequence * heads + head) * lastRows * width
            for index in 0..<lastRows * width { target[to + index] = source[from + index] }
          }
        }
      }
    }
  }
}
