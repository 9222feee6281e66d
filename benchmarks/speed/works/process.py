"""The whole command `oddgan score` on one picture, as the shell sees it."""

import os
import subprocess
import sys
from typing import Any

from .. import Plan, Work
from ..peers.rows import pictures
from ..timing import interleaved
from .scoring import model

IMPORTS = [sys.executable, "-c", "import torch, sklearn.base"]


def environment(plan: Plan) -> dict[str, str]:
    """Environment of the timed commands: modules are compiled once, as in an installed package."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(plan.folder / "compiled"), "OMP_NUM_THREADS": str(plan.threads)}


def process(plan: Plan) -> dict[str, Any]:
    """`oddgan score` of one picture, start to end"""
    from PIL import Image

    X = pictures(256, (1, 32, 32))
    saved, picture = plan.folder / "model.oddgan", plan.folder / "picture.png"
    model(X, 2, plan.quick).save(saved)
    Image.fromarray(X[0].reshape(32, 32)).save(picture)
    score = [sys.executable, "-m", "oddgan", "score", str(saved), str(picture)]
    how: dict[str, Any] = {"env": environment(plan), "check": True, "capture_output": True}

    def ours() -> None:
        subprocess.run(score, **how)

    def theirs() -> None:
        subprocess.run(IMPORTS, **how)

    found = interleaved(ours, theirs, 2 if plan.quick else 2 * plan.rounds, warm=1)
    return {
        "what": "`oddgan score` of one picture, the whole process: GANomaly 1x32x32, the paper's networks",
        "against": '`python -c "import torch, sklearn.base"`',
        "reach": round(1 / 1.3, 3),
        "aim": None,
        **found.entry(),
        "unit": "seconds",
        "facts": {"model file, MB": saved.stat().st_size / 1e6},
    }


WORKS: dict[str, Work] = {"process": process}
