"""The detector to start with, by what rows are: what `oddgan train` takes where none is named.

Which one is best was measured on public sets (docs/choosing.md). Of the user's own rows only the kind, the size and
whether pictures lie alike are looked at.
"""

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from . import preprocessing
from .errors import ParameterError
from .parameters import declared
from .rows import PictureRows, open_rows

if TYPE_CHECKING:
    from .detector import Detector

SMALL = 32  # pixels a side: pictures up to here show one thing, as a digit, and not a mark on it
ALIKE = 0.5  # the share of the variance of pixels that the mean picture explains, where parts lie alike
LOOKED_AT = 100  # pictures
COARSE = (32, 32)  # pixels in which they are compared
TILE = 64
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
        anomaly map.

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
    asked = GANomaly(**{name: value for name, value in changes.items() if name in ("size", "tile")})
    side = preprocessing.longest_side(rows, asked)
    if side is None:
        chosen = {"local": "views"}
    elif side <= SMALL and asked.tile is None:
        chosen = {"local": "distance", "near": "rows", "neighbours": 2}
    elif alikeness(pictures := cast(PictureRows, rows)) < ALIKE:
        kind = DRAEM
        whole = asked.tile is not None or asked.size is not None or min(pictures.header(0)[:2]) < 2 * TILE
        chosen = {} if whole else {"tile": TILE, "stride": TILE}
    if {"local", "score_by"} & changes.keys():
        chosen = {name: value for name, value in chosen.items() if name not in NEIGHBOURS}
    if unknown := changes.keys() - declared(kind).keys():
        raise ParameterError(
            f"{min(unknown)}: {kind.__name__}, which suits such data, has no such parameter; name a detector that has"
        )
    return kind(**{**chosen, **changes})


def alikeness(pictures: PictureRows) -> float:
    """Which share of the variance of grey levels the mean of the pictures explains: near 1 where parts lie alike, near
    0 where each lies or is otherwise. Pictures of several sizes are compared in one."""
    from .preprocessing.pictures import resize

    numbers = np.linspace(0, len(pictures) - 1, min(LOOKED_AT, len(pictures))).astype(int)
    grey = [resize(pictures[int(i)].astype(np.float32).mean(axis=2, keepdims=True), COARSE)[..., 0] for i in numbers]
    values = np.stack(grey).astype(np.float64)
    total = values.var()
    return float(1 - values.var(axis=0).mean() / total) if total > 0 else 1.0
