"""GPT-2 small with random weights as transformers saves it, and what its peers read; runs in the worker `reference`."""

import json
import os
import random

import openvino
import torch
import transformers
from openvino._offline_transformations import apply_make_stateful_transformation
from torch.nn import functional

PROMPTS, PROMPT_TOKENS, NEW_TOKENS = 2, 48, 24  # of what is compared
# Greedy choices are compared with float32's: the second best token must be clearly worse.
MARGIN = 1e-3


def write_model(folder):
    """Random weights as the model's authors drew them, and a tokenizer whose tokens from 256 on are spelt by their ids."""
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(transformers.GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)).save_pretrained(folder)
    os.remove(os.path.join(folder, "generation_config.json"))
    config = json.load(open(os.path.join(folder, "config.json")))
    config["bos_token_id"] = config["eos_token_id"] = None  # no text ends early
    json.dump(config, open(os.path.join(folder, "config.json"), "w"))
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    vocabulary = {chr(byte if byte in seen else next(others)): byte for byte in range(256)}
    vocabulary.update({f"<{number}>": number for number in range(256, config["vocab_size"])})
    json.dump({
        "version": "1.0", "added_tokens": [], "normalizer": None, "post_processor": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    }, open(os.path.join(folder, "tokenizer.json"), "w"))


@torch.inference_mode()
def expected(folder):
    """Prompts of small letters, each a token, and how transformers goes on from them in float64."""
    exact = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float64).eval()
    prompts, found, chance = [], [], random.Random(0)
    while len(prompts) < PROMPTS:
        prompt = "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(PROMPT_TOKENS))
        ids = torch.tensor([list(prompt.encode())])
        answer = exact.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW_TOKENS, pad_token_id=0,
            output_scores=True, return_dict_in_generate=True)
        margins = [scores[0].topk(2).values for scores in answer.scores]
        tokens = answer.sequences[0, PROMPT_TOKENS:].tolist()
        # Tokens below 256 are bytes, which need not make a text.
        if min(best[0] - best[1] for best in margins) >= MARGIN and min(tokens) >= 256:
            prompts.append(prompt)
            found.append(tokens)
    return prompts, found


class Decoder(torch.nn.Module):
    """GPT-2 as an exporter finds it easy: ids [batch, length] and the keys and values before them to the scores after the
    last token, and all keys and values."""

    def __init__(self, folder):
        super().__init__()
        model = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.body, self.config = model.transformer, model.config

    def forward(self, ids, *past):
        heads, width = self.config.n_head, self.config.n_embd
        batch, length, before = ids.shape[0], ids.shape[1], past[0].shape[2]
        places = torch.arange(before + length)
        mask = places[None, :] <= places[before:, None]
        rows = functional.embedding(ids, self.body.wte.weight) + functional.embedding(places[before:], self.body.wpe.weight)[None]
        present = []
        for index, block in enumerate(self.body.h):
            joint = self.map(block.attn.c_attn, block.ln_1(rows))
            query, key, value = (
                part.view(batch, length, heads, width // heads).transpose(1, 2) for part in joint.split(width, dim=2))
            key = torch.cat([past[2 * index], key], dim=2)
            value = torch.cat([past[2 * index + 1], value], dim=2)
            present += [key, value]
            result = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
            rows = rows + self.map(block.attn.c_proj, result.transpose(1, 2).reshape(batch, length, width))
            inner = functional.gelu(self.map(block.mlp.c_fc, block.ln_2(rows)), approximate="tanh")
            rows = rows + self.map(block.mlp.c_proj, inner)
        return functional.linear(self.body.ln_f(rows[:, -1]), self.body.wte.weight), *present

    def map(self, layer, rows):
        return torch.matmul(rows, layer.weight) + layer.bias


def names(config):
    return [f"{kind}.{index}" for index in range(config.n_layer) for kind in ("key", "value")]


@torch.inference_mode()
def export(model, target):
    """decoder.xml, whose keys and values are a state, and decoder.onnx, whose keys and values go in and come out."""
    decoder = Decoder(model).eval()
    config = decoder.config
    past = [torch.zeros(2, config.n_head, 3, config.n_embd // config.n_head) for _ in names(config)]
    ids = torch.randint(1000, 2000, (2, 5))
    before, after = [f"past.{name}" for name in names(config)], [f"present.{name}" for name in names(config)]
    axes = {"ids": {0: "batch", 1: "length"}, "scores": {0: "batch"},
            **{name: {0: "batch", 2: "before"} for name in before}, **{name: {0: "batch", 2: "all"} for name in after}}
    torch.onnx.export(
        decoder, (ids, *past), os.path.join(target, "decoder.onnx"), input_names=["ids", *before],
        output_names=["scores", *after], dynamic_axes=axes, opset_version=17, dynamo=False)
    converted = openvino.convert_model(os.path.join(target, "decoder.onnx"))
    apply_make_stateful_transformation(converted, dict(zip(before, after)))
    openvino.save_model(converted, os.path.join(target, "decoder.xml"), compress_to_fp16=False)
