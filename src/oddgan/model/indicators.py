"""How a training went, in numbers: what its history and samples of rows say. NumPy alone, and no anomaly is needed.

Every function returns floats by name, and leaves out what cannot be said. `oddgan.model.symptoms` judges them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics import auroc

Floats = np.ndarray
Health = dict[str, float]

HELD_OUT = "val."  # in front of a column of the history: the term of held-out rows
NEIGHBOURS = 5  # whose distance is the radius of a row's neighbourhood (Naeem et al., 2020)
LEAST_LINES = 8  # of the history that show a trend
LEAST_LOSS = 0.1  # from which an adversarial loss grows: some begin at nothing
SAID = {"real", "fake", "paste"}  # terms that are a discriminator's cross-entropies


# --- the history ----------------------------------------------------------------------------------------------------


def of_history(history: Mapping[str, Sequence[Any]]) -> Health:
    """Loss terms that exploded, vanished, stand still, fall or rise.

    "largest_term": the largest magnitude of a term at the end; "growth": the largest factor by which a term grew since
    the start; "constant.PLAYER": 1 where no term of the player changes at all; "won.PLAYER": the discriminator's
    cross-entropy, largest line of the second half; "fooled": the factor by which the adversarial losses against it grew
    since the first quarter; "epochs" and "updates" of the shortest stage; "falling": of the fall of the terms that
    reconstruct, the share that came in the last fifth (of held-out rows, if there are any); "rising": by how much they
    rose again from their minimum, as a share of the fall.
    """
    found: Health = {}
    shortest: dict[str, tuple[float, float]] = {}
    for stage, epoch, update in zip(*(history[name] for name in ("stage", "epoch", "update")), strict=True):
        shortest[stage] = float(epoch), float(update)
    if shortest:
        found["epochs"] = min(epochs for epochs, _ in shortest.values())
        found["updates"] = min(updates for _, updates in shortest.values())
    lines = dict(_lines(history))
    own = {name: values for name, values in lines.items() if not name.startswith(HELD_OUT)}
    found |= _sizes(own) | _wins(own)
    for player in {name.split(".")[0] for name in own}:
        terms = [values for name, values in own.items() if name.split(".")[0] == player]
        if max(map(len, terms)) > 2:
            found[f"constant.{player}"] = float(all(np.ptp(v) <= 1e-7 * np.abs(v).max() for v in terms))
    held = {name: values for name, values in lines.items() if name.startswith(HELD_OUT)}
    return found | _trends(held or own, held_out=bool(held))


def _lines(history: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, Floats]]:
    """The values of each loss term, those of its lines that have any."""
    for name, column in history.items():
        values = np.array([value for value in column if value is not None]) if "." in name else ()
        if len(values):
            yield name, np.asarray(values, np.float64)


def _sizes(terms: Mapping[str, Floats]) -> Health:
    if not terms:
        return {}
    largest = max(float(np.abs(values[-1])) for values in terms.values())
    growth = max(float(np.abs(v[-1]) / max(np.median(np.abs(v[: max(1, len(v) // 4)])), 1.0)) for v in terms.values())
    return {"largest_term": largest, "growth": growth}


def _wins(terms: Mapping[str, Floats]) -> Health:
    """Of discriminators that say real or fake; a critic's or an energy's terms have no such bound."""
    found: Health = {}
    for player in {name.split(".")[0] for name in terms}:
        said = [terms[name] for name in (f"{player}.{term}" for term in SAID) if name in terms]
        if len(said) < 2 or min(map(np.min, said)) < 0:
            continue
        total = np.sum([values[-min(map(len, said)) :] for values in said], axis=0)
        found[f"won.{player}"] = float(total[len(total) // 2 :].max())
    against = [values for name, values in terms.items() if name.split(".")[1] in ("adv", "vis", "lat", "xz", "xx")]
    if found and against:
        quarter = [max(1, len(values) // 4) for values in against]
        grown = [v[-q:].mean() / max(v[:q].mean(), LEAST_LOSS) for v, q in zip(against, quarter, strict=True)]
        found["fooled"] = float(max(grown))
    return found


def reconstructs(name: str) -> bool:
    """Whether a term measures what a network makes of rows, not what another network says of it: its fall is progress.
    `name`: "PLAYER.TERM", or that of held-out rows."""
    *_, player, term = name.split(".")
    return not player.startswith("D") and term in {
        "con", "enc", "rec", "nll", "izi", "ziz", "izi_f", "feature", "denoising", "l2", "ssim", "focal"
    }  # fmt: skip


def _trends(terms: Mapping[str, Floats], *, held_out: bool) -> Health:
    """Trends of the terms that reconstruct; of several, the largest."""
    falling, rising = [], []
    for name, values in terms.items():
        if not reconstructs(name) or len(values) < LEAST_LINES:
            continue
        fifths = [float(np.median(part)) for part in np.array_split(values, 5)]
        fall = max(fifths[0], float(np.median(values[:2]))) - min(fifths)
        if fall <= 1e-3 * np.abs(values).max():
            continue
        falling.append((fifths[-2] - fifths[-1]) / fall)
        rising.append((fifths[-1] - min(fifths)) / fall)
    if not falling:
        return {}
    return {"falling": max(falling), **({"rising": max(rising)} if held_out else {})}


# --- generated rows -------------------------------------------------------------------------------------------------


def distances(a: Floats, b: Floats) -> Floats:
    """Euclidean distances (n, m) of vectors (n, d) and (m, d)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(square, 0)))


