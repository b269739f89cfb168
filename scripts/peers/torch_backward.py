"""PyTorch, eager: attention forward, and the gradients of query, key and value for a given gradient of the output."""

import math

import torch
import torch.nn.attention

from peers import backward, cases


def ways(peer, case):
    if peer == "pytorch-composed":
        return {"composed": composed}
    if case["H"] == case["Hkv"]:
        return {"scaled_dot_product_attention": fused}
    return {"scaled_dot_product_attention(enable_gqa)": fused, "scaled_dot_product_attention, heads repeated": repeated}


def calling(attend, arrays):
    """`attend` of leaves; a call is a whole step."""
    leaves = [torch.from_numpy(array).requires_grad_() for array in arrays[:3]]
    upstream, last = torch.from_numpy(arrays[3]), []

    def call():
        # Frees the last results first, as the next step of a training would.
        last.clear()
        output = attend(*leaves)
        last.extend([output.detach(), *torch.autograd.grad(output, leaves, upstream)])

    return call, lambda: backward.flat([tensor.numpy() for tensor in last]), leaves


def fused(case, *arrays, repeats=False):
    group = case["H"] // case["Hkv"]
    flags = {"enable_gqa": group > 1 and not repeats}
    if cases.has_plain_causal(case):
        flags["is_causal"] = True
    elif cases.allowed(case) is not None:
        flags["attn_mask"] = torch.from_numpy(cases.allowed(case))

    def attend(query, key, value):
        if repeats:
            key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, **flags)

    call, output, leaves = calling(attend, arrays)
    query, key, value = leaves
    if repeats:
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    chosen = torch._fused_sdp_choice(
        query, key, value, flags.get("attn_mask"), 0.0, "is_causal" in flags, enable_gqa=flags["enable_gqa"])
    return call, output, torch.nn.attention.SDPBackend(chosen).name + ", autograd.grad"


def repeated(case, *arrays):
    return fused(case, *arrays, repeats=True)


def composed(case, *arrays):
    """As the composed path of inference: the query is scaled, the mask filled in place, a group's heads are stacked."""
    allowed, group = cases.allowed(case), case["H"] // case["Hkv"]
    hidden = None if allowed is None else torch.from_numpy(~allowed)
    batch, heads, queries, width = arrays[0].shape
    stacked = (batch, heads // group, group * queries)

    def attend(query, key, value):
        scores = (query * (1 / math.sqrt(width))).view(*stacked, width) @ key.transpose(-2, -1)
        if hidden is not None:
            scores = scores.view(batch, heads, queries, -1).masked_fill_(hidden, -math.inf).view(*stacked, -1)
        return (torch.softmax(scores, dim=-1) @ value).view(batch, heads, queries, -1)

    call, output, _ = calling(attend, arrays)
    return call, output, "matmul, softmax, matmul, autograd.grad"
