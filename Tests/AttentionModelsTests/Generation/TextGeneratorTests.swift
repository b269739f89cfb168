import Attention
import Foundation
import Testing

import AttentionModels

@Suite struct TextGeneratorTests {
  static let generator = TextGenerator(model: GPT2Tests.model(), tokenizer: ByteTokenizer())
  static let warm = GenerationOptions(maximumNewTokens: 30, temperature: 0.8, topK: 40, topP: 0.9, seed: 3)
  static let prompts = ["The old mill", "a", "Rivers run to the sea; yet the sea is not full.", "\n", "0123456789"]

  /// What the model alone would do: the whole sequence anew for each token.
  static func uncached(_ prompt: String, _ options: GenerationOptions) -> [Int] {
    var ids = prompt.utf8.map { Int($0) }
    var sampler = TokenSampler(options, prompt: ids)
    var chosen: [Int] = []
    let model = generator.model
    for _ in 0..<options.maximumNewTokens {
      let hidden = model(ids, layout: SequenceLayout(lengths: [ids.count]))
      let scores = model.scores(hidden.sliced(ids.count - 1..<ids.count))
      let token = scores.withUnsafeBufferPointer { sampler.next($0) }!
      ids.append(token)
      chosen.append(token)
    }
    return chosen
  }

  @Test("Over caches the tokens are those without", arguments: prompts)
  func cachedIsUncached(prompt: String) async throws {
    for options in [GenerationOptions(maximumNewTokens: 30), Self.warm] {
      let found = try await Self.generator.generate(prompt, options: options)
      #expect(found.ids == Self.uncached(prompt, options))
      #expect(found.text == ByteTokenizer().decode(found.ids, skippingSpecialTokens: true))
      #expect(found.end == .maximumNewTokens)
    }
  }

  @Test("Several prompts at once give what each gives alone, with ends of their own")
  func batchIsAlone() async throws {
    var options = Self.warm
    // A token that ends some of them earlier.
    options.endIDs = [try await Self.generator.generate(Self.prompts[1], options: options).ids[7]]
    let together = try await Self.generator.generate(Self.prompts, options: options)
    #expect(together.count == Self.prompts.count)
    for (prompt, found) in zip(Self.prompts, together) {
      #expect(found == (try await Self.generator.generate(prompt, options: options)))
    }
    #expect(together[1].end == .endToken && together[1].ids.count == 7)
    #expect(try await Self.generator.generate([], options: options) == [])
  }

  @Test("With a prefix the texts are those without")
  func prefixIsNone() async throws {
    let common = String(repeating: "Rivers run to the sea. ", count: 5)
    let prefix = try await Self.generator.prefix(common)
    #expect(prefix.ids.count == common.utf8.count)
    // Beyond the prefix, the prefix itself, part of it, and something else.
    let prompts = [common + "And", common, String(common.prefix(40)), "Rivers stand", "x"]
    let without = try await Self.generator.generate(prompts, options: Self.warm)
    for _ in 0..<2 {
      #expect(try await Self.generator.generate(prompts, prefix: prefix, options: Self.warm) == without)
    }
    for (prompt, expected) in zip(prompts, without) {
      #expect(try await Self.generator.generate(prompt, prefix: prefix, options: Self.warm) == expected)
    }
  }

  @Test("A prefix's scores have the bits of none")
  func prefixScores() async throws {
    let model = Self.generator.model
    let prefix = try await Self.generator.prefix(String(repeating: "ab", count: 40))
    let prompt = prefix.ids + [65, 66, 67]
    var (state, fresh) = (prefix.state(for: [prompt, prompt], model: model), model.makeState(sequenceCount: 1))
    #expect(state.lengths == [80, 80])
    let layout = SequenceLayout(lengths: [3, 3])
    let found = model.scores(after: [65, 66, 67, 65, 66, 67], layout: layout, state: &state)
    let expected = model.scores(after: prompt, layout: SequenceLayout(lengths: [83]), state: &fresh)
    #expect(agree(found.sliced(0..<1), expected) && agree(found.sliced(1..<2), expected))
    #expect(prefix.state.lengths == [80])
  }

  @Test("The text streams in pieces that together are the text, and ends at stop strings")
  func streams() async throws {
    var options = Self.warm
    options.maximumNewTokens = 60
    let whole = try await Self.generator.generate("Go", options: options).text
    var pieces: [String] = []
    for try await piece in Self.generator.stream("Go", options: options) { pieces.append(piece) }
    #expect(pieces.joined() == whole && pieces.count > 5 && !pieces.contains(""))
    // Each scalar of the text is a piece's whole.
    let scalars = Array(whole.unicodeScalars)
    let middle = scalars.count / 2
    let stop = String(String.UnicodeScalarView(scalars[middle..<middle + 3]))
    options.stopStrings = ["never to be seen", stop]
    let stopped = try await Self.generator.generate("Go", options: options)
    let end = try #require(whole.unicodeScalars.firstRange(of: stop.unicodeScalars))
    #expect(stopped.text.unicodeScalars.elementsEqual(whole.unicodeScalars[..<end.lowerBound]))
    #expect(stopped.end == .stopString)
  }

  @Test("Equal seeds give equal texts, others others")
  func seeds() async throws {
    var options = Self.warm
    let one = try await Self.generator.generate("Go", options: options)
    #expect(try await Self.generator.generate("Go", options: options) == one)
    options.seed = 4
    #expect(try await Self.generator.generate("Go", options: options) != one)
  }

