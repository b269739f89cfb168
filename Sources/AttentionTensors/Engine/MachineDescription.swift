/// What a benchmark figure depends on: the processor, OpenBLAS, the kernels, the threads.
public struct MachineDescription: Sendable {
  /// The processor's name, as the operating system tells it.
  public let cpu: String
  /// The processors that are online.
  public let cores: Int
  /// The processors that the process may run on, where the system tells.
  public let affinity: Int?
  /// The processor time of the process's cgroup, in processors, if limited.
  public let quota: Double?
  /// The threads the engine computes on, and why.
  public let threads: ThreadCount
  /// The kernel set in use.
  public let kernelSet: KernelSet
  /// OpenBLAS's version.
  public let blasVersion: String
  /// The processor family that OpenBLAS chose its kernels for.
  public let blasCore: String
  /// OpenBLAS's threading variant.
  public let blasThreading: OpenBLAS.Threading
  /// The file that `cblas_sgemm` comes from.
  public let blasLibrary: String?

  /// This machine, now.
  public static func current() -> MachineDescription {
    MachineDescription(
      cpu: processorName(), cores: Engine.limits.cores, affinity: Engine.limits.affinity, quota: Engine.limits.quota,
      threads: Engine.threadCount, kernelSet: .current, blasVersion: OpenBLAS.version, blasCore: OpenBLAS.coreName,
      blasThreading: OpenBLAS.threading, blasLibrary: OpenBLAS.libraryPath)
  }

  private static func processorName() -> String {
    for line in (SmallFile.text(at: "/proc/cpuinfo") ?? "").split(separator: "\n") {
      let field = line.split(separator: ":", maxSplits: 1)
      if field.count == 2, field[0].hasPrefix("model name") {
        return String(field[1].drop { $0 == " " })
      }
    }
    return "unknown"
  }
}
