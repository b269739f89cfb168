"""OpenVINO's CPU device in float32, on models converted from PyTorch (embed_models.py)."""

import os

import numpy
import openvino

from peers import embedding


def start(threads):
    return openvino.__version__


def ways(model, folder, threads):
    return {
        f"{form}, {streams} × {threads // streams} threads":
            lambda form=form, streams=streams: Way(folder, form, streams, threads)
        for form in ("sdpa", "composed") for streams in {1, threads}}


class Way:
    def __init__(self, folder, form, streams, threads):
        core = openvino.Core()
        config = {
            "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams,
            "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
            # Unless told, the device computes in bfloat16 on a core that has it.
            "INFERENCE_PRECISION_HINT": "f32"}
        self.masked, self.open = (
            core.compile_model(os.path.join(folder, f"{form}-{kind}.xml"), "CPU", config) for kind in ("masked", "open"))
        assert self.masked.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32
        self.requests = [compiled.create_infer_request() for compiled in (self.masked, self.open)]
        # A queue per model; both feed the same cores, and few batches need no mask.
        self.queues = [openvino.AsyncInferQueue(compiled, streams) for compiled in (self.masked, self.open)] if streams > 1 else None

    def inputs(self, ids, lengths):
        open = bool((lengths == ids.shape[1]).all())
        return open, [ids] if open else [ids, embedding.mask(ids, lengths)]

    def one(self, ids, lengths):
        open, inputs = self.inputs(ids, lengths)
        request = self.requests[open]
        request.infer(inputs, share_inputs=True, share_outputs=True)
        return numpy.array(request.get_output_tensor().data)

    def many(self, batches):
        if self.queues is None:
            return [self.one(*batch) for batch in batches]
        results = []

        def keep(request, place):
            results[place] = numpy.array(request.get_output_tensor().data)

        for queue in self.queues:
            queue.set_callback(keep)
        for place, batch in enumerate(batches):
            results.append(None)
            # Always with a mask: two queues at once would put twice the streams on the cores.
            self.queues[0].start_async([batch[0], embedding.mask(*batch)], place, share_inputs=False)
        self.queues[0].wait_all()
        return results
