"""The formula in float64."""

import math

import torch

from peers import backward, cases, torch_layers


def start(threads):
    torch.set_num_threads(threads)
    return torch.__version__


def expected(case, *arrays):
    if case.get("layer"):
        return torch_layers.expected(case, *arrays)
    if case.get("backward"):
        return backward.expected(case, cases.allowed(case), *arrays)
    return linear(case, *arrays) if case.get("linear") else attention(case, *arrays)


@torch.inference_mode()
def linear(case, x, weight, bias):
    result = torch.from_numpy(x).double() @ torch.from_numpy(weight).double().T + torch.from_numpy(bias).double()
    match case["activation"]:
        case None: pass
        case "relu": result = result.clamp(min=0)
        case "gelu": result = result * torch.special.ndtr(result)
        case "geluTanh": result = result * torch.sigmoid(math.sqrt(8 / math.pi) * (result + 0.044715 * result**3))
        case "silu": result = result * torch.sigmoid(result)
        case "tanh": result = torch.tanh(result)
        case "sigmoid": result = torch.sigmoid(result)
    return result.numpy()


@torch.inference_mode()
def attention(case, query, key, value):
    query, key, value = (torch.from_numpy(array).double() for array in (query, key, value))
    lengths = case.get("lengths")
    allowed = cases.allowed({**case, "lengths": None})
    allowed = None if allowed is None else torch.from_numpy(allowed)
    group, rows = case["H"] // case["Hkv"], max(1, 2**24 // case["Lk"])
    output = torch.zeros(case["B"], case["H"], case["Lq"], case["dv"], dtype=torch.float64)
    for sequence in range(case["B"]):
        length = lengths[sequence] if lengths else None
        for head in range(case["H"]):
            for first in range(0, case["Lq"], rows):
                block = slice(first, first + rows if length is None else length)
                scores = query[sequence, head, block] @ key[sequence, head // group, :length].T / math.sqrt(case["dk"])
                if allowed is not None:
                    scores.masked_fill_(~allowed[block, :length], -math.inf)
                output[sequence, head, block] = torch.softmax(scores, dim=-1) @ value[sequence, head // group, :length]
    return output.numpy()
