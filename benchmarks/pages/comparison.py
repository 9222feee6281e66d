"""docs/results/comparison.md and the measured section of every detector's page, from the lines of detectors.jsonl and
pyod.jsonl in benchmarks/results: `python -m benchmarks.pages.comparison`."""

import numpy as np

from oddgan.evaluation.runner import lines_of
from oddgan.report import markdown

from ..studies import pyod_peers
from ..studies.detectors import CASES, KDD_ROWS, MNIST_UPDATES, TEST_ROWS, runs
from . import DOCS, RESULTS, spread

START, END = "<!-- measured -->", "<!-- /measured -->"
GROUPS = {
    "the GAN line": "DCGAN AnoGAN ADGAN EGBAD ALAD GANomaly FAnoGAN SkipGANomaly OCGAN ContraD OCRGAN",
    "what their papers compare with": "VAE DSEBM DAGMM DRAEM PatchCore",
    "scikit-learn's": "OneClassSVM IsolationForest KNN LOF PCA",
    "PyOD 3.6.7": "PyOD AnoGAN,PyOD ALAD",
}
MAIN = [case for case in CASES if " with " not in case]
CONTAMINATED = {"digits 5": "0", "digits 5 with 0.01": "1 %", "digits 5 with 0.05": "5 %"}
GUESSING = 0.5


def write() -> None:
    """Write every page that shows these results."""
    found = all_runs()
    (RESULTS / "comparison.md").write_text(comparison(found), "utf-8")
    for page in sorted((DOCS / "detectors").glob("*.md")):
        text = page.read_text("utf-8")
        if START in text:
            before, after = text.split(START)[0], text.split(END)[1]
            page.write_text(before + section(found, page.stem) + after, "utf-8")


def all_runs() -> dict[tuple[str, str], list[dict]]:
    """Ours and PyOD's, by the detector's name in lower case and the case."""
    found = runs()
    for line in lines_of(pyod_peers.FILE, pyod_peers.FORM):
        found.setdefault((line["detector"].lower(), line["case"]), []).append(line)
    return found


def by_group(found: dict, cases: list[str], key: str, digits: int = 3) -> list[list[str]]:
    """A row for each detector with a figure by case, under a row for each group of detectors."""
    rows = []
    for group, names in GROUPS.items():
        lines = []
        for name in names.split(",") if "," in names else names.split():
            cells = [spread((line.get(key) for line in found.get((name.lower(), case), [])), digits) for case in cases]
            shown = name if name.startswith("PyOD") else f"[{name}](../detectors/{name.lower()}.md)"
            if any(cells):
                lines.append([shown, *cells])
        if lines:
            rows += [[f"*{group}*", *[""] * len(cases)], *lines]
    return rows


NOT_FOR = {
    "anogan": "A search reproduces ordinary connections better than the attacks that it was trained on, so that the "
    "residual points the wrong way.",
    "dcgan": "A discriminator learns to tell real rows from generated ones, not normal rows from others. DCGAN is here "
    "for generation, and as what other detectors are built on.",
    "isolationforest": "Eights lie nearer to the mean of all digits than other digits do. Isolation needs anomalies "
    "that are far out.",
    "oneclasssvm": "Eights lie nearer to the mean of all digits than other digits do, and the boundary is around that "
    "mean. Here nearest neighbours serve better.",
    "skipganomaly": "A U-Net's skip connections copy digits that it has never seen just as well.",
}
"""Why a detector is worse than guessing on some sets."""


