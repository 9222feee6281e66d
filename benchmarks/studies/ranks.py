"""What training in two processes gives and costs: the differences from one process, and the time of an update, by game.

    python -m benchmarks.studies.ranks

For every game one process and two, each with one thread, fit the same rows with the same seed and the same whole batch.
A line has the largest difference of a loss term's mean in the history, relative to the term; the distance of all
weights, relative to their length, after few and after all updates; the largest difference of a score, relative to the
largest score; whether both processes ended with one model; and the median milliseconds of an update in rounds that
take turns. Two processes on two cores can be at most twice as fast. An absolute time on a shared machine proves
nothing. Rows are drawn, so that the study needs no data. Prints a table and writes benchmarks/results/ranks.jsonl.
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
FEW, UPDATES, ROUNDS = 5, 60, 3
HOW = {"random_state": 0, "precision": "float32"}
PICTURES = {**HOW, "batch_size": 64}
TABLE = {**HOW, "batch_size": 256}
GAMES = {
    "GAN, table": ("DCGAN", TABLE),
    "WGAN-GP, pictures": ("ADGAN", {**PICTURES, "width": 32, "starts": 1, "steps": 1}),
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


def part(game: str, updates: int, folder: Path, rank: int, size: int) -> None:
    """One process of a fit; what it ends with is left in `folder`."""
    import torch

    import oddgan
    from oddgan.hooks import Hook

    class Times(Hook):
        at: list[float] = []  # noqa: RUF012  # one object of it is made

        def on_update(self, moment):
            self.at.append(time.perf_counter())

    torch.set_num_threads(1)
    if size > 1:
        torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    name, how = GAMES[game]
    det = getattr(oddgan, name)(**how, updates=updates, device="cpu")
    X, times = rows(game), Times()
    det.fit(X, hooks=[times])
    scores = det.anomaly_score(X[:100])
    steps = np.diff(times.at)[FEW:]
    found = {
        "net": det.net_.state_dict(),
        "history": det.history_,
        "scores": scores,
        "ms": 1e3 * float(np.median(steps)) if len(steps) else None,
    }
    torch.save(found, folder / f"{rank}.pt")


def fits(game: str, updates: int, size: int) -> list[dict]:
    """What each process of a fit ended with."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-W", "ignore", "-m", "benchmarks.studies.ranks", game, str(updates), folder]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        parts = [subprocess.Popen([*words, str(rank), str(size)], env=environment) for rank in range(size)]
        codes = [one.wait() for one in parts]
        if any(codes):
            raise SystemExit(f"{game}: a process failed")
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(size)]


def distance(a: dict, b: dict) -> float:
    """Of all weights, relative to the length of b."""
    pairs = [(a[name].double(), b[name].double()) for name in b if b[name].is_floating_point()]
    return float((sum((x - y).square().sum() for x, y in pairs) / sum(y.square().sum() for _, y in pairs)) ** 0.5)


def history_difference(a: dict, b: dict) -> float:
    """The largest difference of a value, relative to it."""
    pairs = [pair for name in b if "." in name for pair in zip(a[name], b[name], strict=True) if None not in pair]
    return max(abs(x - y) / max(abs(y), 1e-6) for x, y in pairs)


def cell(game: str) -> dict:
    """The line of a game."""
    (one_few,), two_few = fits(game, FEW, 1), fits(game, FEW, 2)
    ms: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        (one,), two = fits(game, UPDATES, 1), fits(game, UPDATES, 2)
        ms[1].append(one["ms"])
        ms[2].append(two[0]["ms"])
    same = all(bool((two[1]["net"][name] == value).all()) for name, value in two[0]["net"].items())
    return {
        "game": game,
        "detector": GAMES[game][0],
        "batch": GAMES[game][1]["batch_size"],
        "updates": UPDATES,
        "one model": same and bool((two[0]["scores"] == two[1]["scores"]).all()),
        "history": history_difference(two[0]["history"], one["history"]),
        f"weights after {FEW}": distance(two_few[0]["net"], one_few["net"]),
        "weights": distance(two[0]["net"], one["net"]),
        "scores": float(np.abs(two[0]["scores"] - one["scores"]).max() / np.abs(one["scores"]).max()),
        "ms": {"one": median(ms[1]), "two": median(ms[2])},
        "time": {"median": median(b / a for a, b in zip(ms[1], ms[2], strict=True)), "rounds": ROUNDS},
        "versions": versions(),
    }


def summary(line: dict) -> str:
    """What came out."""
    return (
        f"one model: {line['one model']}; history {line['history']:.0e}, weights {line[f'weights after {FEW}']:.0e} "
        f"and {line['weights']:.0e}, scores {line['scores']:.0e}; {line['ms']['one']:.1f} and {line['ms']['two']:.1f} "
        f"ms, x {line['time']['median']:.2f}"
    )


def jobs() -> list[Job]:
    """A cell for each game."""

    def make(game: str) -> Job:
        def fit(attempt: Attempt) -> dict:
            del attempt
            return cell(game)

        return Job(key=FORM.key({"game": game}), title=game, run=fit)

    return [make(game) for game in GAMES]


def main() -> None:
    """Run what is missing, and print the table of docs/howto/several_processes.md."""
    lines = run(jobs(), Record(FILE, FORM), summary=summary, report=say)
    say(f"\n| game | losses | weights after {FEW} updates | weights after {UPDATES} | scores | time of an update |")
    say("|---|---|---|---|---|---|")
    for line in lines:
        figures = (line["history"], line[f"weights after {FEW}"], line["weights"], line["scores"])
        cells = " | ".join(f"{figure:.0e}" for figure in figures)
        say(f"| {line['game']} | {cells} | x {line['time']['median']:.2f} |")


if __name__ == "__main__":
    if sys.argv[1:]:
        game, updates, folder, rank, size = sys.argv[1:]
        part(game, int(updates), Path(folder), int(rank), int(size))
    else:
        main()
