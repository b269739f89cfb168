"""What Hugging Face's tokenizers say, in files of tensors: the safetensors format, written by hand."""

import array
import json
import struct

from tokenizers import Tokenizer


def save(path, **tensors):
    """Writes arrays of 32-bit integers and bytes, which the name's file appears with whole."""
    header, data, place = {}, [], 0
    for name, values in tensors.items():
        if isinstance(values, bytes):
            kind, raw = "U8", values
        else:
            kind, raw = "I32", array.array("i", values).tobytes()
        header[name] = {"dtype": kind, "shape": [len(raw) // (1 if kind == "U8" else 4)],
                        "data_offsets": [place, place + len(raw)]}
        data.append(raw)
        place += len(raw)
    text = json.dumps(header).encode()
    partial = path.with_suffix(".partial")
    partial.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))
    partial.replace(path)


def packed(strings):
    """The bytes of strings one after another, and how many each has."""
    encoded = [text.encode() for text in strings]
    return b"".join(encoded), [len(text) for text in encoded]


def write_texts(folder, texts):
    data, sizes = packed(texts)
    save(folder / "texts.safetensors", texts=data, sizes=sizes)


def drawn_pairs(texts, draw):
    """Places of two texts that are encoded as a pair, and the limit; a second place of -1 is no pair."""
    pairs = []
    short = [place for place, text in enumerate(texts) if len(text) < 2_000]
    for _ in range(2_000):
        second = -1 if draw.random() < 0.3 else draw.choice(short)
        pairs.append((draw.choice(short), second, draw.choice([5, 6, 7, 8, 9, 10, 16, 17, 31, 64, 128])))
    return pairs


def flat(encodings, with_segments=False):
    found = {
        "ids": [value for encoding in encodings for value in encoding.ids],
        "counts": [len(encoding.ids) for encoding in encodings],
        "offsets": [value for encoding in encodings for offset in encoding.offsets for value in offset],
    }
    if with_segments:
        found["segments"] = [value for encoding in encodings for value in encoding.type_ids]
        found["template"] = [value for encoding in encodings for value in encoding.special_tokens_mask]
    return found


def decoded(tokenizer, encodings):
    """Texts from ids, with special tokens and without. What is long is decoded in part: it may be slow there."""
    ids = [encoding.ids[:2_000] for encoding in encodings]
    return {key: packed(tokenizer.decode_batch(ids, skip_special_tokens=skips))
            for key, skips in (("decoded", True), ("spelt", False))}


def write(folder, name, description, texts, pairs):
    tokenizer = Tokenizer.from_str(description)
    (folder / f"{name}.json").write_text(description, encoding="utf-8")
    # The longest texts for some, which all ways of cutting are among.
    places = [place for place, text in enumerate(texts) if len(text) < 100_000 or name in ("minilm", "gpt2", "roberta")]
    encodings = tokenizer.encode_batch([texts[place] for place in places])
    # An added token shows the white space that it took; others the vocabulary's spelling.
    added = tokenizer.get_added_tokens_decoder()
    for encoding in encodings:
        for token, identity in zip(encoding.tokens, encoding.ids):
            assert token == tokenizer.id_to_token(identity) or identity in added, (token, identity)
    limit = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    spellings, spelling_sizes = packed([tokenizer.id_to_token(place) or "" for place in range(limit)])
    tensors = flat(encodings) | {"places": places} | {"tokens": spellings, "tokenSizes": spelling_sizes}
    for key, (data, sizes) in decoded(tokenizer, encodings).items():
        tensors |= {key: data, f"{key}Sizes": sizes}
    limited = []
    for first, second, most in pairs:
        tokenizer.enable_truncation(most, strategy="longest_first")
        limited.append(tokenizer.encode(texts[first], None if second < 0 else texts[second]))
    tensors |= {"pairs": [value for pair in pairs for value in pair]}
    tensors |= {f"pair.{key}": value for key, value in flat(limited, with_segments=True).items()}
    save(folder / f"{name}.safetensors", **tensors)


def write_training(folder, name, texts, tokenizer, size, least, adds_space):
    data, sizes = packed(texts)
    save(folder / f"training-{name}.safetensors", texts=data, sizes=sizes, options=[size, least, int(adds_space)])
    (folder / f"training-{name}.json").write_text(tokenizer.to_str(), encoding="utf-8")
