#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// An array flush against a page that nobody may touch: reading or writing one element too many crashes the test.
///
/// Sanitizers do not see inside C kernels and OpenBLAS; the memory management unit does. Inaccessible pages lie on both
/// sides, and the array touches one of them. What is left between the array and the other one holds a known byte, so
/// that a stray write there shows in ``surroundingsAreIntact``.
package final class GuardedBuffer<Element: BitwiseCopyable> {
  /// The side on which an inaccessible page follows at once.
  package enum Edge: CaseIterable, Sendable {
    /// The byte before the first element is inaccessible.
    case start
    /// The byte after the last element is inaccessible.
    case end
  }

  /// The elements.
  package let elements: UnsafeMutableBufferPointer<Element>

  private let mapping: UnsafeMutableRawBufferPointer
  private let accessible: UnsafeMutableRawBufferPointer
  private let canary: UInt8 = 0xA5

  /// The first element; there is one for an empty array, too, with nothing accessible behind it.
  ///
  /// It does not keep the array alive: either use the array afterwards, or call ``withBase(_:)``.
  package var base: UnsafeMutablePointer<Element> { elements.baseAddress! }

  /// Calls `body` with the first element, and keeps the array alive meanwhile.
  package func withBase<Result>(_ body: (UnsafeMutablePointer<Element>) throws -> Result) rethrows -> Result {
    try withExtendedLifetime(self) { try body(base) }
  }

  /// An array of these values.
  package init(_ values: some Collection<Element>, edge: Edge) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let bytes = values.count * MemoryLayout<Element>.stride
    let inside = (bytes + page - 1) / page * page
    let mapped = mmap(nil, inside + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0)
    guard let mapped, mapped != MAP_FAILED else { fatalError("GuardedBuffer: no memory for \(bytes) bytes") }
    mapping = UnsafeMutableRawBufferPointer(start: mapped, count: inside + 2 * page)
    accessible = UnsafeMutableRawBufferPointer(start: mapped + page, count: inside)
    if inside > 0 {
      let status = mprotect(mapped + page, inside, PROT_READ | PROT_WRITE)
      precondition(status == 0, "GuardedBuffer: mprotect failed with \(errno)")
      memset(mapped + page, Int32(canary), inside)
    }
    let start = mapped + page + (edge == .start ? 0 : inside - bytes)
    let base = start.bindMemory(to: Element.self, capacity: values.count)
    elements = UnsafeMutableBufferPointer(start: base, count: values.count)
    _ = elements.initialize(fromContentsOf: values)
  }

  /// An array of `count` copies of a value.
  package convenience init(repeating value: Element, count: Int, edge: Edge) {
    self.init(repeatElement(value, count: count), edge: edge)
  }

  deinit { munmap(mapping.baseAddress, mapping.count) }

  /// The elements as an array.
  package var values: [Element] { Array(elements) }

  /// Whether the accessible bytes around the array are as they were.
  package var surroundingsAreIntact: Bool {
    let before = accessible.baseAddress!.distance(to: UnsafeMutableRawPointer(base))
    let after = before + elements.count * MemoryLayout<Element>.stride
    return accessible[..<before].allSatisfy { $0 == canary } && accessible[after...].allSatisfy { $0 == canary }
  }
}
