"""OpenVINO's CPU device: one model of opset13's scaled_dot_product_attention."""

import numpy
import openvino
from openvino import opset13

from peers import cases

CONFIG = {}


def start(threads):
    CONFIG.update({
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        # Unless told, the device computes in bfloat16 on a core that has it.
        "INFERENCE_PRECISION_HINT": "f32"})
    return openvino.__version__


def ways(peer, case):
    if case.get("linear") or case.get("backward") or case.get("layer"):
        return {}
    flagged, masked = {"scaled_dot_product_attention(causal)": with_flag}, {"scaled_dot_product_attention": with_mask}
    return {**flagged, **masked} if cases.has_plain_causal(case) else masked


def with_flag(case, *arrays):
    return build(case, arrays, None, True)


def with_mask(case, *arrays):
    allowed = cases.allowed(case)
    return build(case, arrays, None if allowed is None else numpy.where(allowed, 0, -numpy.inf).astype(numpy.float32), False)


def build(case, arrays, bias, causal):
    parameters = [opset13.parameter(array.shape, numpy.float32, name=name) for name, array in zip("qkv", arrays)]
    query, key, value = parameters
    group = case["H"] // case["Hkv"]
    if group > 1:
        key, value = (repeated(node, group) for node in (key, value))
    mask = [] if bias is None else [opset13.constant(bias)]
    result = opset13.scaled_dot_product_attention(query, key, value, *mask, causal=causal)
    compiled = openvino.Core().compile_model(openvino.Model([result], parameters), "CPU", CONFIG)
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.f32
    request = compiled.create_infer_request()
    for index, array in enumerate(arrays):
        request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))
    output = request.get_output_tensor()
    ran = [
        node.get_rt_info()["layerType"].astype(str) + ":" + node.get_rt_info()["runtimePrecision"].astype(str)
        for node in compiled.get_runtime_model().get_ordered_ops()]
    ran = [name for name in ran if not name.startswith(("Input", "Output", "Const", "Parameter", "Result"))]

    def call(held=arrays):  # a request does not keep numpy's memory, which the inputs share
        request.infer(share_outputs=True)  # no copy into an array of Python's

    return call, lambda: numpy.array(output.data), ", ".join(ran)


def repeated(node, group):
    """Each kv head for a group of query heads."""
    batch, heads, length, width = node.get_output_shape(0)
    apart = opset13.unsqueeze(node, opset13.constant([2], dtype=numpy.int64))
    wide = opset13.broadcast(apart, opset13.constant([batch, heads, group, length, width], dtype=numpy.int64))
    return opset13.reshape(wide, opset13.constant([batch, heads * group, length, width], dtype=numpy.int64), False)
