"""PyTorch, eager: whole layers as its users run them, in inference and in training."""

import torch
from torch.nn import functional

from peers import layers


def ways(peer, case):
    if peer == "pytorch-composed":
        return {}
    kind = case["kind"]
    if kind in layers.GATES:
        return {"batch first": lambda *inputs: recurrent(*inputs, batch_first=True),
                "time first": lambda *inputs: recurrent(*inputs, batch_first=False)}
    if kind in ("block", "preblock"):
        return {"nn.TransformerEncoderLayer, padded": module,
                "rows packed, attention padded": lambda *inputs: packed(*inputs, attend=padded_attention),
                "rows packed, attention by sequences": lambda *inputs: packed(*inputs, attend=single_attention)}
    return {kind: rowwise}


def calling(case, compute, leaves, upstream, restored, restored_input=None):
    """A call computes the output, and in training the gradients of all leaves, the input first among them. `restored` puts
    rows into the order that all sides compare."""
    last = []

    def call():
        # Frees the last results first, as the next step would.
        last.clear()
        if case["training"]:
            output = compute()
            last.extend([output.detach(), *torch.autograd.grad(output, leaves, upstream)])
        else:
            with torch.inference_mode():
                last.append(compute())

    def output():
        parts = [restored(last[0])]
        if case["training"]:
            parts += [*last[2:], (restored_input or restored)(last[1])]
        return torch.cat([part.reshape(-1) for part in parts]).detach().numpy()

    return call, output


def leaf(case, array):
    return array.clone().requires_grad_(case["training"])


def loaded(case, module, arrays):
    """The module with our parameters, which are its leaves in our order."""
    state = dict(zip(layers.parameters(case), arrays))
    assert set(state) == {name for name, _ in module.named_parameters()}, state.keys()
    module.load_state_dict(state)
    named = dict(module.named_parameters())
    return module.train(case["training"]), [named[name] for name in state]


def recurrent(case, *arrays, batch_first):
    tensors, sizes = [torch.from_numpy(array) for array in arrays], case["sizes"]
    kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[case["kind"]]
    layer, parameters = loaded(case, kind(sizes["i"], sizes["h"], batch_first=batch_first), tensors[1:-1])

    def arranged(rows):
        steps = rows.view(sizes["b"], sizes["l"], -1)
        return steps if batch_first else steps.transpose(0, 1).contiguous()

    def restored(rows):
        return rows if batch_first else rows.transpose(0, 1)

    x = leaf(case, arranged(tensors[0]))
    upstream = arranged(tensors[-1])
    return *calling(case, lambda: layer(x)[0], [x, *parameters], upstream, restored), f"nn.{kind.__name__}"


def padding(case):
    """Whether a place of the padded batch is empty, and the place of each row."""
    lengths = layers.lengths(case)
    empty = torch.ones(len(lengths), max(lengths), dtype=torch.bool)
    for sequence, length in enumerate(lengths):
        empty[sequence, :length] = False
    return empty, torch.nonzero(~empty.view(-1)).view(-1)


def module(case, *arrays):
    tensors, sizes = [torch.from_numpy(array) for array in arrays], case["sizes"]
    layer = torch.nn.TransformerEncoderLayer(
        sizes["w"], sizes["h"], sizes["f"], dropout=0.0, activation=functional.gelu, batch_first=True,
        norm_first=case["kind"] == "preblock")
    layer, parameters = loaded(case, layer, tensors[1:-1])
    empty, places = padding(case)

    def padded(rows):
        whole = torch.zeros(empty.numel(), rows.shape[1])
        whole[places] = rows
        return whole.view(*empty.shape, -1)

    x, upstream = leaf(case, padded(tensors[0])), padded(tensors[-1])

    def restored(rows):
        # Inference may come back cut to the longest sequence, which is the whole.
        return rows.reshape(empty.numel(), -1)[places]

    return *calling(
        case, lambda: layer(x, src_key_padding_mask=empty), [x, *parameters], upstream, restored), "TransformerEncoderLayer"


def padded_attention(case, projected):
    empty, places = case["padding"]
    (batch, longest), heads = empty.shape, case["sizes"]["h"]
    whole = projected.new_zeros(batch * longest, projected.shape[1]).index_copy(0, places, projected)
    query, key, value = whole.view(batch, longest, 3, heads, -1).permute(2, 0, 3, 1, 4)
    joined = functional.scaled_dot_product_attention(query, key, value, attn_mask=case["visible"])
    return joined.transpose(1, 2).reshape(batch * longest, -1).index_select(0, places)


def single_attention(case, projected):
    joined, heads = [], case["sizes"]["h"]
    for rows in projected.split(case["lengths"]):
        query, key, value = rows.view(1, len(rows), 3, heads, -1).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        joined.append(attended.transpose(1, 2).reshape(len(rows), -1))
    return torch.cat(joined)


def packed(case, *arrays, attend):
    tensors, width = [torch.from_numpy(array) for array in arrays], case["sizes"]["w"]
    empty, places = padding(case)
    case = {**case, "padding": (empty, places), "visible": ~empty[:, None, None, :], "lengths": layers.lengths(case)}
    x, *parameters = [leaf(case, tensor) for tensor in tensors[:-1]]
    p = dict(zip(layers.parameters(case), parameters))

    def attention(rows):
        projected = functional.linear(rows, p["self_attn.in_proj_weight"], p["self_attn.in_proj_bias"])
        return functional.linear(attend(case, projected), p["self_attn.out_proj.weight"], p["self_attn.out_proj.bias"])

    def inner(rows):
        wide = functional.gelu(functional.linear(rows, p["linear1.weight"], p["linear1.bias"]))
        return functional.linear(wide, p["linear2.weight"], p["linear2.bias"])

    def norm(rows, name):
        return functional.layer_norm(rows, (width,), p[f"{name}.weight"], p[f"{name}.bias"])

    def compute():
        if case["kind"] == "preblock":
            first = x + attention(norm(x, "norm1"))
            return first + inner(norm(first, "norm2"))
        first = norm(x + attention(x), "norm1")
        return norm(first + inner(first), "norm2")

    return *calling(case, compute, [x, *parameters], tensors[-1], lambda rows: rows), "functional"


def rowwise(case, *arrays):
    x, *parameters, _ = [torch.from_numpy(array) for array in arrays]
    width, kind = (case["sizes"]["w"],), case["kind"]
    compute = {
        "layernorm": lambda: functional.layer_norm(x, width, *parameters),
        "rmsnorm": lambda: functional.rms_norm(x, width, *parameters, eps=1e-5),
        "softmax": lambda: torch.softmax(x, dim=-1), "gelu": lambda: functional.gelu(x)}[kind]
    return *calling(case, compute, [], None, lambda rows: rows), kind


def expected(case, *arrays):
    """The same in float64, one sequence of a block after the other."""
    torch.set_default_dtype(torch.float64)
    try:
        wide = [array.astype("float64") for array in arrays]
        if case["kind"] in ("block", "preblock"):
            call, output, _ = packed(case, *wide, attend=single_attention)
        elif case["kind"] in layers.GATES:
            call, output, _ = recurrent(case, *wide, batch_first=True)
        else:
            call, output, _ = rowwise(case, *wide)
        call()
        return output()
    finally:
        torch.set_default_dtype(torch.float32)
