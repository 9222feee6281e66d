"""What one process and two processes do alike, for test_ranks.py: fits of every game, and runs that end early.

python ranks_games.py FOLDER      # two processes, which leave FOLDER/0.pt and FOLDER/1.pt
"""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import oddgan
from oddgan.errors import OddganError
from oddgan.hooks import Hook
from oddgan.ranks import SINGLE, current, joined, shared, whole

HOW = {"random_state": 0, "updates": 6, "batch_size": 16, "precision": "float32"}
SMALL = {**HOW, "width": 8}
CPU = torch.device("cpu")

random = np.random.default_rng(0)
TABLE = random.normal(size=(80, 2)) @ random.normal(size=(2, 5)) * [1, 10, 100, 0.1, 1e4]
RAMP = np.linspace(0, 150, 9) * random.uniform(0.5, 1, size=(64, 1, 1)) + random.uniform(0, 60, size=(64, 11, 1))
PICTURES = (RAMP + random.uniform(0, 20, size=(64, 11, 9))).astype(np.uint8)

GAMES: dict[str, Callable[[], tuple[Any, np.ndarray]]] = {
    "GAN": lambda: (oddgan.DCGAN(**SMALL), TABLE),
    "WGAN-GP": lambda: (oddgan.ADGAN(**SMALL, starts=1, steps=1), TABLE),
    "BiGAN": lambda: (oddgan.EGBAD(**SMALL), TABLE),
    "BiGAN by features": lambda: (oddgan.EGBAD(**SMALL, train_by="features"), PICTURES),
    "two stages": lambda: (oddgan.FAnoGAN(**HOW, encoder_updates=4, encoder_optimiser="adam"), TABLE),
    "GANomaly": lambda: (oddgan.GANomaly(**SMALL, augment="all", early_stopping=3), PICTURES),
    "ContraD": lambda: (oddgan.ContraD(**SMALL), PICTURES),
    "ContraD of a table": lambda: (oddgan.ContraD(**SMALL), TABLE),
    "mixture": lambda: (oddgan.DAGMM(**SMALL), TABLE),
    "noise": lambda: (oddgan.OCGAN(**{**SMALL, "updates": 4}, mining_after=2, mining_steps=2), PICTURES),
}
OTHERS: dict[str, Callable[[], tuple[Any, np.ndarray]]] = {
    "bfloat16": lambda: (oddgan.GANomaly(**{**SMALL, "precision": "bfloat16"}), PICTURES),
    "defects": lambda: (oddgan.DRAEM(**{**SMALL, "updates": 1, "batch_size": 4}, seg_width=4), PICTURES),
    "time": lambda: (oddgan.VAE(**{**SMALL, "updates": None}, minutes=0.003), TABLE),
    "neighbours": lambda: (oddgan.KNN(), TABLE),
    "ensemble": lambda: (oddgan.Ensemble(oddgan.VAE(**{**SMALL, "random_state": None}), seeds=2), TABLE),
}


class RankedGANomaly(oddgan.GANomaly):
    """Does something else in process 1, at its fourth update."""

    then = staticmethod(lambda net: None)

    def step(self, net: Any, batch: Any) -> Iterator[Any]:
        if batch.update == 4 and os.environ.get("RANKS_TEST") == "1":
            type(self).then(net)
        yield from super().step(net, batch)


