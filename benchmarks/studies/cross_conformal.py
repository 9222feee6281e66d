"""Cross-conformal calibration beside a single hold-out, on tables with few normal rows.

    ODDGAN_DATA=... python -m benchmarks.studies.cross_conformal [--cases TABLE,...] [--only DETECTOR,...]
    python -m benchmarks.studies.cross_conformal --table

A split of a table of ADBench, drawn by its seed, gives at most 100 normal rows (fewer where half of the normals are
fewer) to fit, other normals to count false alarms among, and the anomalies. The same detector is fitted to these rows
as it is, which holds a fifth of them out to calibrate with; and as `CrossConformal`, which calibrates on all of them.
A line sums up all splits of a table, detector and method. Rates are compared where both hold them, and each method at
the lowest rate that a fifth of the rows holds. Test labels are used for the figures alone.
"""

import argparse
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, lines_of, run

from . import RESULTS, say, versions

FILE = RESULTS / "cross_conformal.jsonl"
FORM = fields("data", "detector", "method")
MOST, MOST_TEST = 100, 300  # normal rows to fit, and test rows of each class
RATES = (0.05, 0.1, 0.2)
TABLES = (
    "hepatitis", "lymphography", "wine", "vertebral", "stamps", "wdbc", "pima", "yeast", "pageblocks",
    "cardiotocography",
)  # fmt: skip
DETECTORS: dict[str, tuple[dict[str, Any], int]] = {
    "knn": ({}, 40),
    "lof": ({}, 40),
    "pca": ({}, 40),
    "ganomaly": ({"updates": 150, "width": 16, "batch_size": 32}, 6),
}
"""The settings of each detector, and the number of splits."""
FOLDS = {"split": 0, "5 folds": 5, "10 folds": 10}


def methods(detector: str) -> tuple[str, ...]:
    """The methods that a detector is measured with."""
    return tuple(FOLDS) if detector == "knn" else ("split", "5 folds")


@lru_cache(maxsize=1)
def _table(name: str) -> Any:
    from oddgan.papers import adbench

    return adbench.read(name)


