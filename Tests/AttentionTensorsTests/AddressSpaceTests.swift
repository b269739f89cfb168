import AttentionTensors
import Testing

@Suite("What resource limits leave to the engine")
struct AddressSpaceTests {
  @Test(arguments: [(Int.max, 5, nil), (100, 30, 70), (100, 100, 0), (100, 130, 0)] as [(Int, Int, Int?)])
  func aResourceLimitLeavesWhatIsNotUsed(limit: Int, used: Int, left: Int?) {
    #expect(AddressSpace.remaining(of: limit, used: used) == left)
  }

  @Test func tooLittleForAllThreadsIsSaid() throws {
    #expect(AddressSpace.problem(remaining: nil, threads: 64) == nil)
    #expect(AddressSpace.problem(remaining: 2 * AddressSpace.bytesPerThread, threads: 2) == nil)
    let problem = try #require(AddressSpace.problem(remaining: 2 * AddressSpace.bytesPerThread - 1, threads: 2))
    #expect(problem.contains("leave 399 MiB") && problem.contains("2 threads may take 400 MiB"))
  }
}