class Ends(Hook):
    """Ends the run at the fourth update, or its stage."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.seen: list[int] = []

    def on_update(self, moment: Any) -> None:
        self.seen.append(moment.update)
        if moment.update == 4:
            if self.error is not None:
                raise self.error
            moment.stop("enough")


def result(det: Any, X: np.ndarray) -> dict[str, Any]:
    """What a fit has made, as numbers."""
    nets = [det.model_.net] if hasattr(det.model_, "net") else [m.net for m in det.model_.models.values()]
    return {
        "weights": [{name: value.clone() for name, value in net.state_dict().items()} for net in nets],
        "history": det.history_ if len(nets) == 1 else {},
        "threshold": det.threshold_,
        "scores": det.anomaly_score(X),
        "facts": {name: det.training_.get(name) for name in ("seed", "updates", "stopped", "processes", "warnings")},
    }


def fitted(name: str, **how: Any) -> dict[str, Any]:
    """The fit of a game."""
    det, X = {**GAMES, **OTHERS}[name]()
    return result(det.fit(X, **how), X)


def error_of(run: Callable[[], Any]) -> tuple[str, str] | None:
    """Class and words of the error that it raises."""
    try:
        run()
    except OddganError as error:
        return type(error).__name__, str(error)
    return None


def penalised() -> list[Tensor]:
    """Gradients of a gradient penalty, differentiated twice through batch normalisation and through `whole`."""
    torch.manual_seed(0)
    D = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Softplus(), nn.Linear(4, 1)).double()
    rows = torch.randn(8, 3, dtype=torch.float64)
    with joined(CPU) as world:
        x = rows[torch.from_numpy(world.shard(np.arange(8)))].requires_grad_()

        def value(x: Tensor) -> tuple[Tensor, None]:
            h = D(x)
            return (h * whole(h.square()).mean() + F.dropout(h, 0.5)).flatten(), None

        torch.manual_seed(1)
        with shared(world, 8) if world.size > 1 else torch.enable_grad():
            noise = torch.rand_like(x)
            h, _ = value(x + noise)
            (slope,) = torch.autograd.grad(h.sum(), x, create_graph=True)
            loss = ((slope.square().sum(1) + 1e-12).sqrt() - 1).square()
        loss.mean().backward()
        world.average(list(D.parameters()))
        return [p.grad.clone() for p in D.parameters()] + [D[1].running_mean.clone(), D[1].running_var.clone()]


def both(folder: Path) -> dict[str, Any]:
    """What two processes do, in this one."""
    found: dict[str, Any] = {"games": {name: fitted(name) for name in (*GAMES, *OTHERS)}, "penalised": penalised()}
    rank = torch.distributed.get_rank()

    def run(hooks: Any = (), **changes: Any) -> Any:
        det = RankedGANomaly(**{**SMALL, **changes})
        return result(det.fit(PICTURES, hooks=hooks, checkpoint=folder / "run", checkpoint_seconds=0), PICTURES)

    found["broken off"] = error_of(lambda: run(hooks=[Ends(OddganError("broken off"))]))
    found["kept"] = (folder / "run").exists()
    torch.distributed.barrier()
    found["resumed"] = run()
    torch.distributed.barrier()
    (folder / "run").unlink(missing_ok=True)
    found["uninterrupted"] = result(RankedGANomaly(**SMALL).fit(PICTURES), PICTURES)
    hook = Ends()
    found["stopped"] = result(oddgan.VAE(**SMALL).fit(TABLE, hooks=[hook]), TABLE)
    found["seen"] = hook.seen
    found["random"] = result(oddgan.VAE(**{**SMALL, "random_state": None}).fit(TABLE), TABLE)
    found["uneven"] = error_of(lambda: oddgan.VAE(**{**SMALL, "batch_size": 15}).fit(TABLE))
    found["another lr"] = error_of(lambda: oddgan.VAE(**SMALL, lr=1e-3 * (1 + rank)).fit(TABLE))
    kept = folder / "one" if rank == 0 else None
    found["one checkpoint"] = error_of(lambda: oddgan.VAE(**SMALL).fit(TABLE, checkpoint=kept))
    found["rate"] = error_of(lambda: oddgan.KNN(false_alarm_rate=1e-6).fit(TABLE))
    found["left"] = current() == SINGLE

    def drift(net: Any) -> None:
        next(net.D.parameters()).data.add_(1e-6)

    RankedGANomaly.then = staticmethod(drift)
    found["drifted"] = error_of(lambda: RankedGANomaly(**SMALL).fit(PICTURES))
    torch.save(found, folder / f"{rank}.pt")
    RankedGANomaly.then = staticmethod(lambda net: os._exit(9))
    found["died"] = error_of(run)
    return found


def main(folder: Path) -> int:
    """Be two processes, of which the second dies at the end."""
    fitted("GAN")  # what is loaded is loaded once
    child = os.fork()
    rank = 0 if child else 1
    os.environ["RANKS_TEST"] = str(rank)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(both(folder), folder / f"{rank}.pt")
    return 0 if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9 else 1


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main(Path(sys.argv[1])))
