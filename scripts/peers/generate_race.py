"""`compare-peers generate`: GPT-2 small with random weights, made by transformers, through `attention bench generate` and
through PyTorch (transformers), ONNX Runtime and OpenVINO, all in float32.

    scripts/compare-peers generate --threads 2 --rounds 5
    scripts/compare-peers generate --depths 64,512 --batch 1 --peers pytorch,openvino

- prefill: prompts of `depth` tokens are read and the next token of each is scored (its row of scores alone, on all sides).
- decode: one more token of each sequence is read over the keys and values of those before it, and the next is scored. Ours
  is timed at the depth, a peer's in the 8 steps after it.

First everyone goes on from two prompts of 48 tokens, greedily for 24 tokens, which must be those of transformers in float64:
ours by `attention generate`, with a tokenizer that spells tokens by their ids. Fairness is that of the other races
(compare-peers): sides take turns in random order, each in a process of its own, stopped while others run; of a peer's ways
(PyTorch's caches) the smaller median counts, for each step by itself. OpenVINO keeps keys and values as a state, in float32;
ONNX Runtime gets back those that it gave out, without copies of ours. (PyTorch's dynamic cache and ONNX Runtime copy all keys
and values in each step: that is how they go on.)
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile

import environment
from peers import command, summary
from peers.embed_race import positive, some_of
from peers.workers import Workers

MODEL = environment.ROOT / ".build" / "peers" / "gpt2-small"
PEERS = ["pytorch", "onnxruntime", "openvino"]
STEPS = ["prefill", "decode"]


def numbers(text):
    return [positive(part) for part in text.split(",")]


def run(arguments):
    finished = subprocess.run([str(argument) for argument in arguments], stdout=subprocess.PIPE, text=True)
    if finished.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, arguments))}\nended with {finished.returncode}")
    return finished.stdout


def check_ours(path, prompts, tokens, options):
    rows = run([
        path, "generate", "--model", MODEL, *(part for prompt in prompts for part in ("--prompt", prompt)), "--max-tokens",
        len(tokens[0]), "--threads", options.threads, "--format", "jsonl"]).splitlines()
    found = [[int(number) for number in re.findall(r"<(\d+)>", json.loads(row)["text"])] for row in rows]
    if found != tokens:
        raise SystemExit(f"we generate {found}, not {tokens}")


def bench(path, depth, batch, options):
    """Our seconds of either step, and what the command says of the machine."""
    arguments = [
        path, "bench", "generate", "--model", MODEL, "--depths", depth, "--batch", batch, "--threads", options.threads,
        "--repeats", options.repeats, "--format", "json"]
    answer = json.loads(run(arguments))
    rows = {row["step"]: row for row in answer["rows"]}
    for row in rows.values():
        if not (row["within_contract"] and row["repeatable"]):
            raise SystemExit(f"we are wrong: {row}")
    return {step: rows[step]["median_ms"] / 1e3 for step in STEPS}, answer["machine"]


def check(workers, prompts, tokens, cases, options):
    for peer in options.peers:
        workers.ask(peer, do="load", model=str(MODEL))
        found = workers.ask(peer, do="check", prompts=prompts, tokens=tokens)
        for name, problem in found["tried"].items():
            if problem:
                print(f"warning: {peer} is not measured by {name}: {problem}", file=sys.stderr)
        if not found["right"]:
            raise SystemExit(f"{peer} is wrong or cannot do this")
        for depth, batch in cases:
            workers.ask(peer, do="choose", depth=depth, batch=batch)
        print(f"checked {peer}", file=sys.stderr)


def race(path, workers, cases, options):
    """The seconds {(step, depth, batch): {side: [per round]}}, the ways that peers are told by, and the machine."""
    order, machine = random.Random(options.seed), {}
    sides = [*options.peers, *(["ours"] if path else [])]
    rounds = {(step, *case): {side: [] for side in sides} for step in STEPS for case in cases}
    for turn in range(options.rounds):
        for depth, batch in order.sample(cases, len(cases)):
            for side in order.sample(sides, len(sides)):
                if side == "ours":
                    times, machine = bench(path, depth, batch, options)
                else:
                    times = workers.ask(side, do="measure", depth=depth, batch=batch, repeats=options.repeats)
                for step in STEPS:
                    rounds[step, depth, batch][side].append(
                        times[step] if side == "ours" else {way: times[way][step] for way in times})
        print(f"round {turn + 1} of {options.rounds}", file=sys.stderr)
    times, ways = {}, {}
    for case, found in rounds.items():
        times[case], ways[case] = {}, {}
        for side, values in found.items():
            if side != "ours":
                by_way = {way: [value[way] for value in values] for way in values[0]}
                ways[case][side] = summary.fastest(by_way)
                values = by_way[ways[case][side]]
            times[case][side] = values
    return times, ways, machine


def print_table(result):
    names = ("threads", "rounds", "repeats", "seed", "load")
    described = {**result["machine"], **{name: result[name] for name in names}, **result["versions"], **result["environment"]}
    print("; ".join(f"{name}: {value}" for name, value in described.items()))
    print()
    peers = list(result["versions"])
    print("|", " | ".join(["tokens/s", "depth", "batch", "ours", *peers, "best peer", "best peer's time : ours"]), "|")
    print("| --- |" + " ---: |" * (len(peers) + 3) + " --- | ---: |")
    for row in result["rows"]:
        ratio = row["ratio"]
        sides = [row["sides"].get(side) for side in ("ours", *peers)]
        print("|", " | ".join([
            row["step"], str(row["depth"]), str(row["batch"]),
            *(f"{side['tokens_per_s']:,.0f}" if side else "–" for side in sides), row["best"],
            f"{ratio['ratio']:.2f} ({ratio['interval'][0]:.2f}–{ratio['interval'][1]:.2f})" if ratio else "–"]), "|")
    print()
    for peer in peers:
        ways = {row["sides"][peer]["way"] for row in result["rows"]}
        print(f"- {peer} ran", "; ".join(sorted(ways)))


def main(arguments):
    parser = argparse.ArgumentParser(
        prog="compare-peers generate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=some_of(PEERS), default=",".join(PEERS), help="default: %(default)s")
    parser.add_argument("--depths", type=numbers, default="64,512,1000", help="tokens of a prompt (default: %(default)s)")
    parser.add_argument("--batch", type=numbers, default="1,8", help="prompts at once (default: %(default)s)")
    parser.add_argument("--threads", type=positive, default=len(os.sched_getaffinity(0)), help="default: %(default)s")
    parser.add_argument("--rounds", type=positive, default=5, help="default: %(default)s")
    parser.add_argument("--repeats", type=positive, default=3, help="within a round (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--as-found", action="store_true", help="let malloc return the peers' memory after each call")
    parser.add_argument("--without-ours", action="store_true", help="the peers alone: nothing is built")
    parser.add_argument("--json", action="store_true", help="all figures as JSON instead of a table")
    options = parser.parse_args(arguments)
    if max(options.depths) > 1010:
        parser.error("--depths: the model has 1024 positions, of which the steps after a prompt take some")
    path = None if options.without_ours else command.build()
    cases = [(depth, batch) for depth in options.depths for batch in options.batch]
    load = command.warn_of_load()
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Workers(
            ["reference", *options.peers], options.threads, folder, keep_memory=not options.as_found,
            module="peers.generate_worker") as workers:
        made = workers.ask("reference", do="prepare", model=str(MODEL))
        if path:
            check_ours(path, made["prompts"], made["tokens"], options)
        check(workers, made["prompts"], made["tokens"], cases, options)
        versions = {peer: workers.versions[peer] for peer in options.peers}
        times, ways, machine = race(path, workers, cases, options)

    ratios = summary.summarise(times, options.peers, options.seed)[0] if path else {}
    rows = []
    for step, depth, batch in times:
        case = step, depth, batch
        medians = {side: statistics.median(seconds) for side, seconds in times[case].items()}
        count = batch * (depth if step == "prefill" else 1)
        rows.append({
            "step": step, "depth": depth, "batch": batch, "best": min(options.peers, key=medians.get),
            "ratio": ratios.get(case, {}).get("best"),
            "sides": {side: {
                "seconds": seconds, "tokens_per_s": count / seconds, "rounds_seconds": times[case][side],
                **({"ratio": ratios[case][side]} if side in ratios.get(case, {}) else {}),
                **({} if side == "ours" else {"way": ways[case][side]}),
            } for side, seconds in medians.items()}})
    result = {
        "machine": machine, "threads": options.threads, "rounds": options.rounds, "repeats": options.repeats,
        "seed": options.seed, "load": round(load, 2), "versions": versions, "keep_memory": not options.as_found, "rows": rows,
        "environment": {name: os.environ.get(name, "unset") for name in ("OPENBLAS_CORETYPE", "ATTENTION_ISA")}}
    print(json.dumps(summary.finite(result), indent=1, allow_nan=False)) if options.json else print_table(result)
