"""The tokenizers that are compared: MiniLM's, others like it, and byte-level BPE trained here."""

import json

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

# What the tests of the trainer train again: a name, the vocabulary's size, the least count, the prefix space.
TRAININGS = {"licences": (4096, 2, False), "scripts": (3000, 1, True), "loops": (700, 2, False)}


def pair_corpora(licences, corpus):
    """Texts that BPE is trained with, by name."""
    loops = ["".join(corpus.draw.choice("ab") for _ in range(corpus.draw.randint(1, 24))) for _ in range(3_000)]
    return {"licences": licences or [corpus.line() for _ in range(5_000)], "scripts": [corpus.line() for _ in range(5_000)],
            "loops": [" ".join(loops[i:i + 10]) for i in range(0, len(loops), 10)]}


def train(texts, size, least, adds_space):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=adds_space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=least, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def copy(tokenizer, change=None):
    description = json.loads(tokenizer.to_str())
    if change:
        change(description)
    return json.dumps(description, ensure_ascii=False)


def spaced_merges(description):
    description["model"]["merges"] = [" ".join(pair) for pair in description["model"]["merges"]]


FLAGGED = [
    AddedToken("<left>", lstrip=True, normalized=False), AddedToken("<right>", rstrip=True, normalized=False),
    AddedToken("<both>", lstrip=True, rstrip=True), AddedToken("<word>", single_word=True, normalized=False),
    AddedToken("Ärger", single_word=True, normalized=True), AddedToken("abab"), AddedToken("ab", normalized=False),
    AddedToken("ABC DEF", normalized=True, lstrip=True), AddedToken("1", single_word=True, normalized=True),
]


def all_of(minilm, trained):
    """The text of each tokenizer.json, by name."""
    made = {}
    wordpiece = Tokenizer.from_file(str(minilm))
    wordpiece.no_truncation()
    wordpiece.no_padding()
    made["minilm"] = copy(wordpiece)

    cased = Tokenizer.from_str(made["minilm"])
    cased.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=None)
    cased.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    cased.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    made["cased"] = copy(cased)

    flags = Tokenizer.from_str(made["minilm"])
    flags.add_tokens(FLAGGED)
    flags.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("<s>", normalized=True)])
    made["flagged"] = copy(flags)

    accents = Tokenizer.from_str(made["minilm"])
    accents.normalizer = normalizers.BertNormalizer(
        lowercase=True, strip_accents=False, clean_text=False, handle_chinese_chars=False)
    accents.add_tokens(FLAGGED)
    made["accented"] = copy(accents)

    stripped = Tokenizer.from_str(made["minilm"])
    stripped.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=True)
    made["stripped"] = copy(stripped)

    made["gpt2"] = copy(trained["licences"])

    roberta = Tokenizer.from_str(copy(trained["scripts"]))
    roberta.add_special_tokens(["<s>", "</s>", AddedToken("<mask>", lstrip=True, normalized=False)])
    roberta.post_processor = processors.RobertaProcessing(
        ("</s>", roberta.token_to_id("</s>")), ("<s>", roberta.token_to_id("<s>")), trim_offsets=True,
        add_prefix_space=True)
    made["roberta"] = copy(roberta, spaced_merges)

    trimmed = Tokenizer.from_str(copy(trained["licences"]))
    trimmed.add_tokens(FLAGGED)
    trimmed.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True, add_prefix_space=False),
        processors.TemplateProcessing(
            single="<|endoftext|> $A:1", pair="$A:0 <|endoftext|>:3 $B:2 <|endoftext|>",
            special_tokens=[("<|endoftext|>", trimmed.token_to_id("<|endoftext|>"))])])
    made["trimmed"] = copy(trimmed)

    def partial(description):
        # Some bytes have no token, and those that come together are one unknown one.
        model = description["model"]
        kept = {token for token in model["vocab"] if not set(token) & set("ÂÃĠzq0")}
        vocabulary = [token for token in model["vocab"] if token in kept]
        model["vocab"] = {token: 3 * place for place, token in enumerate(vocabulary)}
        model["merges"] = [pair for pair in model["merges"] if {*pair, "".join(pair)} <= kept]
        model["unk_token"], model["fuse_unk"], model["ignore_merges"] = "<|endoftext|>", True, True
        for token in description["added_tokens"]:
            token["id"] = model["vocab"][token["content"]]
        description["pre_tokenizer"]["use_regex"] = False

    made["partial"] = copy(trained["licences"], partial)
    made["unfused"] = copy(trained["licences"], lambda d: (partial(d), d["model"].update(
        fuse_unk=False, ignore_merges=False), d["pre_tokenizer"].update(use_regex=True)))
    return made
