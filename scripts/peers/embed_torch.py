"""PyTorch: transformers' BertModel, its attention fused or composed."""

import torch
import transformers

from peers import embedding


def start(threads):
    torch.set_num_threads(threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return f"{torch.__version__}, transformers {transformers.__version__}"


def ways(model, folder, threads):
    return {f"attention {name}": lambda name=name: Way(model, name) for name in ("sdpa", "eager")}


class Way:
    def __init__(self, model, attention):
        self.model = transformers.BertModel.from_pretrained(
            model, attn_implementation=attention, add_pooling_layer=False, dtype=torch.float32).eval()

    @torch.inference_mode()
    def one(self, ids, lengths):
        open = (lengths == ids.shape[1]).all()
        mask = None if open else torch.from_numpy(embedding.mask(ids, lengths))
        hidden = self.model(input_ids=torch.from_numpy(ids), attention_mask=mask).last_hidden_state
        total = hidden.sum(dim=1) if open else (mask.to(hidden.dtype)[:, None] @ hidden)[:, 0]
        return torch.nn.functional.normalize(total, dim=1).numpy()

    def many(self, batches):
        return [self.one(*batch) for batch in batches]
