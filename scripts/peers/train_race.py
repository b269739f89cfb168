"""`compare-peers train`: steps of training a GPT-2, by `attention bench train` and by PyTorch, eager and compiled.

    scripts/compare-peers train --threads 2 --rounds 7
    scripts/compare-peers train --cases l6h6d384t256b8v4096 --ways eager

A step is forward, back, clipping and AdamW, in float32, without dropout, on one batch of random tokens. Both sides begin with
the same weights and read the same batch: the losses of the first four steps must agree within 2e-4. They take turns in random
order, each in a process of its own, PyTorch's stopped while ours runs; of PyTorch's ways the fastest counts, and the eager
ones are told apart. Memory is what a process took at the most beyond what it had before there was a model. A case is as
`attention bench train` has it.
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

from peers import command, summary, train_torch
from peers.embed_race import positive, some_of
from peers.workers import Workers

CASES = "l6h6d384t256b8v256,l6h6d384t256b8v4096,l4h4d128t128b16v256"


def sizes(case):
    found = {letter: int(number) for letter, number in re.findall(r"([lhdtbvi])(\d+)", case)}
    if set(found) - {"i"} != set("lhdtbv"):
        raise SystemExit(f"{case} is not a case like {CASES.split(',')[0]}")
    return {"i": 4 * found["d"], **found}


def bench(path, case, options, folder=None):
    """Our row, and what the command says of the machine."""
    arguments = [path, "bench", "train", "--cases", case, "--threads", str(options.threads), "--repeats", str(options.repeats),
                 "--seed", str(options.seed), "--format", "json", *(["--input", folder] if folder else [])]
    finished = subprocess.run(arguments, stdout=subprocess.PIPE, text=True)
    if finished.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}\nended with {finished.returncode}")
    answer = json.loads(finished.stdout)
    return answer["rows"][0], answer["machine"]


def main(arguments):
    parser = argparse.ArgumentParser(
        prog="compare-peers train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=CASES, help="default: %(default)s")
    parser.add_argument("--ways", type=some_of(train_torch.WAYS), default=",".join(["eager", "compiled"]),
                        help=f"of {', '.join(repr(way) for way in train_torch.WAYS)} (default: %(default)s)")
    parser.add_argument("--threads", type=positive, default=len(os.sched_getaffinity(0)), help="default: %(default)s")
    parser.add_argument("--rounds", type=positive, default=5, help="default: %(default)s")
    parser.add_argument("--repeats", type=positive, default=5, help="steps within a round (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--as-found", action="store_true", help="let malloc return PyTorch's memory after each call")
    parser.add_argument("--json", action="store_true", help="all figures as JSON instead of a table")
    options = parser.parse_args(arguments)
    path = command.build()
    load = command.warn_of_load()
    order, rows = random.Random(options.seed), []
    for case in options.cases.split(","):
        with tempfile.TemporaryDirectory() as folder, Workers(
                ["pytorch"], options.threads, folder, keep_memory=not options.as_found, module="peers.train_torch") as workers:
            ours, machine = bench(path, case, options, folder)
            losses = [ours[f"loss_{step}"] for step in range(train_torch.STEPS)]
            tried = workers.ask("pytorch", do="check", case=case, folder=folder, sizes=sizes(case), losses=losses,
                                ways=options.ways)["tried"]
            right = [way for way, found in tried.items() if found.get("error", 1) <= train_torch.TOLERANCE]
            for way, found in tried.items():
                if way not in right:
                    print(f"warning: {case}: {way} is not measured: {found.get('unsupported') or found}", file=sys.stderr)
            if not right:
                raise SystemExit(f"{case}: no way of PyTorch gives our losses {losses}: {tried}")
            times = {"ours": [], **{way: [] for way in right}}
            for _ in range(options.rounds):
                for side in order.sample(["ours", "pytorch"], 2):
                    if side == "ours":
                        times["ours"].append(bench(path, case, options)[0]["median_ms"] / 1e3)
                    else:
                        for way, seconds in workers.ask("pytorch", do="measure", repeats=options.repeats)["seconds"].items():
                            times[way].append(seconds)
            version = workers.versions["pytorch"]
        ratios = summary.summarise({case: times}, right, options.seed)[0][case]
        rows.append({
            "case": case, "ours_seconds": statistics.median(times["ours"]), "ours_memory": ours["memory_bytes"],
            "peak_fraction": ours["peak_fraction"],
            "ways": {way: {"seconds": statistics.median(times[way]), **tried[way], **ratios[way]} for way in right},
            "rounds_seconds": times})
        print(f"raced {case}", file=sys.stderr)
    result = {"machine": machine, "pytorch": version, "threads": options.threads, "rounds": options.rounds,
              "repeats": options.repeats, "seed": options.seed, "load": round(load, 2), "rows": rows,
              "environment": {name: os.environ.get(name, "unset") for name in ("OPENBLAS_CORETYPE", "ATTENTION_ISA")}}
    if options.json:
        print(json.dumps(summary.finite(result), indent=1, allow_nan=False))
        return
    print("; ".join(f"{name}: {value}" for name, value in {**machine, **{
        name: result[name] for name in ("pytorch", "threads", "rounds", "repeats", "load")}, **result["environment"]}.items()))
    print()
    print("| ms of a step | ours | % peak | memory |", " | ".join(f"PyTorch {way} | : ours | memory" for way in options.ways), "|")
    print("| --- |" + " ---: |" * (3 + 3 * len(options.ways)))
    for row in rows:
        cells = []
        for way in options.ways:
            found = row["ways"].get(way)
            cells += [
                f"{found['seconds'] * 1e3:.0f}", f"{found['ratio']:.2f} ({found['interval'][0]:.2f}–{found['interval'][1]:.2f})",
                f"{found['memory'] / 1e6:.0f} MB"] if found else ["–"] * 3
        print(f"| {row['case']} | {row['ours_seconds'] * 1e3:.0f} | {100 * (row['peak_fraction'] or 0):.0f} | "
              f"{row['ours_memory'] / 1e6:.0f} MB | {' | '.join(cells)} |")
