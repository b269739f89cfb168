import CAttentionSystem
import COpenBLAS

/// The OpenBLAS that this process runs: what it is, and its threading, which the engine holds at one thread.
///
/// OpenBLAS's own threads are slower here than the engine's, and products with and without transposition that run
/// concurrently in its threaded build are not safe. So every thread that computes for the engine has OpenBLAS at one
/// thread. In the pthread variant that setting belongs to the whole process: a host program's other use of OpenBLAS
/// sees it. In the OpenMP variant it belongs to each thread, and a caller's own value is put back when it leaves. The
/// serial variant guards its work buffers by no lock, and concurrent products in it give wrong numbers: there, products
/// take turns, and ``Engine/warnings`` says so.
public enum OpenBLAS {
  /// How OpenBLAS was built to use threads; Debian packages all three and chooses by alternatives at run time.
  public enum Threading: String, Sendable {
    /// No threads of its own.
    case serial
    /// A pool of its own.
    case pthread
    /// OpenMP's.
    case openmp
  }

  /// The first words of OpenBLAS's build configuration, such as "0.3.21".
  public static let version: String = {
    let words = configuration.split(separator: " ")
    return words.count > 1 && words[0] == "OpenBLAS" ? String(words[1]) : configuration
  }()

  /// OpenBLAS's build configuration, as it prints it.
  public static let configuration = String(cString: openblas_get_config())

  /// The processor family whose kernels OpenBLAS chose: "Haswell", "SkylakeX", "Cooperlake", "Zen" …
  public static let coreName = String(cString: openblas_get_corename())

  /// The variant that was loaded.
  public static let threading: Threading =
    switch openblas_get_parallel() {
    case OPENBLAS_THREAD: .pthread
    case OPENBLAS_OPENMP: .openmp
    default: .serial
    }

  /// Whether this core has the small-matrix kernels on which results are row-local: AVX-512 cores do.
  public static let hasSmallMatrixKernels = ProductTiles.current.smallVolume != nil

  /// The threads that may be inside OpenBLAS at once: its build-time limit on work buffers, past which it ends the
  /// process.
  static let maximumConcurrentCallers: Int = {
    let limit = configuration.split(separator: " ").first { $0.hasPrefix("MAX_THREADS=") }
    return limit.flatMap { Int($0.dropFirst("MAX_THREADS=".count)) } ?? 64
  }()

  /// The file that the running `cblas_sgemm` comes from, as the dynamic linker tells.
  public static let libraryPath: String? = object(holding: "cblas_sgemm")?.path

  /// Whether `cblas_sgemm` and OpenBLAS's own functions come from one loaded file.
  ///
  /// Another `libblas.so.3` that was loaded first can answer for `cblas_sgemm`; then neither the thread setting nor any
  /// statement about speed holds, and ``Engine/warnings`` says so.
  public static let answersForCBLAS: Bool = {
    guard let product = object(holding: "cblas_sgemm"), let own = object(holding: "openblas_get_config") else {
      return false
    }
    return product.base == own.base
  }()

  private static func object(holding symbol: String) -> (base: UnsafeRawPointer?, path: String)? {
    var base: UnsafeRawPointer?
    guard let path = attention_symbol_library(symbol, &base) else { return nil }
    return (base, String(cString: path))
  }

  // MARK: Turns

  private static let turn = Lock()

  /// Runs a product; in the serial variant, after every other one has ended.
  package static func takingTurns(_ product: () -> Void) {
    guard threading == .serial else { return product() }
    turn.withLock(product)
  }

  // MARK: One thread

  private typealias SetThreads = @convention(c) (Int32) -> Void
  private typealias GetThreads = @convention(c) () -> Int32

  /// OpenMP's per-thread setting, looked up in the OpenMP runtime that OpenBLAS brought along.
  private static let openMP: (get: GetThreads, set: SetThreads)? = {
    guard threading == .openmp, let set = attention_symbol_address("omp_set_num_threads"),
      let get = attention_symbol_address("omp_get_max_threads")
    else { return nil }
    return (unsafeBitCast(get, to: GetThreads.self), unsafeBitCast(set, to: SetThreads.self))
  }()

  /// Runs `body` with OpenBLAS at one thread on this thread. Every entry into OpenBLAS lies inside such a call.
  static func withOneThread<Result>(_ body: () -> Result) -> Result {
    if let openMP {
      let before = openMP.get()
      if before != 1 { openMP.set(1) }
      defer { if before != 1 { openMP.set(before) } }
      return body()
    }
    // A host program may have raised it since.
    if threading == .pthread, openblas_get_num_threads() != 1 { openblas_set_num_threads(1) }
    return body()
  }

  // MARK: More threads

  /// Runs `body` with OpenBLAS's own threads, for whoever compares with them; afterwards the setting is what it was.
  ///
  /// - Parameter body: gets the number of threads that OpenBLAS took, 1 in the serial variant.
  /// - Precondition: nothing else computes meanwhile, this thread is none of the ``WorkerPool``'s, and `count` is
  ///   positive.
  package static func withThreads(_ count: Int, _ body: (_ threads: Int) -> Void) {
    require(!PoolThread.isComputing, "OpenBLAS: its own threads inside a job of the pool")
    if let openMP {
      let before = openMP.get()
      openMP.set(Int32(count))
      defer { openMP.set(before) }
      return body(Int(openMP.get()))
    }
    guard threading == .pthread else { return body(1) }
    let before = openblas_get_num_threads()
    // Setting it costs more than reading it, and starts threads.
    if before != count { openblas_set_num_threads(Int32(count)) }
    defer { if before != count { openblas_set_num_threads(before) } }
    body(Int(openblas_get_num_threads()))
  }
}