def rows_of(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normals to fit, test rows and their labels."""
    from oddgan.papers.protocols import TASKS

    made = TASKS["dte-adbench"](_table(name), "clean", name, seed)
    random, labels = np.random.default_rng(seed), np.asarray(made.labels)
    train = np.asarray(made.train)[random.permutation(len(made.train))[:MOST]]
    some = [random.permutation(np.flatnonzero(labels == anomalous))[:MOST_TEST] for anomalous in (False, True)]
    test = np.concatenate(some)
    return train, np.asarray(made.test)[test], labels[test]


def lowest(n: int) -> float:
    """The lowest rate that a fifth of n rows holds."""
    return 1 / (max(1, round(n * 0.2)) + 1)


def measure(data: str, detector: str, method: str, attempt: Attempt) -> dict[str, Any]:
    """One line: all splits."""
    import torch

    import oddgan
    from oddgan import detectors
    from oddgan.metrics import auroc

    del attempt
    torch.set_num_threads(1)
    settings, splits = DETECTORS[detector]
    aurocs: list[float] = []
    false: dict[str, list[float]] = {}
    caught: dict[str, list[float]] = {}
    counts: dict[str, int] = {}
    for seed in range(splits):
        train, test, labels = rows_of(data, seed)
        det: Any = detectors.get(detector)(random_state=seed, **settings)
        if FOLDS[method]:
            det = oddgan.CrossConformal(det, folds=FOLDS[method], random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few rows
            det.fit(train)
        scores = det.anomaly_score(test)
        aurocs.append(round(auroc(labels, scores), 4))
        for name, rate in {**{f"{rate:g}": rate for rate in RATES}, "lowest": lowest(len(train))}.items():
            if int(rate * (det.n_calibrate_ + 1) + 1e-9) < 1:
                continue
            flagged = scores > det.with_false_alarm_rate(rate).threshold_
            false.setdefault(name, []).append(round(float(flagged[~labels].mean()), 4))
            caught.setdefault(name, []).append(round(float(flagged[labels].mean()), 4))
        counts = {
            "fitted": len(train),
            "calibrate": det.n_calibrate_,
            "test": len(test),
            "anomalous": int(labels.sum()),
        }
    return {
        "data": data,
        "detector": detector,
        "method": method,
        "settings": settings,
        "rows": counts,
        "auroc": aurocs,
        "false_alarms": false,
        "caught": caught,
        "threads": torch.get_num_threads(),
        "versions": versions("python"),
    }


def jobs(tables: Iterable[str] = TABLES, only: Iterable[str] = tuple(DETECTORS)) -> list[Job]:
    """A job for each table, detector and method."""
    return [
        Job(
            key=FORM.key({"data": data, "detector": detector, "method": method}),
            title=f"{detector}, {method}, {data}",
            run=lambda attempt, of=(data, detector, method): measure(*of, attempt),
        )
        for data in tables
        for detector in only
        for method in methods(detector)
    ]


def expected(line: dict[str, Any], rate: str) -> float:
    """The false-alarm rate to expect of a line's threshold: the largest up to `rate` that its calibration rows give."""
    n = line["rows"]["calibrate"]
    asked = lowest(line["rows"]["fitted"]) if rate == "lowest" else float(rate)
    return int(asked * (n + 1) + 1e-9) / (n + 1)


def _split_of(line: dict[str, Any]) -> dict[str, Any]:
    """The line with the calibration rows that a single hold-out has."""
    held = max(1, round(line["rows"]["fitted"] * 0.2))
    return {**line, "rows": {**line["rows"], "calibrate": held}}


def table() -> str:
    """Two tables: by detector and method over all sets, and by set."""
    from oddgan.report import markdown

    lines = {(line["data"], line["detector"], line["method"]): line for line in lines_of(FILE, FORM)}
    rows = []
    for detector in DETECTORS:
        for method in methods(detector):
            some = [line for key, line in lines.items() if key[1:] == (detector, method)]
            if not some:
                continue
            cells = [detector, method, str(len(some)), f"{np.mean([np.mean(one['auroc']) for one in some]):.3f}"]
            for rate in ("0.1", "0.2", "lowest"):
                # sets whose single hold-out holds the rate
                both = [one for one in some if expected(_split_of(one), rate) > 0]
                false = [one["false_alarms"][rate] for one in both]
                asked = np.mean([expected(one, rate) for one in both])
                spread = np.mean([np.std(one, ddof=1) for one in false])
                cells += [f"{np.mean([np.mean(one) for one in false]):.3f} ({asked:.3f}) ± {spread:.3f}"]
                cells += [f"{np.mean([np.mean(one['caught'][rate]) for one in both]):.3f}"]
            rows.append(cells)
    head = ["detector", "method", "sets", "AUROC"]
    for rate in ("10 %", "20 %", "the lowest rate"):
        head += [f"false alarms at {rate}", "caught"]
    first = markdown.table(head, rows)
    rows = []
    for data in TABLES:
        for detector in DETECTORS:
            if (data, detector, "5 folds") not in lines or (data, detector, "split") not in lines:
                continue
            split, folds = lines[data, detector, "split"], lines[data, detector, "5 folds"]
            cells = [data, str(folds["rows"]["fitted"]), detector]
            for one in (split, folds):
                false = one["false_alarms"]["lowest"]
                error = np.std(false, ddof=1) / np.sqrt(len(false))
                cells += [f"{np.mean(false):.3f} ± {error:.3f} ({expected(one, 'lowest'):.3f})"]
                cells += [f"{np.mean(one['caught']['lowest']):.2f}", f"{np.mean(one['auroc']):.3f}"]
            rows.append(cells)
    head = ["set", "normals", "detector", "split: false alarms (expected)", "caught", "AUROC"]
    return f"{first}\n{markdown.table([*head, '5 folds: false alarms (expected)', 'caught', 'AUROC'], rows)}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(TABLES))
    parser.add_argument("--only", default=",".join(DETECTORS))
    parser.add_argument("--table", action="store_true", help="print what is measured as Markdown")
    options = parser.parse_args()
    if options.table:
        print(table())
        return
    run(
        jobs(options.cases.split(","), options.only.split(",")),
        Record(FILE, FORM),
        summary=lambda line: f"AUROC {np.mean(line['auroc']):.3f}",
        report=say,
    )


if __name__ == "__main__":
    main()
