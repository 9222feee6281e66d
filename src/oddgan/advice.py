"""The detector to start with, by what rows are: what `oddgan train` takes where none is named.

Which one is best was measured on public sets with simulated defects or on other sets than are reported
(docs/choosing.md); nothing is chosen on the user's own rows.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from .preprocessing import network_size
from .rows import PictureRows, open_rows

if TYPE_CHECKING:
    from .detector import Detector

SMALL = 32  # pixels a side: pictures up to here show one thing, as a digit, and not a mark on it


def recommended(X: Any, **changes: Any) -> "Detector":
    """An unfitted detector for rows like X.

    Parameters
    ----------
    X : as for `Detector.fit`
        Normal rows; only their kind and size are looked at.
    **changes
        Parameters that the caller sets otherwise.

    Returns
    -------
    Detector
        GANomaly. Rows of tables are compared with training rows in several views, E(x) among them, and pictures of at
        most 32 pixels a side with the two training pictures nearest to each; larger ones are scored by the peak of
        their anomaly map.

    Raises
    ------
    ParameterError
        The detector has no parameter of that name.
    """
    from .detectors.ganomaly import GANomaly

    return GANomaly(**{**_parameters(X, changes), **changes})


def _parameters(X: Any, changes: dict[str, Any]) -> dict[str, Any]:
    rows = open_rows(X)
    if changes.get("local", "off") != "off" or "score_by" in changes:
        return {}
    if not isinstance(rows, PictureRows):
        return {"local": "views"}
    side = max(network_size(changes.get("size"), np.array(rows.header(0)[:2])))
    if changes.get("tile") is None and side <= SMALL:
        return {"local": "distance", "near": "rows", "neighbours": 2}
    return {}
