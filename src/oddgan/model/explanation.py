"""What a model finds in rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..verdict.regions import MapRegion, regions_of


@dataclass(frozen=True, eq=False)
class Explanation:
    """What is anomalous about n rows, and how anomalous they are.

    Attributes
    ----------
    score : (n,) float64
        The anomaly score; higher is more anomalous.
    p_value : (n,) float64 in (0, 1]
        Conformal p-value against held-out normals.
    is_anomaly : (n,) bool
        The verdict: p_value <= the false-alarm rate.
    terms : mapping of str to (n,) float64
        What a score can be made of, by name.
    reconstruction : array, list of arrays or None
        What the model makes of each row, in the user's units. Pictures: (n, h, w[, C]) float32 at the model's size;
        with `tile` a list of n arrays (H, W[, C]) float32, each put together from its tiles at its picture's own size.
        Tables: (n, k) float64, or objects where a column holds text or booleans (None: missing). None for a detector
        that reconstructs nothing (`DCGAN`, an isolation forest).
    anomaly_map : list of arrays, array or None
        Pictures: a list of n arrays (H, W) float32, each at its picture's own size: how far each place is from what is
        usual there, in usual deviations (`oddgan.verdict.maps`), below 0 where it is closer than usual. Tables: (n, k)
        float64, each column's share of the residual. None for a detector that locates nothing.
    trained_on : (n,) bool
        Whether the row equals a training row in all that the networks see of it, with `tile` in every pixel.
    columns : tuple of str
        Of tables, the names of the k columns, or "column 0" where they have none.
    map_threshold : float or None
        Of pictures: a place whose value in the map is above it is anomalous. At most a share `false_alarm_rate` of
        normal pictures has any such place.
    """

    score: np.ndarray
    p_value: np.ndarray
    is_anomaly: np.ndarray
    terms: Mapping[str, np.ndarray]
    reconstruction: np.ndarray | list[np.ndarray] | None
    anomaly_map: list[np.ndarray] | np.ndarray | None
    trained_on: np.ndarray
    columns: tuple[str, ...] = ()
    map_threshold: float | None = None

    def regions(self, i: int) -> tuple[MapRegion, ...]:
        """Where picture i is anomalous: the regions of its map above `map_threshold`, that with the highest value
        first. A picture with the verdict anomaly has one at least, around the peak of its map; empty where there are no
        standardised maps."""
        cut = self._cut(i)
        return () if cut is None else regions_of(*cut)

    def mask(self, i: int) -> np.ndarray:
        """Which pixels of picture i the regions cover, (H, W) bool. Raises `ValueError` without standardised maps."""
        cut = self._cut(i)
        if cut is None:
            raise ValueError("there are no standardised anomaly maps to cut")
        anomaly_map, threshold = cut
        return np.asarray(anomaly_map > threshold)

    def _cut(self, i: int) -> tuple[np.ndarray, float] | None:
        """The map of picture i, and above what it is anomalous; None where there are no standardised maps."""
        if self.map_threshold is None or self.anomaly_map is None:
            return None
        anomaly_map = self.anomaly_map[i]
        if not self.is_anomaly[i]:
            return anomaly_map, self.map_threshold
        # The map was enlarged, which may lower its peak, and the score may be another term.
        peak = np.float32(anomaly_map.max())
        return anomaly_map, min(self.map_threshold, float(np.nextafter(peak, np.float32(-np.inf))))

    def largest(self, i: int, most: int = 3) -> tuple[tuple[str, float], ...]:
        """The columns of a table with the largest shares of row i's residual, and their shares, at most `most` of
        them; empty where there are no shares."""
        if not self.columns or self.anomaly_map is None:
            return ()
        shares = self.anomaly_map[i]
        return tuple((self.columns[c], float(shares[c])) for c in np.argsort(-shares, kind="stable")[:most])
