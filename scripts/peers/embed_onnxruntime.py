"""ONNX Runtime on models that its transformer optimizer made (embed_models.py)."""

import concurrent.futures
import os

import onnxruntime

from peers import embedding


def start(threads):
    return onnxruntime.__version__


def ways(model, folder, threads):
    return {
        f"{operator}, {callers} × {threads // callers} threads":
            lambda operator=operator, callers=callers: Way(folder, operator, callers, threads)
        for operator in ("attention", "multihead") for callers in {1, threads}}


class Way:
    def __init__(self, folder, operator, callers, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads // callers
        options.inter_op_num_threads = 1
        self.masked, self.open = (
            onnxruntime.InferenceSession(
                os.path.join(folder, f"{operator}-{kind}.onnx"), options, providers=["CPUExecutionProvider"])
            for kind in ("masked", "open"))
        self.pool = concurrent.futures.ThreadPoolExecutor(callers) if callers > 1 else None

    def one(self, ids, lengths):
        if (lengths == ids.shape[1]).all():
            return self.open.run(None, {"ids": ids})[0]
        return self.masked.run(None, {"ids": ids, "mask": embedding.mask(ids, lengths)})[0]

    def many(self, batches):
        if self.pool is None:
            return [self.one(*batch) for batch in batches]
        return list(self.pool.map(lambda batch: self.one(*batch), batches))
