"""Training: GANomaly's update, and how soon EGBAD is good on KDD Cup 1999."""

import gc
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

import oddgan
from oddgan import machine
from oddgan.hooks import Hook, Moment

from .. import Plan, Work, roofline
from ..peers import egbad, ganomaly
from ..peers.rows import TEST_ROWS, as_networks_see, kdd99, pictures
from ..timing import Ratios, no_collector, timed

WARM = 2  # updates of oddgan before timing starts; in one of them, floating-point operations are counted


class Turns(Hook):
    """A hook that times the updates of a running fit in turn with a peer's.

    Each round has `updates` of oddgan's, including all that the loop does between one call of the hook and the next,
    and as many of the peer's. The order is swapped from round to round: ours, theirs; theirs, ours; and so on.
    """

    def __init__(self, theirs: Callable[[], object], rounds: int, updates: int) -> None:
        self.theirs, self.rounds, self.updates = theirs, rounds, updates
        self.found = Ratios([], [])
        self.gflop = 0.0  # of one update of ours
        self._counter = roofline.counter()
        self._spent = 0.0

    @property
    def needed(self) -> int:
        """How many updates the fit needs."""
        return WARM + self.rounds * self.updates

    def on_start(self, moment: Moment) -> None:
        self._left = time.perf_counter()

    def on_update(self, moment: Moment) -> None:
        seconds = time.perf_counter() - self._left
        if moment.update <= WARM:
            self._warm(moment.update)
        else:
            self._spent += seconds
            if (moment.update - WARM) % self.updates == 0:
                self._round()
        self._left = time.perf_counter()

    def _warm(self, update: int) -> None:
        if update == WARM - 1:
            self._counter.__enter__()  # the next update runs within
        elif update == WARM:
            self._counter.__exit__(None, None, None)
            self.gflop = self._counter.get_total_flops() / 1e9
            self.theirs()

    def _round(self) -> None:
        self.found.ours.append(self._spent / self.updates)
        self._spent = 0.0
        done = len(self.found.ours)
        while len(self.found.theirs) < min(done + done % 2, self.rounds):
            self.found.theirs.append(timed(lambda: [self.theirs() for _ in range(self.updates)]) / self.updates)
        gc.collect()


def ganomaly_step(shape: tuple[int, int, int], reach: float, aim: float | None, updates: int) -> Work:
    """One update of GANomaly with the paper's networks on pictures (C, H, W), `updates` of them in each round."""
    channels, height, _ = shape

    def work(plan: Plan) -> dict[str, Any]:
        det = oddgan.GANomaly(
            size=height, latent_dim=100, width=4 if plan.quick else 64, batch_size=64, random_state=0, device="cpu"
        )
        X = pictures(192, shape)
        torch.manual_seed(0)
        net = det.build(shape)
        peer = ganomaly.Peer(net["G"], net["D"])
        rows = torch.from_numpy(X).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()

        def step() -> None:
            peer.step(rows[torch.randint(len(rows), (64,))])

        gflop_theirs = roofline.gflop(step)
        turns = Turns(step, 2 if plan.quick else plan.rounds, 1 if plan.quick else updates)
        det.set_params(updates=turns.needed)
        with no_collector():
            det.fit(X, hooks=[turns])
        kind = det.training_["precision"]
        rates = roofline.rates(plan.threads, plan.quick)
        ours, theirs = median(turns.found.ours), median(turns.found.theirs)
        return {
            "what": f"GANomaly, one update, {channels}x{height}x{height}, batches of 64, the paper's networks",
            "against": "the authors' order of steps, plain PyTorch, float32",
            "reach": reach,
            "aim": aim,
            **turns.found.entry(),
            "unit": "seconds an update",
            "roofline": {
                "gflop": turns.gflop,
                "gflop_theirs": gflop_theirs,
                "type": kind,
                "ours_share": turns.gflop / ours / rates[kind]["best"],
                "theirs_share": gflop_theirs / theirs / rates["float32"]["best"],
                "limit": theirs / (turns.gflop / rates[kind]["best"]),
                "rates": rates,
            },
            "facts": {
                "precision": kind,
                "updates in a round": turns.updates,
                "averaged weights": f"oddgan's loop keeps them (ema={det.ema}), the peer does not",
                "rule for precision": str(machine.LEAST_PIXELS_FOR_BF16) + " pixels and more",
            },
        }

    work.__doc__ = f"one update of GANomaly, {channels}x{height}x{height}"
    return work


