"""Whole layers: `layer:<case of attention bench layers>`, with `-training` behind it forward and back. A result is everything
that comes out, flat and in this order: the output's rows, then the gradients of the parameters and of the input."""

import argparse
import math
import re

import numpy

PREFIX = "layer:"
LETTERS = {
    **dict.fromkeys(["block", "preblock"], "twhf"), **dict.fromkeys(["rnn", "lstm", "gru"], "blih"),
    **dict.fromkeys(["layernorm", "rmsnorm", "softmax", "gelu"], "mw"),
}
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
LARGEST = 1 << 24


def parse(name):
    match = re.fullmatch(rf"{PREFIX}({'|'.join(LETTERS)})-((?:[a-z][1-9][0-9]{{0,8}})+)(-training)?", name)
    sizes = {letter: int(number) for letter, number in re.findall(r"([a-z])(\d+)", match[2])} if match else {}
    if not match or list(sizes) != list(LETTERS[match[1]]) or len(sizes) != len(re.findall("[a-z]", match[2])) \
            or max(sizes.values()) > LARGEST or match[1].endswith("block") and sizes["w"] % sizes["h"] \
            or match[3] and LETTERS[match[1]] == "mw":
        raise argparse.ArgumentTypeError(f"{name} is not a case like {PREFIX}lstm-b32l128i384h384-training")
    return {
        "name": name, "layer": name.removeprefix(PREFIX).removesuffix("-training"), "kind": match[1], "sizes": sizes,
        "training": bool(match[3])}


def lengths(case):
    """Of a block's sequences, as ours has them: 1 + 29k mod 63 for k = 0, 1, …, the last one cut."""
    found, left, index = [], case["sizes"]["t"], 0
    while left:
        found.append(min(left, 1 + index * 29 % 63))
        left -= found[-1]
        index = (index + 1) % 63
    return found


def parameters(case):
    """Names as PyTorch's modules have them, and shapes, in the order of the gradients."""
    sizes, kind = case["sizes"], case["kind"]
    if kind in GATES:
        rows = GATES[kind] * sizes["h"]
        return {
            "weight_ih_l0": (rows, sizes["i"]), "weight_hh_l0": (rows, sizes["h"]), "bias_ih_l0": (rows,),
            "bias_hh_l0": (rows,)}
    if kind == "layernorm":
        return {"weight": (sizes["w"],), "bias": (sizes["w"],)}
    if kind == "rmsnorm":
        return {"weight": (sizes["w"],)}
    if kind not in ("block", "preblock"):
        return {}
    width, inner = sizes["w"], sizes["f"]
    return {
        "self_attn.in_proj_weight": (3 * width, width), "self_attn.in_proj_bias": (3 * width,),
        "self_attn.out_proj.weight": (width, width), "self_attn.out_proj.bias": (width,),
        "linear1.weight": (inner, width), "linear1.bias": (inner,), "linear2.weight": (width, inner),
        "linear2.bias": (width,), "norm1.weight": (width,), "norm1.bias": (width,), "norm2.weight": (width,),
        "norm2.bias": (width,)}


def rows(case):
    sizes = case["sizes"]
    return sizes["b"] * sizes["l"] if case["kind"] in GATES else sizes["t" if "t" in sizes else "m"]


def output_width(case):
    return case["sizes"]["h" if case["kind"] in GATES else "w"]


def input_width(case):
    return case["sizes"]["i" if case["kind"] in GATES else "w"]


def draw(case, seed):
    """Input, parameters in their order, and the gradient of the output; each side has its own values."""
    generator = numpy.random.default_rng([seed, 2])
    arrays = [generator.standard_normal((rows(case), input_width(case)), dtype=numpy.float32)]
    for name, shape in parameters(case).items():
        centre, bound = (1.0 if name.endswith("weight") else 0.0, 0.5) if len(shape) == 1 and "norm" in case["kind"] + name \
            else (0.0, 1 / math.sqrt(shape[-1] if len(shape) == 2 else output_width(case)))
        arrays.append(generator.uniform(centre - bound, centre + bound, shape).astype(numpy.float32))
    return [*arrays, generator.standard_normal((rows(case), output_width(case)), dtype=numpy.float32)]


def tensor_count(case):
    return 2 + len(parameters(case))


def useful_gflop(case):
    """As `attention bench layers` counts: linear maps, in training three times, and attention over the real lengths, in
    training three and a half times; None where memory is what counts."""
    sizes, kind = case["sizes"], case["kind"]
    if kind in GATES:
        linear, attention = 2 * GATES[kind] * sizes["b"] * sizes["l"] * sizes["h"] * (sizes["i"] + sizes["h"]), 0
    elif kind in ("block", "preblock"):
        linear = 2 * sizes["t"] * sizes["w"] * (4 * sizes["w"] + 2 * sizes["f"])
        attention = 4 * sizes["w"] * sum(length**2 for length in lengths(case))
    else:
        return None
    return 1e-9 * (3 * linear + 3.5 * attention if case["training"] else linear + attention)


def largest_error(case, output, expected):
    """Of each part of the result, beside its root mean square where that is above 1: gradients are sums over all rows."""
    if output.shape != expected.shape:
        return math.inf
    sizes = [rows(case) * output_width(case)]
    if case["training"]:
        sizes += [math.prod(shape) for shape in parameters(case).values()] + [rows(case) * input_width(case)]
    largest, start = 0.0, 0
    for size in sizes:
        part = slice(start, start + size)
        start += size
        scale = max(1.0, math.sqrt(numpy.mean(expected[part] ** 2)))
        largest = max(largest, numpy.abs(output[part] - expected[part]).max() / scale)
    return float(largest) if start == len(expected) else math.inf
