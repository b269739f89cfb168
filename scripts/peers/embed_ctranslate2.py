"""CTranslate2 in float32, which takes rows of ids as they are and pads them itself."""

import concurrent.futures
import os

import ctranslate2
import numpy

from peers import embedding


def start(threads):
    return ctranslate2.__version__


def ways(model, folder, threads):
    return {
        f"{callers} × {threads // callers} threads": lambda callers=callers: Way(folder, callers, threads)
        for callers in {1, threads}}


class Way:
    def __init__(self, folder, callers, threads):
        self.encoder = ctranslate2.Encoder(
            os.path.join(folder, "ctranslate2"), device="cpu", compute_type="float32", inter_threads=callers,
            intra_threads=threads // callers)
        assert self.encoder.compute_type == "float32"
        self.pool = concurrent.futures.ThreadPoolExecutor(callers) if callers > 1 else None

    def one(self, ids, lengths):
        dense = ctranslate2.StorageView.from_array(ids.astype(numpy.int32))
        known = ctranslate2.StorageView.from_array(lengths.astype(numpy.int32))
        return embedding.pooled(self.encoder.forward_batch(dense, known).last_hidden_state, lengths)

    def many(self, batches):
        if self.pool is None:
            return [self.one(*batch) for batch in batches]
        return list(self.pool.map(lambda batch: self.one(*batch), batches))
