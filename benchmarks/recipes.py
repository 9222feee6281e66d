"""Where the recipes of the papers' tables come from, as far as the rows that they are reported on had a part in it.

    ODDGAN_DATA=... python benchmarks/recipes.py digits|arrhythmia|copies  # appends to benchmarks/results/recipes.jsonl

digits: one development digit (1, 4 or 9) is normal. AUROC of the distance to the five nearest training rows in
ContraD's f, between pictures of length one, of both multiplied (`compare="f+x"`), of both laid one after the other.

arrhythmia: every split is tested on the same 66 odd rows, so settings that were chosen on other splits are not chosen
on other rows. Three times, these are halved at random: mean AUROC of every candidate minus the isolation forest's on
either half, over 16 splits of seeds that are not reported. What one half would choose can be read off the other.

copies: the largest groups of equal normal rows in KDD99's exact test, as shares of it: where one of them lies at the
threshold, all of it is flagged.
"""

import argparse
import json
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "recipes.jsonl"
SPLITS = range(1000, 1016)
CANDIDATES = {
    "forest": ("isolationforest", {}),
    "standard": ("ganomaly", {"updates": 1500}),
    "quantile": ("ganomaly", {"updates": 1500, "scaling": "quantile"}),
}


def digits() -> list[dict]:
    """A line for each development digit."""
    import oddgan
    from oddgan.model.scoring import views_of
    from oddgan.papers.protocols import task
    from oddgan.verdict.neighbours import Neighbourhood

    found = []
    for digit in "149":
        one = task("one-class", "mnist", "clean", digit, 0, test=3000)
        settings = {"turns": True, "strength": 0.3, "width": 32, "updates": 800, "precision": "bfloat16"}
        det = oddgan.ContraD(compare="f+x", random_state=0, **settings).fit(one.train)
        rows = (det._blocks(det._rows(X), det._view) for X in (one.train, one.test))
        blocks = ([views_of(results) for _, _, results in blocked] for blocked in rows)
        kept, new = ([np.concatenate(view) for view in zip(*views, strict=True)] for views in blocks)
        compared = {
            "f": [[0]],
            "x": [[1]],
            "multiplied": [[0], [1]],
            "one after the other": [[0, 1]],
        }
        for name, parts in compared.items():
            some = [[np.concatenate([views[i] for i in part], 1) for part in parts] for views in (kept, new)]
            score = Neighbourhood.of(some[0], {}, 5).distance(some[1])
            found.append({"digit": digit, "compared in": name, "auroc": auroc(one.labels, score)})
    return found


def arrhythmia() -> list[dict]:
    """A line for each half of the odd rows."""
    from oddgan import detectors
    from oddgan.papers.protocols import task

    gains: dict[tuple[int, str], dict[str, list[float]]] = {}
    for seed in SPLITS:
        one = task("arrhythmia", "arrhythmia", "clean", "", seed)
        odd, normal = np.flatnonzero(one.labels), np.flatnonzero(~one.labels)
        odd = odd[np.lexsort(np.asarray(one.test)[odd].T)]  # the same order in every split
        scores = {}
        for name, (detector, settings) in CANDIDATES.items():
            seen = detectors.get(detector)(random_state=seed, **settings).fit(one.train).explain(one.test)
            scores[name] = seen.score
            if "residual" in seen.terms:
                scores[f"{name}, residual"] = seen.terms["residual"]
        for draw in range(3):
            first = np.random.default_rng(draw).permutation(len(odd)) < len(odd) // 2
            for half, some in (("first", first), ("second", ~first)):
                rows = np.concatenate([odd[some], normal])
                base = auroc(one.labels[rows], scores["forest"][rows])
                for name, score in scores.items():
                    gain = auroc(one.labels[rows], score[rows]) - base
                    gains.setdefault((draw, half), {}).setdefault(name, []).append(gain)
    return [
        {
            "draw": draw,
            "half": half,
            "auroc minus forest's": {name: float(np.mean(some)) for name, some in held.items()},
        }
        for (draw, half), held in gains.items()
    ]


def copies() -> list[dict]:
    """One line."""
    from oddgan.papers.protocols import task

    one = task("kdd99", "kdd99", "exact", "", 0)
    _, counts = np.unique(one.test[~one.labels], axis=0, return_counts=True)
    shares = np.sort(counts)[::-1][:5] / len(one.test)
    return [{"shares of the test that equal normal rows make up": shares.round(4).tolist()}]


def auroc(labels, score) -> float:
    """Area under the ROC curve."""
    from oddgan.metrics import auroc as area

    return float(area(labels, score))


if __name__ == "__main__":
    import torch

    from oddgan import __version__

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=["digits", "arrhythmia", "copies"])
    which = parser.parse_args().which
    torch.set_num_threads(1)
    with RESULTS.open("a", encoding="utf-8") as file:
        for line in {"digits": digits, "arrhythmia": arrhythmia, "copies": copies}[which]():
            versions = {"oddgan": __version__, "torch": torch.__version__, "numpy": np.__version__}
            print(json.dumps({"of": which, **line, "versions": versions}), file=file)
