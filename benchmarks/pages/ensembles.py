"""docs/results/ensembles.md, from benchmarks/results: `python -m benchmarks.pages.ensembles`."""

from typing import Any

import numpy as np

from oddgan.evaluation.runner import lines_of
from oddgan.report import markdown

from ..studies import cross_conformal, ensembles
from . import RESULTS

PAGE = RESULTS / "ensembles.md"
HEAD = """
# Ensembles and folds, measured

[What they are](../howto/ensembles.md). An ensemble is a safeguard more than a gain: it comes out above the member that
one would have trained alone, seldom above the one that turns out to be best. Different detectors gain more than seeds
do. Folds keep the false-alarm rate near what was asked at half the spread over splits, and use the rows that a hold-out
would set aside. The more the members change with the rows left out, as principal components do, the more they err on
the safe side.
"""
MIXES = {"seeds": "GANomaly, five seeds", "mixed": "GANomaly, KNN, LOF, PCA and isolation forest"}


def of_ensembles() -> str:
    """What ensembles gain over their members, by mix, and set by set."""
    lines = [one for one in lines_of(ensembles.FILE, ensembles.FORM) if one["data"] not in ensembles.DEVELOPMENT]
    parts = []
    for mix, title in MIXES.items():
        by_set: dict[str, list[dict[str, Any]]] = {}
        for line in lines:
            if line["mix"] == mix:
                by_set.setdefault(line["data"], []).append(line)
        sums = {case: ensembles.summed(some) for case, some in by_set.items()}
        mean = {name: float(np.mean([one[name] for one in sums.values()])) for name in next(iter(sums.values()))}
        higher = sum(one["ensemble auroc"] > one["mean auroc"] for one in sums.values())
        best = sum(one["ensemble auroc"] >= one["best auroc"] for one in sums.values())
        rows = []
        for case, one in {**sums, "**mean**": mean}.items():
            areas = [f"{one[f'{who} auroc']:.3f}" for who in ("ensemble", "best", "mean", "worst")]
            caught = [f"{one[f'{who} caught']:.2f}" for who in ("ensemble", "best", "mean")]
            rows.append([case, *areas, *caught, f"{one['ensemble false_alarms']:.3f}"])
        head = ["set", "ensemble", "best member", "mean member", "worst member"]
        head += ["caught: ensemble", "best member", "mean member", "false alarms"]
        parts += [
            f"**{title}** ({len(sums)} sets): AUROC {mean['ensemble auroc']:.3f}, against {mean['mean auroc']:.3f} of "
            f"the mean member and {mean['best auroc']:.3f} of the member that is best on the test, which nobody knows "
            f"beforehand; above the mean member on {higher} sets, not below the best on {best}. Caught at the "
            f"threshold: {mean['ensemble caught']:.2f} against {mean['mean caught']:.2f}.",
            markdown.table(head, rows),
        ]
    return "\n\n".join(part.strip() for part in parts)


def text() -> str:
    """The page."""
    return "\n\n".join(
        [
            HEAD.strip(),
            "## Ensembles beside their members",
            "By `python -m benchmarks.studies.ensembles`: same rows, and thresholds "
            "of one kind at 5 percent false alarms or the lowest rate that the rows hold; GANomaly with 300 "
            "updates; of tables, means over three splits.",
            of_ensembles(),
            "How members' scores are brought to one scale matters little: mean AUROC of ways to do it, over the sets "
            "above and over eight development tables, on a first split of which the choice was made.",
            ensembles.table_of_scales().strip(),
            "## Folds beside a single hold-out",
            "By `python -m benchmarks.studies.cross_conformal`: at most 100 normal "
            "rows of each of ten tables, 40 splits each (6 of GANomaly, with 150 updates). False alarms are means over "
            "sets and splits, with the rate to expect of so many calibration rows in brackets, and ± how much they "
            "spread over the splits of a set; the lowest rate is the lowest that a fifth of the rows holds.",
            cross_conformal.table().strip(),
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(f"{text()}\n", "utf-8")
