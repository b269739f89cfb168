import AttentionTraining
import Foundation
import Testing

@Suite struct TextDocumentsTests {
  func reason(_ path: String) -> TextDataError.Reason? {
    do throws(TextDataError) {
      _ = try TextDocuments(contentsOf: path)
      return nil
    } catch {
      #expect(error.file == path)
      #expect(error.description.contains(path.isEmpty || path.contains("\0") ? "path" : path))
      return error.reason
    }
  }

  @Test func `what cannot be read says why`() {
    #expect(reason("/no/such/file") == .unreadable(.cannotOpen(code: ENOENT)))
    #expect(reason("") == .unreadable(.invalidPath))
    #expect(reason("a\0b") == .unreadable(.invalidPath))
    #expect(reason(FileManager.default.temporaryDirectory.path()) == .unreadable(.notARegularFile))
    #expect(reason("/dev/null") == .unreadable(.notARegularFile))
  }

  @Test(arguments: ["", "\n", " \t\r\n\n ", "\u{FEFF}", "\u{FEFF}\n"])
  func `a file without text is empty`(text: String) throws {
    for cut in [TextCut.whole, .paragraphs, .lines, .blocks(count: 3)] {
      let error = #expect(throws: TextDataError.self) { try textDocuments(text, cut) }
      #expect(error?.reason == .empty)
    }
  }

  @Test(
    arguments: [
      ([0xFF], 1, 0), ([0x61, 0x0A, 0x62, 0xC3], 2, 3), (Array("é\n\nx".utf8) + [0xE4, 0xB8], 3, 5),
      (Array("ok\n".utf8) + [0xED, 0xA0, 0x80], 2, 3),
    ] as [([UInt8], Int, Int)])
  func `bytes that are no UTF-8 are named by line and byte`(bytes: [UInt8], line: Int, byte: Int) throws {
    try withFile(bytes) { path in
      for cut in [TextCut.whole, .lines, .blocks(count: 2)] {
        let error = #expect(throws: TextDataError.self) { try TextDocuments(contentsOf: path, cut: cut) }
        #expect(error?.reason == .invalidUTF8(line: line, byte: byte))
        #expect(error?.description.contains("line \(line): it is not UTF-8 from byte \(byte)") == true)
      }
    }
  }

  @Test func `texts in memory are documents, too`() {
    let documents = TextDocuments(["ab", "", "é"])
    #expect(documents.all == ["ab", "", "é"])
    #expect(documents.byteCount == 4)
    #expect(Array(documents.texts) == documents.all)
  }

  // MARK: Split

  @Test func `every third document is held out, and each is on one side`() throws {
    let text = try textDocuments((0..<10).map(String.init).joined(separator: "\n"), .lines)
    let (training, heldOut) = try text.split(.every(3))
    #expect(training.all == ["0", "1", "3", "4", "6", "7", "9"])
    #expect(heldOut.all == ["2", "5", "8"])
    #expect(training.byteCount == 7 && heldOut.byteCount == 3)
  }

  @Test(arguments: [(0.1, 1), (0.2, 2), (0.5, 5), (0.95, 9), (0.01, 1)])
  func `a tail holds the share's bytes as nearly as documents allow`(share: Double, count: Int) throws {
    let text = try textDocuments((0..<10).map { _ in "12345" }.joined(separator: "\n"), .lines)
    let (training, heldOut) = try text.split(.tail(share: share))
    #expect(heldOut.count == count && training.count == 10 - count)
  }

  @Test func `a tail of documents of different sizes is nearest by bytes`() throws {
    let text = TextDocuments(["aaaaaaaaaa", "bb", "cccccccccc", "d"])
    #expect(try text.split(.tail(share: 0.1)).heldOut.all == ["d"])
    #expect(try text.split(.tail(share: 0.4)).heldOut.all == ["cccccccccc", "d"])
    #expect(try text.split(.tail(share: 0.99)).heldOut.all == ["bb", "cccccccccc", "d"])
  }

  @Test(arguments: [0.05, 0.25, 0.9])
  func `of one document the tail is its last lines`(share: Double) throws {
    let text = madeText(lines: 1_000, seed: 7)
    let (training, heldOut) = try textDocuments(text, .whole).split(.tail(share: share))
    #expect(training.all[0] + heldOut.all[0] == text)
    #expect(training.all[0].hasSuffix("\n"))
    #expect(abs(Double(heldOut.byteCount) / Double(text.utf8.count) - share) < 0.01)
  }

  @Test func `a line without spaces is split between characters`() throws {
    let (training, heldOut) = try TextDocuments(["世世世世"]).split(.tail(share: 0.5))
    #expect(training.all == ["世世"] && heldOut.all == ["世世"])
    #expect(try TextDocuments(["ab"]).split(.tail(share: 0.01)).heldOut.all == ["b"])
    #expect(try TextDocuments(["ab"]).split(.tail(share: 0.99)).training.all == ["a"])
  }

  @Test(arguments: [
    (["a"], HeldOutSplit.every(2)), (["a", "b"], .every(3)), ([], .every(2)), (["世"], .tail(share: 0.5)),
    ([""], .tail(share: 0.5)), ([], .tail(share: 0.5)),
  ])
  func `what leaves one side empty cannot be split`(texts: [String], split: HeldOutSplit) {
    let error = #expect(throws: TextDataError.self) { try TextDocuments(texts).split(split) }
    #expect(error?.reason == .tooFewToSplit(documents: texts.count))
    #expect(error?.description.contains("document") == true)
  }

  @Test func `an interval of one and a share of all are mistakes of the caller`() async {
    await #expect(processExitsWith: .failure) { _ = try TextDocuments(["a", "b"]).split(.every(1)) }
    await #expect(processExitsWith: .failure) { _ = try TextDocuments(["a", "b"]).split(.tail(share: 1)) }
  }
}