  @Test("When positions run out, the text ends")
  func positionsRunOut() async throws {
    let model = GPT2Tests.model(maximumLength: 20)
    let generator = TextGenerator(model: model, tokenizer: ByteTokenizer())
    let found = try await generator.generate("0123456789", options: .init(maximumNewTokens: 50))
    #expect(found.end == .maximumLength && found.ids.count == 11)
    let full = try await generator.generate(String(repeating: "a", count: 20), options: .init(maximumNewTokens: 50))
    #expect(full.end == .maximumLength && full.ids.count == 1)
    await #expect(throws: GenerationError.promptTooLong(index: 1, limit: 20)) {
      _ = try await generator.generate(["a", String(repeating: "a", count: 21)])
    }
  }

  @Test("A prompt past a step's tokens is read in pieces, and beside others")
  func chunkedPrefill() async throws {
    let model = GPT2Tests.model(maximumLength: 5000)
    let step = TokenGeneration<GPT2>.maximumStepTokens
    let long = GPT2Tests.ids(step + 300, seed: 8)
    let options = GenerationOptions(maximumNewTokens: 4)
    func tokens(_ prompts: [[Int]]) throws -> [[Int]] {
      var generation = try TokenGeneration(model: model, prompts: prompts, options: options)
      var tokens = prompts.map { _ in [Int]() }
      while !generation.isDone {
        for case (let prompt, .token(let id)) in try generation.step() { tokens[prompt].append(id) }
      }
      return tokens
    }
    let whole = model.scores(
      model(long, layout: SequenceLayout(lengths: [long.count])).sliced(long.count - 1..<long.count))
    let best = whole.scalars.enumerated().max { ($0.element, -$0.offset) < ($1.element, -$1.offset) }!.offset
    let alone = try tokens([long])
    #expect(alone[0][0] == best)
    #expect(try tokens([[5], long, [6, 7]]) == [tokens([[5]])[0], alone[0], tokens([[6, 7]])[0]])
  }

  @Test("A cancelled task stops before the next token")
  func cancellation() async throws {
    let task = Task {
      var count = 0
      do {
        for try await _ in Self.generator.stream(["Go"], options: .init(maximumNewTokens: 190)) {
          count += 1
          if count == 3 { withUnsafeCurrentTask { $0?.cancel() } }
        }
      } catch is CancellationError {
        return count
      }
      return -count
    }
    #expect(try await task.value == 3)
  }

  @Test("No tokens asked for give empty texts")
  func noTokens() async throws {
    let found = try await Self.generator.generate(["a", "b"], options: .init(maximumNewTokens: 0))
    #expect(found.count == 2)
    for one in found { #expect(one.text == "" && one.ids == [] && one.end == .maximumNewTokens) }
  }

  @Test("Many tasks generate at once, each what it does alone")
  func manyTasks() async throws {
    let expected = try await Self.generator.generate(Self.prompts, options: Self.warm)
    try await withThrowingTaskGroup(of: (Int, GeneratedText).self) { group in
      for round in 0..<20 {
        let index = round % Self.prompts.count
        group.addTask { (index, try await Self.generator.generate(Self.prompts[index], options: Self.warm)) }
      }
      for try await (index, found) in group { #expect(found == expected[index]) }
    }
  }

  @Test("What is asked for wrongly is an error")
  func errors() async throws {
    func failure(_ prompts: [String] = ["a"], _ change: (inout GenerationOptions) -> Void) async -> GenerationError? {
      var options = GenerationOptions(maximumNewTokens: 1)
      change(&options)
      do {
        _ = try await Self.generator.generate(prompts, options: options)
      } catch {
        return error as? GenerationError
      }
      return nil
    }
    for (name, change): (String, (inout GenerationOptions) -> Void) in [
      ("maximumNewTokens", { $0.maximumNewTokens = -1 }), ("temperature", { $0.temperature = -1 }),
      ("temperature", { $0.temperature = .nan }), ("topK", { $0.topK = 0 }), ("topP", { $0.topP = 0 }),
      ("topP", { $0.topP = 1.5 }), ("repetitionPenalty", { $0.repetitionPenalty = 0 }),
      ("repetitionPenalty", { $0.repetitionPenalty = .infinity }), ("stopStrings", { $0.stopStrings = ["a", ""] }),
    ] {
      guard case .invalidOption(name, _, _) = await failure(["a"], change) else {
        Issue.record("\(name) is accepted")
        continue
      }
    }
    #expect(await failure(["a", ""]) { _ in } == .emptyPrompt(index: 1))
    let strange = TextGenerator(model: Self.generator.model, tokenizer: FixedTokenizer(ids: [1, 300]))
    await #expect(throws: GenerationError.unknownToken(index: 0, id: 300, vocabularySize: 300)) {
      _ = try await strange.generate("a")
    }
    var broken = Self.generator.model
    broken.positions.weight[0, 0] = .nan
    let unsound = TextGenerator(model: broken, tokenizer: ByteTokenizer())
    await #expect(throws: GenerationError.scoresNotFinite(index: 0)) { _ = try await unsound.generate("a") }
  }

  @Test("An empty prompt begins with the model's first token, where it has one")
  func emptyPrompt() async throws {
    var generator = SeededGenerator(seed: 2)
    let model = GPT2(
      GPT2Configuration(
        vocabularySize: 256, width: 32, blockCount: 1, heads: 2, maximumLength: 50, initialDeviation: 0.2, beginID: 65),
      using: &generator)
    let texts = TextGenerator(model: model, tokenizer: ByteTokenizer())
    let options = GenerationOptions(maximumNewTokens: 9)
    #expect(try await texts.generate("", options: options) == (try await texts.generate("A", options: options)))
  }
}
