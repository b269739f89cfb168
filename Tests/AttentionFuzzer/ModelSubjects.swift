import Attention
import AttentionModels
import AttentionTensors
import Foundation

/// tokenizer.json: WordPiece, byte-level BPE, and one that was learnt.
struct TokenizerSubject: Subject {
  static let name = "tokenizer"
  static let share = 25
  let seeds: [[UInt8]]
  private let documents: [JSONValue]
  private let texts = [
    "The cat, [SEP]unaffable  Café 世界 <m> ab!", "aaa\u{0}\u{301}\u{200D}👍🏽 \t\r\n' s's 12 <|endoftext|>", "", "x",
  ]

  /// A WordPiece of 12 ids.
  static let words = Array(
    #"""
    {"version":"1.0","added_tokens":[{"id":0,"content":"[UNK]","special":true},{"id":1,"content":"[CLS]","special":true},
    {"id":2,"content":"[SEP]","special":true,"lstrip":true},{"id":9,"content":"<m>","single_word":true,"rstrip":true,
    "normalized":true}],"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,
    "strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":
    "TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
    {"SpecialToken":{"id":"[SEP]","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B",
    "type_id":1}}],"special_tokens":{"[CLS]":{"id":"[CLS]","ids":[1],"tokens":["[CLS]"]},"[SEP]":{"id":"[SEP]","ids":[2],
    "tokens":["[SEP]"]}}},"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece",
    "unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[UNK]":0,"[CLS]":1,
    "[SEP]":2,"the":3,"cat":4,"un":5,"##aff":6,"##able":7,"a":8,"##b":10,"世":11}}}
    """#.utf8)

  init() {
    let pairs = #"""
      {"added_tokens":[{"id":9,"content":"<|endoftext|>","special":true,"lstrip":true}],"normalizer":null,
      "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
      "post_processor":{"type":"RobertaProcessing","sep":["<|endoftext|>",9],"cls":["a",0],"trim_offsets":true,
      "add_prefix_space":true},"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","unk_token":"u","fuse_unk":true,
      "ignore_merges":false,"vocab":{"a":0,"b":1,"Ġ":2,"t":3,"h":4,"th":5,"Ġa":6,"u":7,"Ġth":8},
      "merges":["t h",["Ġ","a"],"Ġ th"]}}
      """#
    let trained = BytePairTrainer(vocabularySize: 264, minimumFrequency: 1).train(on: ["the cat sat on the mat"])
    seeds = [Self.words, Array(pairs.utf8), Self.words, Array(pairs.utf8), trained.json]
    documents = parsed(seeds)
  }

  func input(_ mutator: inout Mutator) -> [UInt8] { documentInput(&mutator, documents) }

  func read(_ bytes: [UInt8]) -> Bool {
    guard let tokenizer = try? SubwordTokenizer(json: bytes, name: "f") else { return false }
    let added = max(tokenizer.template.tokenCount(isPair: false), tokenizer.template.tokenCount(isPair: true))
    for text in texts {
      let whole = tokenizer.encode(text, pair: text, options: .init())
      _ = tokenizer.encode(text, options: EncodingOptions(maximumLength: added + 3, recognizesSpecialTokens: false))
      _ = tokenizer.tokens(whole)
      _ = tokenizer.decode(whole.ids, skippingSpecialTokens: false)
      _ = tokenizer.decode([0, -1, tokenizer.idLimit, .max])
    }
    _ = try? SubwordTokenizer(json: tokenizer.json, name: "f")
    return true
  }
}

/// A folder on disk, of which one file is the input.
final class FuzzedFolder {
  let folder: ModelFolder
  private let descriptor: Int32

  /// - Parameter prepare: puts files there before the input's is opened.
  init(_ name: String, file: String, prepare: (ModelFolder) throws -> Void = { _ in }) throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "attention-fuzzer-\(getpid())-\(name)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    folder = ModelFolder(path: path)
    try prepare(folder)
    descriptor = open(path + "/" + file, O_RDWR | O_CREAT, 0o600)
    if descriptor < 0 { fatalError("\(path)/\(file) cannot be written") }
  }

  deinit {
    close(descriptor)
    try? FileManager.default.removeItem(atPath: folder.path)
  }

  func path(_ name: String) -> String { folder.path + "/" + name }

  /// Writes over what was there: some file systems wait for the disk when a file is emptied and closed.
  func place(_ bytes: [UInt8]) {
    let written = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    if written != bytes.count || ftruncate(descriptor, off_t(bytes.count)) != 0 {
      fatalError("the input cannot be written")
    }
  }
}

/// config.json beside the weights of a small model of each kind, which lie in one file.
struct ConfigurationSubject: Subject {
  static let name = "config"
  static let share = 15
  private(set) var seeds: [[UInt8]] = []
  private let documents: [JSONValue]
  private let place: FuzzedFolder

  init() throws {
    place = try FuzzedFolder(Self.name, file: "config.json")
    var generator = SeededGenerator(seed: 1)
    let words = WordVocabulary(["a", "b"])
    let models: [any StoredModel] = [
      BERT(
        BERTConfiguration(
          vocabularySize: 12, width: 8, blockCount: 1, heads: 2, feedForwardWidth: 8, maximumLength: 6),
        hasMaskedTokenHead: true, using: &generator),
      RecurrentLanguageModel(
        RecurrentLanguageModelConfiguration(
          vocabularySize: 12, cell: .rnn(.relu), width: 8, layerCount: 1, beginID: 0, endIDs: [1, 2]), using: &generator
      ),
      // Its head is the language model's, too.
      RecurrentEncoderDecoder(
        RecurrentEncoderDecoderConfiguration(
          sourceVocabularySize: 12, embeddingWidth: 4, width: 8, beginID: 0, endID: 1), using: &generator),
      SkipGram(vocabulary: words, width: 3, using: &generator),
    ]
    var tensors: [String: TensorFileContents] = [:]
    for (index, model) in models.enumerated() {
      let whole = try FuzzedFolder("whole-\(index)", file: "nothing")
      try model.save(to: whole.folder)
      seeds.append(try contents(ofFile: whole.path("config.json")))
      let file = try SafetensorsFile(path: whole.path("model.safetensors"))
      for entry in file.entries { tensors[entry.name] = .float32(try file.tensor(named: entry.name)) }
    }
    try SafetensorsFile.write(
      tensors.map { (name: $0.key, contents: $0.value) }, to: place.path("model.safetensors"))
    try AttentionTensors.write(Array("a\nb\n".utf8), toFile: place.path("vocab.txt"))
    documents = parsed(seeds)
  }

  func input(_ mutator: inout Mutator) -> [UInt8] { documentInput(&mutator, documents) }

  func read(_ bytes: [UInt8]) -> Bool {
    place.place(bytes)
    let (ids, layout) = ([0, 0], SequenceLayout(lengths: [2]))
    if let model = try? place.folder.languageModel() {
      _ = model.scores(model.hidden(ids, layout: layout, dropout: nil))
    } else if let model = try? place.folder.sequenceToSequenceModel() {
      _ = model.scores(
        model.hidden(source: ids, sourceLayout: layout, target: ids, targetLayout: layout, dropout: nil))
    } else if let vectors = try? WordVectors(place.folder) {
      _ = vectors.embed("a b c")
      _ = vectors.nearest(to: "a")
    } else if let model = try? BERT(place.folder) {
      _ = model(ids, layout: layout)
    } else {
      return false
    }
    return true
  }
}

/// model.safetensors.index.json beside two files of tensors.
struct IndexSubject: Subject {
  static let name = "index"
  static let share = 5
  let seeds: [[UInt8]]
  private let documents: [JSONValue]
  private let place: FuzzedFolder

  init() throws {
    place = try FuzzedFolder(Self.name, file: "model.safetensors.index.json")
    for name in ["a", "b"] {
      let header = #"{"\#(name).weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#
      let bytes = (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) } + Array(header.utf8)
      try AttentionTensors.write(bytes + [UInt8](repeating: 0, count: 8), toFile: place.path("\(name).safetensors"))
    }
    seeds = [
      Array(
        #"{"metadata":{"total_size":16},"weight_map":{"a.weight":"a.safetensors","b.weight":"b.safetensors"}}"#.utf8)
    ]
    documents = parsed(seeds)
  }

  func input(_ mutator: inout Mutator) -> [UInt8] { documentInput(&mutator, documents) }

  func read(_ bytes: [UInt8]) -> Bool {
    place.place(bytes)
    return (try? place.folder.weightNames()) != nil
  }
}

/// The folder of a small sentence encoder, of which one file after another is damaged; the first byte of an input tells which.
struct EncoderSubject: Subject {
  static let name = "encoder"
  static let share = 15
  private static let files = [
    "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json",
    "modules.json", "1_Pooling/config.json", "config_sentence_transformers.json",
  ]
  let seeds: [[UInt8]]
  /// What is damaged, and the document that it is unless it holds tensors.
  private let contents: [[UInt8]]
  private let documents: [JSONValue?]
  private let places: [FuzzedFolder]

  init() throws {
    var generator = SeededGenerator(seed: 1)
    let model = BERT(
      BERTConfiguration(vocabularySize: 12, width: 8, blockCount: 1, heads: 2, feedForwardWidth: 8, maximumLength: 6),
      using: &generator)
    var encoder = SentenceEncoder(
      model: model, tokenizer: try SubwordTokenizer(json: TokenizerSubject.words, name: "words"), maximumLength: 5)
    encoder.prompt = "the "
    places = try Self.files.enumerated().map { [encoder] number, file in
      try FuzzedFolder("\(Self.name)-\(number)", file: file) { try encoder.save(to: $0) }
    }
    contents = try zip(places, Self.files).map { try AttentionTensors.contents(ofFile: $0.path($1)) }
    documents = zip(Self.files, contents).map { $0.hasSuffix(".json") ? parsed([$1])[0] : nil }
    seeds = contents.enumerated().map { [UInt8($0)] + $1 }
  }

  func input(_ mutator: inout Mutator) -> [UInt8] {
    let place = mutator.number(0..<contents.count)
    var bytes = contents[place]
    if let document = documents[place], mutator.chance(2) { bytes = JSONWriter.bytes(mutator.damaged(document)) }
    if documents[place] == nil || mutator.chance(2) { bytes = mutator.damaged(bytes, others: contents) }
    return [UInt8(place)] + bytes
  }

  func read(_ bytes: [UInt8]) -> Bool {
    let place = places[Int(bytes.first ?? 0) % places.count]
    place.place(Array(bytes.dropFirst()))
    guard let encoder = try? SentenceEncoder(place.folder) else { return false }
    let rows: Tensor = encoder.embed(["the cat", "", "cat [SEP] unaffable the the the the the"])
    _ = encoder.inspect("cat", hiddenStates: [0])
    return rows.shape == [3, encoder.width]
  }
}
