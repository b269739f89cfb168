"""OpenVINO's CPU device in float32; keys and values are the model's state (generate_models.py)."""

import os

import openvino


def start(threads):
    return openvino.__version__


def ways(model, folder, threads):
    return {"state": lambda: Way(folder, threads)}


class Way:
    def __init__(self, folder, threads):
        compiled = openvino.Core().compile_model(os.path.join(folder, "decoder.xml"), "CPU", {
            "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
            # Unless told, the device computes in bfloat16 on a core that has it, and keeps keys and values in half the bytes.
            "INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"})
        assert compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32
        self.request = compiled.create_infer_request()

    def prefill(self, ids, room):
        self.request.reset_state()
        # The state of a dynamic shape begins without a batch.
        for state in self.request.query_state():
            shape = list(state.state.shape)
            shape[0], shape[2] = ids.shape[0], 0
            state.state = openvino.Tensor(openvino.Type.f32, shape)
        return self.step(ids)

    def step(self, ids):
        self.request.infer([ids], share_inputs=True, share_outputs=True)
        return self.request.get_tensor("scores").data
