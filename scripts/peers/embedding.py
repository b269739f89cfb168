"""Texts to vectors: the sentences that everyone gets, batches, and what is compared. Needs nothing but numpy."""

import os
import pathlib
import random
import re

import numpy

LICENCES = pathlib.Path("/usr/share/common-licenses")
SENTENCES = 1024
SHORTEST, LONGEST = 5, 256  # tokens, [CLS] and [SEP] among them
BATCH = 32  # in which unsorted texts come
SIZES = [8, 16, 32, 64]  # out of which a peer gets the best when it may sort
SINGLES = [5, 12, 128]  # tokens of the texts that come alone


def pieces(text):
    """The sentences of a text, white space made one space; an empty line ends a sentence, too."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text))
    return [piece for paragraph in paragraphs for piece in re.split(r"(?<=[.;:!?]) ", paragraph) if piece]


def choose(found, lengths, count=SENTENCES, seed=0):
    """`count` of the different sentences of a fit length, in an order that says nothing of their lengths."""
    fit = [piece for piece, length in dict(zip(found, lengths)).items() if SHORTEST <= length <= LONGEST]
    if len(fit) < count:
        raise SystemExit(f"{LICENCES} has {len(fit)} different sentences, fewer than {count}")
    return random.Random(seed).sample(fit, count)


def cut(words, tokens, count):
    """The first run of words that is exactly so many tokens long, `count(text)` telling how many a text is."""
    for first in range(len(words)):
        for last in range(first + 1, min(len(words), first + tokens) + 1):
            length = count(" ".join(words[first:last]))
            if length == tokens:
                return " ".join(words[first:last])
            if length > tokens:
                break
    raise SystemExit(f"no run of words is {tokens} tokens long")


def write_texts(folder, count_all):
    """Writes sentences.txt and single-<tokens>.txt, a text per line; `count_all(texts)` tells how many tokens each is."""
    files = sorted(path for path in LICENCES.glob("*") if path.is_file() and not path.is_symlink())
    found = [piece for path in files for piece in pieces(path.read_text(encoding="utf-8", errors="replace"))]
    sentences = choose(found, count_all(found))
    os.makedirs(folder, exist_ok=True)
    texts = {"sentences": sentences}
    for tokens in SINGLES:
        texts[f"single-{tokens}"] = [cut(" ".join(sentences).split(), tokens, lambda text: count_all([text])[0])]
    for name, lines in texts.items():
        pathlib.Path(folder, f"{name}.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return texts


def read_texts(folder, name):
    return pathlib.Path(folder, f"{name}.txt").read_text(encoding="utf-8").split("\n")[:-1]


def by_length(lengths, size):
    """Batches as lists of places, the longest texts first."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    return [order[first:first + size] for first in range(0, len(order), size)]


def padded(rows):
    """Rows of ids as one array [rows, longest], 0 behind a row's end, and their lengths."""
    lengths = [len(row) for row in rows]
    ids = numpy.zeros((len(rows), max(lengths)), dtype=numpy.int64)
    for place, row in enumerate(rows):
        ids[place, :lengths[place]] = row
    return ids, numpy.array(lengths)


def mask(ids, lengths):
    return (numpy.arange(ids.shape[1]) < lengths[:, None]).astype(numpy.int64)


def pooled(hidden, lengths):
    """The mean of each sequence's own rows, of length 1."""
    hidden = numpy.asarray(hidden)
    if (lengths == hidden.shape[1]).all():
        total = hidden.sum(axis=1)
    else:
        total = numpy.stack([rows[:length].sum(axis=0) for rows, length in zip(hidden, lengths)])
    return total / numpy.linalg.norm(total, axis=1, keepdims=True)


def largest_error(found, expected):
    """Infinite where shapes differ or a number is none."""
    if found.shape != expected.shape:
        return float("inf")
    distance = float(numpy.abs(found.astype(numpy.float64) - expected).max())
    return distance if numpy.isfinite(distance) else float("inf")


def padding(lengths, batches):
    """How many tokens are computed for one that is there."""
    return sum(len(batch) * max(lengths[place] for place in batch) for batch in batches) / sum(lengths)
