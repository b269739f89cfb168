"""Training of a GPT-2 by PyTorch: `python -m peers.train_torch pytorch <threads> <folder>`, driven by Workers.

The model is written as its users write one that is to be fast: nn.Linear over all tokens, the fused attention, the head tied
to the embedding. It begins with the weights that our command wrote, reads the same batch in every step, and its first
losses are compared with ours.
"""

import os
import random
import statistics
import time

import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from peers.worker import NEAR, serve

STEPS = 4  # whose losses are compared
TOLERANCE = 2e-4  # relative: four steps of Adam, whose first ones go by the signs of gradients


class Block(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.out = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.qkv(self.ln_1(x)).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*parts, is_causal=True)
        x = x + self.proj(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.out(functional.gelu(self.fc(self.ln_2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        width = sizes["d"]
        self.wte, self.wpe = nn.Embedding(sizes["v"], width), nn.Embedding(sizes["t"], width)
        self.blocks = nn.ModuleList(Block(width, sizes["h"], sizes["i"]) for _ in range(sizes["l"]))
        self.ln_f = nn.LayerNorm(width)

    def load(self, tensors):
        tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
        names = {"wte.weight": "wte.weight", "wpe.weight": "wpe.weight", "ln_f.weight": "ln_f.weight", "ln_f.bias": "ln_f.bias"}
        for index in range(len(self.blocks)):
            for theirs, ours in {"ln_1": "ln_1", "ln_2": "ln_2", "attn.c_attn": "qkv", "attn.c_proj": "proj", "mlp.c_fc": "fc",
                                 "mlp.c_proj": "out"}.items():
                for part in ("weight", "bias"):
                    names[f"h.{index}.{theirs}.{part}"] = f"blocks.{index}.{ours}.{part}"
        state = {ours: tensors[theirs] for theirs, ours in names.items()}
        # GPT-2 keeps the weights of its maps as [inputs, outputs].
        self.load_state_dict({name: tensor.T.contiguous() if tensor.ndim == 2 and name.startswith("blocks.") else tensor
                              for name, tensor in state.items()})

    def forward(self, ids, labels):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return functional.cross_entropy(functional.linear(self.ln_f(x), self.wte.weight).flatten(0, 1), labels.flatten())


def status(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))


class Way:
    """A model that is trained in one of the ways that PyTorch has."""

    def __init__(self, folder, sizes, fused, compiled):
        before = status("VmRSS")
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        batch = safetensors.torch.load_file(os.path.join(folder, "batch.safetensors"))
        self.ids, self.labels = batch["ids"], batch["labels"]
        self.model = GPT(sizes)
        self.model.load(safetensors.torch.load_file(os.path.join(folder, "model.safetensors")))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.01, fused=fused)
        self.forward = torch.compile(self.model) if compiled else self.model
        self.losses = [self.step() for _ in range(STEPS)]
        self.memory = status("VmHWM") - before

    def step(self):
        loss = self.forward(self.ids, self.labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()


WAYS = {"eager": (False, False), "eager, fused AdamW": (True, False), "compiled": (False, True),
        "compiled, fused AdamW": (True, True)}


class TrainWorker:
    def __init__(self, peer, threads, folder):
        torch.set_num_threads(threads)
        self.version, self.made = torch.__version__, {}

    def check(self, case, folder, sizes, losses, ways):
        """Tries the ways, and keeps those that are right."""
        tried, self.made = {}, {}
        for name in ways:
            try:
                way = Way(folder, sizes, *WAYS[name])
                error = max(abs(theirs - ours) / abs(ours) for theirs, ours in zip(way.losses, losses, strict=True))
                start = time.perf_counter()
                way.step()
                tried[name] = {"error": error, "memory": way.memory, "seconds": time.perf_counter() - start}
                if error <= TOLERANCE:
                    self.made[name] = way
            except Exception as exception:  # whatever PyTorch throws at what it does not support here
                tried[name] = {"unsupported": str(exception)[:300] or repr(exception)}
        return {"tried": tried}

    def measure(self, repeats):
        seconds = {}
        for name in random.sample(list(self.made), len(self.made)):
            way, samples = self.made[name], []
            way.step()
            for _ in range(repeats):
                start = time.perf_counter()
                way.step()
                samples.append(time.perf_counter() - start)
            seconds[name] = statistics.median(samples)
        return {"seconds": seconds}


if __name__ == "__main__":
    serve(TrainWorker)
