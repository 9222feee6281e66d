"""When bfloat16 pays in training: milliseconds an update of GANomaly in float32 and in bfloat16, by picture size.

    python -m benchmarks.studies.precision [THREADS]

Both run on the same rows with the same networks, in turn; the ratio's median, least and most over the rounds are
printed. The rule in use is `oddgan.machine.LEAST_PIXELS_FOR_BF16`. An absolute time on a shared machine proves
nothing.
"""

import json
import platform
import sys
import time

import numpy as np
import torch

from oddgan import hooks
from oddgan.detectors.ganomaly import GANomaly

from . import RESULTS

FILE = RESULTS / "precision.jsonl"
WARM, TIMED, ROUNDS = 4, 8, 5


class Clock(hooks.Hook):
    """Notes the time of every update."""

    def on_start(self, moment):
        self.at = []

    def on_update(self, moment):
        self.at.append(time.perf_counter())


def milliseconds(X: np.ndarray, precision: str) -> float:
    """Milliseconds of one update, after a warm-up."""
    clock = Clock()
    GANomaly(random_state=0, updates=WARM + TIMED, precision=precision, device="cpu").fit(X, hooks=[clock])
    return 1e3 * (clock.at[-1] - clock.at[WARM - 1]) / TIMED


def main() -> None:
    """Measure every size and write one line for each."""
    torch.set_num_threads(int(sys.argv[1]) if sys.argv[1:] else 1)
    lines = []
    for shape in ((8, 8), (16, 16), (24, 24), (28, 28), (32, 32), (48, 48, 3)):
        X = np.random.default_rng(0).integers(0, 256, (120, *shape), dtype=np.uint8)
        pairs = [[milliseconds(X, precision) for precision in ("float32", "bfloat16")] for _ in range(ROUNDS)]
        ratios = sorted(a / b for a, b in pairs)
        lines.append(
            {
                "shape": shape,
                "float32 / bfloat16": {"median": ratios[ROUNDS // 2], "least": ratios[0], "most": ratios[-1]},
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "machine": platform.machine(),
            }
        )
        print(json.dumps(lines[-1]), flush=True)
    FILE.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
