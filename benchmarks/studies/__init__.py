"""Studies: trainings and timings that a page of docs/ or a default rests on. `python -m benchmarks.studies.NAME`.

Those that train and judge detectors keep a line of JSON for each cell in `benchmarks/results/NAME.jsonl`, by
`oddgan.evaluation.runner`: a cell whose line exists is not run again, so a killed study continues where it was.
"""

import platform
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).resolve().parents[1] / "results"
SEEDS = (0, 1, 2)
"""Of what is reported with its deviation."""

ADBENCH = (
    "aloi", "campaign", "cardiotocography", "donors", "hepatitis", "internetads", "landsat", "lymphography",
    "mammography", "musk", "pageblocks", "pima", "satimage-2", "skin", "spambase", "stamps", "vertebral", "waveform",
    "wdbc", "wine", "yeast",
)  # fmt: skip
"""The tables of ADBench that studies run on."""


def say(message: str) -> None:
    """Print a message at once, also into a file."""
    print(message, flush=True)


def of_each_class(labels: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    """The numbers, ascending, of at most `most` rows drawn of each class: AUROC does not depend on their shares.
    `labels` (n,): true for anomalous rows."""
    classes = [random.permutation(np.flatnonzero(labels == anomalous))[:most] for anomalous in (False, True)]
    return np.sort(np.concatenate(classes))


def versions(*more: str) -> dict[str, str]:
    """The versions of oddgan and torch, and of Python or other packages, as a line states them."""
    import importlib

    import torch

    import oddgan

    found = {"oddgan": oddgan.__version__, "torch": torch.__version__}
    for name in more:
        found[name] = platform.python_version() if name == "python" else importlib.import_module(name).__version__
    return found
