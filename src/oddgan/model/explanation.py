"""What a model finds in rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import ParameterError
from ..preprocessing.region import Region
from ..verdict.regions import MapRegion, regions_of, threshold_in


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
    roi : Region or None
        Of pictures: the region of interest, where reconstructions are of the rectangle around it
        (`oddgan.preprocessing.region`). None where they are of whole pictures, as with `tile`.
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
    roi: Region | None = None

    def regions(self, i: int) -> tuple[MapRegion, ...]:
        """Where picture i is anomalous: the regions of its map above `map_threshold`, that with the highest value
        first. A picture with the verdict anomaly has one at least, around the peak of its map. Raises `ParameterError`
        where there are no standardised maps of pictures."""
        return regions_of(*self._cut(i))

    def mask(self, i: int) -> np.ndarray:
        """Which pixels of picture i the regions cover, (H, W) bool. Raises `ParameterError` as `regions` does."""
        anomaly_map, threshold = self._cut(i)
        return np.asarray(anomaly_map > threshold)

    def _cut(self, i: int) -> tuple[np.ndarray, float]:
        """The map of picture i, and above what it is anomalous. Raises `ParameterError` where there is neither."""
        if self.columns:
            raise ParameterError("regions are of pictures, and these are rows of a table: ask largest for columns")
        if self.anomaly_map is None:
            raise ParameterError("the detector locates nothing, so there are no regions: it only scores")
        if self.map_threshold is None:
            raise ParameterError("the model is from before maps had a threshold: train it again to have regions")
        anomaly_map = self.anomaly_map[i]
        return anomaly_map, threshold_in(anomaly_map, self.map_threshold) if self.is_anomaly[i] else self.map_threshold

    def largest(self, i: int, most: int = 3) -> tuple[tuple[str, float], ...]:
        """The columns of a table with the largest shares of row i's residual, and their shares, at most `most` of
        them; empty where there are no shares."""
        if not self.columns or self.anomaly_map is None:
            return ()
        shares = self.anomaly_map[i]
        return tuple((self.columns[c], float(shares[c])) for c in np.argsort(-shares, kind="stable")[:most])
