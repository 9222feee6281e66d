"""How well a choice without labels agrees with one that knows the true anomalies.

    ODDGAN_DATA=... python -m benchmarks.studies.choosing [--cases CASE,...] [--seeds 0,1]
    python -m benchmarks.pages.choosing        # docs/results/choosing_measured.md

`oddgan train --detector auto` (`oddgan.choose`) trains candidates with reduced budgets and judges them by held-out
normals and simulated anomalies of them. Here every candidate of `oddgan.choosing.candidates` is trained once, as there,
on the same rows, and judged in both ways: by what needs no label, and by the test of a public set. The test's labels
choose nothing in these lines.

The figures of all criteria that might rank candidates are in each line. Which one is used was decided by the lines of
seed 0 of the cases in `DEVELOPMENT`; the page reports the others.
"""

import argparse
import os
import platform
import time
import warnings
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, run
from oddgan.simulate.pictures import SIZE

from . import RESULTS, say, versions
from .quality import split_of as whole_split_of

FILE = RESULTS / "choosing.jsonl"
FORM = fields("case", "seed", "candidate")
SEEDS = (0, 1)
TABLES = tuple(
    f"adbench {name}"
    for name in (
        "aloi", "campaign", "cardiotocography", "donors", "hepatitis", "internetads", "landsat", "lymphography",
        "mammography", "musk", "pageblocks", "pima", "satimage-2", "skin", "spambase", "stamps", "vertebral",
        "waveform", "wdbc", "wine", "yeast",
    )
)  # fmt: skip
DIGITS = tuple(f"digits {digit}" for digit in range(10))
LARGE = ("hazelnut-toy", "mvtec-bottle-256", "deeppcb")
SMALL = (*DIGITS, "bridge-cracks")
CASES = (*TABLES, *SMALL, *LARGE)
DEVELOPMENT = (*TABLES[::2], *DIGITS[::2], "hazelnut-toy")
"""Cases whose seed 0 decided how candidates are ranked."""
MOST_TEST = 500  # rows of each class of a test
FEWER = {"deeppcb": (100, 30), "mvtec-bottle-256": (1_000, 63)}  # training pictures, and test pictures of each class


@lru_cache(maxsize=1)
def rows_of(case: str, seed: int) -> tuple[Any, Any, Any, dict[str, Any]]:
    """The split with a test of simulated anomalies, another with larger ones (of small pictures, by which these are
    judged; else None), the true
    one with at most so many test rows, and the candidates."""
    from oddgan import choosing
    from oddgan.evaluation import unlabelled
    from oddgan.rows import open_rows

    split = whole_split_of(case, seed)
    random = np.random.default_rng([seed, len(split.train)])
    most_train, most_test = FEWER.get(case, (None, MOST_TEST))
    train, test, labels = open_rows(split.train), open_rows(split.test), np.asarray(split.labels)
    if most_train is not None:
        train = open_rows(train).some(np.sort(random.permutation(len(train))[:most_train]))
    classes = [random.permutation(np.flatnonzero(labels == anomalous))[:most_test] for anomalous in (False, True)]
    some = np.sort(np.concatenate(classes))
    true = replace(split, train=train, test=open_rows(test).some(some), labels=labels[some], kinds=None, masks=None)
    mine = choosing.trial_split(true, seed, size=SIZE)
    larger = choosing.trial_split(true, seed, size=unlabelled.SIZE_OF_SMALL) if case in SMALL else None
    return mine, larger, true, choosing.candidates(train)


def measure(case: str, seed: int, name: str, attempt: Attempt) -> dict[str, Any]:
    """One line: fit a candidate as `oddgan.choose` does, and judge it without labels and with them."""
    import torch

    import oddgan
    from oddgan import choosing
    from oddgan.evaluation import unlabelled
    from oddgan.rows import open_rows

    torch.set_num_threads(1)
    mine, larger, true, candidates = rows_of(case, seed)
    detector = choosing.trial(candidates[name], open_rows(true.train).kind).set_params(random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = attempt.fit(detector, mine.train)
        begun = time.process_time()
        figures, by_kind = unlabelled.figures(detector, mine)
        judged = time.process_time() - begun
        more = None if larger is None else unlabelled.figures(detector, larger)
        scores = detector.anomaly_score(true.test)
    flagged = scores > detector.threshold_
    spent = fit.processor_seconds
    return {
        "case": case,
        "seed": seed,
        "candidate": name,
        "kind": open_rows(true.train).kind,
        "detector": type(detector).__name__,
        "trains_on_simulated": getattr(detector, "trains_on_simulated", False),
        "simulated": rounded(figures),
        "by_kind": rounded(by_kind),
        "larger": None if more is None else {"figures": rounded(more[0]), "by_kind": rounded(more[1])},
        "true": rounded(
            {
                "auroc": oddgan.metrics.auroc(true.labels, scores),
                "auprc": oddgan.metrics.average_precision(true.labels, scores),
                "detected": float(flagged[true.labels].mean()),
                "false_alarms": float(flagged[~true.labels].mean()),
            }
        ),
        "rows": {
            "train": len(mine.train),
            "held": int((~mine.labels).sum()),
            "simulated": int(mine.labels.sum()),
            "test": len(true.labels),
            "anomalous": int(true.labels.sum()),
        },
        "cpu_seconds": {"train": None if spent is None else round(spent, 2), "judge": round(judged, 2)},
        "threads": torch.get_num_threads(),
        "versions": versions("python"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores shared with other work",
    }


def rounded(figures: dict[str, Any]) -> dict[str, Any]:
    """Six decimals."""
    return {name: None if value is None else round(value, 6) for name, value in figures.items()}


def jobs(cases: Iterable[str] = CASES, seeds: Iterable[int] = SEEDS) -> list[Job[dict]]:
    """A job for each case, seed and candidate: all candidates of a case together."""
    return [
        Job(
            key=FORM.key({"case": case, "seed": seed, "candidate": name}),
            title=f"{name}, {case}, seed {seed}",
            run=lambda attempt, of=(case, seed, name): measure(*of, attempt),
        )
        for seed in seeds
        for case in cases
        for name in rows_of(case, seed)[3]
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", help=f"some of {', '.join(CASES)}; or tables, digits, pictures")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    options = parser.parse_args()
    groups = {"tables": TABLES, "digits": DIGITS, "pictures": ("bridge-cracks", *LARGE)}
    wanted = options.cases.split(",") if options.cases else list(CASES)
    cases = [case for name in wanted for case in groups.get(name, (name,))]
    for seed in map(int, options.seeds.split(",")):
        for case in cases:
            run(
                jobs([case], [seed]),
                Record(FILE, FORM),
                summary=lambda line: (
                    f"simulated {line['simulated']['of_kinds']:.3f}, true {line['true']['auroc']:.3f}, "
                    f"{line['cpu_seconds']} s"
                ),
                report=say,
            )


if __name__ == "__main__":
    main()
