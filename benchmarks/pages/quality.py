"""docs/results.md, from benchmarks/results/quality.jsonl: `python -m benchmarks.pages.quality`."""

from collections import defaultdict

import numpy as np

from oddgan.evaluation.runner import lines_of
from oddgan.report import markdown

from ..studies.quality import DIGITS, FILE, FORM, SEEDS, SETS
from . import DOCS

PAGE = DOCS / "results.md"
HEAD = ["anomaly", "AUROC", "1-NN AUROC", "AUPRC", "chance AUPRC", "detected", "false alarms", "requested"]
KEYS = ("auroc", "nearest_neighbour", "auprc", "chance_auprc", "detected", "false_alarms", "asked_false_alarms")


def cell(lines: list[dict], *keys: str) -> str:
    """Mean and deviation over lines of the value under nested keys; empty where one has none."""
    values = []
    for line in lines:
        value = line
        for key in keys:
            value = (value or {}).get(key)
        values.append(value)
    if any(value is None for value in values):
        return ""
    spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 and np.std(values) > 5e-4 else ""
    return f"{np.mean(values):.3f}{spread}"


def mean_of(lines: list[dict], seed: int) -> dict:
    """The means of all figures of one seed."""
    mine = [line for line in lines if line["seed"] == seed]
    return {key: float(np.mean([line[key] for line in mine])) for key in KEYS}


def text() -> str:
    """The page. Raises `KeyError` where a data set was not run."""
    groups = defaultdict(list)
    for line in lines_of(FILE, FORM):
        groups[line["source"], line["anomaly"]].append(line)
    if missing := {pair for pairs in SETS.values() for pair in pairs} - groups.keys():
        raise KeyError(f"no runs of {sorted(map(str, missing))}")

    def row(name: str, lines: list[dict]) -> list[str]:
        return [name, *(cell(lines, key) for key in KEYS)]

    all_digits = [line for pair in DIGITS for line in groups[pair]]
    digits = [row(f"digit {digit}", groups[source, digit]) for source, digit in DIGITS]
    digits.append(row("**mean of the ten**", [mean_of(all_digits, seed) for seed in SEEDS]))
    others = [name for name in SETS if name != "digits"]
    pixel = [
        [name, cell(lines, "pixel", "pixel_auroc"), cell(lines, "pixel", "aupro_0.3")]
        for name in others
        if (lines := groups[name, None])[0]["pixel"]
    ]
    any_line = all_digits[0]
    return f"""# Measured results

Made by `python -m benchmarks.studies.quality` and written by `python -m benchmarks.pages.quality`; the runs are in
`benchmarks/results/quality.jsonl`. Mean and standard deviation over {len(SEEDS)} seeds. GANomaly with its defaults,
which were chosen on other data (`benchmarks.studies.ganomaly_defaults`: classes 1, 4 and 9 of MNIST and Fashion-MNIST).
Training sees normal rows alone; the last step is taken; no test label chooses anything. *1-NN* is the distance to the
nearest training row, on rows as the networks see them; it has all of the training rows, of which GANomaly holds out 30
percent to calibrate and tune. oddgan {any_line["versions"]["oddgan"]}, torch
{any_line["versions"]["torch"]}, {any_line["machine"].split(",")[0]} with two cores.

## scikit-learn's digits, one digit held out as the anomaly

{markdown.table(HEAD, digits)}

## Pictures and tables

{markdown.table(HEAD, [row(name, groups[name, None]) for name in others])}

The two sets of pictures were measured with the own score and raw map of GANomaly, the defaults before the map decided
(`score_by="combined"` gives that score); the study as it is now measures the map.

Localisation, at the masks' size:

{markdown.table(["data", "pixel AUROC", "AUPRO (FPR up to 0.3)"], pixel)}

How to read this: *detected* and *false alarms* are shares of the anomalous and of the normal test rows at the
threshold, which was set without labels for the *requested* rate. Where 1-NN is better, use it: a GAN has no advantage
there. MVTec AD bottle is licensed for non-commercial use (CC BY-NC-SA 4.0) and is not part of this project.
"""


if __name__ == "__main__":
    PAGE.write_text(text(), "utf-8")
