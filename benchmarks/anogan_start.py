"""How many steps AnoGAN's search needs from draws of the prior, and how many from an encoder's guess, for equal AUROC.

    ODDGAN_DATA=... python benchmarks/anogan_start.py [--digits 1,4,9] [--seeds 0,1,2] [--updates N] [--rows N]
    python benchmarks/anogan_start.py --table     # mean AUROC by start and steps, as Markdown

One MNIST digit is normal and all others are odd. Digits 1, 4 and 9 are development data: nothing that is reported
elsewhere is measured on them. One model per digit and seed is trained with its encoder, and searched with in every way,
so that the ways differ in nothing but the search. Each line of the result file is one way; runs that are there already
are not made again. `blocks` is how far scores of the longest search differ between blocks of 64 and of 1, relative to
the largest: AnoGAN's `tolerance` rests on it.
"""

import argparse
import copy
import gzip
import json
import os
import platform
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

import oddgan

RESULTS = Path(__file__).parent / "results" / "anogan_start.jsonl"
SEARCHES = [
    *({"start": "prior", "steps": steps, "patience": 0} for steps in (0, 10, 50, 100, 500)),
    {"start": "prior", "steps": 500, "patience": 50},
    *({"start": "encoder", "steps": steps, "patience": 0} for steps in (0, 1, 5, 10, 20, 50)),
]
ENOUGH = 0.005  # AUROC, by which a shorter search may fall short of the paper's and still be called equal


def mnist(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, 28, 28) and labels (n,) of MNIST's part "train" or "t10k"."""
    folder = Path(os.environ["ODDGAN_DATA"]) / "mnist"
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        pictures = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        return pictures, np.frombuffer(file.read(), np.uint8, offset=8)


def model(digit: int, seed: int, updates: int) -> oddgan.AnoGAN:
    """AnoGAN with its defaults and an encoder; its calibration is of no interest here and kept short."""
    pictures, labels = mnist("train")
    det = oddgan.AnoGAN(random_state=seed, start="encoder", steps=0, width=32, updates=updates)
    return det.fit(pictures[labels == digit])


def test_rows(digit: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n normal rows and n odd ones of MNIST's test part, the same for every seed; and which are odd."""
    pictures, labels = mnist("t10k")
    random = np.random.default_rng(digit)
    parts = [random.permutation(np.flatnonzero(is_kind))[:n] for is_kind in (labels == digit, labels != digit)]
    return pictures[np.concatenate(parts)], np.repeat([False, True], list(map(len, parts)))


def measure(det: oddgan.AnoGAN, rows: np.ndarray, is_odd: np.ndarray, way: dict) -> dict:
    """AUROC of every term after one kind of search, and what the search costs."""
    det = copy.copy(det)
    det.fitted_parameters_ = {**det.fitted_parameters_, **way}  # what is set later waits for a new fit
    started = time.perf_counter()
    terms = det.explain(rows).terms
    seconds = time.perf_counter() - started
    line = {
        "auroc": {name: round(float(roc_auc_score(is_odd, values)), 4) for name, values in terms.items()},
        "loss": round(float(terms["paper"][~is_odd].mean()), 3),
        "milliseconds_a_row": round(1000 * seconds / len(rows), 2),
    }
    if way == {"start": "prior", "steps": 500, "patience": 0}:
        some = np.concatenate([rows[:8], rows[-8:]])
        scores, singly = (det.with_block_size(size).anomaly_score(some) for size in (64, 1))
        line["blocks"] = float(np.abs(scores - singly).max() / np.abs(scores).max())
    return line


def main(digits: list[int], seeds: list[int], updates: int, n: int, results: Path) -> None:
    """Make the runs that are missing."""
    results.parent.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    done = {json.loads(line)["run"] for line in results.read_text().splitlines()} if results.exists() else set()
    for seed in seeds:
        for digit in digits:
            names = {f"{digit} {seed} {updates} {n} {json.dumps(way)}": way for way in SEARCHES}
            if names.keys() <= done:
                continue
            det, (rows, is_odd) = model(digit, seed, updates), test_rows(digit, n)
            for run, way in names.items():
                if run in done:
                    continue
                line = {"run": run, "digit": digit, "seed": seed, "updates": updates, "rows": len(rows), **way}
                line |= measure(det, rows, is_odd, way)
                line["versions"] = {"oddgan": oddgan.__version__, "torch": torch.__version__}
                line["machine"] = f"{platform.machine()}, one thread"
                with results.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(run, line["auroc"], line["milliseconds_a_row"], flush=True)


def table(results: Path) -> str:
    """Mean over digits and seeds by kind of search, and the fewest steps from the encoder that do as well as 500."""
    groups = defaultdict(list)
    for line in map(json.loads, results.read_text().splitlines()):
        groups[line["start"], line["steps"], line["patience"]].append(line)
    lines = ["| start | steps | patience | runs | AUROC | of the residual | loss of normal rows |", "|---" * 7 + "|"]
    means = {}
    for (start, steps, patience), runs in groups.items():
        means[start, steps, patience] = float(np.mean([run["auroc"]["paper"] for run in runs]))
        residual, loss = (np.mean(x) for x in zip(*((r["auroc"]["residual"], r["loss"]) for r in runs), strict=True))
        mean = means[start, steps, patience]
        lines.append(f"| {start} | {steps} | {patience} | {len(runs)} | {mean:.3f} | {residual:.3f} | {loss:.1f} |")
    goal = means["prior", 500, 0]
    steps = [key[1] for key, value in means.items() if key[0] == "encoder" and value >= goal - ENOUGH]
    found = f"{min(steps)} steps from the encoder" if steps else "no number of steps from the encoder that was tried"
    lines += ["", f"As good as 500 steps from the prior, to {ENOUGH} of AUROC: {found}."]
    blocks = [run["blocks"] for runs in groups.values() for run in runs if "blocks" in run]
    return "\n".join(
        [*lines, f"Largest difference between blocks of 64 and of 1: {max(blocks):.1e} of the largest score."]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", default="1,4,9")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=300, help="normal and odd test rows, of each")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true")
    told = parser.parse_args()
    if told.table:
        print(table(told.results))
    else:
        lists = [[int(number) for number in text.split(",")] for text in (told.digits, told.seeds)]
        main(*lists, told.updates, told.rows, told.results)