def section(found: dict, name: str) -> str:
    """The measured section of a detector's page: where it suits first, and where it does not in words."""
    known = {case: lines for case in CASES if (lines := found.get((name, case), []))}
    if not known:
        return f"{START}\nNot measured yet.\n{END}"
    area = {case: float(np.mean([line["auroc"] for line in lines])) for case, lines in known.items()}
    keys = ("auroc", "auprc", "chance_auprc", "detected", "false_alarms", "asked_false_alarms")
    shown = sorted((case for case in known if case in MAIN), key=lambda case: -area[case])
    rows = [[case, *(spread(line.get(key) for line in known[case]) for key in keys)] for case in shown]
    head = ["data", "AUROC", "AUPRC", "chance", "detected", "false alarms", "requested"]
    parts = [
        "Its defaults, where they did best first; mean and deviation over three seeds (any other number is in "
        "brackets).\n[The comparison](../results/comparison.md) describes the data and has all detectors beside each "
        f"other.\nMade by `python -m benchmarks.studies.detectors --only {name}`."
    ]
    below = [case for case in shown if area[case] < GUESSING]
    if below:
        listed = ", ".join(f"*{case}* ({area[case]:.3f})" for case in below)
        why = NOT_FOR.get(name, "There, anomalies score lower than normal rows.")
        parts.append(f"**Not for data like** {listed}, where its AUROC is below guessing. {why}")
    parts.append(markdown.table(head, rows))
    mixed = {share: known[case] for case, share in CONTAMINATED.items() if case in known and case not in MAIN}
    if mixed:
        figures = " and ".join(
            f"{spread(line['auroc'] for line in some)} with {share}" for share, some in mixed.items()
        )
        parts.append(f"Where some training rows of *digits 5* are unnoticed fives, its AUROC is {figures}.")
    return "\n".join([START, "\n\n".join(parts), END])


def comparison(found: dict) -> str:
    """The page that compares all detectors."""
    line = next(iter(found.values()))[0]
    return f"""# All detectors, side by side

Made by `python -m benchmarks.studies.detectors` (PyOD: `python -m benchmarks.studies.pyod_peers`) and written by
`python -m benchmarks.pages.comparison`; every run is a line of `benchmarks/results/detectors.jsonl`. Every detector
runs with its defaults, on the same rows. Training sees normal rows alone; the last step is taken; no test label chooses
anything. Mean and standard deviation over three seeds (any other number of runs is in brackets). oddgan
{line["versions"]["oddgan"]}, torch {line["versions"]["torch"]}, {line["machine"]}, one thread.

How to read it: where a detector of *scikit-learn's* is as good as the GANs on data like yours, use it: it is simpler
and faster. [Choosing a detector](../howto/choosing.md) says when a GAN has advantages.

## AUROC

{markdown.table(["detector", *MAIN], by_group(found, MAIN, "auroc"))}

- *digits 5*, *digits 8*: scikit-learn's 8x8 digits, that digit held out as the anomaly.
- *mnist 3*, *mnist 8*: MNIST, that digit is the normal class; trained on its official training rows for
  {MNIST_UPDATES:,} updates only, so that every detector could be run on two cores.
- *arrhythmia*, *thyroid*: the ODDS tables. *kdd99*: KDD Cup 1999 (10 percent), {KDD_ROWS:,} training rows, attacks
  normal as in the literature, test rows that equal a training row left out.
- For VAE, DSEBM and DAGMM *arrhythmia* and *thyroid* are development data: their default scores were chosen with a look
  at them, at breast cancer and at digits 1, 4 and 9. FAnoGAN's number of critic steps was chosen with a look at
  *thyroid*. The other defaults were chosen on digits 1, 4 and 9 and on breast cancer.
- At most {TEST_ROWS} test rows of each class, drawn once for all detectors. PyOD sees flat rows, and trains on all
  normal rows: oddgan's detectors hold out 20 to 30 percent to calibrate.

## False alarms at the threshold that was set without labels

Requested: 0.01, or the least that few calibration rows allow (arrhythmia: 0.025). On *kdd99* the guarantee cannot hold:
there, calibration rows may equal training rows, as most rows of that set do, and the test rows were chosen not to.

{markdown.table(["detector", *MAIN], by_group(found, MAIN, "false_alarms"))}

## Seconds to train

Processor time of one thread. The machine is shared with other work, which affects caches and clock rate: compare orders
of magnitude only.

{markdown.table(["detector", *MAIN], by_group(found, MAIN, "cpu_seconds_to_train", 1))}

## Milliseconds to score a row

Processor time of one thread, as above.

{markdown.table(["detector", *MAIN], by_group(found, MAIN, "cpu_milliseconds_to_score_a_row", 2))}

## When the training rows are not all normal

AUROC on *digits 5* when this share of the training rows are unnoticed fives.

{markdown.table(["detector", *CONTAMINATED.values()], by_group(found, list(CONTAMINATED), "auroc"))}
"""


if __name__ == "__main__":
    write()
