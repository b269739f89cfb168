import Attention

/// How fast operations on rows go through memory, beside a copy of as many bytes: what bounds them.
package struct RowwiseBandwidth: Sendable {
  /// What was measured: "copy in pieces", "copy in halves", or the operation's name.
  package let name: String
  /// Bytes read and written, 8 for each element, by the median time.
  package let gigabytesPerSecond: Double

  /// Measures operations on `bytes` of float32, read once and written once, interleaved with copies.
  ///
  /// The copies are of two kinds, by all threads: in the 64 KiB pieces that operations are cut into, and in one piece for
  /// each thread, which the C library writes past the caches.
  ///
  /// - Parameters:
  ///   - bytes: the size of the tensor; far more than the caches hold.
  ///   - width: the length of a row.
  ///   - repeats: the samples of each.
  package static func measure(bytes: Int = 64 << 20, width: Int = 768, repeats: Int = 15) -> [RowwiseBandwidth] {
    let rows = bytes / MemoryLayout<Float>.stride / width
    var generator = SeededGenerator(seed: 1)
    let x = Tensor(randomUniform: [rows, width], in: -2..<2, using: &generator)
    let (weight, bias) = (Tensor(repeating: 1.5, shape: [width]), Tensor(repeating: 0.5, shape: [width]))
    let subjects: [(name: String, run: () -> Tensor)] = [
      ("copy in pieces", { copied(x, pieces: (x.count + (1 << 14) - 1) >> 14) }),
      ("copy in halves", { copied(x, pieces: Engine.threadCount.count) }),
      ("layer norm", { layerNorm(x, weight: weight, bias: bias) }),
      ("RMS norm", { rmsNorm(x, weight: weight) }),
      ("softmax", { x.softmax() }),
      ("log-softmax", { x.logSoftmax() }),
      ("GELU", { x.gelu() }),
      ("GELU by tanh", { x.geluTanh() }),
      ("dropout", { x.dropped(probability: 0.1, seed: 1) }),
    ]
    var samples = [[Double]](repeating: [], count: subjects.count)
    for sample in 0..<repeats + 2 {
      for (index, subject) in subjects.enumerated() {
        let seconds = Stopwatch.seconds { withExtendedLifetime(subject.run()) {} }
        // The first ones bring memory in.
        if sample >= 2 { samples[index].append(seconds) }
      }
    }
    let moved = 2 * Double(x.count * MemoryLayout<Float>.stride)
    return zip(subjects, samples).map { subject, samples in
      RowwiseBandwidth(name: subject.name, gigabytesPerSecond: moved / Statistics.median(samples) / 1e9)
    }
  }

  private static func copied(_ x: Tensor, pieces: Int) -> Tensor {
    Tensor(uninitialized: x.shape) { buffer in
      let (source, target, count) = (Unchecked(x.unsafeBase), Unchecked(buffer.baseAddress!), x.count)
      let length = (count + pieces - 1) / pieces
      WorkerPool.shared.forEach(pieces) { piece in
        let first = min(count, piece * length)
        (target.value + first).update(from: source.value + first, count: min(length, count - first))
      }
    }
  }
}
