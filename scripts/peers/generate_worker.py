"""The process of one peer in the race of generation: `python -m peers.generate_worker <peer> <threads> <folder>`, driven by
Workers."""

import importlib
import os
import random
import statistics
import time

import numpy

from peers.worker import NEAR, serve

MODULES = {"pytorch": "generate_torch", "onnxruntime": "generate_onnxruntime", "openvino": "generate_openvino"}
STEPS = 8  # that are timed after a prompt; the first one after it is not


class GenerateWorker:
    def __init__(self, peer, threads, folder):
        self.folder = folder
        os.environ["HF_HUB_OFFLINE"] = "1"
        if peer == "reference":
            import torch
            import transformers

            torch.set_num_threads(threads)
            transformers.utils.logging.set_verbosity_error()
            transformers.utils.logging.disable_progress_bar()
            self.version = torch.__version__
            return
        self.module = importlib.import_module(f"peers.{MODULES[peer]}")
        self.version = self.module.start(threads)
        self.chosen, self.made = {}, {}
        self.threads = threads

    def prepare(self, model):
        """The model's folder, and what the others read; the worker `reference` alone is asked for this."""
        from peers import generate_models

        generate_models.write_model(model)
        prompts, tokens = generate_models.expected(model)
        generate_models.export(model, self.folder)
        return {"prompts": prompts, "tokens": tokens}

    def load(self, model):
        self.ways = self.module.ways(model, self.folder, self.threads)
        return {}

    def way(self, name):
        if name not in self.made:
            self.made[name] = self.ways[name]()
        return self.made[name]

    def generate(self, name, prompts, count):
        """Greedy tokens after prompts of equal lengths."""
        way = self.way(name)
        scores, found = way.prefill(numpy.array([list(prompt.encode()) for prompt in prompts]), count), []
        while True:
            found.append(scores.argmax(axis=1))
            if len(found) == count:
                return numpy.stack(found, axis=1).tolist()
            scores = way.step(found[-1][:, None].copy())

    def check(self, prompts, tokens):
        """Which ways generate the tokens that they should, and what went wrong in the others."""
        tried = {}
        for name in self.ways:
            try:
                found = self.generate(name, prompts, len(tokens[0]))
                tried[name] = {} if found == tokens else {"wrong": f"{found} are not {tokens}"}
            except Exception as exception:  # whatever a peer throws at what it does not support
                tried[name] = {"unsupported": str(exception)[:300] or repr(exception)}
        self.right = [name for name, way in tried.items() if not way]
        return {"right": self.right, "tried": tried}

    def times(self, name, depth, batch, repeats):
        """Seconds of reading prompts, and of a step after them."""
        way, chance = self.way(name), numpy.random.default_rng([depth, batch])
        ids = chance.integers(0, 50_257, (batch, depth))
        token = chance.integers(0, 50_257, (batch, 1))
        prefill, decode = [], []
        start = time.perf_counter()
        warm = False
        while not warm or len(prefill) < repeats:
            # The first rounds warm up: at first the threads sleep, and the clock may be low.
            warm = warm or time.perf_counter() - start > 0.3
            begun = time.perf_counter()
            way.prefill(ids, STEPS + 1)
            read = time.perf_counter()
            way.step(token)
            steps = []
            for _ in range(STEPS):
                before = time.perf_counter()
                way.step(token)
                steps.append(time.perf_counter() - before)
            if warm:
                prefill.append(read - begun)
                decode += steps
        return {"prefill": statistics.median(prefill), "decode": statistics.median(decode)}

    def choose(self, depth, batch):
        """The ways that may be the fastest in either step."""
        found = {name: self.times(name, depth, batch, 1) for name in self.right}
        self.chosen[depth, batch] = [
            name for name in found
            if any(found[name][step] <= NEAR * min(other[step] for other in found.values()) for step in ("prefill", "decode"))]
        return {"chosen": self.chosen[depth, batch]}

    def measure(self, depth, batch, repeats):
        chosen = self.chosen[depth, batch]
        return {name: self.times(name, depth, batch, repeats) for name in random.sample(chosen, len(chosen))}


if __name__ == "__main__":
    serve(GenerateWorker)
