import Attention
import AttentionModels
import Foundation
import Testing

/// Models of whatever kind a folder holds.
@Suite struct ModelKindTests {
  @Test("A language model is what config.json says")
  func languageModels() throws {
    let recurrent = try fixtureFolder("recurrent-lm/gru").modelFolder.languageModel()
    #expect(recurrent is RecurrentLanguageModel && recurrent.vocabularySize == 37)
    let name = try #require(fixtureNames("gpt2").first)
    #expect(try fixtureFolder("gpt2/\(name)").modelFolder.languageModel() is GPT2)
    #expect(try fixtureFolder("gpt2/\(name)").modelFolder.modelType() == "gpt2")
  }

  @Test("A model of sources and targets is what config.json says")
  func sequenceToSequence() throws {
    let recurrent = try fixtureFolder("recurrent-encoder-decoder/plain").modelFolder.sequenceToSequenceModel()
    #expect(recurrent is RecurrentEncoderDecoder && recurrent.sourceVocabularySize == 31)
    #expect(try fixtureFolder("encoder-decoder/plain").modelFolder.sequenceToSequenceModel() is EncoderDecoder)
  }

  @Test("Another kind of model is an error that says which kinds there are")
  func unknownKinds() throws {
    let folder = fixtureFolder("recurrent-encoder-decoder/plain").modelFolder
    #expect {
      _ = try folder.languageModel()
    } throws: {
      "\($0)".contains("recurrent-encoder-decoder (a language model is gpt2 or recurrent-lm)")
    }
    #expect {
      _ = try fixtureFolder("recurrent-lm/lstm").modelFolder.sequenceToSequenceModel()
    } throws: {
      "\($0)".contains("attention-encoder-decoder or recurrent-encoder-decoder")
    }
    #expect(throws: ModelFileError.self) { try fixtureFolder("recurrent-lm/lstm").modelFolder.textEmbedder() }
  }

  @Test("Without a kind, or a file that names one, there is an error")
  func noKind() throws {
    try withTemporaryFolder { folder in
      #expect(throws: ModelFileError.self) { try folder.modelFolder.languageModel() }
      for text in ["{}", "[]", "", #"{"model_type": 7}"#, #"{"model_type": null}"#] {
        try text.write(to: folder.appending(path: "config.json"), atomically: true, encoding: .utf8)
        #expect(throws: ModelFileError.self) { try folder.modelFolder.languageModel() }
        #expect(throws: ModelFileError.self) { try folder.modelFolder.sequenceToSequenceModel() }
        #expect(throws: ModelFileError.self) { try folder.modelFolder.textEmbedder() }
      }
    }
  }
}
