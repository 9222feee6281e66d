"""docs/results/public_sets.md and the README's first table, from benchmarks/results/quality.jsonl:
`python -m benchmarks.pages.quality`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from oddgan.evaluation.runner import lines_of
from oddgan.report import markdown

from ..studies import ADBENCH, SEEDS
from ..studies.quality import CASES, DIGITS, FILE, FORM, METHODS, PICTURES
from . import DOCS, RESULTS, spread

PAGE, README = RESULTS / "public_sets.md", DOCS.parent / "README.md"
START, END = "<!-- measured -->", "<!-- /measured -->"
FIGURES = ("auroc", "auprc", "detected", "false_alarms", "asked_false_alarms")
HEAD = ["detector", "AUROC", "AUPRC", "detected", "false alarms", "requested"]
NAMES = {
    "train": "**`oddgan train`**",
    "knn": "nearest neighbours (`KNN`)",
    "lof": "local outlier factor (`LOF`)",
    "isolationforest": "isolation forest",
    "pca": "principal components (`PCA`)",
}

Lines = Mapping[tuple[str, str], list[dict]]
"""By case and method, in the order of their seeds."""


def found() -> Lines:
    """The lines that were kept. Raises `KeyError` where a case was not run."""
    kept: dict[tuple[str, str], list[dict]] = defaultdict(list)
    for line in sorted(lines_of(FILE, FORM), key=lambda one: one["seed"]):
        kept[line["case"], line["method"]].append(line)
    if missing := {(case, method) for case in CASES for method in METHODS} - kept.keys():
        raise KeyError(f"no runs of {sorted(missing)[0]} and {len(missing) - 1} more")
    return kept


def means(kept: Lines, cases: Iterable[str], method: str, key: str) -> list[float]:
    """The mean over cases of each seed that all of them have."""
    lines = [{line["seed"]: line[key] for line in kept[case, method]} for case in cases]
    return [float(np.mean([one[seed] for one in lines])) for seed in SEEDS if all(seed in one for one in lines)]


def compared(kept: Lines, cases: tuple[str, ...]) -> str:
    """A table of all methods, averaged over cases."""
    rows = [[NAMES[method], *(spread(means(kept, cases, method, key)) for key in FIGURES)] for method in METHODS]
    return markdown.table(HEAD, rows)


def of_pictures(kept: Lines, case: str) -> str:
    """A table of all methods on a set of pictures, with what needs no detector below."""
    rows = []
    for method in METHODS:
        lines = kept[case, method]
        pixel = [spread(line["pixel"].get(key) for line in lines) for key in ("pixel_auroc", "aupro_0.3")]
        rows.append([NAMES[method], *(spread(line[key] for line in lines) for key in FIGURES), *pixel])
    rivals = kept[case, "train"][0]["rivals"]
    rows += [[f"*{name} alone*", f"{area:.3f}", *[""] * 6] for name, area in rivals.items()]
    return markdown.table([*HEAD, "pixel AUROC", "AUPRO"], rows)


def each(kept: Lines, cases: tuple[str, ...], key: str) -> str:
    """A table of one figure: a row for each case."""
    rows = [
        [case.split(" ")[-1], *(spread(line[key] for line in kept[case, method]) for method in METHODS)]
        for case in cases
    ]
    return markdown.table(["", *(NAMES[method] for method in METHODS)], rows)


def what(kept: Lines, case: str) -> str:
    """What `oddgan train` took."""
    line = kept[case, "train"][0]
    settings = ", ".join(f"{name} {value}" for name, value in line["parameters"].items())
    rows = line["rows"]
    return (
        f"{rows['train']} normal {'pictures' if case in PICTURES else 'rows'} for training; a test of "
        f"{rows['test']}, {rows['anomalous']} of them anomalous. `oddgan train` takes {line['detector']}"
        f"{f' ({settings})' if settings else ''}."
    )


NOTES = {
    "deeppcb": " Its masks are the boxes that people drew around the faults, not the faults.",
    "bridge-cracks": " The deviation of the grey levels alone tells a crack: a good figure here proves little.",
    "hazelnut-toy": " With so few pictures no low false-alarm rate can be promised.",
}


def text() -> str:
    """The page."""
    kept = found()
    line = kept["thyroid", "train"][0]
    tables = tuple(f"adbench {name}" for name in ADBENCH)
    pictures = "\n\n".join(
        f"### {case}\n\n{what(kept, case)}{NOTES.get(case, '')}\n\n{of_pictures(kept, case)}" for case in PICTURES
    )
    return f"""# Measured results

