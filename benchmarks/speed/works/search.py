"""Searching a latent space: AnoGAN's 500 steps, a start from an encoder instead, and ADGAN's private weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from .. import Plan, Work
from ..peers import adgan, anogan
from ..peers.agreement import agreement, compared
from ..peers.ganomaly import plain
from ..peers.memory import peak
from ..peers.rows import DEVELOPMENT_DIGITS, as_networks_see, digit, digits_as_vectors, pictures
from ..timing import interleaved
from .scoring import relative

STEPS = 500
BLOCK = 64
ALONE = 4  # pictures searched for one at a time in a round: the cost of each does not depend on their number
ROUNDS = 5  # at most: a round takes half a minute
ENOUGH = 0.005  # AUROC: a shorter search that loses no more than this against 500 steps is called equal
FROM_ENCODER = (0, 1, 2, 5, 10, 20, 50, 100)
SAME_NETWORKS = "the widespread Keras implementation's for MNIST, 839,937 weights in G"


def model(normal: int, quick: bool, **changes: Any) -> tuple[Any, np.ndarray, np.ndarray]:
    """AnoGAN with the Keras implementation's networks, trained on one digit; test pictures, half of them of other
    digits, shuffled; which of these are anomalous. Few rows are held out, since calibration searches for each."""
    from oddgan import papers

    train, test, anomalous = digit(normal, 32 if quick else 160)
    order = np.random.default_rng(0).permutation(len(test))
    small = {"width": 4} if quick else {}
    det = papers.detector(
        "anogan", "mnist", variant="keras", random_state=0, device="cpu", calibrate_fraction=0.01, **changes, **small
    )
    det.set_params(updates=10 if quick else 1500, steps=changes.get("steps", steps(quick)))
    return det.fit(train[:200] if quick else train), test[order], anomalous[order]


def steps(quick: bool) -> int:
    """How many steps the long search takes."""
    return 3 if quick else STEPS


def searching(det: Any, **way: Any) -> Any:
    """The same model with another kind of search."""
    model = det.model_
    return type(det).from_model(replace(model, recipe=model.recipe.fixed(**way)))


class OneAtATime:
    """The peer: each call searches for the next few pictures, one at a time."""

    def __init__(self, det: Any, new: np.ndarray, steps: int) -> None:
        self.G, self.D = (plain(det.net_[name]).eval().requires_grad_(False) for name in "GD")
        self.start, self.steps, self.lr = det.net_["Z"].starts[0], steps, det.search_lr
        self.x = torch.from_numpy(new)[:, None].float().div(127.5).sub(1)
        self.scores: list[float] = []

    def __call__(self) -> None:
        done = len(self.scores) % (len(self.x) - ALONE)
        some = self.x[done : done + ALONE]
        found = anogan.search(self.G, self.D, some, self.start, steps=self.steps, lr=self.lr)
        self.scores.extend(found.tolist())


def anogan_500(plan: Plan, precision: str, reach: float) -> dict[str, Any]:
    """The 500-step search in blocks of 64, against one picture at a time in float32."""
    normal = DEVELOPMENT_DIGITS[1]
    changes = {}
    if precision != "float32":
        changes["scoring_precision"] = precision
    det, new, anomalous = model(normal, plan.quick, **changes)
    theirs = OneAtATime(det, new, steps(plan.quick))
    turn = iter(range(10**9))

    def ours() -> None:
        begin = next(turn) * BLOCK % len(new)
        det.anomaly_score(new[begin : begin + BLOCK])

    found = interleaved(ours, theirs, 2 if plan.quick else min(plan.rounds, ROUNDS))
    if precision == "float32":
        n = len(theirs.scores)
        scores = {"one at a time": np.array(theirs.scores), "in blocks": det.anomaly_score(new[:n])}
        accuracy = compared(scores, anomalous[:n]) | {"pictures": n}
    else:
        exact, _, _ = model(normal, plan.quick)
        accuracy = agreement(exact, det, new, anomalous)
    entry = found.entry(per=BLOCK)
    return {
        "what": f"AnoGAN, {det.steps} steps for each picture, MNIST networks, blocks of {BLOCK}, {precision}",
        "against": "one picture at a time, plain PyTorch, float32",
        "reach": reach,
        "aim": None,
        **entry,
        "theirs": [seconds * BLOCK / ALONE for seconds in entry["theirs"]],
        "ratios": [ratio * BLOCK / ALONE for ratio in entry["ratios"]],
        "unit": "seconds a picture",
        "accuracy": accuracy,
        "facts": {
            "networks": SAME_NETWORKS,
            "a round": f"{BLOCK} pictures of ours, {ALONE} of the peer's",
            "the peer's weights": "require no gradients",
            "model": f"trained on MNIST's digit {normal} (development data)",
            "early stop": "none: every picture takes every step on both sides",
        },
    }


def anogan_500_float32(plan: Plan) -> dict[str, Any]:
    """AnoGAN's search of 500 steps in blocks, float32"""
    return anogan_500(plan, "float32", reach=12)


def anogan_500_bfloat16(plan: Plan) -> dict[str, Any]:
    """AnoGAN's search of 500 steps in blocks, bfloat16"""
    return anogan_500(plan, "bfloat16", reach=25)


