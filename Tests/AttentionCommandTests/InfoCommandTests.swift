import Foundation
import Testing

/// `attention info`
@Suite("attention info")
struct InfoCommandTests {
  @Test func text() throws {
    let run = try AttentionProcess(["info"], environment: ["ATTENTION_NUM_THREADS": "1", "ATTENTION_ISA": "portable"])
    #expect(run.exitCode == 0 && run.errors.isEmpty)
    for word in ["CPU", "cores", "affinity", "quota", "1 (ATTENTION_NUM_THREADS)", "portable", "OpenBLAS", "library"] {
      #expect(run.output.contains(word), "\(word)")
    }
  }

  @Test func json() throws {
    let run = try AttentionProcess(["info", "--format", "json"], environment: ["ATTENTION_NUM_THREADS": "1"])
    #expect(run.exitCode == 0)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    #expect(object["cores"] as? Int ?? 0 >= 1)
    #expect(object["threads"] as? Int == 1 && object["thread_reason"] as? String == "environment")
    for key in ["cpu", "kernel_set", "blas_version", "blas_core", "blas_threading", "blas_library"] {
      #expect(object[key] is String, "\(key)")
    }
    #expect((object["warnings"] as? [String])?.isEmpty == true)
  }

  @Test func warningsGoToStandardError() throws {
    let run = try AttentionProcess(
      ["info", "--format", "json"], environment: ["ATTENTION_NUM_THREADS": "many", "ATTENTION_ISA": "mmx"])
    #expect(run.exitCode == 0 && run.errorLines.count == 2)
    #expect(run.errorLines.allSatisfy { $0.hasPrefix("attention: warning: ") })
    let object = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    #expect((object["warnings"] as? [String])?.count == 2)
  }
}