GOALS = (0.99, 0.985, 0.98)  # AUROC; the first one that oddgan reaches is the goal of both
BUDGETS = (50, 100, 200, 400, 800, 1600, 3200)  # updates of oddgan's, each a separate training
LOOK_EVERY = 100  # updates of the peer's between two looks at its AUROC, which are not timed
PATIENCE = 20  # the peer is stopped after this multiple of our time; the ratio is then a lower bound
AMONG_ROUNDS = 100  # updates of the peer's that are timed in each round
# Chosen on kdd99(development=True), where no setting that was tried reached 0.99: rates of 2e-4 to 4e-3, batches of 64
# to 256, the residual weighted with 0 to 200, averages of 0.99 and 0.999, 10,000 rows or all, four ways of scaling.
# This one reached 0.988 after 1,500 updates, untrained networks 0.972.
CHOSEN = {"batch_size": 256, "lr": 1e-3, "log_tails": True}


class Seconds(Hook):
    """Seconds of training, from the first update to the end, including averages and statistics after the last one."""

    spent = 0.0

    def on_start(self, moment: Moment) -> None:
        self._started = time.perf_counter()

    def on_end(self, moment: Moment) -> None:
        self.spent = time.perf_counter() - self._started


def egbad_kdd99(plan: Plan) -> dict[str, Any]:
    """EGBAD on KDD Cup 1999: seconds of training to an AUROC of 0.99"""
    rows = kdd99()
    test = np.concatenate([rows["normal"], rows["new"], rows["anomalous"]])
    clock = Seconds()

    def trained(updates: int) -> Any:
        det = oddgan.EGBAD(latent_dim=32, width=64, random_state=0, device="cpu", updates=updates, **CHOSEN)
        with no_collector():
            return det.fit(rows["train"], hooks=[clock])

    reached: dict[int, tuple[float, float]] = {}
    for updates in BUDGETS[:2] if plan.quick else BUDGETS:
        det = trained(updates)
        reached[updates] = aurocs(det.anomaly_score(test), rows)
        if reached[updates][0] >= GOALS[0]:
            break
    best = max(both[0] for both in reached.values())
    goal = next((goal for goal in ((0.9,) if plan.quick else GOALS) if best >= goal), None)
    facts: dict[str, Any] = {
        "rows": f"{len(rows['train'])} attacks, drawn from the literature's training half, to train on; "
        f"{TEST_ROWS} attacks and {TEST_ROWS} others of its test half; 121 columns, standardised on training rows",
        "AUROC by updates of ours": {str(n): round(both[0], 4) for n, both in reached.items()},
        "the same among attacks that equal no training row": {str(n): round(both[1], 4) for n, both in reached.items()},
        "AUROC of the untrained networks": round(aurocs(trained(1).anomaly_score(test), rows)[0], 4),
        "ours": f"{', '.join(f'{name} {value:g}' for name, value in CHOSEN.items())}, chosen on development rows",
        "heavy tails": "log_tails, on both sides: the peer gets the rows that oddgan's networks see",
        "peer": "batches of 50, a rate of 1e-5, averages of 0.9999; either its last or its averaged weights may be "
        "first; the authors' rows are not scaled, these are",
    }
    what = "EGBAD on KDD99's 121 columns, training to an AUROC of "
    against = "the authors' order of steps, batch size and rate, plain PyTorch"
    if goal is None:
        return {"what": f"{what}{GOALS[-1]}, which oddgan does not reach", "against": against, "facts": facts}
    needed = next(n for n, both in reached.items() if both[0] >= goal)
    trained(needed)
    peer = Course(det, rows, test)
    came = peer.run_to(goal, 2.0 if plan.quick else PATIENCE * clock.spent)
    facts |= {"updates": {"oddgan": needed, "peer": peer.updates}, "AUROC of the peer at its end": peer.auroc}
    found = Ratios([], [])
    for n in range(2 if plan.quick else plan.rounds):
        for side in ("ours", "theirs") if n % 2 == 0 else ("theirs", "ours"):
            if side == "ours":
                trained(needed)
                found.ours.append(clock.spent)
            else:
                found.theirs.append(timed(lambda: peer.run(AMONG_ROUNDS)) / AMONG_ROUNDS * facts["updates"]["peer"])
    return {
        "what": f"{what}{goal:g}",
        "against": against,
        "reach": 10,
        "aim": None,
        **found.entry(),
        **({} if came else {"bound": "at least"}),
        "unit": "seconds to the AUROC",
        "facts": facts
        | {"the peer's seconds": f"those of {AMONG_ROUNDS} of its updates in each round, times the updates it needed"},
    }


