"""Every detector with its defaults on the same splits, over seeds; and with anomalies among the training rows.

    ODDGAN_DATA=... python -m benchmarks.studies.detectors [--only DETECTOR,...] [--cases CASE,...] [--seeds 0,1,2]
    python -m benchmarks.pages.comparison      # the tables of docs/results/comparison.md and of every detector's page

PyOD's detectors run in an environment of their own, on the same rows: `benchmarks.studies.pyod_peers`.

Training sees normal rows alone (except in the cases that add anomalies on purpose), the last step is taken, and no test
label chooses anything. Digits 1, 4 and 9 are development data and not reported here.
"""

import argparse
import os
import platform
import time
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, lines_of, run

from . import RESULTS, SEEDS, of_each_class, say, versions

FILE = RESULTS / "detectors.jsonl"
FORM = fields("detector", "case", "seed")
TEST_ROWS = 300  # of each class at most: the slowest detector searches for seconds per row
KDD_ROWS = 10_000
MNIST_UPDATES = 1_000  # what two cores can afford for every detector; stated in the table's caption


def digits(anomaly: str, contamination: float = 0.0):
    """One digit is the anomaly; some of its rows may be put among the training rows, and are then not in the test."""
    import oddgan

    split = oddgan.data.load("digits", anomaly={anomaly})
    train, test, labels = np.asarray(split.train), np.asarray(split.test), split.labels
    order = np.random.default_rng(0).permutation(np.flatnonzero(labels))
    moved = order[: round(contamination / (1 - contamination) * len(train))]
    kept = np.setdiff1d(np.arange(len(test)), moved)
    return np.concatenate([train, test[moved]]), *fewer(test[kept], labels[kept])


def mnist(normal: str):
    """One digit is normal: the official training rows of it, and rows of the official test set."""
    import oddgan

    split = oddgan.data.load("mnist", normal={normal})
    return split.train, *fewer(split.test, split.labels)


def table(name: str):
    """A table under ODDGAN_DATA, divided as in the literature."""
    import oddgan

    split = oddgan.data.load(name)
    return split.train, *fewer(split.test, split.labels)


def kdd99():
    """KDD Cup 1999 (10 percent), no test row equal to a training row. As in the literature, attacks are normal."""
    import oddgan

    split = oddgan.data.load("kdd99")
    random = np.random.default_rng(0)
    train, test = split.train, split.test
    seen = {row.tobytes() for row in train.values}
    new = np.array([row.tobytes() not in seen for row in test.values])
    some = np.sort(random.permutation(len(train))[:KDD_ROWS])
    return train[some], *fewer(test[np.flatnonzero(new)], np.asarray(split.labels)[new])


def fewer(test, labels: np.ndarray):
    """At most `TEST_ROWS` of each class, the same for all detectors."""
    some = of_each_class(labels, TEST_ROWS, np.random.default_rng(1))
    return test[some], labels[some]


CASES = {
    "digits 5": lambda: digits("5"),
    "digits 8": lambda: digits("8"),
    "mnist 3": lambda: mnist("3"),
    "mnist 8": lambda: mnist("8"),
    "arrhythmia": lambda: table("arrhythmia"),
    "thyroid": lambda: table("thyroid"),
    "kdd99": kdd99,
    "digits 5 with 0.01": lambda: digits("5", 0.01),
    "digits 5 with 0.05": lambda: digits("5", 0.05),
}


@lru_cache(maxsize=1)
def rows_of(case: str):
    """Training rows, test rows and labels of a case; kept for the next detector."""
    return CASES[case]()


def measure(name: str, case: str, seed: int, attempt: Attempt) -> dict:
    """One line: fit, score, and the figures."""
    import torch
    from sklearn.metrics import average_precision_score, roc_auc_score

    from oddgan import detectors

    torch.set_num_threads(1)
    train, test, labels = rows_of(case)
    cls = detectors.get(name)
    changes = {"updates": MNIST_UPDATES} if case.startswith("mnist") and hasattr(cls, "updates") else {}
    # Processor time of one thread does not include other work on the machine.
    fit = attempt.fit(cls(random_state=seed, **changes), train)
    started = time.process_time()
    found = fit.detector.explain(test)  # and not anomaly_score as well: a search takes long
    terms, scores = found.terms, found.score
    scored = time.process_time() - started
    flagged = scores > fit.detector.threshold_
    spent = fit.processor_seconds
    return {
        "detector": name,
        "case": case,
        "seed": seed,
        "auroc": float(roc_auc_score(labels, np.nan_to_num(scores))),
        "auprc": float(average_precision_score(labels, np.nan_to_num(scores))),
        "chance_auprc": float(labels.mean()),
        "false_alarms": float(flagged[~labels].mean()),
        "asked_false_alarms": fit.detector.false_alarm_rate_,
        "detected": float(flagged[labels].mean()),
        "terms": {term: float(roc_auc_score(labels, np.nan_to_num(value))) for term, value in terms.items()},
        "rows": {"train": len(train), "test": len(test), "anomalous": int(labels.sum())},
        "cpu_seconds_to_train": None if spent is None else round(spent, 2),
        "cpu_milliseconds_to_score_a_row": round(1000 * scored / len(test), 3),
        "changes": changes,
        "threads": torch.get_num_threads(),
        "versions": versions("python"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores shared with other work",
    }


def runs() -> dict[tuple[str, str], list[dict]]:
    """The lines that were kept, by detector and case, in the order of their seeds."""
    found: dict[tuple[str, str], list[dict]] = {}
    for line in sorted(lines_of(FILE, FORM), key=lambda one: one["seed"]):
        found.setdefault((line["detector"], line["case"]), []).append(line)
    return found


def suits(name: str, case: str) -> bool:
    """Whether the detector is for rows of the case's kind."""
    from oddgan import detectors

    return ("pictures" if case.startswith(("digits", "mnist")) else "table") in detectors.get(name).kinds


def jobs(names: Iterable[str], cases: Iterable[str], seeds: Iterable[int]) -> list[Job[dict]]:
    """A job for each detector, case that suits it, and seed: all detectors of a case together."""
    return [
        Job(
            key=FORM.key({"detector": name, "case": case, "seed": seed}),
            title=f"{name}, {case}, seed {seed}",
            run=lambda attempt, name=name, case=case, seed=seed: measure(name, case, seed, attempt),
        )
        for seed in seeds
        for case in cases
        for name in names
        if suits(name, case)
    ]


def main() -> None:
    """The command."""
    from oddgan import detectors

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="detectors, by name, with commas")
    parser.add_argument("--cases", help=f"some of {', '.join(CASES)}")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    options = parser.parse_args()
    todo = jobs(
        options.only.split(",") if options.only else detectors.names(),
        options.cases.split(",") if options.cases else list(CASES),
        [int(seed) for seed in options.seeds.split(",")],
    )
    run(todo, Record(FILE, FORM), summary=lambda line: f"AUROC {line['auroc']:.3f}", report=say)


if __name__ == "__main__":
    main()
