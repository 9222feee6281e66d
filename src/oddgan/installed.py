"""Which distribution this package came with: `oddgan`, or `oddgan-runtime`, which leaves torch and scikit-learn out.

Both hold the same files, so whichever was installed last has put all of them there; only what they depend on differs
(`packaging/runtime`). In one environment there is to be one of them.
"""

import os
import re
from pathlib import Path

from . import __version__

__all__ = ["FULL", "LEFT_OUT", "RUNTIME", "conflict", "distributions", "requirement"]

FULL, RUNTIME = "oddgan", "oddgan-runtime"
RUNTIME_EXTRAS = ("openvino", "parquet", "serve")
LEFT_OUT = {
    "torch": "torch",
    "sklearn": "scikit-learn",
    "scipy": "SciPy",
    "threadpoolctl": "threadpoolctl",
    "jinja2": "Jinja2",
}
"""Modules of libraries that `oddgan` depends on and `oddgan-runtime` does not, and what those are called."""

_RECORD = re.compile(r"(oddgan|oddgan_runtime)-([^-]+)\.dist-info")


def distributions(folder: Path | None = None) -> dict[str, str]:
    """Name and version of those that are installed in `folder`, by default where this package is; none where it is
    used from a checkout."""
    try:
        names = os.listdir(folder or Path(__file__).parents[1])
    except OSError:  # in an archive
        return {}
    found = map(_RECORD.fullmatch, sorted(names))
    return {one[1].replace("_", "-"): one[2] for one in found if one}


def requirement(extra: str = "") -> str:
    """What to give to `pip install`, quoted for a shell, to get an extra."""
    runtime = set(distributions()) == {RUNTIME}
    if runtime and extra == "onnx":  # what `oddgan-runtime` always has
        return RUNTIME
    name = RUNTIME if runtime and extra in RUNTIME_EXTRAS else FULL
    return f'"{name}[{extra}]"' if extra else name


def conflict(folder: Path | None = None) -> str:
    """What to warn of where both are installed in different versions; "" elsewhere."""
    found = distributions(folder)
    if len(set(found.values())) < 2:
        return ""
    both = " and ".join(f"{name} {version}" for name, version in found.items())
    return (
        f"{both} are both installed and share their files, which are those of {__version__}: "
        f"pip uninstall {FULL} {RUNTIME}, then install one of them"
    )
