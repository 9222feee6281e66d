"""The detector to start with, by what rows are: what `oddgan train` takes where none is named.

Which one is best was measured on public sets (docs/howto/choosing.md). Of the user's own rows only the kind, the size
and whether pictures lie alike are looked at.
"""

import warnings
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from . import preprocessing
from .errors import OddganError, ParameterError
from .model.scored_by import SMALL_PICTURES
from .parameters import declared
from .preprocessing import Region
from .preprocessing.prepared import spread
from .preprocessing.resizing import resize
from .rows import PictureRows, open_rows

if TYPE_CHECKING:
    from .detector import Detector

ALIKE = 0.5  # the share of the variance of pixels that the mean picture explains, where parts lie alike
LOOKED_AT = 100  # pictures that are compared; twice as many to choose an exposure by
COARSE = (32, 32)  # pixels in which they are compared
FINE = (64, 64)  # pixels in which an exposure is chosen
TILE = 64
COMPONENTS = 0.95  # share of the variance that principal components keep
BETTER = 0.02  # how much more of the simulated defects another exposure must tell from normals
MARKED = 4  # times each of them
LEAST = 24  # pictures, to choose an exposure by, or rows that differ, to compare others with
# What two processor cores train in less than ten minutes.
PARTS = {"updates": 1_500}
LARGE = 128  # pixels of the longer side, where pictures have them
LARGE_PARTS = {"width": 16, "batch_size": 16, "updates": 3_000}
FOREIGN = {"updates": 2_500, "batch_size": 16, "width": 8}
NEIGHBOURS = ("local", "near", "neighbours")


def recommended(X: Any, **changes: Any) -> "Detector":
    """An unfitted detector for rows like X. Of pictures with a region of interest (`roi`) only the region is looked at.

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
        parts lie alike GANomaly, with a longer side of 128 pixels if they have as many, and for others DRAEM, in tiles
        of 64 pixels if they are large: both scored by their anomaly map. Where parts lie alike, pictures are brought to
        one exposure if that helps to tell simulated defects from normals (`best_exposure`).

    Raises
    ------
    ParameterError
        The detector has no parameter of that name, or `roi` does not fit the pictures.
    """
    from .detectors.draem import DRAEM
    from .detectors.ganomaly import GANomaly

    rows = open_rows(X)
    kind: type[Detector] = GANomaly
    chosen: dict[str, Any] = {}
    for name in ("roi", "size"):  # which are used here, before the detector checks them
        declared(kind)[name].check(changes.get(name))
    looked = None if rows.kind == "table" else Looked(cast(PictureRows, rows), changes.get("roi"))
    if looked is None:
        chosen = {"local": "views"} if distinct(rows) >= LEAST else {}
    elif changes.get("tile") is None and preprocessing.longest_of(changes.get("size"), looked.sides) <= SMALL_PICTURES:
        chosen = {"local": "distance", "near": "rows", "neighbours": 2}
    elif alikeness(looked) < ALIKE:
        kind, chosen = DRAEM, dict(FOREIGN)
        if not {"tile", "size"} & changes.keys() and looked.sides.min() >= 2 * TILE:
            chosen |= {"tile": TILE, "stride": TILE}
    else:
        typical = np.median(looked.sides, axis=0)
        chosen = dict(PARTS)
        if not any(changes.get(name) for name in ("size", "tile")) and typical.max() >= LARGE:
            chosen = {**LARGE_PARTS, "size": preprocessing.network_size(None, typical, LARGE)}
        if "exposure" not in changes:
            chosen["exposure"] = best_exposure(looked)
    if any(changes.get(budget) is not None for budget in ("epochs", "minutes")):
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


class Looked:
    """Some of many pictures, small and in grey. Each is read once, when it is first asked for; with a region of
    interest, the rectangle around it is looked at, filled as a fit fills it. `sides` (m, 2) of what is looked at.
    Raises `ParameterError` where `roi` does not fit the pictures."""

    def __init__(self, pictures: PictureRows, roi: Any = None) -> None:
        self.pictures = pictures
        self.region, self.sides = Region.seen(roi, preprocessing.sides_of(pictures))
        self.numbers = spread(len(pictures), 2 * LOOKED_AT)
        self.eight_bit = True  # as far as was read
        self._small: dict[int, dict[tuple[int, int], np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    def grey(self, places: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """The grey levels (k, h, w, 1) float32 of those at these places (k,), at size COARSE or FINE."""
        return np.stack([self._read(int(i))[size] for i in self.numbers[places]])

    def inside(self, size: tuple[int, int]) -> np.ndarray:
        """Which places (h, w, 1) of that size are in the region of interest, by more than half."""
        if self.region is None:
            return np.ones((*size, 1), bool)
        return resize(self.region.cut_mask[..., None].astype(np.float32), size) >= 0.5

    def _read(self, i: int) -> dict[tuple[int, int], np.ndarray]:
        if i not in self._small:
            picture = self.pictures[i]
            self.eight_bit = self.eight_bit and picture.dtype == np.uint8
            shown = picture if self.region is None else self.region.cut(picture)
            grey = shown.astype(np.float32).mean(axis=2, keepdims=True)
            self._small[i] = {size: resize(grey, size) for size in (COARSE, FINE)}
        return self._small[i]


def alikeness(looked: Looked) -> float:
    """Which share of the variance of grey levels the mean picture explains, each at one brightness and contrast:
    near 1 where parts lie alike, near 0 where each lies or is otherwise. Pictures of several sizes are compared in one.
    """
    values = looked.grey(spread(len(looked), LOOKED_AT), COARSE).astype(np.float64)
    values -= values.mean(axis=(1, 2, 3), keepdims=True)
    values /= np.maximum(values.std(axis=(1, 2, 3), keepdims=True), np.finfo(np.float32).tiny)
    total = values.var()
    return float(1 - values.var(axis=0).mean() / total) if total > 0 else 1.0


def best_exposure(looked: Looked) -> str:
    """The exposure with which simulated defects on some of these normal pictures are best told from others.

    By principal components, which train in a second and have seen no simulated defect; "none" unless another is clearly
    better. Deterministic.
    """
    if len(looked) < LEAST:
        return "none"
    try:
        return _best_exposure(looked)
    except OddganError:  # nothing can be learned from these pictures in grey; a fit says what is wrong with them
        return "none"


def _best_exposure(looked: Looked) -> str:
    from .detectors.pca import PCA
    from .metrics import auroc
    from .simulate.pictures import anomalous

    random, inside = np.random.default_rng(1), looked.inside(FINE)
    grey = looked.grey(np.random.default_rng(0).permutation(len(looked)), FINE)
    train, held = np.split(grey, [2 * len(grey) // 3])
    values = (0.0, 255.0) if looked.eight_bit else (float(train.min()), float(train.max()))

    def marked_once(one: np.ndarray) -> np.ndarray:
        return np.where(inside, anomalous(one, random, value_range=values)[0], one)  # no mark counts outside

    marked = np.stack([marked_once(one) for one in held for _ in range(MARKED)])
    labels = np.arange(len(held) + len(marked)) >= len(held)
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of trials: the fit that follows warns of the user's own rows
        for exposure in ("none", *(["gain"] if values[0] >= 0 else []), "contrast"):
            det = PCA(components=COMPONENTS, random_state=0).set_params(exposure=exposure)
            found[exposure] = auroc(labels, det.fit(train).anomaly_score(np.concatenate([held, marked])))
    best = max(found, key=lambda one: found[one])
    return best if found[best] > found["none"] + BETTER else "none"