def aurocs(scores: np.ndarray, rows: dict[str, np.ndarray]) -> tuple[float, float]:
    """From scores of normal, new and anomalous rows: AUROC of anomalous against normal, and against new rows."""
    parts = np.split(scores, np.cumsum([len(rows["normal"]), len(rows["new"])]))
    normal, new = (np.concatenate([part, parts[2]]) for part in parts[:2])
    sides = [np.arange(len(both)) >= len(both) - len(parts[2]) for both in (normal, new)]
    return float(roc_auc_score(sides[0], normal)), float(roc_auc_score(sides[1], new))


class Course:
    """A training of the peer, on the rows that a fitted detector's networks see."""

    def __init__(self, det: Any, rows: dict[str, np.ndarray], test: np.ndarray) -> None:
        torch.manual_seed(0)
        net = det.build(det.preprocessor_.shape)
        self.peer = egbad.Peer(net["G"], net["E"], net["D"], det.latent_dim)
        self.det, self.rows, self.updates, self.auroc = det, rows, 0, 0.0
        self.train, self.test = (as_networks_see(det, part) for part in (rows["train"], test))

    def run(self, updates: int) -> None:
        """Make `updates` updates."""
        for _ in range(updates):
            places = torch.randint(len(self.train), (2, 50))
            self.peer.step(self.train[places[0]], self.train[places[1]])
        self.updates += updates

    def run_to(self, goal: float, seconds: float) -> bool:
        """Train until the last or the averaged weights reach an AUROC of `goal`, or `seconds` pass; whether they do."""
        spent = 0.0
        while spent < seconds and self.auroc < goal:
            spent += timed(lambda: self.run(LOOK_EVERY))
            self.auroc = max(self._auroc(self.peer.net), self._auroc(self.peer.averages))
        return self.auroc >= goal

    def _auroc(self, nets: dict[str, torch.nn.Module]) -> float:
        view = torch.nn.ModuleDict(nets).eval()
        with torch.no_grad():
            found = self.det.score_rows(view, self.test)[self.det.score_by]
        for net in self.peer.net.values():
            net.train()
        return aurocs(found.numpy(), self.rows)[0]


WORKS: dict[str, Work] = {
    "egbad-kdd99": egbad_kdd99,
    "ganomaly-step-1x32": ganomaly_step((1, 32, 32), reach=2.5, aim=3.3, updates=8),
    "ganomaly-step-3x64": ganomaly_step((3, 64, 64), reach=2.5, aim=None, updates=2),
    "ganomaly-step-3x128": ganomaly_step((3, 128, 128), reach=2.5, aim=None, updates=1),
}
