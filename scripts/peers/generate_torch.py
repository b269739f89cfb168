"""PyTorch by transformers' GPT-2, with the caches that it has."""

import torch
import transformers


def start(threads):
    torch.set_num_threads(threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return f"{torch.__version__}, transformers {transformers.__version__}"


def ways(model, folder, threads):
    return {f"{cache} cache": lambda cache=cache: Way(model, cache) for cache in ("dynamic", "static")}


class Way:
    def __init__(self, model, cache):
        self.cache = cache
        self.model = transformers.GPT2LMHeadModel.from_pretrained(
            model, attn_implementation="sdpa", dtype=torch.float32).eval()

    @torch.inference_mode()
    def prefill(self, ids, room):
        """Reads prompts [batch, length]; `room` tokens will follow."""
        self.past = transformers.DynamicCache(config=self.model.config) if self.cache == "dynamic" else transformers.StaticCache(
            config=self.model.config, max_cache_len=ids.shape[1] + room)
        return self.step(ids)

    @torch.inference_mode()
    def step(self, ids):
        return self.model(
            input_ids=torch.from_numpy(ids), past_key_values=self.past, use_cache=True, logits_to_keep=1).logits[:, -1].numpy()
