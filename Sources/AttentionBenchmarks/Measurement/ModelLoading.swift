import Attention
import AttentionModels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What reading a model took.
public struct ModelLoading: Sendable, Equatable {
  /// What the model is called: its folder's name.
  public let name: String
  /// Seconds.
  public let seconds: Double
  /// By how much the process's resident memory grew; nil where the system does not tell.
  public let residentGrowth: Int?
  /// The bytes of the weights in float32.
  public let weightBytes: Int

  /// Reads an encoder and measures it.
  public static func encoder(_ folder: ModelFolder) throws(ModelFileError) -> (SentenceEncoder, ModelLoading) {
    // Threads and kernels are there for whatever a program does before.
    _ = Engine.threadCount
    let before = ProcessMemory.residentBytes
    let start = ContinuousClock.now
    let encoder = try SentenceEncoder(folder)
    let seconds = start.duration(to: .now) / .seconds(1)
    let growth = before.flatMap { before in ProcessMemory.residentBytes.map { $0 - before } }
    return (
      encoder,
      ModelLoading(
        name: folder.path.split(separator: "/").last.map(String.init) ?? folder.path, seconds: seconds,
        residentGrowth: growth, weightBytes: encoder.model.namedTensors.reduce(0) { $0 + 4 * $1.tensor.count })
    )
  }
}

/// What the system says of the process's memory.
enum ProcessMemory {
  /// The pages in memory now; nil where there is no /proc.
  static var residentBytes: Int? {
    guard let file = fopen("/proc/self/statm", "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, Int32(line.count), file) != nil else { return nil }
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let fields = text.split(separator: " ")
    return fields.count > 1 ? Int(fields[1]).map { $0 * Int(sysconf(Int32(_SC_PAGESIZE))) } : nil
  }

  /// The most that was in memory so far.
  static var peakBytes: Int {
    var usage = rusage()
    #if canImport(Glibc)
      getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
      return usage.ru_maxrss * 1024
    #else
      getrusage(RUSAGE_SELF, &usage)
      return usage.ru_maxrss
    #endif
  }
  /// Lets ``peakBytesSinceForgotten`` begin anew, where the system allows.
  static func forgetPeak() {
    guard let file = fopen("/proc/self/clear_refs", "w") else { return }
    fputs("5", file)
    fclose(file)
  }

  /// The most that was in memory since the peak was forgotten, or ever where it cannot be.
  static var peakBytesSinceForgotten: Int {
    guard let file = fopen("/proc/self/status", "r") else { return peakBytes }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), file) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      let fields = text.split(whereSeparator: \.isWhitespace)
      if fields.first == "VmHWM:", fields.count > 1, let kibibytes = Int(fields[1]) { return kibibytes * 1024 }
    }
    return peakBytes
  }
}
