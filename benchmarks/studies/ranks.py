"""What training in two processes gives and costs: the differences from one process, and the time of an update, by game.

    python -m benchmarks.studies.ranks

For every game one process and two, each with one thread, fit the same rows with the same seed and the same whole batch.
A line has how far two processes are from one, and, to tell what rounding alone does, how far one process is from one
whose first weights were changed by a ten-millionth: the largest difference of a loss term's mean in the history,
relative to the term, the distance of all weights, relative to their length, both after few and after all updates, and
the largest difference of a score, relative to the largest score. Further whether both processes ended with one model,
and the median milliseconds of an update in rounds that take turns. Two processes on two cores can be at most twice as
fast. An absolute time on a shared machine proves nothing. Rows are drawn, so that the study needs no data. Prints a
table and writes benchmarks/results/ranks.jsonl.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, run

from . import RESULTS, say, versions

FILE = RESULTS / "ranks.jsonl"
FORM = fields("game")
FEW, UPDATES, ROUNDS = 5, 40, 3
NUDGE = 1e-7  # of each weight, about what rounding is
HOW = {"random_state": 0, "precision": "float32"}
PICTURES = {**HOW, "batch_size": 64}
TABLE = {**HOW, "batch_size": 256}
GAMES = {
    "GAN, table": ("DCGAN", TABLE),
    "WGAN-GP, pictures": ("ADGAN", {**PICTURES, "width": 16, "starts": 1, "steps": 1}),
    "BiGAN, table": ("EGBAD", TABLE),
    "BiGAN, pictures": ("EGBAD", {**PICTURES, "width": 16}),
    "two stages (f-AnoGAN), table": ("FAnoGAN", TABLE),
    "GANomaly, pictures": ("GANomaly", {**PICTURES, "width": 32}),
    "GANomaly, pictures, bfloat16": ("GANomaly", {**PICTURES, "width": 32, "precision": "bfloat16"}),
    "ContraD, pictures": ("ContraD", {**PICTURES, "width": 32}),
    "mixture (DAGMM), table": ("DAGMM", TABLE),
}


def rows(game: str) -> np.ndarray:
    """300 pictures of 32x32 with smooth shades and noise, or 1,500 rows of 40 columns on a plane."""
    random = np.random.default_rng(0)
    if "table" in game:
        return random.normal(size=(1500, 6)) @ random.normal(size=(6, 40)) + 0.1 * random.normal(size=(1500, 40))
    along, down = np.meshgrid(np.linspace(0, 1, 32), np.linspace(0, 1, 32))
    shade = random.uniform(-1, 1, (2, 300, 1, 1))
    found = 128 + 80 * (shade[0] * along + shade[1] * down) + random.normal(0, 6, (300, 32, 32))
    return found.clip(0, 255).astype(np.uint8)


def fit(game: str, updates: int, *, nudged: bool = False) -> dict:
    """What this process ends with; `nudged`: from first weights that are changed by `NUDGE`."""
    import torch

    import oddgan
    from oddgan.hooks import Hook

    at = []

    class Times(Hook):
        def on_update(self, moment):
            at.append(time.perf_counter())

    name, how = GAMES[game]
    X = rows(game)
    cls = getattr(oddgan, name)
    build = cls.build

    def built(recipe, shape):
        nets = build(recipe, shape)
        with torch.no_grad():
            for weight in (one for net in nets.values() for one in net.parameters()):
                weight *= 1 + NUDGE * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
        return nets

    cls.build = built if nudged else build
    try:
        det = cls(**how, updates=updates, device="cpu").fit(X, hooks=[Times()])
    finally:
        cls.build = build
    steps = np.diff(at)[FEW:]
    return {
        "net": {name: value.clone() for name, value in det.net_.state_dict().items()},
        "history": det.history_,
        "scores": det.anomaly_score(X[:100]),
        "ms": 1e3 * float(np.median(steps)) if len(steps) else None,
    }


def part(game: str, folder: Path, rank: int) -> None:
    """One of two processes: in each round the first fits alone while the second waits for it, then both together. What
    they end with is left in `folder`."""
    import torch

    torch.set_num_threads(1)
    found = []
    for number, updates in enumerate((FEW, *[UPDATES] * ROUNDS)):
        alone = fit(game, updates) if rank == 0 else None
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/meet-{number}", rank=rank, world_size=2
        )
        found.append((alone, fit(game, updates)))
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    if rank == 0:
        found.append(tuple(fit(game, updates, nudged=True) for updates in (FEW, UPDATES)))
    torch.save(found, folder / f"{rank}.pt")


def fits(game: str) -> tuple[list[tuple[dict, dict, dict]], tuple[dict, dict]]:
    """By round, what one process, and the first and the second of two ended with; and what a nudged one did, after few
    updates and after all."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-W", "ignore", "-m", "benchmarks.studies.ranks", game, folder]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        parts = [subprocess.Popen([*words, str(rank)], env=environment) for rank in (0, 1)]
        codes = [one.wait() for one in parts]
        if any(codes):
            raise SystemExit(f"{game}: a process failed")
        found = [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in (0, 1)]
    nudged = found[0].pop()
    return [(alone, first, second) for (alone, first), (_, second) in zip(*found, strict=True)], nudged


