"""PyOD in an environment of its own: it needs other packages than oddgan, and must not share a process with it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import numpy as np

from .. import Plan, Skip

VERSION = "3.6.7"
CONSTRAINTS = Path(__file__).resolve().parents[3] / "constraints.txt"
DRIVER = Path(__file__).with_name("pyod_driver.py")


def python(plan: Plan) -> Path:
    """The Python that has PyOD: ODDGAN_PYOD_PYTHON, or that of an environment which is made here once."""
    if given := os.environ.get("ODDGAN_PYOD_PYTHON"):
        if not Path(given).exists():
            raise Skip(f"ODDGAN_PYOD_PYTHON={given}: no such file")
        return Path(given)
    folder = plan.keep / "pyod"
    found = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = folder / f"ready-{VERSION}"
    if not ready.exists():
        wanted = [f"pyod=={VERSION}", "pandas", "torch"]  # torch as oddgan's constraints have it
        commands = [
            [sys.executable, "-m", "venv", str(folder)],
            [str(found), "-m", "pip", "install", "--quiet", "-c", str(CONSTRAINTS), *wanted],
        ]
        for command in commands:
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                reason = (made.stderr.strip().splitlines() or ["it gave no reason"])[-1]
                raise Skip(f"PyOD could not be installed ({reason}); name a Python that has it: ODDGAN_PYOD_PYTHON")
        ready.touch()
    return found


class Peer:
    """A process that fits PyOD's detectors to the rows given here, on `plan.threads` threads."""

    def __init__(self, plan: Plan, train: np.ndarray, test: np.ndarray, labels: np.ndarray) -> None:
        self.rows = plan.folder / "rows.npz"
        np.savez(self.rows, train=train.astype(np.float64), test=test.astype(np.float64), labels=labels)
        threads = str(plan.threads)
        command = [str(python(plan)), str(DRIVER), threads]
        self.log = plan.folder / "pyod.log"
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log.open("w"),
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": threads},
        )
        self.versions = self._answer()["versions"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(60)

    def fit(self, detector: str, seed: int, **arguments: Any) -> dict[str, float]:
        """Seconds of `fit` by the process's clock, processor seconds of fitting and scoring, and the test's AUROC."""
        asked = {"detector": detector, "rows": str(self.rows), "seed": seed, "arguments": arguments}
        assert self.process.stdin
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            said = self.log.read_text().strip().splitlines() or ["it gave no reason"]
            raise Skip(f"PyOD's process ended: {said[-1]}")
        return json.loads(line)
