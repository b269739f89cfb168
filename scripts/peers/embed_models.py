"""The folder of a BERT made into what its peers read; runs in the worker `reference`, so that no peer carries PyTorch with it."""

import json
import math
import os

import ctranslate2
import openvino
import safetensors.torch
import torch
import transformers
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions
from torch.nn import functional

HIDDEN = -10_000.0  # e to this is 0 beside any score


class Encoder(torch.nn.Module):
    """BERT and what follows it, from ids [batch, length] to vectors of length 1, as an exporter finds it easy; written out in
    products (for the optimizer of ONNX Runtime, which looks for these) or with scaled_dot_product_attention (for OpenVINO)."""

    def __init__(self, folder, composed):
        super().__init__()
        self.config = json.load(open(os.path.join(folder, "config.json")))
        assert self.config["hidden_act"] == "gelu", self.config["hidden_act"]
        self.composed = composed
        self.weights = torch.nn.ParameterDict({
            name.replace(".", "/"): torch.nn.Parameter(value, requires_grad=False)
            for name, value in safetensors.torch.load_file(os.path.join(folder, "model.safetensors")).items()
            if value.is_floating_point()})

    def linear(self, rows, name):
        return functional.linear(rows, self.weights[f"{name}/weight"], self.weights[f"{name}/bias"])

    def norm(self, rows, name):
        weight, bias = self.weights[f"{name}/weight"], self.weights[f"{name}/bias"]
        return functional.layer_norm(rows, weight.shape, weight, bias, self.config["layer_norm_eps"])

    def attention(self, rows, bias, name):
        heads, width = self.config["num_attention_heads"], self.config["hidden_size"]
        depth = width // heads
        query, key, value = (
            self.linear(rows, f"{name}/self/{part}").view(rows.shape[0], rows.shape[1], heads, depth).transpose(1, 2)
            for part in ("query", "key", "value"))
        if self.composed:
            scores = query @ key.transpose(-1, -2) / math.sqrt(depth)
            result = torch.softmax(scores if bias is None else scores + bias, dim=-1) @ value
        else:
            result = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        result = result.transpose(1, 2).reshape(rows.shape[0], rows.shape[1], width)
        return self.norm(self.linear(result, f"{name}/output/dense") + rows, f"{name}/output/LayerNorm")

    def forward(self, ids, mask=None):
        bias = None if mask is None else (1.0 - mask[:, None, None, :].to(torch.float32)) * HIDDEN
        places = torch.arange(ids.shape[1])[None]
        tables = {name: self.weights[f"embeddings/{name}_embeddings/weight"] for name in ("word", "position", "token_type")}
        rows = functional.embedding(ids, tables["word"]) + functional.embedding(places, tables["position"])
        rows = self.norm(rows + tables["token_type"][0], "embeddings/LayerNorm")
        for index in range(self.config["num_hidden_layers"]):
            name = f"encoder/layer/{index}"
            rows = self.attention(rows, bias, f"{name}/attention")
            inner = functional.gelu(self.linear(rows, f"{name}/intermediate/dense"))
            rows = self.norm(self.linear(inner, f"{name}/output/dense") + rows, f"{name}/output/LayerNorm")
        # The mean over a sequence but for its length, which the norm takes away.
        total = rows.sum(dim=1) if mask is None else (mask.to(torch.float32)[:, None] @ rows)[:, 0]
        return total / torch.sqrt((total * total).sum(dim=1, keepdim=True))


def export(model, target):
    """All that peers read, into a folder."""
    composed, fused = Encoder(model, True).eval(), Encoder(model, False).eval()
    heads, width = composed.config["num_attention_heads"], composed.config["hidden_size"]
    ids, mask = torch.randint(1000, 2000, (3, 7)), torch.ones(3, 7, dtype=torch.int64)
    mask[1, 4:] = 0
    axes = {"ids": {0: "batch", 1: "length"}, "mask": {0: "batch", 1: "length"}, "embeddings": {0: "batch"}}
    for masked in (True, False):
        inputs = {"ids": ids, **({"mask": mask} if masked else {})}
        suffix = "masked" if masked else "open"
        plain = os.path.join(target, f"plain-{suffix}.onnx")
        torch.onnx.export(
            composed, tuple(inputs.values()), plain, input_names=list(inputs), output_names=["embeddings"],
            dynamic_axes={name: axes[name] for name in [*inputs, "embeddings"]}, opset_version=17, dynamo=False)
        for multi_head in (False, True):
            options = FusionOptions("bert")
            options.use_multi_head_attention = multi_head
            result = optimizer.optimize_model(
                plain, "bert", num_heads=heads, hidden_size=width, optimization_options=options, opt_level=1)
            found, blocks = result.get_fused_operator_statistics(), composed.config["num_hidden_layers"]
            wanted = {"MultiHeadAttention" if multi_head else "Attention": blocks, "BiasGelu": blocks,
                      "SkipLayerNormalization": 2 * blocks}
            assert wanted.items() <= found.items(), f"the optimizer of ONNX Runtime fused {found}"
            result.save_model_to_file(os.path.join(target, f"{'multihead' if multi_head else 'attention'}-{suffix}.onnx"))
        for name, module in (("composed", composed), ("sdpa", fused)):
            converted = openvino.convert_model(module, example_input=tuple(inputs.values()))
            for port, key in zip(converted.inputs, inputs):
                port.get_tensor().set_names({key})
            openvino.save_model(converted, os.path.join(target, f"{name}-{suffix}.xml"), compress_to_fp16=False)
    ctranslate2.converters.TransformersConverter(model).convert(os.path.join(target, "ctranslate2"), force=True)
