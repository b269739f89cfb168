import Attention
import Foundation

/// What the figures of a report depend on, and what the machine was measured to do in the same run.
public struct MachineReport: ReportRecord, Decodable, Equatable {
  /// The processor's name.
  public var cpu: String
  /// The processors that are online.
  public var cores: Int
  /// The processors that the process may run on.
  public var affinity: Int?
  /// The processor time of the process's cgroup, in processors, if limited.
  public var quota: Double?
  /// The threads that computed.
  public var threads: Int
  /// What decided their number.
  public var threadReason: String
  /// OpenBLAS's version.
  public var blasVersion: String
  /// The processor family that OpenBLAS chose its kernels for.
  public var blasCore: String
  /// OpenBLAS's threading variant.
  public var blasThreading: String
  /// The file that OpenBLAS comes from.
  public var blasLibrary: String?
  /// The engine's own kernels.
  public var kernelSet: String
  /// The best median over ``GEMMTile/all``, all threads together.
  public var gemmPeak: Double?
  /// Multiply-adds on registers alone, all threads together.
  public var fmaPeak: Double?
  /// Gigabytes read in a second, all threads together.
  public var readBandwidth: Double?
  /// How samples were taken, as a number that grows with every change of it: figures of different ones are incomparable.
  /// Nil in reports that are older than the number.
  public var method: Int?
  /// What the inputs and the order of the samples were drawn from.
  public var seed: Int?
  /// When the run began, in ISO 8601.
  public var date: String?

  enum CodingKeys: String, CodingKey, CaseIterable {
    case cpu, cores, affinity, quota, threads
    case threadReason = "thread_reason"
    case blasVersion = "blas_version"
    case blasCore = "blas_core"
    case blasThreading = "blas_threading"
    case blasLibrary = "blas_library"
    case kernelSet = "kernel_set"
    case gemmPeak = "gemm_peak_gflops"
    case fmaPeak = "fma_peak_gflops"
    case readBandwidth = "read_gb_per_s"
    case method, seed, date
  }

  /// 1: samples followed other work at once. 2: they follow 50 ms of their own.
  public static let currentMethod = 2

  /// Describes this machine, with nothing measured yet.
  public init(_ machine: MachineDescription = .current(), seed: Int? = nil) {
    cpu = machine.cpu
    cores = machine.cores
    affinity = machine.affinity
    quota = machine.quota
    threads = machine.threads.count
    threadReason = machine.threads.reason.rawValue
    blasVersion = machine.blasVersion
    blasCore = machine.blasCore
    blasThreading = machine.blasThreading.rawValue
    blasLibrary = machine.blasLibrary
    kernelSet = machine.kernelSet.rawValue
    method = MachineReport.currentMethod
    self.seed = seed
    date = Date.now.formatted(.iso8601)
  }

  /// The fields in the order of the keys.
  public var fields: [(key: String, value: ReportValue)] {
    CodingKeys.allCases.map { ($0.rawValue, value(of: $0)) }
  }

  private func value(of key: CodingKeys) -> ReportValue {
    switch key {
    case .cpu: .text(cpu)
    case .cores: .integer(cores)
    case .affinity: .init(affinity)
    case .quota: .init(quota)
    case .threads: .integer(threads)
    case .threadReason: .text(threadReason)
    case .blasVersion: .text(blasVersion)
    case .blasCore: .text(blasCore)
    case .blasThreading: .text(blasThreading)
    case .blasLibrary: .init(blasLibrary)
    case .kernelSet: .text(kernelSet)
    case .gemmPeak: .init(gemmPeak)
    case .fmaPeak: .init(fmaPeak)
    case .readBandwidth: .init(readBandwidth)
    case .method: .init(method)
    case .seed: .init(seed)
    case .date: .init(date)
    }
  }

  /// The lines that head a table.
  public var summary: [String] {
    var measured = ["OpenBLAS \(blasVersion) \(blasCore) (\(blasThreading))"]
    if let gemmPeak { measured.append("GEMM peak \(Decimals.short(gemmPeak)) GFLOP/s") }
    if let fmaPeak { measured.append("FMA peak \(Decimals.short(fmaPeak)) GFLOP/s") }
    if let readBandwidth { measured.append("reads \(Decimals.short(readBandwidth)) GB/s") }
    var about = [cpu, "\(cores) cores", "\(threads) threads (\(threadReason))", "kernels \(kernelSet)"]
    if let seed { about.append("seed \(seed)") }
    return [about.joined(separator: ", "), measured.joined(separator: ", ")]
  }

  /// What a comparison with another report looks at.
  public var identity: MachineIdentity {
    MachineIdentity(
      cpu: cpu, threads: threads, kernelSet: kernelSet, blasVersion: blasVersion, blasCore: blasCore,
      blasThreading: blasThreading, method: method)
  }
}

/// What times depend on most: where it differs they are incomparable.
public struct MachineIdentity: Sendable, Equatable, Decodable {
  let cpu: String
  let threads: Int
  let kernelSet: String
  let blasVersion: String
  let blasCore: String
  let blasThreading: String
  let method: Int?

  private enum CodingKeys: String, CodingKey {
    case cpu, threads, method
    case kernelSet = "kernel_set"
    case blasVersion = "blas_version"
    case blasCore = "blas_core"
    case blasThreading = "blas_threading"
  }

  /// What differs from another machine, one phrase each.
  public func differences(from other: MachineIdentity) -> [String] {
    let pairs = [
      ("processor", cpu, other.cpu), ("threads", "\(threads)", "\(other.threads)"),
      ("kernel set", kernelSet, other.kernelSet), ("OpenBLAS version", blasVersion, other.blasVersion),
      ("OpenBLAS core", blasCore, other.blasCore), ("OpenBLAS threading", blasThreading, other.blasThreading),
      ("method of sampling", "\(method ?? 1)", "\(other.method ?? 1)"),
    ]
    return pairs.filter { $0.1 != $0.2 }.map { "\($0.0) \($0.1), was \($0.2)" }
  }
}
