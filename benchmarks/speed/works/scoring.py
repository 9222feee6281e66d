"""Scoring: GANomaly's pictures per second in blocks of 64, and the time of one picture in blocks of 1."""

from typing import Any

import numpy as np
import torch

from .. import Plan, Work
from ..peers import ganomaly
from ..peers.agreement import agreement
from ..peers.rows import DEVELOPMENT_DIGITS, digit, pictures
from ..timing import interleaved


def model(X: np.ndarray, updates: int, quick: bool, **changes: Any) -> Any:
    """GANomaly as its authors configured it for 32x32, trained on pictures for `updates` updates."""
    from oddgan import papers

    width = {"width": 4} if quick else {}
    det = papers.detector("ganomaly", "mnist", random_state=0, device="cpu", **changes, **width)
    return det.set_params(updates=updates, channels=None).fit(X)


def scoring(plan: Plan, block: int, n: int, reach: float, aim: float | None) -> dict[str, Any]:
    """n pictures by the public call against plain PyTorch, both in blocks of the same size."""
    X = pictures(256, (1, 32, 32))
    det = model(X, 2 if plan.quick else 10, plan.quick).with_block_size(block)
    G = ganomaly.plain(det.net_["G"]).eval().requires_grad_(False)
    n = min(n, 2 * block) if plan.quick else n
    new = np.concatenate([X] * (1 + n // len(X)))[:n]

    def theirs() -> np.ndarray:
        x = torch.from_numpy(new).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()
        return ganomaly.scores(G, x, block).numpy()

    found = interleaved(lambda: det.anomaly_score(new), theirs, 2 if plan.quick else 2 * plan.rounds, warm=2)
    return {
        "what": f"GANomaly 1x32x32, scores of {n} pictures in blocks of {block}, the paper's networks, float32",
        "against": "plain PyTorch in evaluation mode, the same score, the same blocks",
        "reach": reach,
        "aim": aim,
        **found.entry(per=n),
        "unit": "seconds a picture",
        "accuracy": {"largest relative difference of scores": relative(det.anomaly_score(new), theirs())},
        "facts": {"pictures": n, "block": block, "score": det.score_by},
    }


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, relative to the largest score."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def scoring_64(plan: Plan) -> dict[str, Any]:
    """GANomaly's scores in blocks of 64, pictures a second"""
    return scoring(plan, 64, 512, reach=1.4, aim=3.0)


def scoring_1(plan: Plan) -> dict[str, Any]:
    """GANomaly's scores in blocks of 1: the time of one picture"""
    return scoring(plan, 1, 16, reach=1.0, aim=None)


def scoring_64_bfloat16(plan: Plan) -> dict[str, Any]:
    """GANomaly's scores in bfloat16, and what it does to them"""
    normal = DEVELOPMENT_DIGITS[1]
    train, test, anomalous = digit(normal, 32 if plan.quick else 500)
    half, full = (
        model(train, 20 if plan.quick else 1000, plan.quick, scoring_precision=kind) for kind in ("bfloat16", "float32")
    )
    half, full = half.with_block_size(64), full.with_block_size(64)
    G = ganomaly.plain(full.net_["G"]).eval().requires_grad_(False)
    x = torch.nn.functional.interpolate(torch.from_numpy(test)[:, None].float(), (32, 32), mode="bilinear")
    new = x.round().byte()  # of the networks' size, so that neither side resizes

    def theirs() -> torch.Tensor:
        return ganomaly.scores(G, new.float().div(127.5).sub(1).contiguous(), 64)

    found = interleaved(lambda: half.anomaly_score(new), theirs, 2 if plan.quick else 2 * plan.rounds, warm=2)
    return {
        "what": f"GANomaly 1x32x32, scores of {len(new)} pictures in blocks of 64, the paper's networks, bfloat16",
        "against": "plain PyTorch in evaluation mode, the same score in float32, the same blocks",
        "reach": 2.5,
        "aim": None,
        **found.entry(per=len(new)),
        "unit": "seconds a picture",
        "accuracy": agreement(full, half, new, anomalous),
        "facts": {"pictures": len(new), "block": 64, "model": f"trained on MNIST's digit {normal} (development data)"},
    }


WORKS: dict[str, Work] = {
    "scoring-64": scoring_64,
    "scoring-1": scoring_1,
    "scoring-64-bfloat16": scoring_64_bfloat16,
}
