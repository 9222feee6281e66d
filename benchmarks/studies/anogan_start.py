"""How many steps AnoGAN's search needs from draws of the prior, and how many from an encoder's guess, for equal AUROC.

    ODDGAN_DATA=... python -m benchmarks.studies.anogan_start [--digits 1,4,9] [--seeds 0,1,2] [--updates N] [--rows N]
    python -m benchmarks.studies.anogan_start --table     # mean AUROC by start and steps, as Markdown

One MNIST digit is normal and all others are anomalous. Digits 1, 4 and 9 are development data: nothing that is reported
elsewhere is measured on them. For each digit and seed, one model is trained with its encoder and used with every kind
of search, so that only the search differs. Each line of the result file is one kind of search. `blocks`: how far scores
of the longest search differ between blocks of 64 and of 1, relative to the largest score; AnoGAN's `tolerance` rests on
it.
"""

import argparse
import gzip
import json
import os
import platform
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

import oddgan
from oddgan.evaluation.runner import Attempt, Job, Record, fields, lines_of, run
from oddgan.report import markdown

from . import RESULTS, say, versions

FILE = RESULTS / "anogan_start.jsonl"
FORM = fields("run")
SEARCHES = [
    *({"start": "prior", "steps": steps, "patience": 0} for steps in (0, 10, 50, 100, 500)),
    {"start": "prior", "steps": 500, "patience": 50},
    *({"start": "encoder", "steps": steps, "patience": 0} for steps in (0, 1, 5, 10, 20, 50)),
]
ENOUGH = 0.005  # AUROC: a shorter search that loses no more than this is called equal


def mnist(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, 28, 28) and labels (n,) of MNIST's part "train" or "t10k"."""
    folder = Path(os.environ["ODDGAN_DATA"]) / "mnist"
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        pictures = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        return pictures, np.frombuffer(file.read(), np.uint8, offset=8)


def trained(digit: int, seed: int, updates: int, attempt: Attempt) -> oddgan.AnoGAN:
    """AnoGAN with its defaults and an encoder; its calibration does not matter here and is kept short."""
    pictures, labels = mnist("train")
    det = oddgan.AnoGAN(random_state=seed, start="encoder", steps=0, width=32, updates=updates)
    return attempt.fit(det, pictures[labels == digit]).detector


def test_rows(digit: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n normal and n anomalous rows of MNIST's test part, the same for every seed; and which are anomalous."""
    pictures, labels = mnist("t10k")
    random = np.random.default_rng(digit)
    parts = [random.permutation(np.flatnonzero(chosen))[:n] for chosen in (labels == digit, labels != digit)]
    return pictures[np.concatenate(parts)], np.repeat([False, True], list(map(len, parts)))


def measure(det: oddgan.AnoGAN, rows: np.ndarray, anomalous: np.ndarray, way: dict) -> dict:
    """AUROC of every term after one kind of search, and what the search costs."""
    model = det.model_
    det = type(det).from_model(replace(model, recipe=model.recipe.fixed(**way)))  # the same networks
    started = time.perf_counter()
    terms = det.explain(rows).terms
    seconds = time.perf_counter() - started
    line = {
        "auroc": {name: round(float(roc_auc_score(anomalous, values)), 4) for name, values in terms.items()},
        "loss": round(float(terms["paper"][~anomalous].mean()), 3),
        "milliseconds_a_row": round(1000 * seconds / len(rows), 2),
    }
    if way == {"start": "prior", "steps": 500, "patience": 0}:
        some = np.concatenate([rows[:8], rows[-8:]])
        scores, singly = (det.with_block_size(size).anomaly_score(some) for size in (64, 1))
        line["blocks"] = float(np.abs(scores - singly).max() / np.abs(scores).max())
    return line


def jobs(digits: list[int], seeds: list[int], updates: int, n: int) -> list[Job[dict]]:
    """A job for each seed, digit and kind of search; those of one model follow each other, and it is trained once."""
    models: dict[tuple[int, int], oddgan.AnoGAN] = {}

    def make(name: str, digit: int, seed: int, way: dict, attempt: Attempt) -> dict:
        if (digit, seed) not in models:
            models.clear()
            models[digit, seed] = trained(digit, seed, updates, attempt)
        rows, anomalous = test_rows(digit, n)
        line = {"run": name, "digit": digit, "seed": seed, "updates": updates, "rows": len(rows), **way}
        line |= measure(models[digit, seed], rows, anomalous, way)
        return line | {"versions": versions(), "machine": f"{platform.machine()}, one thread"}

    found = []
    for seed in seeds:
        for digit in digits:
            for way in SEARCHES:
                name = f"{digit} {seed} {updates} {n} {json.dumps(way)}"
                found.append(
                    Job(
                        key=FORM.key({"run": name}),
                        title=name,
                        run=lambda attempt, of=(name, digit, seed, way): make(*of, attempt),
                    )
                )
    return found


def table(file: Path) -> str:
    """Mean over digits and seeds by kind of search, and the fewest steps from the encoder that do as well as 500."""
    groups = defaultdict(list)
    for line in lines_of(file, FORM):
        groups[line["start"], line["steps"], line["patience"]].append(line)
    rows, means = [], {}
    for (start, steps, patience), runs in groups.items():
        means[start, steps, patience] = mean = float(np.mean([run["auroc"]["paper"] for run in runs]))
        residual, loss = (np.mean(x) for x in zip(*((r["auroc"]["residual"], r["loss"]) for r in runs), strict=True))
        cells = f"{mean:.3f}", f"{residual:.3f}", f"{loss:.1f}"
        rows.append([start, str(steps), str(patience), str(len(runs)), *cells])
    head = ["start", "steps", "patience", "runs", "AUROC", "of the residual", "loss of normal rows"]
    goal = means["prior", 500, 0]
    steps = [key[1] for key, value in means.items() if key[0] == "encoder" and value >= goal - ENOUGH]
    found = f"{min(steps)} steps from the encoder" if steps else "none of the numbers of steps from the encoder"
    blocks = [run["blocks"] for runs in groups.values() for run in runs if "blocks" in run]
    lines = [
        markdown.table(head, rows),
        "",
        f"As good as 500 steps from the prior, to {ENOUGH} of AUROC: {found}.",
        f"Largest difference between blocks of 64 and of 1: {max(blocks):.1e} of the largest score.",
    ]
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", default="1,4,9")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=300, help="how many normal and how many anomalous test rows")
    parser.add_argument("--results", type=Path, default=FILE)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        print(table(options.results))
        return
    torch.set_num_threads(1)
    lists = [[int(number) for number in text.split(",")] for text in (options.digits, options.seeds)]
    todo = jobs(*lists, options.updates, options.rows)
    run(todo, Record(options.results, FORM), summary=lambda line: f"AUROC {line['auroc']['paper']:.3f}", report=say)


if __name__ == "__main__":
    main()
