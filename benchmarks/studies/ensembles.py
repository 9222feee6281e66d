"""Ensembles beside their members: five seeds of GANomaly, and five different detectors.

    ODDGAN_DATA=... python -m benchmarks.studies.ensembles [--cases CASE,...] [--only MIX,...]
    python -m benchmarks.studies.ensembles --table
    python -m benchmarks.studies.ensembles --scales

Members and ensemble have the same training, tuning and calibration rows, the same rate and, each on its own scores, a
threshold of the same kind: 5 percent false alarms, or the lowest rate that the rows hold. "best" is the member with the
highest AUROC on the test, which nobody knows beforehand; "mean" the mean over the members, which is what one gets who
picks one of them blindly. Test labels are used for the figures alone.

How members' scores are brought to one scale was chosen on one split of the `DEVELOPMENT` tables, before the other cases
were run; the figures of every way are in every line (`--scales`).
"""

import argparse
import warnings
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, lines_of, run

from . import RESULTS, say, versions

FILE = RESULTS / "ensembles.jsonl"
FORM = fields("data", "mix", "split")
MOST, MOST_TEST = 1_000, 500  # normal rows to fit, and test rows of each class
RATE = 0.05
DEVELOPMENT = (
    "pima", "pageblocks", "cardiotocography", "yeast", "waveform", "mammography", "landsat", "campaign",
)  # fmt: skip
TABLES = (
    "hepatitis", "lymphography", "wine", "vertebral", "stamps", "wdbc", "musk", "satimage-2", "spambase",
    "internetads", "aloi", "skin", "donors",
)  # fmt: skip
DIGITS = tuple(f"digits {digit}" for digit in (0, 5, 8))
CASES = (*TABLES, *DIGITS, *DEVELOPMENT)
SPLITS = 3  # of a table; digits have one
GANOMALY = {"updates": 300, "width": 32}
ON_DIGITS = {"updates": 300, "width": 16}
MIXES = ("seeds", "mixed")


@lru_cache(maxsize=1)
def _table(name: str) -> Any:
    from oddgan.papers import adbench

    return adbench.read(name)


def rows_of(case: str, split: int) -> tuple[Any, Any, np.ndarray]:
    """Normals to fit, test rows and their labels."""
    import oddgan
    from oddgan.papers.protocols import TASKS

    source, _, digit = case.partition(" ")
    if source == "digits":
        made = oddgan.data.load("digits", anomaly={digit})
        train, test, labels = np.asarray(made.train), np.asarray(made.test), np.asarray(made.labels)
    else:
        task = TASKS["dte-adbench"](_table(case), "clean", case, split)
        train, test, labels = np.asarray(task.train), np.asarray(task.test), np.asarray(task.labels)
    random = np.random.default_rng(split)
    train = train[random.permutation(len(train))[:MOST]]
    some = np.concatenate([random.permutation(np.flatnonzero(labels == one))[:MOST_TEST] for one in (False, True)])
    return train, test[some], labels[some]


def unfitted(case: str, mix: str, split: int) -> Any:
    """The ensemble."""
    import oddgan

    game = oddgan.GANomaly(**(ON_DIGITS if case in DIGITS else GANOMALY))
    if mix == "seeds":
        return oddgan.Ensemble(game, seeds=5, random_state=10 * split)
    others = [oddgan.KNN(), oddgan.LOF(), oddgan.PCA(), oddgan.IsolationForest()]
    return oddgan.Ensemble([game, *others], random_state=10 * split)


