"""What training on does to rows that a model knows, and to new ones.

    ODDGAN_DATA=... python -m benchmarks.studies.continuing [--cases CASE,...]
    python -m benchmarks.studies.continuing --table

Normals come in two sorts, old and new: two groups of digits, or the two sides of a table's first principal component. A
model of the old ones meets the new ones in five ways: as it is; recalibrated by new ones; trained on with new ones
alone; trained on with both; and trained anew on both, for as many updates in all. Each is judged on old and new normals
and on anomalies that it has never seen, by AUROC and by the false alarms of either sort at its own threshold.
"""

import argparse
import os
import platform
from collections.abc import Callable
from typing import Any

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, lines_of, run

from . import RESULTS, say, versions

FILE = RESULTS / "continuing.jsonl"
FORM = fields("data", "method", "seed")
SEEDS = (0, 1, 2)
UPDATES, MORE = 1_000, 300
TABLES = ("cardiotocography", "landsat", "pageblocks", "satimage-2", "waveform", "wdbc")
METHODS = ("as it is", "recalibrated", "on new alone", "on both", "anew on both")
MOST = 1_500  # normals of each sort, and test rows of each class
RATE = 0.05

Sorts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Old normals, new normals, and anomalies."""


def digits() -> Sorts:
    """Digits 0 to 3 are old, 4 to 6 new, and 7 to 9 anomalies."""
    from sklearn.datasets import load_digits

    found = load_digits()
    X, y = (found.images * 15).astype(np.uint8), found.target
    return X[y <= 3], X[(y > 3) & (y <= 6)], X[y > 6]


def table(name: str) -> Sorts:
    """The normals of a table of ADBench on either side of the median of their first principal component."""
    from oddgan.papers import adbench

    held = adbench.read(name)
    X, labels = np.asarray(held.rows, np.float64), held.classes == "anomaly"
    normal = X[~labels]
    scaled = (normal - normal.mean(0)) / np.where(normal.std(0) > 0, normal.std(0), 1)
    side = scaled @ np.linalg.svd(scaled, full_matrices=False)[2][0]
    return normal[side <= np.median(side)], normal[side > np.median(side)], X[labels]


CASES: dict[str, Callable[[], Sorts]] = {"digits": digits, **{name: lambda name=name: table(name) for name in TABLES}}


def measure(case: str, method: str, seed: int, attempt: Attempt) -> dict[str, Any]:
    """One line."""
    import torch

    import oddgan
    from oddgan.metrics import auroc

    torch.set_num_threads(1)
    random = np.random.default_rng(seed)
    old, new, anomalous = (rows[random.permutation(len(rows))[:MOST]] for rows in CASES[case]())
    (old, old_test), (new, new_test) = (np.split(rows, [2 * len(rows) // 3]) for rows in (old, new))
    both = np.concatenate([old, new])
    settings = {"random_state": seed, "false_alarm_rate": RATE, "device": "cpu"}
    if method == "anew on both":
        det = attempt.fit(oddgan.GANomaly(updates=UPDATES + MORE, **settings), both).detector
    else:
        det = attempt.fit(oddgan.GANomaly(updates=UPDATES, **settings), old).detector
        if method == "recalibrated":
            det = det.recalibrate(new)
        elif method != "as it is":
            det = det.continue_fit(new if method == "on new alone" else both, updates=MORE)
    scores = {name: det.anomaly_score(rows) for name, rows in (("old", old_test), ("new", new_test))}
    bad = det.anomaly_score(anomalous)
    found: dict[str, Any] = {"data": case, "method": method, "seed": seed}
    for name, normal in scores.items():
        labels = np.arange(len(normal) + len(bad)) >= len(normal)
        found[f"{name} auroc"] = round(float(auroc(labels, np.concatenate([normal, bad]))), 4)
        found[f"{name} false alarms"] = round(float((normal > det.threshold_).mean()), 4)
    found["caught"] = round(float((bad > det.threshold_).mean()), 4)
    found["rows"] = {"old": len(old), "new": len(new), "calibrate": det.n_calibrate_}
    found["machine"] = f"{platform.machine()}, {os.cpu_count()} cores shared with other work"
    return {**found, "versions": versions("python")}


def jobs(cases: list[str]) -> list[Job[dict[str, Any]]]:
    """A job for each case, method and seed."""
    return [
        Job(
            key=FORM.key({"data": case, "method": method, "seed": seed}),
            title=f"{case}, {method}, seed {seed}",
            run=lambda attempt, case=case, method=method, seed=seed: measure(case, method, seed, attempt),
        )
        for case in cases
        for seed in SEEDS
        for method in METHODS
    ]


def text() -> str:
    """The table in Markdown: means over seeds, and in the last lines over data sets."""
    from oddgan.report import markdown

    lines = list(lines_of(FILE, FORM))
    names = ("old auroc", "new auroc", "old false alarms", "new false alarms", "caught")
    cases = list(dict.fromkeys(line["data"] for line in lines))
    rows = []
    for case in [*cases, "mean"]:
        for method in METHODS:
            some = [one for one in lines if one["method"] == method and case in (one["data"], "mean")]
            if some:
                rows.append([case, method, *(f"{np.mean([one[name] for one in some]):.3f}" for name in names)])
    head = ["data", "model", "AUROC, old normals", "new normals", "false alarms, old", "new", "caught"]
    return markdown.table(head, rows)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", help=f"some of {', '.join(CASES)}, with commas")
    parser.add_argument("--table", action="store_true", help="print the table of what was run, and run nothing")
    options = parser.parse_args()
    if options.table:
        print(text())
        return
    run(
        jobs(options.cases.split(",") if options.cases else list(CASES)),
        Record(FILE, FORM),
        summary=lambda line: f"AUROC {line['old auroc']:.3f} old, {line['new auroc']:.3f} new",
        report=say,
    )


if __name__ == "__main__":
    main()