def of_generated(train: Floats, held: Floats, made: Floats) -> Health:
    """What generated rows (m, d) have of the training rows (n, d), beside held-out rows (h, d).

    "spread": the median distance of two generated rows over that of two training rows. "coverage": the share of
    training rows with a generated row nearer than their fifth neighbour (Naeem et al., 2020), of what as many held-out
    rows cover. "copies": the median distance of generated rows to the nearest training row over that of held-out rows.
    """
    if not np.isfinite(made).all():
        return {"spread": 0.0, "coverage": 0.0}
    k = min(NEIGHBOURS, len(train) - 1)
    among, upper = distances(train, train), np.triu_indices(len(train), 1)
    real = float(np.median(among[upper]))
    if k < 1 or len(made) < 2 or not len(held) or real <= 0:
        return {}
    radius = np.sort(among, axis=1)[:, k]
    to_made, to_held = distances(train, made), distances(train, held)
    m = min(len(made), len(held))
    possible = float((to_held[:, :m].min(1) <= radius).mean())
    covered = float((to_made[:, :m].min(1) <= radius).mean())
    found = {"spread": float(np.median(distances(made, made)[np.triu_indices(len(made), 1)])) / real}
    if possible > 0:
        found["coverage"] = covered / possible
    usual = float(np.median(to_held.min(0)))
    return found | ({"copies": float(np.median(to_made.min(0))) / usual} if usual > 0 else {})


# --- reconstructions and embeddings ---------------------------------------------------------------------------------


def of_reconstructions(x: Floats, x_hat: Floats, other: Floats, other_hat: Floats) -> Health:
    """What reconstructions have of held-out rows x (n, d), and of rows that are none: `other` (m, d).

    "answer": the share of pairs of rows of which the reconstruction is nearer to its own row; one half is guessing.
    "answer_spread": the variance of reconstructions over that of rows. "kept": the share of the rows' variance that
    reconstructions explain; "kept_other": that of the other rows.
    """
    if not (np.isfinite(x_hat).all() and np.isfinite(other_hat).all()):
        return {}
    variance = float(((x - x.mean(0)) ** 2).sum())
    if len(x) < 2 or variance <= 0:
        return {}
    far = distances(x, x_hat)
    own = np.diag(far)[:, None]
    rest = ~np.eye(len(x), dtype=bool)
    slack = 1e-9 * far.max()
    nearer = np.where(own < far - slack, 1.0, np.where(own > far + slack, 0.0, 0.5))
    others = float(((other - x.mean(0)) ** 2).sum())
    return {
        "answer": float(nearer[rest].mean()),
        "answer_spread": float(((x_hat - x_hat.mean(0)) ** 2).sum()) / variance,
        "kept": 1 - float(((x - x_hat) ** 2).sum()) / variance,
        **({"kept_other": 1 - float(((other - other_hat) ** 2).sum()) / others} if others > 0 else {}),
    }


def of_features(z: Floats) -> Health:
    """ "features": how much the detector's features (n, k) vary with the row: the share of their mean square that is
    variance."""
    if not np.isfinite(z).all():
        return {}
    square = float((z.astype(np.float64) ** 2).mean())
    return {"features": float(z.astype(np.float64).var(axis=0).mean()) / square if square > 0 else 0.0}


# --- scores ---------------------------------------------------------------------------------------------------------


def of_scores(held: Floats, train: Floats, normal: Floats, altered: Floats) -> Health:
    """What the scores distinguish.

    "score_range": the range of held-out rows' scores over their largest magnitude. "gap": the chance that a held-out
    row is scored above a training row, one half where nothing was memorised. "finds": the chance that a simulated
    anomaly is scored above a held-out row (AUROC); "finds_error": its standard error where nothing is found;
    "responds": the share of simulated anomalies that are scored above the row that they were made of, two of each
    `normal` row (m,), in its order.
    """
    found: Health = {}
    finite = held[np.isfinite(held)]
    if len(finite) > 1:
        largest = float(np.abs(finite).max())
        found["score_range"] = float(np.ptp(finite)) / largest if largest > 0 else 0.0
    if len(train) and len(held):
        found["gap"] = auroc(np.repeat([0, 1], [len(train), len(held)]), np.concatenate([train, held]))
    if len(altered) and len(held):
        m, n = len(altered), len(held)
        found["finds"] = auroc(np.repeat([0, 1], [n, m]), np.concatenate([held, altered]))
        found["finds_error"] = math.sqrt((m + n + 1) / (12 * m * n))
    if len(altered) and len(normal):
        pairs = np.tile(normal, len(altered) // len(normal))
        found["responds"] = float(np.where(altered == pairs, 0.5, altered > pairs).mean())
    return found
