import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A set of inner-loop kernels, compiled for one level of vector instructions.
public enum KernelSet: String, Sendable, CaseIterable {
  /// The compiler's baseline: SSE2 on x86-64, NEON on arm64.
  case portable
  /// AVX2 and FMA.
  case avx2
  /// AVX-512 F, BW, VL, DQ and FMA.
  case avx512

  /// The set in use: the widest that this processor runs, unless the environment variable `ATTENTION_ISA` names one.
  ///
  /// `ATTENTION_ISA` reaches these kernels only; OpenBLAS chooses its own by `OPENBLAS_CORETYPE`.
  public static var current: KernelSet { resolved.set }

  /// Whether this processor and operating system run the set.
  public var isAvailable: Bool { attention_kernels_for(instructionSet) != nil }

  /// The kernels in use.
  package static var kernels: UnsafePointer<attention_kernels> { resolved.kernels }

  static var warning: String? { resolved.warning }

  private struct Resolved: @unchecked Sendable {
    // @unchecked: the kernel tables are constants.
    let set: KernelSet
    let kernels: UnsafePointer<attention_kernels>
    let warning: String?
  }

  private static let resolved: Resolved = {
    let (set, warning) = resolve(environment: getenv("ATTENTION_ISA").map { String(cString: $0) })
    guard let kernels = attention_kernels_for(set.instructionSet) else {
      fatalError("KernelSet: \(set) was chosen but does not run here")
    }
    return Resolved(set: set, kernels: kernels, warning: warning)
  }()

  /// The set that a value of `ATTENTION_ISA` selects, and a warning where the value cannot be followed.
  package static func resolve(environment value: String?) -> (set: KernelSet, warning: String?) {
    let widest = allCases.last { $0.isAvailable } ?? .portable
    guard let value, !value.isEmpty else { return (widest, nil) }
    let names = allCases.map(\.rawValue).joined(separator: ", ")
    guard let set = KernelSet(rawValue: value) else {
      return (widest, "ATTENTION_ISA=\(value) names no kernel set (\(names)); \(widest.rawValue) is used")
    }
    guard set.isAvailable else {
      return (widest, "ATTENTION_ISA=\(value) does not run on this processor; \(widest.rawValue) is used")
    }
    return (set, nil)
  }

  private var instructionSet: attention_instruction_set {
    switch self {
    case .portable: ATTENTION_ISA_PORTABLE
    case .avx2: ATTENTION_ISA_AVX2
    case .avx512: ATTENTION_ISA_AVX512
    }
  }
}