What `oddgan train DATA` gives, beside plain detectors with their defaults on the same rows. Made by
`python -m benchmarks.studies.quality` and written by `python -m benchmarks.pages.quality`; the runs are in
`benchmarks/results/quality.jsonl`. Mean and standard deviation over {len(SEEDS)} seeds, the number of seeds in brackets
where it is another. Training sees normal rows alone; the last step is taken; no test label chooses anything.
*Detected* and *false alarms* are shares of the anomalous and of the normal test rows at the threshold, which was set
without labels for the *requested* rate. oddgan {line["versions"]["oddgan"]}, torch {line["versions"]["torch"]},
{line["machine"]}.

How the defaults were chosen: the scales of the anomaly map, the size of pictures and exposures by simulated defects on
held-out normal pictures, without a label. Others with labels of the sets below in view, which favours our column: that
DRAEM in tiles is for pictures unlike each other (deeppcb), the views of tables (these 21, with one seed, by neighbours
alone), and two neighbours for small pictures (digits). [Choosing](../howto/choosing.md) has the rules.

## Pictures of parts

Pixel AUROC and AUPRO (false-positive rates up to 0.3) are measured at the masks' size.

{pictures}

MVTec AD (CC BY-NC-SA 4.0) and the cracks are licensed for non-commercial use; no set is part of this project.

## Tables: the mean of {len(ADBENCH)} of ADBench

Half of a table's normal rows, 10,000 at most, are for training; the other half and the anomalous rows for the test, at
most 5,000 of each; copies of rows are left out; the seed draws the half. {what(kept, tables[0]).split(". ")[1]}

{compared(kept, tables)}

AUROC of each:

{each(kept, tables, "auroc")}

Detected at the threshold:

{each(kept, tables, "detected")}

### thyroid, by the literature's split

{what(kept, "thyroid")}

{compared(kept, ("thyroid",))}

## scikit-learn's digits, one digit held out as the anomaly

{what(kept, DIGITS[0])}

{compared(kept, DIGITS)}

AUROC of each:

{each(kept, DIGITS, "auroc")}

How to read this: where a plain detector is better, use it: it is one flag away (`--detector knn`).
"""


SHORT = {
    "MVTec AD bottle, 256x256": ("mvtec-bottle-256",),
    "DeepPCB, 640x640, every picture another design": ("deeppcb",),
    "hazelnuts, 512x512, 28 for training": ("hazelnut-toy",),
    "cracks in concrete, 16x16": ("bridge-cracks",),
    "21 tables of ADBench, mean": tuple(f"adbench {name}" for name in ADBENCH),
    "thyroid, a table": ("thyroid",),
    "digits 8x8, one of ten held out, mean": DIGITS,
}
RIVALS = ("knn", "lof", "pca")


def short() -> str:
    """The README's table: AUROC and detected share of what `oddgan train` gives, and of plain detectors."""
    kept = found()
    rows = []
    for name, cases in SHORT.items():
        cells = []
        for method in ("train", *RIVALS):
            area, caught = (means(kept, cases, method, key) for key in ("auroc", "detected"))
            cells.append(
                f"{spread(area)}, {100 * np.mean(caught):.0f} %"
                if method == "train"
                else f"{np.mean(area):.3f}, {100 * np.mean(caught):.0f} %"
            )
        trivial = [max(line["rivals"].values()) for line in kept[cases[0], "train"] if line["rivals"]]
        rows.append([name, *cells, f"{np.mean(trivial):.3f}" if trivial and len(cases) == 1 else ""])
    head = ["data", "`oddgan train`", "nearest neighbours", "LOF", "PCA", "grey, deviation or file size"]
    return markdown.table(head, rows)


def write() -> None:
    """Write both."""
    PAGE.write_text(text(), "utf-8")
    whole = README.read_text("utf-8")
    before, after = whole.split(START)[0], whole.split(END)[1]
    README.write_text(f"{before}{START}\n\n{short()}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    write()
