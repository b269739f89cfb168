"""ONNX Runtime's CPU provider: its operators of attention, of which the fastest that is right is taken."""

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper

from peers import cases

OPTIONS = onnxruntime.SessionOptions()


def start(threads):
    OPTIONS.intra_op_num_threads = threads
    OPTIONS.inter_op_num_threads = 1
    OPTIONS.log_severity_level = 4  # what it declines is reported by the exception
    return onnxruntime.__version__


def ways(peer, case):
    if case.get("linear") or case.get("backward") or case.get("layer"):
        return {}
    result = {"Attention": standard}
    square = case["dk"] == case["dv"] and case["Lq"] == case["Lk"]
    if case["H"] == case["Hkv"]:
        result["MultiHeadAttention"] = multi_head
        result["MultiHeadAttention, keys by heads"] = multi_head_by_heads
    if case["causal"] and square:
        result["GroupQueryAttention"] = group_query
    return result


def tokens_first(array):
    """[B, H, L, d] as [B, L, H·d], the layout in which contrib operators take rows."""
    batch, heads, length, width = array.shape
    return numpy.ascontiguousarray(array.transpose(0, 2, 1, 3)).reshape(batch, length, heads * width)


def standard(case, query, key, value):
    """ai.onnx 23."""
    arrays, flags = {"q": query, "k": key, "v": value}, {"is_causal": int(cases.has_plain_causal(case))}
    scores = (case["Lq"], case["Lk"])  # the operator wants every row of a mask
    allowed = cases.allowed(case)
    if allowed is not None and not flags["is_causal"]:
        arrays["mask"] = numpy.ascontiguousarray(numpy.broadcast_to(allowed, (*allowed.shape[:-2], *scores)))
    return session("Attention", "", arrays, list(arrays), flags, query.shape[:3] + value.shape[3:])


def multi_head(case, query, key, value):
    return contrib(case, {"q": tokens_first(query), "k": tokens_first(key), "v": tokens_first(value)})


def multi_head_by_heads(case, query, key, value):
    return contrib(case, {"q": tokens_first(query), "k": key, "v": value})


def contrib(case, arrays):
    flags, inputs = {"num_heads": case["H"]}, ["q", "k", "v"]
    if cases.has_plain_causal(case):
        flags["unidirectional"] = 1
    elif case.get("lengths") and not case["causal"]:
        arrays["is_key"] = cases.allowed(case)[:, 0, 0].astype(numpy.int32)
        inputs += ["", "is_key"]
    elif case["causal"]:
        arrays["bias"] = numpy.where(cases.allowed(case), 0, -numpy.inf).astype(numpy.float32)
        arrays["bias"] = arrays["bias"].reshape(-1, 1, *arrays["bias"].shape[-2:])
        inputs += ["", "", "bias"]
    shape = [case["B"], case["Lq"], case["H"] * case["dv"]]
    return session("MultiHeadAttention", "com.microsoft", arrays, inputs, flags, shape, by_tokens=case)


def group_query(case, query, key, value):
    arrays = {"q": tokens_first(query), "k": tokens_first(key), "v": tokens_first(value)}
    arrays["last"] = numpy.array(case.get("lengths") or [case["Lk"]] * case["B"], dtype=numpy.int32) - 1
    arrays["total"] = numpy.array([case["Lk"]], dtype=numpy.int32)
    flags = {"num_heads": case["H"], "kv_num_heads": case["Hkv"]}
    if case["window"]:
        flags["local_window_size"] = case["window"]
    present = {name: [case["B"], case["Hkv"], case["Lk"], case["dk"]] for name in ("keys", "values")}
    return session(
        "GroupQueryAttention", "com.microsoft", arrays, ["q", "k", "v", "", "", "last", "total"], flags,
        [case["B"], case["Lq"], case["H"] * case["dv"]], by_tokens=case, further=present)


def session(operator, domain, arrays, inputs, flags, shape, by_tokens=None, further={}):
    shapes = {"out": list(shape), **further}
    results = {name: onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, numpy.float32) for name, shape in shapes.items()}
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, list(shapes), domain=domain, **flags)], "attention",
        [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
         for name, array in arrays.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()])
    model = helper.make_model(
        graph, ir_version=11, opset_imports=[helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)])
    run = onnxruntime.InferenceSession(model.SerializeToString(), OPTIONS, providers=["CPUExecutionProvider"])
    # Bound in place: neither inputs nor outputs are copied in a call.
    binding = run.io_binding()
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for name, value in results.items():
        binding.bind_ortvalue_output(name, value)

    def output():
        array = results["out"].numpy()
        if by_tokens is None:
            return array
        return array.reshape(by_tokens["B"], by_tokens["Lq"], by_tokens["H"], -1).transpose(0, 2, 1, 3)

    def call(held=values):  # a binding does not keep numpy's memory, which the inputs share
        run.run_with_iobinding(binding)

    return call, output, (f"{domain}." if domain else "ai.onnx.") + operator
