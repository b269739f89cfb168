"""PyTorch: its fused function, and the composed path (product, scale, mask, softmax, product: as a user writes it); linear
maps, eager and over weights that were packed before, as a frozen model's are."""

import math

import torch
import torch.nn.attention

from peers import cases, torch_backward, torch_layers


def start(threads):
    torch.set_num_threads(threads)
    return torch.__version__


def ways(peer, case):
    if case.get("layer"):
        return torch_layers.ways(peer, case)
    if case.get("backward"):
        return torch_backward.ways(peer, case)
    if case.get("linear"):
        packed = {"linear, packed by oneDNN": packed_by_onednn, "linear, packed by MKL": packed_by_mkl}
        return {} if peer == "pytorch-composed" else {"linear": linear, **packed}
    return {"composed": composed} if peer == "pytorch-composed" else {"scaled_dot_product_attention": fused}


def calling(compute):
    last = []

    @torch.inference_mode()
    def call():
        # Frees the last output first, as the next step of a model would: two at a time would not stay in the cache.
        last.clear()
        last.append(compute())

    return call, lambda: last[0].numpy()


def fused(case, *arrays):
    query, key, value = (torch.from_numpy(array) for array in arrays)
    flags = {"enable_gqa": case["H"] != case["Hkv"]}
    if cases.has_plain_causal(case):
        flags["is_causal"] = True
    elif cases.allowed(case) is not None:
        flags["attn_mask"] = torch.from_numpy(cases.allowed(case))
    call, output = calling(lambda: torch.nn.functional.scaled_dot_product_attention(query, key, value, **flags))
    chosen = torch._fused_sdp_choice(
        query, key, value, flags.get("attn_mask"), 0.0, "is_causal" in flags, enable_gqa=flags["enable_gqa"])
    return call, output, torch.nn.attention.SDPBackend(chosen).name


def composed(case, *arrays):
    query, key, value = (torch.from_numpy(array) for array in arrays)
    allowed, group = cases.allowed(case), case["H"] // case["Hkv"]
    hidden = None if allowed is None else torch.from_numpy(~allowed)  # a user builds it once

    # No pass over the scores, and no copy of a key, that can be done without: the query is scaled, the mask is filled in
    # place, and the rows of a group's heads are stacked over their kv head.
    batch, heads, queries, width = query.shape
    stacked = (batch, heads // group, group * queries)

    def compute():
        scores = (query * (1 / math.sqrt(width))).view(*stacked, width) @ key.transpose(-2, -1)
        if hidden is not None:
            scores.view(batch, heads, queries, -1).masked_fill_(hidden, -math.inf)
        return (torch.softmax(scores, dim=-1) @ value).view(batch, heads, queries, -1)

    return *calling(compute), "matmul, masked_fill, softmax, matmul" if hidden is not None else "matmul, softmax, matmul"


ACTIVATIONS = {
    None: lambda y: y, "relu": torch.relu_, "gelu": torch.nn.functional.gelu,
    "geluTanh": lambda y: torch.nn.functional.gelu(y, approximate="tanh"),
    "silu": lambda y: torch.nn.functional.silu(y, inplace=True), "tanh": torch.tanh_, "sigmoid": torch.sigmoid_,
}
# What oneDNN applies while it has the output in its cache: (name, scalars, algorithm).
FUSED = {
    None: ("none", [], ""), "relu": ("relu", [], ""), "gelu": ("gelu", [], "none"), "geluTanh": ("gelu", [], "tanh"),
    "silu": ("swish", [], ""), "tanh": ("tanh", [], ""), "sigmoid": ("sigmoid", [], ""),
}


def linear(case, *arrays):
    x, weight, bias = (torch.from_numpy(array) for array in arrays)
    activation = ACTIVATIONS[case["activation"]]
    return *calling(lambda: activation(torch.nn.functional.linear(x, weight, bias))), "addmm"


def packed_by_onednn(case, *arrays):
    x, weight, bias = (torch.from_numpy(array) for array in arrays)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, case["m"])
    fused = FUSED[case["activation"]]
    return *calling(lambda: torch.ops.mkldnn._linear_pointwise(x, packed, bias, *fused)), f"_linear_pointwise, {fused[0]}"


def packed_by_mkl(case, *arrays):
    x, weight, bias = (torch.from_numpy(array) for array in arrays)
    packed = torch.ops.mkl._mkl_reorder_linear_weight(weight, case["m"])
    activation = ACTIVATIONS[case["activation"]]
    return *calling(lambda: activation(torch.ops.mkl._mkl_linear(x, packed, weight, bias, case["m"]))), "_mkl_linear"
