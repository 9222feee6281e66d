"""How well what `oddgan train DATA` gives finds anomalies, beside plain detectors on the same rows.

    ODDGAN_DATA=... python -m benchmarks.studies.quality [--cases CASE,...] [--only METHOD,...] [--seeds 0,1,2]
    python -m benchmarks.pages.quality         # docs/results/public_sets.md

Every run uses defaults, trains on normal rows alone, takes the last step, and uses test labels only for the figures
at the end. `train` is `oddgan.recommended`, which `oddgan train` takes when no detector is named; `knn`, `lof`,
`isolationforest` and `pca` are scikit-learn's through the same interface: they see pictures as networks do, resized,
and set their thresholds in the same way. Pictures have the mean grey, the deviation and the size of the file beside
them, which need no training.
"""

import argparse
import os
import platform
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, run

from . import ADBENCH, RESULTS, SEEDS, of_each_class, say, versions

FILE = RESULTS / "quality.jsonl"
FORM = fields("case", "method", "seed")
METHODS = ("train", "knn", "lof", "isolationforest", "pca")
DIGITS = tuple(f"digits {digit}" for digit in range(10))
PICTURES = ("mvtec-bottle-256", "deeppcb", "hazelnut-toy", "bridge-cracks")
CASES = (*DIGITS, *PICTURES, "thyroid", *(f"adbench {name}" for name in ADBENCH))
MOST_TEST = 5_000  # rows of each class of a table's test


@lru_cache(maxsize=1)
def split_of(case: str, seed: int) -> Any:
    """Training rows, test rows and labels of a case. The tables of ADBench are split by the seed, the others fixed."""
    import oddgan
    from oddgan.papers import adbench
    from oddgan.papers.protocols import TASKS
    from oddgan.rows import open_rows

    source, _, which = case.partition(" ")
    if source != "adbench":
        return oddgan.data.load(source, anomaly={which} if which else None)
    task = TASKS["dte-adbench"](adbench.read(which), "clean", which, seed)
    some = of_each_class(task.labels, MOST_TEST, np.random.default_rng(seed))
    return oddgan.data.Split(
        name=which, train=open_rows(task.train), test=open_rows(task.test[some]), labels=np.asarray(task.labels)[some]
    )


def unfitted(method: str, train: Any, seed: int) -> Any:
    """The detector of a method."""
    import oddgan
    from oddgan import detectors

    if method == "train":
        return oddgan.recommended(train, random_state=seed)
    return detectors.get(method)(random_state=seed)


def measure(case: str, method: str, seed: int, attempt: Attempt) -> dict:
    """One line: fit, evaluate, and the figures."""
    import torch

    import oddgan

    split = split_of(case, seed)
    fit = attempt.fit(unfitted(method, split.train, seed), split.train)
    det = fit.detector
    evaluation = oddgan.evaluate(det, split)
    usual = type(det)()
    return {
        "case": case,
        "method": method,
        "seed": seed,
        "detector": type(det).__name__,
        "parameters": {k: v for k, v in det.get_params().items() if v != getattr(usual, k) and k != "random_state"},
        "auroc": evaluation.estimates["auroc"].value,
        "auprc": evaluation.estimates["average_precision"].value,
        "chance_auprc": evaluation.estimates["average_precision"].chance,
        "false_alarms": float(evaluation.is_anomaly[~evaluation.labels].mean()),
        "asked_false_alarms": evaluation.false_alarm_rate,
        "detected": float(evaluation.is_anomaly[evaluation.labels].mean()),
        "points": {f"{p.requested:g}": [p.detected, p.false_alarms] for p in evaluation.operating_points},
        "terms": {k: oddgan.metrics.auroc(evaluation.labels, v) for k, v in evaluation.terms.items()},
        "pixel": dict(evaluation.pixel),
        "rivals": dict(evaluation.rivals),
        "rows": {"train": len(split.train), "test": len(split.test), "anomalous": int(evaluation.labels.sum())},
        "networks": det.preprocessor_.describe(),
        "seconds": None if fit.seconds is None else round(fit.seconds, 1),
        "threads": torch.get_num_threads(),
        "versions": versions("python"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores shared with other work",
    }


def jobs(cases: Iterable[str] = CASES, methods: Iterable[str] = METHODS, seeds: Iterable[int] = SEEDS) -> list[Job]:
    """A job for each case, method and seed: all methods of a case together."""
    return [
        Job(
            key=FORM.key({"case": case, "method": method, "seed": seed}),
            title=f"{method}, {case}, seed {seed}",
            run=lambda attempt, of=(case, method, seed): measure(*of, attempt),
        )
        for seed in seeds
        for case in cases
        for method in methods
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", help=f"some of {', '.join(CASES)}; or digits, pictures, adbench")
    parser.add_argument("--only", help=f"some of {', '.join(METHODS)}")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    options = parser.parse_args()
    wanted = options.cases.split(",") if options.cases else []
    names = [*PICTURES, *wanted] if "pictures" in wanted else wanted
    run(
        jobs(
            [case for case in CASES if not names or case in names or case.split(" ")[0] in names],
            options.only.split(",") if options.only else METHODS,
            [int(seed) for seed in options.seeds.split(",")],
        ),
        Record(FILE, FORM),
        summary=lambda line: f"AUROC {line['auroc']:.3f}, detected {line['detected']:.2f}",
        report=say,
    )


if __name__ == "__main__":
    main()
