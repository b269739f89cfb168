import AttentionTensors
import Foundation

/// Reads damaged files, one after another: `AttentionFuzzer COUNT SEED FILE`, or `AttentionFuzzer --replay SUBJECT FILE`.
///
/// Each input is in `FILE` before it is read, with its subject and number, so that it is there when the process dies: by a
/// trap, by the alarm of an input that takes too long, or because an input made the process grow out of proportion.
@main
enum Fuzzer {
  /// Seconds that an input may take.
  static let patience: UInt32 = 10
  /// Bytes that the process may grow by for an input: so many, and so many for each byte of it.
  static let (growth, growthPerByte) = (64 << 20, 64)

  static func subjects() throws -> [any Subject] {
    [
      SafetensorsSubject(), NumPySubject(), TokenizerSubject(), try ConfigurationSubject(), try IndexSubject(),
      try EncoderSubject(),
    ]
  }

  static func main() throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 4 else {
      return fail("usage: AttentionFuzzer COUNT SEED FILE | --replay SUBJECT FILE", 64)
    }
    let subjects = try subjects()
    if arguments[1] == "--replay" {
      guard let subject = subjects.first(where: { type(of: $0).name == arguments[2] }) else {
        return fail("no such subject", 64)
      }
      print(subject.read(try contents(ofFile: arguments[3])) ? "read" : "refused")
      return
    }
    guard let count = Int(arguments[1]), let seed = UInt64(arguments[2]) else {
      return fail("numbers are expected", 64)
    }
    limitAddressSpace()
    run(subjects, count, seed, Record(path: arguments[3]))
  }

  private static func run(_ subjects: [any Subject], _ count: Int, _ seed: UInt64, _ record: Record) {
    // What the first use of everything allocates is not the inputs'.
    for subject in subjects { for bytes in subject.seeds where !subject.read(bytes) { fail("a seed is refused", 70) } }
    var wheel: [Int] = []
    for (index, subject) in subjects.enumerated() { wheel += repeatElement(index, count: type(of: subject).share) }
    var tally = Array(repeating: (inputs: 0, read: 0, seconds: 0.0), count: subjects.count)
    let before = peakBytes()
    for number in 0..<count {
      let place = wheel[number % wheel.count]
      let name = type(of: subjects[place]).name
      var mutator = Mutator(generator: SeededGenerator(seed: seed &* 1_000_003 &+ UInt64(number)))
      let bytes = subjects[place].input(&mutator)
      record.write(bytes, "\(name) \(seed) \(number)")
      alarm(patience)
      let peak = peakBytes()
      let start = DispatchTime.now().uptimeNanoseconds
      tally[place].read += subjects[place].read(bytes) ? 1 : 0
      tally[place].seconds += Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
      tally[place].inputs += 1
      if peakBytes() - peak > growth + growthPerByte * bytes.count {
        fail("the process grew by \(peakBytes() - peak) bytes", 75)
      }
    }
    alarm(0)
    if peakBytes() - before > 4 * growth {
      fail("the process grew by \(peakBytes() - before) bytes over all inputs", 75)
    }
    for (subject, found) in zip(subjects, tally) {
      print("\(type(of: subject).name) \(found.inputs) inputs, \(found.read) read, \(Int(found.seconds * 1e3)) ms")
      // A mutator that leaves nothing valid would test the parser's first lines alone.
      if found.inputs >= 1000, found.read * 200 < found.inputs {
        fail("too few inputs of \(type(of: subject).name) are valid", 70)
      }
    }
  }

  /// An input that asks for a gigabyte dies, even if it would never touch it.
  private static func limitAddressSpace() {
    #if os(Linux)
      let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
      guard let size = fields.first.flatMap({ UInt($0) }) else { return }
      let bytes = size * UInt(sysconf(Int32(_SC_PAGESIZE))) + 1 << 30
      var limit = rlimit(rlim_cur: bytes, rlim_max: bytes)
      setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
    #endif
  }

  /// The most memory that the process has had.
  private static func peakBytes() -> Int {
    var usage = rusage()
    #if os(Linux)
      getrusage(RUSAGE_SELF.rawValue, &usage)
      return usage.ru_maxrss << 10
    #else
      getrusage(RUSAGE_SELF, &usage)
      return usage.ru_maxrss
    #endif
  }

  private static func fail(_ message: String, _ code: Int32) {
    FileHandle.standardError.write(Data("AttentionFuzzer: \(message)\n".utf8))
    exit(code)
  }
}

/// The input at hand, in a file that outlives the process: a line that names it, and its bytes.
final class Record {
  private static let capacity = 1 << 20
  private let memory: UnsafeMutableRawPointer

  init(path: String) {
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0, ftruncate(descriptor, off_t(Self.capacity)) == 0,
      let memory = mmap(nil, Self.capacity, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), memory != MAP_FAILED
    else { fatalError("\(path) cannot be written") }
    close(descriptor)
    self.memory = memory
  }

  /// "SUBJECT SEED NUMBER LENGTH\n" and the bytes.
  func write(_ bytes: [UInt8], _ name: String) {
    let line = Array("\(name) \(bytes.count)\n".utf8)
    let all = line + bytes.prefix(Self.capacity - line.count)
    all.withUnsafeBytes { memory.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
  }
}
