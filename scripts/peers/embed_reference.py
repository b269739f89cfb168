"""What every side has to find, in float64, and the models that the peers read."""

import os

import numpy
import tokenizers
import torch
import transformers

from peers import embed_models, embedding


def start(threads):
    torch.set_num_threads(1)  # nothing here is timed, and with one no barrier waits for a busy core
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return torch.__version__


@torch.inference_mode()
def prepare(model, texts, folder):
    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(embedding.LONGEST)
    exact = transformers.BertModel.from_pretrained(
        model, attn_implementation="eager", add_pooling_layer=False, dtype=torch.float64).eval()
    tokens = {}
    for name in ("sentences", *(f"single-{count}" for count in embedding.SINGLES)):
        ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(embedding.read_texts(texts, name))]
        tokens[name] = [len(row) for row in ids]
        # One after the other: no padding, no mask.
        hidden = (exact(input_ids=torch.tensor([row])).last_hidden_state[0] for row in ids)
        numpy.save(os.path.join(folder, f"{name}.npy"), torch.stack([
            torch.nn.functional.normalize(rows.mean(dim=0), dim=0) for rows in hidden]).numpy())
    del exact
    embed_models.export(model, folder)
    return {"tokens": tokens}
