"""Attention forward and back: `backward:<attention case>`. A result is everything that comes out, flat and in this order:
the output, then the gradients of query, key and value."""

import argparse
import math

import numpy

PREFIX = "backward:"


def parse(name, parse_attention):
    inner = name.removeprefix(PREFIX)
    if inner.startswith(("zipf", "linear", PREFIX)):
        raise argparse.ArgumentTypeError(f"{name} is not a case like {PREFIX}b8h12q512k512d64-causal")
    case = parse_attention(inner)
    return {**case, "name": PREFIX + case["name"], "backward": case["name"]}


def attention_case(case):
    """The case of attention alone, by whose name our command knows it and draws its data."""
    return {**{key: value for key, value in case.items() if key != "backward"}, "name": case["backward"]}


def useful_gflop(case, forward):
    """Two products forward and five backward over the visible cells, as `attention bench backward` counts them."""
    return forward * (1 + (3 * case["dk"] + 2 * case["dv"]) / (case["dk"] + case["dv"]))


def draw_upstream(case, seed):
    """The gradient of the output: normal variates of numpy's; ours draws its own."""
    generator = numpy.random.default_rng([seed, 1])
    return generator.standard_normal((case["B"], case["H"], case["Lq"], case["dv"]), dtype=numpy.float32)


def flat(arrays):
    return numpy.concatenate([array.reshape(-1) for array in arrays])


def largest_error(output, expected):
    if output.shape != expected.shape:
        return numpy.inf
    return numpy.abs(output.astype(numpy.float64) - expected).max()


def expected(case, allowed, *arrays):
    """In float64 from the definitions, by heads and blocks of queries."""
    query, key, value, upstream = (array.astype(numpy.float64) for array in arrays)
    group, rows, scale = case["H"] // case["Hkv"], max(1, 2**23 // case["Lk"]), 1 / math.sqrt(case["dk"])
    output = numpy.zeros(upstream.shape)
    gradients = [numpy.zeros(array.shape) for array in (query, key, value)]
    for sequence in range(case["B"]):
        for head in range(case["H"]):
            own, shared = (sequence, head), (sequence, head // group)
            for first in range(0, case["Lq"], rows):
                block = slice(first, first + rows)
                q, g = query[own][block], upstream[own][block]
                scores = scale * (q @ key[shared].T)
                if allowed is not None:
                    scores[~allowed[block]] = -numpy.inf
                weights = numpy.exp(scores - scores.max(axis=1, keepdims=True))
                weights /= weights.sum(axis=1, keepdims=True)
                output[own][block] = weights @ value[shared]
                slopes = g @ value[shared].T
                slopes = scale * weights * (slopes - (weights * slopes).sum(axis=1, keepdims=True))
                gradients[0][own][block] = slopes @ key[shared]
                gradients[1][shared] += slopes.T @ q
                gradients[2][shared] += weights.T @ g
    return flat([output, *gradients])
