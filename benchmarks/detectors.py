"""Every detector with its defaults on the same splits, over seeds; and with anomalies among the training rows.

    ODDGAN_DATA=... python benchmarks/detectors.py [--only DETECTOR,...] [--cases CASE,...] [--seeds 0,1,2]
    python benchmarks/detectors.py --write        # the tables of docs/comparison.md and of every detector's page

PyOD's detectors run in an environment of their own, on the same rows: `benchmarks/pyod_peers.py`.

Training sees normals alone (but for the cases that add anomalies on purpose), the last step is taken, and no test label
chooses anything. Digits 1, 4 and 9 are development data and not reported here. Each line of the result file is one run;
runs that are there already are not made again, so a killed benchmark goes on where it was.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "detectors.jsonl"
SEEDS = (0, 1, 2)
TEST_ROWS = 300  # of each kind at most: the slowest detector searches seconds for every row
KDD_ROWS = 10_000
MNIST_UPDATES = 1_000  # what two cores can afford for every detector; said in the table's caption


def digits(anomaly: str, contamination: float = 0.0):
    """One digit is the anomaly; a share of it may be put among the training rows, and is then not tested on."""
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
    """A table under ODDGAN_DATA as the literature divides it."""
    import oddgan

    split = oddgan.data.load(name)
    return split.train, *fewer(split.test, split.labels)


def kdd99():
    """KDD Cup 1999 (10 percent) without test rows that were trained on. As in the literature attacks are normal."""
    import oddgan

    split = oddgan.data.load("kdd99")
    random = np.random.default_rng(0)
    train, test = split.train, split.test
    seen = {row.tobytes() for row in train.values}
    new = np.array([row.tobytes() not in seen for row in test.values])
    some = np.sort(random.permutation(len(train))[:KDD_ROWS])
    return train[some], *fewer(test[np.flatnonzero(new)], np.asarray(split.labels)[new])


def fewer(test, labels: np.ndarray):
    """At most `TEST_ROWS` of each kind: AUROC does not depend on their shares."""
    random = np.random.default_rng(1)
    kinds = [np.flatnonzero(labels == odd) for odd in (False, True)]
    some = np.sort(np.concatenate([random.permutation(kind)[:TEST_ROWS] for kind in kinds]))
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


def measure(name: str, case: str, seed: int) -> dict:
    """One run: fit, score, and what came out."""
    import torch
    from sklearn.metrics import average_precision_score, roc_auc_score

    import oddgan
    from oddgan import detectors

    torch.set_num_threads(1)
    train, test, labels = CASES[case]()
    cls = detectors.get(name)
    changes = {"updates": MNIST_UPDATES} if case.startswith("mnist") and hasattr(cls, "updates") else {}
    started = time.process_time()  # of one thread: what other work on the machine takes is not in it
    det = cls(random_state=seed, **changes).fit(train)
    trained = time.process_time()
    found = det.explain(test)  # and not anomaly_score as well: a search takes long
    terms, scores = found.terms, found.score
    scored = time.process_time()
    odd = scores > det.threshold_
    return {
        "auroc": float(roc_auc_score(labels, np.nan_to_num(scores))),
        "auprc": float(average_precision_score(labels, np.nan_to_num(scores))),
        "chance_auprc": float(labels.mean()),
        "false_alarms": float(odd[~labels].mean()),
        "asked_false_alarms": det.false_alarm_rate_,
        "detected": float(odd[labels].mean()),
        "terms": {term: float(roc_auc_score(labels, np.nan_to_num(value))) for term, value in terms.items()},
        "rows": {"train": len(train), "test": len(test), "odd": int(labels.sum())},
        "cpu_seconds_to_train": round(trained - started, 2),
        "cpu_milliseconds_to_score_a_row": round(1000 * (scored - trained) / len(test), 3),
        "changes": changes,
        "threads": torch.get_num_threads(),
        "versions": {"oddgan": oddgan.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores shared with other work",
    }


def runs() -> dict[tuple[str, str], list[dict]]:
    """The runs that were made, by detector and case, in the order of their seeds."""
    found: dict[tuple[str, str], list[dict]] = {}
    lines = RESULTS.read_text("utf-8").splitlines() if RESULTS.exists() else []
    for line in sorted(map(json.loads, lines), key=lambda one: one["seed"]):
        found.setdefault((line["detector"], line["case"]), []).append(line)
    return found


def main(names: list[str], cases: list[str], seeds: list[int]) -> None:
    """Make the runs that are missing."""
    RESULTS.parent.mkdir(exist_ok=True)
    for seed in seeds:
        for case in cases:
            for name in names:
                if any(run["seed"] == seed for run in runs().get((name, case), [])):
                    continue
                line = {"detector": name, "case": case, "seed": seed, **measure(name, case, seed)}
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print(name, case, seed, f"{line['auroc']:.3f}", line["cpu_seconds_to_train"], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="detectors, by name, with commas")
    parser.add_argument("--cases", help=f"some of {', '.join(CASES)}")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--write", action="store_true", help="write the tables of the documentation")
    given = parser.parse_args()
    if given.write:
        import comparison_tables

        comparison_tables.write()
    else:
        from oddgan import detectors

        main(
            given.only.split(",") if given.only else detectors.names(),
            given.cases.split(",") if given.cases else list(CASES),
            [int(seed) for seed in given.seeds.split(",")],
        )
