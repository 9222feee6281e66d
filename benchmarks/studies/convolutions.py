"""What convolutions as matrix products gain in training: an update of GANomaly with the paper's networks, in bfloat16.

    python -m benchmarks.studies.convolutions [THREADS]

One training run for each picture size, whose updates alternate between two ways: PyTorch's convolutions throughout, and
layers that span the picture as products (`Span`, `Spread`). The time of each plain update is divided by that of the
update after it: above 1 is faster.
"""

import json
import platform
import sys
import time
from statistics import quantiles

import numpy as np
import torch

import oddgan
from oddgan.hooks import Hook
from oddgan.networks import convolution

from . import RESULTS

FILE = RESULTS / "convolutions.jsonl"
WARM, ROUNDS = 2, 30
WAYS = {
    "plain": {"_by_products": lambda layer, x: False},
    "spans": {},
}


class Turns(Hook):
    """Uses one way after the other, for one update each, and notes the seconds."""

    def __init__(self) -> None:
        self.known = {name: getattr(convolution, name) for way in WAYS.values() for name in way}
        self.seconds: dict[str, list[float]] = {name: [] for name in WAYS}

    def on_start(self, moment) -> None:
        self._take(0)

    def on_update(self, moment) -> None:
        self.seconds[self.way].append(time.perf_counter() - self.started)
        self._take(moment.update)

    def _take(self, update: int) -> None:
        self.way = list(WAYS)[update % len(WAYS)]
        for name, function in {**self.known, **WAYS[self.way]}.items():
            setattr(convolution, name, function)
        self.started = time.perf_counter()


def main() -> None:
    """Measure both sizes and write one line for each."""
    torch.set_num_threads(int(sys.argv[1]) if sys.argv[1:] else 2)
    lines = []
    for shape in ((32, 32, 1), (64, 64, 3)):
        X = np.random.default_rng(0).integers(0, 256, (192, *shape), dtype=np.uint8)
        det = oddgan.GANomaly(latent_dim=100, width=64, precision="bfloat16", random_state=0, device="cpu")
        turns = Turns()
        det.set_params(updates=len(WAYS) * (WARM + ROUNDS)).fit(X, hooks=[turns])
        seconds = {name: np.array(found[WARM:]) for name, found in turns.seconds.items()}
        ratios = {name: quantiles(seconds["plain"] / found, n=4) for name, found in seconds.items() if name != "plain"}
        lines.append(
            {
                "shape": shape,
                "times faster than plain, quartiles": {k: [round(q, 3) for q in qs] for k, qs in ratios.items()},
                "ms an update": {name: round(1e3 * float(np.median(found)), 1) for name, found in seconds.items()},
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "machine": platform.machine(),
            }
        )
        print(json.dumps(lines[-1]), flush=True)
    FILE.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
