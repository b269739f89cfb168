"""`compare-peers embed`: the same 1,024 sentences through `attention bench embed` and through PyTorch (transformers), ONNX
Runtime with its transformer optimizer, OpenVINO and CTranslate2, all in float32 on all-MiniLM-L6-v2 (scripts/fetch-model).

    scripts/compare-peers embed --threads 2 --rounds 7
    scripts/compare-peers embed --without-ours --peers openvino,ctranslate2 --modes sorted

The sentences are those of /usr/share/common-licenses of 5 to 256 tokens, mean 32, in an order drawn from a seed; they lie in
.build/peers/sentences.txt, one per line. What is timed goes from strings to the array [texts, 384] of vectors of length 1,
tokenisation included; the peers tokenise with Hugging Face's `tokenizers` on all threads. Counted are tokens that are there,
[CLS] and [SEP] among them, never padding.

- sorted: everyone has all texts at once and sorts by length; a peer pads to the longest of a batch, whose size is the best
  of embedding.SIZES for it.
- unsorted: batches of 32 in the order given, each tokenised, padded and computed as it comes.
- single-5, single-12, single-128: one text of so many tokens at a time.

Fairness is that of the other races (compare-peers): sides take turns in random order, each in a process of its own, stopped
while others run; every peer's ways (forms of attention, callers and streams) are tried, the two best race in every round if
they are within 10%, and the smaller median counts; all results are held against transformers in float64, 1e-5.

Of our command this is expected:

    attention bench embed --model DIR --input FILE --mode sorted|unsorted|single --threads N --repeats R --format json
        --output FILE.safetensors

FILE has a text per line. After a warm-up of its own it makes R passes over FILE (in `single`, over its one line) and prints
{"machine": {…}, "rows": [{…}]} with one row, of which these fields are read:
  sample_seconds  [number]  seconds of each pass, R of them, loading the model not included
  texts           integer   the lines
  tokens          integer   in all, [CLS] and [SEP] among them
FILE.safetensors holds one tensor `embeddings`, F32 [texts, 384], rows in the order of the lines.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile

import numpy
import safetensors.numpy
import tokenizers

import environment
from peers import command, embedding, summary
from peers.worker import TOLERANCE
from peers.workers import Workers

MODEL = environment.ROOT / ".build" / "models" / "all-MiniLM-L6-v2"
TEXTS = environment.ROOT / ".build" / "peers"
PEERS = ["pytorch", "onnxruntime", "openvino", "ctranslate2"]
MODES = ["sorted", "unsorted", *(f"single-{tokens}" for tokens in embedding.SINGLES)]


def input_name(mode):
    return mode if mode.startswith("single") else "sentences"


def repeats(mode, options):
    return options.single_repeats if mode.startswith("single") else options.repeats


def bench(path, mode, options, folder, tokens):
    """Our seconds of a pass, our largest error, and what the command says of the machine."""
    output = os.path.join(folder, "ours.safetensors")
    arguments = [
        path, "bench", "embed", "--model", str(MODEL), "--input", str(TEXTS / f"{input_name(mode)}.txt"),
        "--mode", mode.split("-")[0], "--threads", str(options.threads), "--repeats", str(repeats(mode, options)),
        "--format", "json", "--output", output]
    finished = subprocess.run(arguments, stdout=subprocess.PIPE, text=True)
    if finished.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}\nended with {finished.returncode}")
    try:
        answer = json.loads(finished.stdout)
        row, = answer["rows"]
        samples, machine = [float(seconds) for seconds in row["sample_seconds"]], answer["machine"]
        counted = row["texts"], row["tokens"]
        found = safetensors.numpy.load_file(output)["embeddings"]
    except (KeyError, TypeError, ValueError) as error:
        raise SystemExit(f"{' '.join(arguments)}\ndid not answer as expected: {error!r}\n{finished.stdout[:500]}")
    os.remove(output)  # the next round's is its own
    if counted != (len(tokens), sum(tokens)):
        raise SystemExit(f"{mode}: we say {counted} texts and tokens; there are {len(tokens)} and {sum(tokens)}")
    if len(samples) != repeats(mode, options) or min(samples) <= 0:
        raise SystemExit(f"{mode}: our samples are {samples}")
    error = embedding.largest_error(found, numpy.load(os.path.join(folder, f"{input_name(mode)}.npy")))
    if error > TOLERANCE:
        raise SystemExit(f"we are wrong in {mode}: our largest error is {error:.2g}")
    return statistics.median(samples), error, machine


def check(workers, options):
    """{mode: {peer: {chosen: [way], tried}}}; ends the script when a peer is wrong."""
    found = {mode: {} for mode in options.modes}
    for peer in options.peers:
        workers.ask(peer, do="load", model=str(MODEL), texts=str(TEXTS))
        for mode in options.modes:
            found[mode][peer] = checked = workers.ask(peer, do="check", mode=mode)
            if not checked["chosen"]:
                raise SystemExit(f"{peer} is wrong or cannot do {mode}: {checked['tried']}")
            for label, way in checked["tried"].items():
                problem = way.get("unsupported") or (f"error {way['error']:.2g}" if way["error"] > TOLERANCE else None)
                if problem:
                    print(f"warning: {peer} is not measured by {label} in {mode}: {problem}", file=sys.stderr)
        workers.ask(peer, do="forget")
        print(f"checked {peer}", file=sys.stderr)
    return found


def race(path, workers, found, tokens, folder, options):
    """The times {mode: {side: [seconds per round]}}, the errors {mode: {side: largest}}, the ways that peers are told by
    {mode: {peer: way}}, and the machine."""
    order, machine = random.Random(options.seed), {}
    sides = [*options.peers, *(["ours"] if path else [])]
    times = {mode: {side: [] for side in sides} for mode in options.modes}
    errors = {mode: {side: 0.0 for side in sides} for mode in options.modes}
    for turn in range(options.rounds):
        for mode in order.sample(options.modes, len(options.modes)):
            for side in order.sample(sides, len(sides)):
                if side == "ours":
                    seconds, error, machine = bench(path, mode, options, folder, tokens[input_name(mode)])
                else:
                    answer = workers.ask(side, do="measure", mode=mode, repeats=repeats(mode, options))
                    seconds, error = answer["seconds"], max(answer["errors"].values())
                times[mode][side].append(seconds)
                errors[mode][side] = max(errors[mode][side], error)
        print(f"round {turn + 1} of {options.rounds}", file=sys.stderr)
    ways = {mode: {} for mode in options.modes}
    for mode in options.modes:
        for peer in options.peers:
            rounds = {way: [turn[way] for turn in times[mode][peer]] for way in found[mode][peer]["chosen"]}
            ways[mode][peer] = summary.fastest(rounds)
            times[mode][peer] = rounds[ways[mode][peer]]
    return times, errors, ways, machine


def figure(mode, seconds, tokens):
    """Milliseconds of a text that comes alone, else tokens per second."""
    return f"{seconds * 1e3:.2f} ms" if mode.startswith("single") else f"{sum(tokens) / seconds:,.0f}"


def print_table(result):
    names = ("threads", "rounds", "repeats", "single_repeats", "seed", "load")
    described = {**result["machine"], **{name: result[name] for name in names}, **result["versions"], **result["environment"]}
    print("; ".join(f"{name}: {value}" for name, value in described.items()))
    print()
    peers = list(result["versions"])
    print("|", " | ".join(["tokens/s, or ms of a text", "ours", *peers, "best peer", "best peer's time : ours", "errors: "
                           + ", ".join(["ours", *peers])]), "|")
    print("| --- |" + " ---: |" * (len(peers) + 1) + " --- | ---: | --- |")
    for row in result["rows"]:
        ratio = row["ratio"]
        sides = [row["sides"].get(side) for side in ("ours", *peers)]
        print("|", " | ".join([
            row["mode"], *(side["figure"] if side else "–" for side in sides), row["best"],
            f"{ratio['ratio']:.2f} ({ratio['interval'][0]:.2f}–{ratio['interval'][1]:.2f})" if ratio else "–",
            ", ".join(f"{side['max_abs_error']:.1e}" if side else "–" for side in sides)]), "|")
    print()
    for peer in peers:
        print(f"- {peer} ran", "; ".join(f"{row['mode']}: {row['sides'][peer]['way']}" for row in result["rows"]))


def some_of(known):
    def parse(text):
        names = list(dict.fromkeys(text.split(",")))
        if not set(names) <= set(known):
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(known)}")
        return names
    return parse


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def main(arguments):
    parser = argparse.ArgumentParser(
        prog="compare-peers embed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=some_of(PEERS), default=",".join(PEERS), help="default: %(default)s")
    parser.add_argument("--modes", type=some_of(MODES), default=",".join(MODES), help="default: %(default)s")
    parser.add_argument("--threads", type=positive, default=len(os.sched_getaffinity(0)), help="default: %(default)s")
    parser.add_argument("--rounds", type=positive, default=7, help="default: %(default)s")
    parser.add_argument("--repeats", type=positive, default=2, help="passes over the sentences within a round (default: %(default)s)")
    parser.add_argument("--single-repeats", type=positive, default=100, help="of a text that comes alone (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--as-found", action="store_true", help="let malloc return the peers' memory after each call")
    parser.add_argument("--without-ours", action="store_true", help="the peers alone: nothing is built")
    parser.add_argument("--json", action="store_true", help="all figures as JSON instead of a table")
    options = parser.parse_args(arguments)
    if not (MODEL / "model.safetensors").exists():
        raise SystemExit("the model is missing: run scripts/fetch-model first")
    path = None if options.without_ours else command.build()

    tokenizer = tokenizers.Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    texts = embedding.write_texts(TEXTS, lambda lines: [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(lines)])
    load = command.warn_of_load()
    with tempfile.TemporaryDirectory() as folder, Workers(
            ["reference", *options.peers], options.threads, folder, keep_memory=not options.as_found,
            module="peers.embed_worker") as workers:
        tokens = workers.ask("reference", do="prepare", model=str(MODEL), texts=str(TEXTS))["tokens"]
        found = check(workers, options)
        versions = {peer: workers.versions[peer] for peer in options.peers}
        times, errors, ways, machine = race(path, workers, found, tokens, folder, options)

    ratios = summary.summarise(times, options.peers, options.seed)[0] if path else {}
    rows = []
    for mode in options.modes:
        medians = {side: statistics.median(seconds) for side, seconds in times[mode].items()}
        counted = tokens[input_name(mode)]
        rows.append({
            "mode": mode, "texts": len(counted), "tokens": sum(counted), "best": min(options.peers, key=medians.get),
            "ratio": ratios.get(mode, {}).get("best"),
            "sides": {side: {
                "seconds": seconds, "figure": figure(mode, seconds, counted), "max_abs_error": errors[mode][side],
                "rounds_seconds": times[mode][side],
                **({"ratio": ratios[mode][side]} if side in ratios.get(mode, {}) else {}),
                **({} if side == "ours" else {"way": ways[mode][side], "tried": found[mode][side]["tried"]}),
            } for side, seconds in medians.items()}})
    result = {
        "machine": machine, "threads": options.threads, "rounds": options.rounds, "repeats": options.repeats,
        "single_repeats": options.single_repeats, "seed": options.seed, "load": round(load, 2), "versions": versions,
        "keep_memory": not options.as_found, "rows": rows,
        "environment": {name: os.environ.get(name, "unset") for name in ("OPENBLAS_CORETYPE", "ATTENTION_ISA")}}
    print(json.dumps(summary.finite(result), indent=1, allow_nan=False)) if options.json else print_table(result)
