import AttentionModels
import AttentionTensors
import Testing

/// BPE learnt from the corpora that `scripts/compare-tokenizers` trained Hugging Face's tokenizers with.
@Suite("BPE learnt beside Hugging Face's")
struct ReferenceTrainingTests {
  /// The whole document is compared: what Hugging Face wrote it also reads.
  @Test(arguments: ["licences", "scripts", "loops"])
  func theSameFileIsWritten(name: String) throws {
    let file = try ReferenceFiles.open("training-\(name).safetensors")
    let texts = try ReferenceFiles.strings(file, "texts", "sizes")
    let options = try file.integers(named: "options").values
    try #require(texts.count >= 300)
    let trainer = BytePairTrainer(
      vocabularySize: options[0], minimumFrequency: options[1], addsPrefixSpace: options[2] == 1)
    let found = try JSONParser.parse(trainer.train(on: texts).json)
    let expected = try JSONParser.parse(contents(ofFile: ReferenceFiles.path("training-\(name).json")))
    func merges(_ document: JSONValue) throws -> [String] {
      let model = try #require(document.objectValue?["model"]?.objectValue)
      return try #require(model["merges"]?.arrayValue).map { pair in
        (pair.arrayValue ?? []).compactMap(\.stringValue).joined(separator: " ")
      }
    }
    let (ours, theirs) = (try merges(found), try merges(expected))
    #expect(theirs.count > 400)
    if let place = zip(ours, theirs).enumerated().first(where: { $1.0 != $1.1 })?.offset {
      Issue.record("merge \(place) is \(ours[place]) for \(theirs[place])")
    }
    #expect(ours.count == theirs.count)
    #expect(found == expected)
  }
}