def anogan_encoder(plan: Plan) -> dict[str, Any]:
    """AnoGAN's search from an encoder's guess, with as few steps as do as well as 500"""
    long = {"start": "prior", "steps": steps(plan.quick)}
    tried: dict[str, dict[str, float]] = {}
    models = [model(one, plan.quick, start="encoder", steps=0) for one in DEVELOPMENT_DIGITS]

    def auroc(way: dict[str, Any]) -> float:
        name = f"{way['steps']} from {'the encoder' if way['start'] == 'encoder' else 'the prior'}"
        found = [roc_auc_score(anomalous, searching(det, **way).anomaly_score(new)) for det, new, anomalous in models]
        tried[name] = dict(zip(map(str, DEVELOPMENT_DIGITS), map(float, found), strict=True))
        return float(np.mean(found))

    goal = auroc(long) - ENOUGH
    ways = [{"start": "encoder", "steps": k} for k in FROM_ENCODER]
    equal = next((one for one in ways if auroc(one) >= goal), None)
    way = equal or ways[-1]
    det, new, _ = models[1]
    ours, theirs = searching(det, **way), OneAtATime(det, new, steps(plan.quick))
    found = interleaved(lambda: ours.anomaly_score(new), theirs, 2 if plan.quick else min(plan.rounds, ROUNDS))
    per, alone = len(new), [seconds / ALONE for seconds in found.theirs]
    return {
        "what": f"AnoGAN from an encoder's guess, {way['steps']} steps, MNIST networks, blocks of {BLOCK}, float32",
        "against": f"{steps(plan.quick)} steps for one picture at a time, plain PyTorch, float32",
        "reach": None,
        "aim": 500,
        "ratios": [ratio * per / ALONE for ratio in found.ratios],
        "ours": [seconds / per for seconds in found.ours],
        "theirs": alone,
        "unit": "seconds a picture",
        "accuracy": {f"AUROC after {name}, by digit": by_digit for name, by_digit in tried.items()},
        "facts": {
            "networks": SAME_NETWORKS,
            "reached": "the long search's AUROC" if equal else "no number of steps does as well as the long search",
            "steps": f"the fewest of {', '.join(map(str, FROM_ENCODER))} whose mean AUROC over development digits is "
            f"at most {ENOUGH} below that of the long search",
            "the encoder": "is trained after the game, for as many updates; that is not in these figures",
        },
    }


def adgan_search(plan: Plan, det: Any, X: np.ndarray, new: np.ndarray, what: str) -> dict[str, Any]:
    """ADGAN's scores of some rows by the public call, against a loop over rows and starts."""
    det.fit(X)
    G = plain(det.net_["G"]).eval().requires_grad_(False)
    x = as_networks_see(det, new)
    asked = {name: getattr(det, name) for name in ("steps", "z_lr", "weights_lr")}

    def theirs() -> np.ndarray:
        return adgan.search(G, x, det.net_["Z"].starts, **asked).numpy()

    found = interleaved(lambda: det.anomaly_score(new), theirs, 2 if plan.quick else min(plan.rounds, ROUNDS))
    ahead = np.concatenate([new] * 4)
    memory = {
        f"oddgan, {len(new)} rows": peak(lambda: det.anomaly_score(new)),
        f"oddgan, {len(ahead)} rows": peak(lambda: det.anomaly_score(ahead)),
        f"peer, {len(new)} rows": peak(theirs),
    }
    return {
        "what": f"ADGAN, {det.starts} starts of {det.steps} steps for each row, {what}",
        "against": "a loop over rows and starts, plain PyTorch, a deep copy for each",
        "reach": 1.0,
        "aim": None,
        **found.entry(per=len(new)),
        "unit": "seconds a row",
        "accuracy": {"largest relative difference of scores": relative(det.anomaly_score(new), theirs())},
        "facts": {"rows": len(new), "block": det.block_size, "MiB at the peak above what was held": memory},
    }


def adgan_pictures(plan: Plan) -> dict[str, Any]:
    """ADGAN's search, a copy of the generator for each row and start: pictures"""
    from oddgan import papers

    X = pictures(200, (1, 32, 32))
    det = papers.detector("adgan", "mnist", random_state=0, device="cpu", calibrate_fraction=0.01, block_size=8)
    det.set_params(updates=2 if plan.quick else 20, width=4 if plan.quick else 64, batch_size=32)
    return adgan_search(plan, det, X, X[:8], "1x32x32, the paper's networks, blocks of 8")


def adgan_table(plan: Plan) -> dict[str, Any]:
    """ADGAN's search, a copy of the generator for each row and start: rows of a table"""
    import oddgan

    train, test, _ = digits_as_vectors()
    det = oddgan.ADGAN(random_state=0, device="cpu", calibrate_fraction=0.05, updates=2 if plan.quick else 100)
    return adgan_search(plan, det, train, test[:64], "64 columns, blocks of 64")


WORKS: dict[str, Work] = {
    "anogan-500-float32": anogan_500_float32,
    "anogan-500-bfloat16": anogan_500_bfloat16,
    "anogan-encoder": anogan_encoder,
    "adgan": adgan_pictures,
    "adgan-table": adgan_table,
}
