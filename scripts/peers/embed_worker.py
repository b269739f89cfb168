"""The process of one peer in the race of texts to vectors: `python -m peers.embed_worker <peer> <threads> <folder>`, driven
by Workers.

All of them tokenise with Hugging Face's `tokenizers`, on all threads. A pass is from strings to the array [texts, width].
"""

import importlib
import os
import random
import statistics
import time

import numpy

from peers import embedding
from peers.worker import NEAR, TOLERANCE, serve

MODULES = {
    "pytorch": "embed_torch", "onnxruntime": "embed_onnxruntime", "openvino": "embed_openvino",
    "ctranslate2": "embed_ctranslate2", "reference": "embed_reference",
}


class EmbedWorker:
    def __init__(self, peer, threads, folder):
        self.threads, self.folder = threads, folder
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
        self.module = importlib.import_module(f"peers.{MODULES[peer]}")
        self.version = self.module.start(threads)
        self.chosen, self.made = {}, {}

    def prepare(self, model, texts):
        """What the others read; the worker `reference` alone is asked for this."""
        return self.module.prepare(model, texts, self.folder)

    def load(self, model, texts):
        import tokenizers

        self.tokenizer = tokenizers.Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
        self.tokenizer.no_padding()  # a batch is padded where it is made
        self.tokenizer.enable_truncation(embedding.LONGEST)
        self.texts = {name: embedding.read_texts(texts, name) for name in
                      ("sentences", *(f"single-{tokens}" for tokens in embedding.SINGLES))}
        self.ways = self.module.ways(model, self.folder, self.threads)
        return {}

    def ids(self, texts):
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)]

    def way(self, name):
        if name not in self.made:
            self.made[name] = self.ways[name]()
        return self.made[name]

    def run(self, mode, name, size, texts):
        """One pass: the array, rows in the order of the texts."""
        way = self.way(name)
        if mode.startswith("single"):
            return way.one(*embedding.padded([self.tokenizer.encode(texts[0]).ids]))
        if mode == "unsorted":
            parts = (texts[first:first + size] for first in range(0, len(texts), size))
            return numpy.concatenate(way.many(embedding.padded(self.ids(part)) for part in parts))
        ids = self.ids(texts)
        batches = embedding.by_length([len(row) for row in ids], size)
        parts = way.many(embedding.padded([ids[place] for place in batch]) for batch in batches)
        result = numpy.empty((len(texts), parts[0].shape[1]), dtype=numpy.float32)
        for batch, part in zip(batches, parts):
            result[batch] = part
        return result

    def case(self, mode):
        name = mode if mode.startswith("single") else "sentences"
        return self.texts[name], numpy.load(os.path.join(self.folder, f"{name}.npy"))

    def timed(self, mode, name, size, texts):
        start = time.perf_counter()
        result = self.run(mode, name, size, texts)
        return time.perf_counter() - start, result

    def check(self, mode):
        """Tries every way, the near ones with every size of batches, and chooses what may be the fastest."""
        texts, expected = self.case(mode)
        passes = 20 if len(texts) == 1 else 1
        tried = {}

        def attempt(name, size):
            label = f"{name}, batches of {size}" if mode == "sorted" else name
            tried[label] = {"way": name, "size": size}
            try:
                self.run(mode, name, size, texts[::4])  # to warm up
                samples, results = zip(*(self.timed(mode, name, size, texts) for _ in range(passes)))
                tried[label].update(error=embedding.largest_error(results[-1], expected), seconds=min(samples))
            except Exception as exception:  # whatever a peer throws at what it does not support
                tried[label]["unsupported"] = str(exception)[:300] or repr(exception)

        def near(limit):
            right = {label: way["seconds"] for label, way in tried.items() if way.get("error", 1) <= TOLERANCE}
            return sorted((label for label in right if right[label] <= limit * min(right.values())), key=right.get)

        for name in self.ways:
            attempt(name, embedding.BATCH)
        if mode == "sorted":
            for name in [tried[label]["way"] for label in near(2 * NEAR - 1)[:2]]:
                for size in embedding.SIZES:
                    if size != embedding.BATCH:
                        attempt(name, size)
        self.chosen[mode] = {label: tried[label] for label in near(NEAR)[:2]}
        return {"chosen": list(self.chosen[mode]), "tried": tried}

    def forget(self):
        """Lets go of models that were tried in vain."""
        wanted = {way["way"] for ways in self.chosen.values() for way in ways.values()}
        self.made = {name: made for name, made in self.made.items() if name in wanted}
        return {}

    def measure(self, mode, repeats):
        texts, expected = self.case(mode)
        seconds, errors = {}, {}
        for label in random.sample(list(self.chosen[mode]), len(self.chosen[mode])):
            call = (mode, self.chosen[mode][label]["way"], self.chosen[mode][label]["size"])
            # At first the threads sleep, and the clock may be low.
            start = time.perf_counter()
            while time.perf_counter() - start < 0.1:
                self.run(*call, texts[:64])
            samples, results = zip(*(self.timed(*call, texts) for _ in range(repeats)))
            seconds[label] = statistics.median(samples)
            errors[label] = embedding.largest_error(results[-1], expected)
            assert errors[label] <= TOLERANCE, f"{label} became wrong in {mode}: {errors[label]:.2g}"
        return {"seconds": seconds, "errors": errors}


if __name__ == "__main__":
    serve(EmbedWorker)
