"""Times Hugging Face's tokenizers on one thread, and `attention bench tokenize` on the same texts."""

import json
import shutil
import subprocess
import time

from tokenizers import Tokenizer

from . import corpus

SAMPLES = 7


def best(work):
    """The least of some times, in seconds: the first fills caches."""
    times = []
    for _ in range(SAMPLES):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def run(root, minilm, folder):
    command = root / ".build" / "release" / "attention"
    if not command.exists() or not (folder / "gpt2.json").is_file():
        raise SystemExit("run scripts/compare-tokenizers and swift build -c release before")
    drawn = corpus.Corpus(2)
    mixed = [text for text in (drawn.line() for _ in range(5_000)) if not set(text) & set("\n\r\ufeff")]
    inputs = {"licences": [line for line in corpus.licences() if line.strip() and "\f" not in line], "mixed": mixed}
    print(f"{'tokenizer':10} {'texts':10} {'MB':>6} {'HF MB/s':>9} {'our MB/s':>9} {'ratio':>6} {'on all threads':>15}")
    for name, source in (("minilm", minilm), ("gpt2", folder / "gpt2.json")):
        place = folder / "bench" / name
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place / "tokenizer.json")
        tokenizer = Tokenizer.from_file(str(source))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        for kind, texts in inputs.items():
            megabytes = sum(len(text.encode()) for text in texts) / 1e6
            theirs = megabytes / min(best(lambda: tokenizer.encode_batch(texts)),
                                     best(lambda: [tokenizer.encode(text) for text in texts]))
            lines = place / f"{kind}.txt"
            lines.write_text("".join(text + "\n" for text in texts), encoding="utf-8", newline="")
            report = json.loads(subprocess.run(
                [command, "bench", "tokenize", "--model", place, "--input", lines, "--format", "json"], check=True,
                capture_output=True, text=True).stdout)
            rows = report["rows"]
            assert rows[0]["texts"] == len(texts), rows[0]
            assert rows[0]["tokens"] == sum(len(one.ids) for one in tokenizer.encode_batch(texts)), rows[0]
            ours = max(megabytes / row["min_ms"] * 1e3 for row in rows if row["row_threads"] == 1)
            spread = max(megabytes / row["min_ms"] * 1e3 for row in rows)
            print(f"{name:10} {kind:10} {megabytes:6.2f} {theirs:9.1f} {ours:9.1f} {ours / theirs:6.2f} {spread:15.1f}")
