"""Where the recipes of the papers' tables come from, where the rows that they are reported on were involved.

    ODDGAN_DATA=... python -m benchmarks.studies.recipes digits|arrhythmia|copies

digits: one development digit (1, 4 or 9) is normal. AUROC of the distance to the five nearest training rows in
ContraD's f, between pictures of length one, of both multiplied (`compare="f+x"`), of both concatenated.

arrhythmia: every split is tested on the same 66 anomalous rows, so settings that were chosen on other splits are not
chosen on other rows. Three times, these are halved at random: mean AUROC of every candidate minus the isolation
forest's on either half, over 16 splits of seeds that are not reported. What one half would choose is judged on the
other.

copies: the largest groups of equal normal rows in KDD99's exact test, as shares of it: where one of them is at the
threshold, all of it is flagged.
"""

import argparse
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, run

from . import RESULTS, say, versions

FILE = RESULTS / "recipes.jsonl"
FORM = fields("of", "digit", "compared in", "draw", "half")
SPLITS = range(1000, 1016)
CANDIDATES = {
    "forest": ("isolationforest", {}),
    "standard": ("ganomaly", {"updates": 1500}),
    "quantile": ("ganomaly", {"updates": 1500, "scaling": "quantile"}),
}
COMPARED = {
    "f": [[0]],
    "x": [[1]],
    "multiplied": [[0], [1]],
    "one after the other": [[0, 1]],
}


def digits() -> list[Job[dict]]:
    """A job for each development digit and way of comparing; the detector of a digit is trained once."""
    found: dict[str, Any] = {}

    def make(digit: str, name: str, attempt: Attempt) -> dict:
        from oddgan.verdict.reference import Reference

        if digit not in found:
            found.clear()
            found[digit] = embeddings(digit, attempt)
        kept, new, labels = found[digit]
        some = [[np.concatenate([one[i] for i in part], 1) for part in COMPARED[name]] for one in (kept, new)]
        score = Reference.of(some[0], {}, 5).distance(some[1])
        return {"digit": digit, "compared in": name, "auroc": auroc(labels, score)}

    return [
        job({"of": "digits", "digit": digit, "compared in": name}, lambda attempt, of=(digit, name): make(*of, attempt))
        for digit in "149"
        for name in COMPARED
    ]


def embeddings(digit: str, attempt: Attempt) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """The embeddings of training rows and of test rows, and the test's labels."""
    import oddgan
    from oddgan.papers.protocols import task
    from oddgan.rows import open_rows

    one = task("one-class", "mnist", "clean", digit, 0, test=3000)
    settings = {"turns": True, "strength": 0.3, "width": 32, "updates": 800, "precision": "bfloat16"}
    det = attempt.fit(oddgan.ContraD(compare="f+x", random_state=0, **settings), one.train).detector
    model = det.model_

    def of(X: Any) -> list[np.ndarray]:
        blocks = model.preprocessor.parts(open_rows(X)).blocks(model.recipe.block_size)
        found = [model.computer.found(block.x).embeddings for block in blocks]
        return [np.concatenate(parts) for parts in zip(*found, strict=True)]

    return of(one.train), of(one.test), one.labels


def arrhythmia() -> list[Job[dict]]:
    """A job for each half of the anomalous rows; all candidates are trained once."""
    return [
        job({"of": "arrhythmia", "draw": draw, "half": half}, lambda attempt, of=(draw, half): gain(*of))
        for draw in range(3)
        for half in ("first", "second")
    ]


def gain(draw: int, half: str) -> dict:
    """Mean AUROC of every candidate on a half of the anomalous rows, minus the forest's."""
    gains: dict[str, list[float]] = {}
    for seed in SPLITS:
        labels, anomalous, normal, scores = candidates(seed)
        first = np.random.default_rng(draw).permutation(len(anomalous)) < len(anomalous) // 2
        rows = np.concatenate([anomalous[first if half == "first" else ~first], normal])
        base = auroc(labels[rows], scores["forest"][rows])
        for name, score in scores.items():
            gains.setdefault(name, []).append(auroc(labels[rows], score[rows]) - base)
    means = {name: float(np.mean(some)) for name, some in gains.items()}
    return {"draw": draw, "half": half, "auroc minus forest's": means}


@cache
def candidates(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """The test's labels, its anomalous and its normal rows, and the scores of every candidate on one split."""
    from oddgan import detectors
    from oddgan.papers.protocols import task

    one = task("arrhythmia", "arrhythmia", "clean", "", seed)
    anomalous, normal = np.flatnonzero(one.labels), np.flatnonzero(~one.labels)
    anomalous = anomalous[np.lexsort(np.asarray(one.test)[anomalous].T)]  # the same order in every split
    scores = {}
    for name, (detector, settings) in CANDIDATES.items():
        seen = detectors.get(detector)(random_state=seed, **settings).fit(one.train).explain(one.test)
        scores[name] = seen.score
        if "residual" in seen.terms:
            scores[f"{name}, residual"] = seen.terms["residual"]
    return one.labels, anomalous, normal, scores


def copies() -> list[Job[dict]]:
    """One job."""

    def make(attempt: Attempt) -> dict:
        from oddgan.papers.protocols import task

        one = task("kdd99", "kdd99", "exact", "", 0)
        _, counts = np.unique(one.test[~one.labels], axis=0, return_counts=True)
        shares = np.sort(counts)[::-1][:5] / len(one.test)
        return {"shares of the test that equal normal rows make up": shares.round(4).tolist()}

    return [job({"of": "copies"}, make)]


def job(place: dict[str, Any], make: Callable[[Attempt], dict]) -> Job[dict]:
    """A job whose line begins with its place and ends with the versions."""
    return Job(
        key=FORM.key(place),
        title=", ".join(map(str, place.values())),
        run=lambda attempt: {"of": place["of"], **make(attempt), "versions": versions("numpy")},
    )


def auroc(labels: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve."""
    from oddgan.metrics import auroc as area

    return float(area(labels, score))


if __name__ == "__main__":
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=["digits", "arrhythmia", "copies"])
    which = parser.parse_args().which
    torch.set_num_threads(1)
    todo = {"digits": digits, "arrhythmia": arrhythmia, "copies": copies}[which]()
    run(todo, Record(FILE, FORM), summary=lambda line: "done", report=say)
