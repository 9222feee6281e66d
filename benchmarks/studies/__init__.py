"""Studies: trainings and timings that a page of docs/ or a default rests on. `python -m benchmarks.studies.NAME`.

Those that train and judge detectors keep a line of JSON for each cell in `benchmarks/results/NAME.jsonl`, by
`oddgan.evaluation.runner`: a cell whose line exists is not run again, so a killed study continues where it was.
"""

import platform
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "results"
SEEDS = (0, 1, 2)
"""Of what is reported with its deviation."""


def say(message: str) -> None:
    """Print a message at once, also into a file."""
    print(message, flush=True)


def versions(*more: str) -> dict[str, str]:
    """The versions of oddgan and torch, and of Python or other packages, as a line states them."""
    import importlib

    import torch

    import oddgan

    found = {"oddgan": oddgan.__version__, "torch": torch.__version__}
    for name in more:
        found[name] = platform.python_version() if name == "python" else importlib.import_module(name).__version__
    return found
