import Attention
import CAttentionKernels

/// Multiply-adds on registers alone: what no product can exceed.
enum FMAPeak {
  private static let iterations: UInt64 = 20_000

  /// The floating-point operations of one run, on one thread.
  static func operations() -> Double {
    var sink: Float = 0
    return KernelSet.kernels.pointee.fma_peak(iterations, &sink)
  }

  /// The work of running them on every thread at once.
  static func work(threads: Int, repeats: Int) -> TimedWork {
    TimedWork("FMA", repeats: repeats, budget: 1, sampleSeconds: 0.008) { runs in
      WorkerPool.shared.forEach(threads) { _ in
        var sink: Float = 0
        for _ in 0..<runs { _ = KernelSet.kernels.pointee.fma_peak(iterations, &sink) }
      }
    }
  }
}
