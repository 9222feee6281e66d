"""What ADGAN's search costs with copies of the generator optimised together, one by one, and in a plain loop over rows.

    python -m benchmarks.studies.private_weights           # milliseconds for one row and one start, 5 steps; minutes
    python -m benchmarks.studies.private_weights --table

"loop": for each row and start, a deep copy, torch's optimiser and five steps. "one by one" and "n together" are ways
that `oddgan.kit.search.refine` has, and "chosen" is the one that it takes. Best of three, one thread; nothing else
should be running.
"""

import copy
import json
import platform
import sys
import time

import torch

from oddgan.kit import search
from oddgan.networks import adgan
from oddgan.report import markdown

from . import RESULTS

FILE = RESULTS / "private_weights.jsonl"
GENERATORS = [((6,), 4, 64), ((121,), 15, 64), ((1, 8, 8), 8, 32), ((1, 16, 16), 32, 32), ((1, 28, 28), 32, 16)]
GENERATORS += [((1, 28, 28), 98, 32), ((1, 28, 28), 98, 64), ((3, 32, 32), 100, 64)]
ROWS, STARTS, STEPS, Z_LR, WEIGHTS_LR = 16, 2, 5, 0.25, 5e-5


def loop(G: torch.nn.Module, x: torch.Tensor, starts: torch.Tensor) -> None:
    """The search as written for one row."""
    for row in x:
        for start in starts:
            own, z = copy.deepcopy(G).requires_grad_(), start[None].clone().requires_grad_()
            parts = [{"params": [z], "lr": Z_LR}, {"params": list(own.parameters()), "lr": WEIGHTS_LR}]
            adam = torch.optim.Adam(parts, betas=(0.5, 0.999))
            for _ in range(STEPS):
                adam.zero_grad()
                (own(z) - row[None]).square().mean().backward()
                adam.step()
            own(z)


def grouped(G: torch.nn.Module, x: torch.Tensor, starts: torch.Tensor, group: int | None) -> None:
    """`refine` with `group` copies together; None: as it chooses."""
    chosen = search.together
    if group is not None:
        search.together = lambda *_: group
    try:
        search.refine(G, x, starts, steps=STEPS, lr_z=Z_LR, lr_weights=WEIGHTS_LR)
    finally:
        search.together = chosen


def best(run, *arguments) -> float:
    """Milliseconds for one row and start, the best of three."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        run(*arguments)
        seconds.append(time.perf_counter() - started)
    return round(1000 * min(seconds) / (ROWS * STARTS), 3)


def main() -> None:
    """Measure every generator and rewrite the result file."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = []
    for shape, latent_dim, width in GENERATORS:
        G = adgan.generator(shape, latent_dim, width=width).eval().requires_grad_(False)
        x, starts = torch.rand(ROWS, *shape) * 2 - 1, torch.randn(STARTS, latent_dim)
        times = {"loop": best(loop, G, x, starts), "one by one": best(grouped, G, x, starts, 1)}
        times |= {f"{n} together": best(grouped, G, x, starts, n) for n in (2, 8, 32)}
        times["chosen"] = best(grouped, G, x, starts, None)
        weights = sum(p.numel() for p in G.parameters())
        lines.append({"shape": shape, "width": width, "weights": weights, "milliseconds": times})
        lines[-1] |= {"torch": torch.__version__, "machine": f"{platform.machine()}, one thread"}
        print(lines[-1], flush=True)
    FILE.write_text("".join(json.dumps(line) + "\n" for line in lines))


def table() -> str:
    """The result file as a Markdown table."""
    found = [json.loads(line) for line in FILE.read_text().splitlines()]
    ways = list(found[0]["milliseconds"])
    rows = []
    for line in found:
        times = [f"{line['milliseconds'][way]:.2f}" for way in ways]
        rows.append(["x".join(map(str, line["shape"])), str(line["weights"]), *times])
    return markdown.table(["rows of", "weights", *ways], rows)


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        print(table())
    else:
        main()
