"""The detector to start with, by what rows are: what `oddgan train` takes where none is named.

Which one is best was measured on public sets (docs/choosing.md). Of the user's own rows only the kind, the size and
whether pictures lie alike are looked at.
"""

import warnings
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from . import preprocessing
from .errors import OddganError, ParameterError
from .model.fitting import SMALL_PICTURES
from .parameters import declared
from .preprocessing.prepared import spread
from .rows import PictureRows, open_rows

if TYPE_CHECKING:
    from .detector import Detector

ALIKE = 0.5  # the share of the variance of pixels that the mean picture explains, where parts lie alike
LOOKED_AT = 100  # pictures
COARSE = (32, 32)  # pixels in which they are compared
FINE = (64, 64)  # pixels in which an exposure is chosen
TILE = 64
COMPONENTS = 0.95  # share of the variance that principal components keep
BETTER = 0.02  # how much more of the simulated defects another exposure must tell from normals
MARKED = 4  # times each of them
LEAST = 24  # pictures, to choose an exposure by, or rows that differ, to compare others with
# What two processor cores train in less than ten minutes.
PARTS = {"updates": 1_500}
FOREIGN = {"updates": 2_500, "batch_size": 16, "width": 8}
NEIGHBOURS = ("local", "near", "neighbours")


def recommended(X: Any, **changes: Any) -> "Detector":
    """An unfitted detector for rows like X.

    Parameters
    ----------
    X : as for `Detector.fit`
        Normal rows.
    **changes
        Parameters that the caller sets otherwise.

    Returns
    -------
    Detector
        For tables GANomaly that compares rows with training rows in several views, E(x) among them. For pictures of at
        most 32 pixels a side GANomaly with the distance to the two nearest training pictures. For larger ones in which
        parts lie alike GANomaly, and for others DRAEM, in tiles of 64 pixels if they are large: both scored by their
        anomaly map. Where parts lie alike, pictures are brought to one exposure if that helps to tell simulated defects
        from normals (`best_exposure`).

    Raises
    ------
    ParameterError
        The detector has no parameter of that name.
    """
    from .detectors.draem import DRAEM
    from .detectors.ganomaly import GANomaly

    rows = open_rows(X)
    kind: type[Detector] = GANomaly
    chosen: dict[str, Any] = {}
    tile = changes.get("tile")
    side = preprocessing.longest_side(rows, changes.get("size"), tile)
    if side is None:
        chosen = {"local": "views"} if distinct(rows) >= LEAST else {}
    elif side <= SMALL_PICTURES and tile is None:
        chosen = {"local": "distance", "near": "rows", "neighbours": 2}
    elif alikeness(pictures := cast(PictureRows, rows)) < ALIKE:
        kind, chosen = DRAEM, dict(FOREIGN)
        if not {"tile", "size"} & changes.keys() and preprocessing.sides_of(pictures).min() >= 2 * TILE:
            chosen |= {"tile": TILE, "stride": TILE}
    else:
        chosen = dict(PARTS)
        if "exposure" not in changes:
            chosen["exposure"] = best_exposure(pictures)
    if {"epochs", "minutes"} & changes.keys():
        chosen.pop("updates", None)
    if {"local", "score_by"} & changes.keys():
        chosen = {name: value for name, value in chosen.items() if name not in NEIGHBOURS}
    elif {"near", "neighbours"} & changes.keys() and "local" not in chosen:
        chosen["local"] = "distance"
    if unknown := changes.keys() - declared(kind).keys():
        raise ParameterError(
            f"{min(unknown)}: {kind.__name__}, which suits such data, has no such parameter; name a detector that has"
        )
    return kind(**{**chosen, **changes})


def distinct(rows: Any) -> int:
    """How many rows of a table differ from each other, of the first thousand."""
    return len(np.unique(np.nan_to_num(rows[np.arange(min(len(rows), 1_000))].values, nan=np.inf), axis=0))


def alikeness(pictures: PictureRows) -> float:
    """Which share of the variance of grey levels the mean picture explains, each at one brightness and contrast:
    near 1 where parts lie alike, near 0 where each lies or is otherwise. Pictures of several sizes are compared in one.
    """
    numbers = spread(len(pictures), LOOKED_AT)
    values = np.stack([_grey(pictures[int(i)], COARSE) for i in numbers]).astype(np.float64)
    values -= values.mean(axis=(1, 2, 3), keepdims=True)
    values /= np.maximum(values.std(axis=(1, 2, 3), keepdims=True), np.finfo(np.float32).tiny)
    total = values.var()
    return float(1 - values.var(axis=0).mean() / total) if total > 0 else 1.0


def best_exposure(pictures: PictureRows) -> str:
    """The exposure with which simulated defects on some of these normal pictures are best told from others.

    By principal components, which train in a second and have seen no simulated defect; "none" unless another is clearly
    better. Deterministic.
    """
    order = np.random.default_rng(0).permutation(spread(len(pictures), 2 * LOOKED_AT))
    if len(order) < LEAST:
        return "none"
    try:
        return _best_exposure(pictures, order)
    except OddganError:  # nothing can be learned from these pictures in grey; a fit says what is wrong with them
        return "none"


def _best_exposure(pictures: PictureRows, order: np.ndarray) -> str:
    from .detectors.pca import PCA
    from .metrics import auroc
    from .simulate.pictures import anomalous

    random = np.random.default_rng(1)
    grey = np.stack([_grey(pictures[int(i)], FINE) for i in order])
    train, held = np.split(grey, [2 * len(order) // 3])
    values = (0.0, 255.0) if pictures[0].dtype == np.uint8 else (float(train.min()), float(train.max()))
    marked = np.stack([anomalous(one, random, value_range=values)[0] for one in held for _ in range(MARKED)])
    labels = np.arange(len(held) + len(marked)) >= len(held)
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of trials: the fit that follows warns of the user's own rows
        for exposure in ("none", *(["gain"] if values[0] >= 0 else []), "contrast"):
            det = PCA(components=COMPONENTS, random_state=0).set_params(exposure=exposure)
            found[exposure] = auroc(labels, det.fit(train).anomaly_score(np.concatenate([held, marked])))
    best = max(found, key=lambda one: found[one])
    return best if found[best] > found["none"] + BETTER else "none"


def _grey(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture (H, W, C) as grey levels (h, w, 1) float32."""
    from .preprocessing.resizing import resize

    return resize(picture.astype(np.float32).mean(axis=2, keepdims=True), size)
