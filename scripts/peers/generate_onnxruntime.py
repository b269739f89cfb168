"""ONNX Runtime with its own optimizations; keys and values go from step to step without copies (generate_models.py)."""

import os

import numpy
import onnxruntime


def start(threads):
    return onnxruntime.__version__


def ways(model, folder, threads):
    return {"bound": lambda: Way(folder, threads)}


class Way:
    def __init__(self, folder, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.path.join(folder, "decoder.onnx"), options, providers=["CPUExecutionProvider"])
        self.before = [port for port in self.session.get_inputs() if port.name.startswith("past.")]
        self.after = [port.name for port in self.session.get_outputs() if port.name.startswith("present.")]

    def prefill(self, ids, room):
        heads, width = self.before[0].shape[1], self.before[0].shape[3]
        empty = onnxruntime.OrtValue.ortvalue_from_numpy(numpy.zeros((ids.shape[0], heads, 0, width), dtype=numpy.float32))
        self.past = [empty for _ in self.before]
        return self.step(ids)

    def step(self, ids):
        binding = self.session.io_binding()
        binding.bind_cpu_input("ids", ids)
        for port, value in zip(self.before, self.past):
            binding.bind_ortvalue_input(port.name, value)
        for name in ("scores", *self.after):
            binding.bind_output(name)
        self.session.run_with_iobinding(binding)
        scores, *self.past = binding.get_outputs()
        return scores.numpy()
