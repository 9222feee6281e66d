"""PyOD's AnoGAN and ALAD, with their defaults, on the same rows."""

from statistics import median
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from .. import Plan, Work
from ..peers.pyod_process import Peer
from ..peers.rows import digits_as_vectors
from ..timing import Ratios, timed

BUDGETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
ROWS = "scikit-learn's digits as vectors in [-1, 1], 5 is the anomaly"
SLOW = 3  # rounds at most, of works that take a minute


def anogan(plan: Plan) -> dict[str, Any]:
    """PyOD's AnoGAN: seconds to fit"""
    import oddgan

    train, test, anomalous = digits_as_vectors()
    short = {"epochs": 1, "epochs_query": 1} if plan.quick else {}
    det = oddgan.AnoGAN(random_state=0, device="cpu", **({"updates": 5, "steps": 2} if plan.quick else {}))
    found = Ratios([], [])
    aurocs: dict[str, list[float]] = {"oddgan": [], "PyOD": []}
    with Peer(plan, train, test, anomalous) as peer:
        for seed in range(2 if plan.quick else min(plan.rounds, SLOW)):
            det.set_params(random_state=seed)
            for side in ("oddgan", "PyOD") if seed % 2 == 0 else ("PyOD", "oddgan"):
                if side == "PyOD":
                    answer = peer.fit("AnoGAN", seed, **short)
                    found.theirs.append(answer["seconds"])
                    aurocs[side].append(answer["auroc"])
                else:
                    found.ours.append(timed(lambda: det.fit(train)))
                    aurocs[side].append(float(roc_auc_score(anomalous, det.anomaly_score(test))))
    return {
        "what": f"AnoGAN, fit to {len(train)} rows of {train.shape[1]} columns",
        "against": "PyOD 3.6.7's AnoGAN; each side with its defaults and its own networks",
        "reach": 20,
        "aim": None,
        **found.entry(),
        "unit": "seconds to fit",
        "accuracy": {f"AUROC of {who}, by seed": values for who, values in aurocs.items()},
        "facts": {
            "rows": ROWS,
            "PyOD's fit": f"500 epochs in batches of 32, {500 * -(-len(train) // 32)} updates; then 20 steps of a "
            "search for each training row, one after the other",
            "oddgan's fit": f"{det.training_['updates'].get('game')} updates in batches of {det.batch_size}; then a "
            f"search of up to {det.steps} steps for each of {det.n_calibrate_} held-out rows, in blocks",
            "versions": peer.versions,
        },
    }


def alad(plan: Plan) -> dict[str, Any]:
    """PyOD's ALAD: seconds of fit until its AUROC is reached"""
    import oddgan

    train, test, anomalous = digits_as_vectors()
    found = Ratios([], [])
    aurocs: dict[str, list[float]] = {"oddgan": [], "PyOD": []}
    needed = []
    with Peer(plan, train, test, anomalous) as peer:
        for seed in range(2 if plan.quick else plan.rounds):
            answer = peer.fit("ALAD", seed, **({"epochs": 2} if plan.quick else {}))
            for updates in BUDGETS:  # with the same seed, a longer run passes through the states of a shorter one
                det = oddgan.ALAD(random_state=seed, device="cpu", updates=updates)
                auroc = float(roc_auc_score(anomalous, det.fit(train).anomaly_score(test)))
                if auroc >= answer["auroc"]:
                    break
            found.ours.append(timed(lambda det=det: det.fit(train)))
            found.theirs.append(answer["seconds"])
            aurocs["oddgan"].append(auroc)
            aurocs["PyOD"].append(answer["auroc"])
            needed.append(updates)
    reached = np.array(aurocs["oddgan"]) >= np.array(aurocs["PyOD"])
    return {
        "what": f"ALAD, fit to {len(train)} rows of {train.shape[1]} columns until the AUROC is PyOD's",
        "against": "PyOD 3.6.7's ALAD with its defaults; each side with its own networks",
        "reach": 1.0,
        "aim": None,
        **found.entry(),
        "unit": "seconds to fit",
        "accuracy": {f"AUROC of {who}, by seed": values for who, values in aurocs.items()},
        "facts": {
            "rows": ROWS,
            "rounds": f"one seed each; PyOD's AUROC was reached in {int(reached.sum())} of {len(reached)}",
            "updates that oddgan needed": f"{median(needed):g} in the median, {max(needed)} at most, of budgets "
            + ", ".join(map(str, BUDGETS)),
            "PyOD's fit": "200 batches of 32",
            "versions": peer.versions,
        },
    }


WORKS: dict[str, Work] = {"pyod-anogan": anogan, "pyod-alad": alad}
