"""The process of one peer: `python -m peers.worker <peer> <threads> <folder> [keep-memory]`, driven by Workers below.

It answers requests, a line of JSON each. Between them it is stopped by a signal, so that no pool of threads can spin
while another side is timed.
"""

import ctypes
import importlib
import json
import math
import os
import random
import signal
import statistics
import sys
import time

import numpy

from peers import backward, cases, layers

MODULES = {
    "pytorch": "torch_peer", "pytorch-composed": "torch_peer", "onnxruntime": "onnxruntime_peer",
    "openvino": "openvino_peer", "reference": "reference",
}
# Float32 leaves 2e-6 in the cases of DESIGN.md; bfloat16 anywhere would leave a hundred times this.
TOLERANCE = 1e-5
# Ways whose first times differ by no more than this race each other.
NEAR = 1.1


def aligned(array):
    """A copy at a multiple of 64 bytes: the peers allocate so, and may copy or slow down when others do not."""
    memory = numpy.empty(array.nbytes + 64, dtype=numpy.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start:start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def largest_error(case, output, expected):
    """Of padded sequences, over the rows that are there."""
    if case.get("layer"):
        distance = layers.largest_error(case, output, expected)
        return float(distance) if numpy.isfinite(distance) else float("inf")
    if case.get("backward"):
        distance = backward.largest_error(output, expected)
        return float(distance) if numpy.isfinite(distance) else float("inf")
    if case.get("linear"):
        # Of the same shape: nothing is to be broadcast.
        distance = numpy.abs(output.astype(numpy.float64) - expected).max() if output.shape == expected.shape else numpy.inf
    else:
        lengths = case.get("lengths") or [case["Lq"]] * case["B"]
        distance = numpy.max([
            numpy.abs(output[sequence, :, :length].astype(numpy.float64) - expected[sequence, :, :length]).max()
            for sequence, length in enumerate(lengths)])
    return float(distance) if numpy.isfinite(distance) else float("inf")


def time_calls(call, repeats, figure=statistics.median, warm_up=0.05, sample=0.002):
    """Milliseconds of a call. Before the samples 50 ms of calls, as ours has: at first the threads sleep, and the clock may
    be low. A sample is of as many calls as last 2 ms, as ours is."""
    start, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - start < warm_up:
        call()
        calls += 1
    # By the shortest of three: the mean of the warm-up has the first call in it.
    shortest = min(time_sample(call, 1) for _ in range(3)) if calls > 1 else sample
    count = max(1, math.ceil(sample / shortest))
    return figure([time_sample(call, count) / count * 1e3 for _ in range(repeats)])


def time_sample(call, count):
    start = time.perf_counter()
    for _ in range(count):
        call()
    return time.perf_counter() - start


class Worker:
    def __init__(self, peer, threads, folder):
        self.peer, self.folder = peer, folder
        self.module = importlib.import_module(f"peers.{MODULES[peer]}")
        self.version = self.module.start(threads)
        self.chosen = {}

    def inputs(self, case):
        count = cases.tensor_count(case)
        return [aligned(numpy.load(f"{self.folder}/{case['name']}-{index}.npy")) for index in range(count)]

    def ways(self, case):
        return self.module.ways(self.peer, case)

    def check(self, case):
        """Tries every way that the peer has, and chooses those of the right ones that may be the fastest."""
        expected = numpy.load(f"{self.folder}/{case['name']}-expected.npy")
        inputs, tried = self.inputs(case), {}
        for name, make in self.ways(case).items():
            try:
                call, output, ran = make(case, *inputs)
                call()
                error = largest_error(case, output(), expected)
                tried[name] = {"error": error, "ran": ran}
                if error <= TOLERANCE:
                    tried[name]["ms"] = time_calls(call, 5, figure=min)
            except Exception as exception:  # whatever a peer throws at what it does not support
                tried[name] = {"unsupported": str(exception).splitlines()[0][:300] if str(exception) else repr(exception)}
            call = output = None
        right = {name: way["ms"] for name, way in tried.items() if "ms" in way}
        self.chosen[case["name"]] = [name for name in right if right[name] <= NEAR * min(right.values())]
        return {"chosen": self.chosen[case["name"]], "tried": tried}

    def measure(self, case, repeats):
        expected = numpy.load(f"{self.folder}/{case['name']}-expected.npy")
        found = {}
        # In another order in every round.
        for name in random.sample(self.chosen[case["name"]], len(self.chosen[case["name"]])):
            call, output, _ = self.ways(case)[name](case, *self.inputs(case))
            found[name] = time_calls(call, repeats)
            # What was timed is what was meant.
            error = largest_error(case, output(), expected)
            assert error <= TOLERANCE, f"{self.peer} by {name} became wrong in {case['name']}: {error:.2g}"
            call = output = None
        return {"ms": found}

    def prepare(self, case, seed):
        """Draws the data and computes what every side has to find: the worker `reference` alone is asked for this."""
        tensors = cases.draw(case, seed)
        for index, array in enumerate(tensors):
            numpy.save(f"{self.folder}/{case['name']}-{index}.npy", array)
        numpy.save(f"{self.folder}/{case['name']}-expected.npy", self.module.expected(case, *tensors))
        return {}


def serve(make):
    """Answers requests by the methods of make(peer, threads, folder)."""
    peer, threads, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: a stopped process would outlive its parent
    if "keep-memory" in sys.argv[4:]:
        # No mapping of its own for any block, and no trimming of the heap: glibc's mallopt.
        M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
        glibc = ctypes.CDLL(None)
        if not (glibc.mallopt(M_MMAP_MAX, 0) and glibc.mallopt(M_TRIM_THRESHOLD, -1)):
            raise SystemExit("this C library has no such mallopt")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    worker = make(peer, threads, folder)
    answer = {"version": worker.version}
    while True:
        print(json.dumps(answer), file=answers, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        answer = getattr(worker, request.pop("do"))(**request)


if __name__ == "__main__":
    serve(Worker)
