import AttentionTraining
import Testing

@Suite struct TextCutTests {
  @Test(arguments: [
    (TextCut.whole, ["a\n\n  \nb c\r\n\r\nd\n\n"]),
    (.paragraphs, ["a", "b c", "d"]),
    (.lines, ["a", "b c", "d"]),
  ])
  func `blank lines separate, whatever white space they hold`(cut: TextCut, expected: [String]) throws {
    #expect(try textDocuments("a\n\n  \nb c\r\n\r\nd\n\n", cut).all == expected)
  }

  @Test func `a paragraph keeps its line ends, and lines lose theirs`() throws {
    #expect(try textDocuments("\n1\n 2 \n\n\n3\r\n4", .paragraphs).all == ["1\n 2 ", "3\r\n4"])
    #expect(try textDocuments("\n1\n 2 \n\n\n3\r\n4\r", .lines).all == ["1", " 2 ", "3", "4\r"])
  }

  @Test func `a byte order mark is no part of the text`() throws {
    #expect(try textDocuments("\u{FEFF}a\nb", .lines).all == ["a", "b"])
    #expect(try textDocuments("\u{FEFF}a", .whole).byteCount == 1)
  }

  @Test(arguments: [1, 2, 7, 100, 10_000])
  func `blocks hold the text byte for byte, and end with lines`(count: Int) throws {
    let text = madeText(lines: 2_000, seed: 5)
    let blocks = try textDocuments(text, .blocks(count: count))
    #expect(blocks.all.joined() == text)
    #expect(blocks.byteCount == text.utf8.count)
    #expect(count > 2_000 || blocks.all.dropLast().allSatisfy { $0.hasSuffix("\n") })
    guard count <= 100 else { return }
    #expect(blocks.count == count)
    // The longest line is less than 200 bytes.
    for block in 0..<count { #expect(abs(blocks.byteCount(of: block) - text.utf8.count / count) <= 200) }
  }

  @Test(arguments: [1, 100, 5_000, 1 << 20])
  func `blocks of a size have about that size`(bytes: Int) throws {
    let text = madeText(lines: 500, seed: 6)
    let blocks = try textDocuments(text, .blocksOf(bytes: bytes))
    #expect(blocks.all.joined() == text)
    let expected = max(1, (text.utf8.count + bytes / 2) / bytes)
    #expect(blocks.count <= expected)
    if bytes >= 5_000 { #expect(blocks.count == expected) }
  }

  @Test(arguments: ["word ", "世", "x"])
  func `a line that is longer than blocks is cut at spaces, else between characters`(unit: String) throws {
    let text = "short\n" + String(repeating: unit, count: 3_000) + "\nend"
    let blocks = try textDocuments(text, .blocks(count: 50))
    #expect(blocks.count == 50)
    #expect(blocks.all.joined() == text)
    // A cut inside a character would show as U+FFFD.
    #expect(!blocks.all.joined().contains("\u{FFFD}"))
    if unit == "word " {
      #expect(blocks.all.dropFirst().dropLast().allSatisfy { $0.hasPrefix(" ") || $0.hasPrefix("w") })
    }
  }

  @Test func `documents that are cut again know what they come from`() throws {
    let text = "a\nb\n\nc\nd\ne\n\nf"
    let lines = try textDocuments(text, .paragraphs).cut(.lines)
    #expect(lines.all == ["a", "b", "c", "d", "e", "f"])
    #expect((0..<6).map(lines.origin(of:)) == [0, 0, 1, 1, 1, 2])
    let halves = lines.cut(.blocks(count: 1))
    #expect((0..<6).map(halves.origin(of:)) == [0, 0, 1, 1, 1, 2])
  }

  @Test func `no blocks are a mistake of the caller`() async {
    await #expect(processExitsWith: .failure) { _ = TextDocuments(["a"]).cut(.blocks(count: 0)) }
    await #expect(processExitsWith: .failure) { _ = TextDocuments(["a"]).cut(.blocksOf(bytes: -1)) }
  }
}