def distance(a: dict, b: dict) -> float:
    """Of all weights, relative to the length of b."""
    pairs = [(a[name].double(), b[name].double()) for name in b if b[name].is_floating_point()]
    return float((sum((x - y).square().sum() for x, y in pairs) / sum(y.square().sum() for _, y in pairs)) ** 0.5)


def history_difference(a: dict, b: dict) -> float:
    """The largest difference of a value, relative to it."""
    pairs = [pair for name in b if "." in name for pair in zip(a[name], b[name], strict=True) if None not in pair]
    return max(abs(x - y) / max(abs(y), 1e-6) for x, y in pairs)


def differences(a: dict, b: dict, a_few: dict, b_few: dict) -> dict[str, float]:
    """How far a is from b, and both after few updates."""
    return {
        "losses, few": history_difference(a_few["history"], b_few["history"]),
        "losses": history_difference(a["history"], b["history"]),
        "weights, few": distance(a_few["net"], b_few["net"]),
        "weights": distance(a["net"], b["net"]),
        "scores": float(np.abs(a["scores"] - b["scores"]).max() / np.abs(b["scores"]).max()),
    }


def cell(game: str) -> dict:
    """The line of a game."""
    ((one_few, two_few, _), *rounds), (nudged_few, nudged) = fits(game)
    ms = [(one["ms"], first["ms"]) for one, first, _ in rounds]
    one, two, second = rounds[-1]
    same = all(bool((second["net"][name] == value).all()) for name, value in two["net"].items())
    return {
        "game": game,
        "detector": GAMES[game][0],
        "batch": GAMES[game][1]["batch_size"],
        "updates": UPDATES,
        "one model": same and bool((two["scores"] == second["scores"]).all()),
        "two": differences(two, one, two_few, one_few),
        "nudged": differences(nudged, one, nudged_few, one_few),
        "ms": {"one": median(one for one, _ in ms), "two": median(two for _, two in ms)},
        "time": {"median": median(two / one for one, two in ms), "rounds": ROUNDS},
        "versions": versions(),
    }


def summary(line: dict) -> str:
    """What came out."""
    figures = " ".join(f"{name} {line['two'][name]:.0e} ({line['nudged'][name]:.0e})," for name in line["two"])
    return f"one model: {line['one model']}; {figures} {line['ms']['one']:.1f} ms, x {line['time']['median']:.2f}"


def jobs() -> list[Job]:
    """A cell for each game."""

    def make(game: str) -> Job:
        def fit(attempt: Attempt) -> dict:
            del attempt
            return cell(game)

        return Job(key=FORM.key({"game": game}), title=game, run=fit)

    return [make(game) for game in GAMES]


def main() -> None:
    """Run what is missing, and print the table of docs/howto/several_processes.md, and of time, which
    is for machines without other jobs."""
    lines = run(jobs(), Record(FILE, FORM), summary=summary, report=say)
    say(f"\n| game | losses after {FEW} updates | after {UPDATES} | weights | scores | time of an update |")
    say("|---|---|---|---|---|---|")
    for line in lines:
        names = ("losses, few", "losses", "weights", "scores")
        cells = " | ".join(f"{line['two'][name]:.0e} ({line['nudged'][name]:.0e})" for name in names)
        say(f"| {line['game']} | {cells} | x {line['time']['median']:.2f} |")


if __name__ == "__main__":
    if sys.argv[1:]:
        game, folder, rank = sys.argv[1:]
        part(game, Path(folder), int(rank))
    else:
        main()