def scales() -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Ways to bring scores (n,) to one scale by those of held-out normals (m,), ascending."""

    def robust(held: np.ndarray, scores: np.ndarray) -> np.ndarray:
        from oddgan.verdict.scale import ScoreScale

        return ScoreScale.of(held).scaled(scores)

    def plain(held: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return (scores - held.mean()) / (held.std() or 1.0)

    def upper(held: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return (scores - np.median(held)) / ((np.quantile(held, 0.9) - np.median(held)) or 1.0)

    def rank(held: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return np.searchsorted(held, scores, side="left") / (len(held) + 1)

    def log_p(held: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Minus the logarithm of the p-value, with an exponential tail beyond the upper fifth."""
        n, k = len(held), max(1, len(held) // 5)
        start, known = held[-k - 1], np.unique(held)
        values = -np.log((n - np.searchsorted(held, known)) / (n + 1))
        beyond = -np.log((k + 1) / (n + 1)) + (scores - start) / ((held[-k:] - start).mean() or 1.0)
        return np.where(scores > start, beyond, np.interp(scores, known, values))

    return {
        "median and MAD": robust,
        "mean and deviation": plain,
        "upper quantile": upper,
        "rank": rank,
        "log p": log_p,
    }


def measure(case: str, mix: str, split: int, attempt: Attempt) -> dict[str, Any]:
    """One line: fit once, and judge the ensemble and each member."""
    import torch

    from oddgan.metrics import auroc
    from oddgan.rows import open_rows
    from oddgan.verdict import Calibration

    del attempt
    torch.set_num_threads(1)
    train, test, labels = rows_of(case, split)
    order = np.random.default_rng([split, 1]).permutation(len(train))
    held = max(1, round(0.2 * len(order)))
    parts = [train[np.sort(one)] for one in np.split(order, [held, held + max(1, held // 2)])]
    rate = max(RATE, 1 / (len(parts[0]) + 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        det = unfitted(case, mix, split).fit(parts[2], tune=parts[1], calibrate=parts[0]).with_false_alarm_rate(rate)

    def figures(scores: np.ndarray, threshold: float) -> dict[str, float]:
        flagged = scores > threshold
        return {
            "auroc": round(auroc(labels, scores), 4),
            "caught": round(float(flagged[labels].mean()), 4),
            "false_alarms": round(float(flagged[~labels].mean()), 4),
        }

    members, of_members = {}, []
    for name, member in det.model_.members.items():
        scores = member.score(open_rows(test))
        of_members.append((member.calibration.scores, scores))
        threshold = Calibration.of(member.score(open_rows(parts[0])), rate).threshold
        members[name] = figures(scores, threshold)
    tried = {
        name: round(auroc(labels, np.mean([scale(*one) for one in of_members], axis=0)), 4)
        for name, scale in scales().items()
    }
    return {
        "data": case,
        "mix": mix,
        "split": split,
        "rate": rate,
        "ensemble": figures(det.anomaly_score(test), det.threshold_),
        "members": members,
        "scales": tried,
        "rows": {"train": len(parts[2]), "tune": len(parts[1]), "calibrate": len(parts[0]), "test": len(test)},
        "threads": torch.get_num_threads(),
        "versions": versions("python"),
    }


def jobs(cases: Iterable[str] = CASES, mixes: Iterable[str] = MIXES) -> list[Job]:
    """A job for each case, mix and split."""
    return [
        Job(
            key=FORM.key({"data": case, "mix": mix, "split": split}),
            title=f"{mix}, {case}, split {split}",
            run=lambda attempt, of=(case, mix, split): measure(*of, attempt),
        )
        for case in cases
        for split in range(1 if case in DIGITS else SPLITS)
        for mix in mixes
    ]


def summed(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Means over some lines: of the ensemble, and of the best, the mean and the worst member by AUROC."""
    found: dict[str, list[float]] = {}
    for line in lines:
        ranked = sorted(line["members"].values(), key=lambda one: one["auroc"])
        judged = {"ensemble": line["ensemble"], "best": ranked[-1], "worst": ranked[0]}
        judged["mean"] = {name: float(np.mean([one[name] for one in ranked])) for name in line["ensemble"]}
        for who, one in judged.items():
            for name, value in one.items():
                found.setdefault(f"{who} {name}", []).append(value)
        found.setdefault("above the mean", []).append(line["ensemble"]["auroc"] > judged["mean"]["auroc"])
        found.setdefault("above the best", []).append(line["ensemble"]["auroc"] >= ranked[-1]["auroc"])
    return {name: float(np.mean(values)) for name, values in found.items()}


def table() -> str:
    """By mix and set, and the means."""
    from oddgan.report import markdown

    lines = lines_of(FILE, FORM)
    head = [
        "mix",
        "set",
        "ensemble",
        "best",
        "mean",
        "worst",
        "caught: ensemble",
        "best",
        "mean",
        "false alarms",
        "mean",
    ]
    rows = []
    for mix in MIXES:
        groups = {case: [one for one in lines if one["data"] == case and one["mix"] == mix] for case in CASES}
        groups = {case: some for case, some in groups.items() if some and case not in DEVELOPMENT}
        if not groups:
            continue
        sums = {case: summed(some) for case, some in groups.items()}
        sums["mean"] = {
            name: float(np.mean([one[name] for one in sums.values()])) for name in next(iter(sums.values()))
        }
        for case, one in sums.items():
            cells = [f"{one[f'{who} auroc']:.3f}" for who in ("ensemble", "best", "mean", "worst")]
            cells += [f"{one[f'{who} caught']:.3f}" for who in ("ensemble", "best", "mean")]
            rows.append([mix, case, *cells, *(f"{one[f'{who} false_alarms']:.3f}" for who in ("ensemble", "mean"))])
    return markdown.table(head, rows)


def table_of_scales() -> str:
    """Mean AUROC of every scale, on development tables and on the others."""
    from oddgan.report import markdown

    lines = lines_of(FILE, FORM)
    rows = []
    for title, development in (("development", True), ("other", False)):
        for mix in MIXES:
            some = [one for one in lines if one["mix"] == mix and (one["data"] in DEVELOPMENT) == development]
            if some:
                means = [np.mean([one["scales"][name] for one in some]) for name in scales()]
                rows.append([title, mix, str(len(some)), *(f"{mean:.4f}" for mean in means)])
    return markdown.table(["sets", "mix", "fits", *scales()], rows)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--only", default=",".join(MIXES))
    parser.add_argument("--table", action="store_true", help="print what is measured as Markdown")
    parser.add_argument("--scales", action="store_true", help="print the scales' figures as Markdown")
    options = parser.parse_args()
    if options.table or options.scales:
        print(table() if options.table else table_of_scales())
        return
    run(
        jobs(options.cases.split(","), options.only.split(",")),
        Record(FILE, FORM),
        summary=lambda line: f"AUROC {line['ensemble']['auroc']:.3f}, {summed([line])['mean auroc']:.3f} of members",
        report=say,
    )


if __name__ == "__main__":
    main()
