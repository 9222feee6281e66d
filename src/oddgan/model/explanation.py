"""What a model finds in rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import show
from ..errors import ParameterError
from ..preprocessing.region import Region
from ..rows import Rows
from ..rows.frames import Template, framed
from ..verdict.regions import MapRegion, regions_of, threshold_in

MOST = 3  # columns that a frame names of each row
SHOWN = 8  # rows that a notebook shows


@dataclass(frozen=True, eq=False)
class Given:
    """What was explained. `rows`: as they were opened; `frame`: of a DataFrame, its type and index; `value_range`: of
    pictures, which values are black and white to the model."""

    rows: Rows
    frame: Template | None = None
    value_range: tuple[float, float] | None = None


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
    trained_on : (n,) bool or None
        Whether the row equals a training row in all that the networks see of it, with `tile` in every pixel. None
        where nothing is known of training rows, as in exports.
    columns : tuple of str
        Of tables, the names of the k columns, or "column 0" where they have none.
    map_threshold : float or None
        Of pictures: a place whose value in the map is above it is anomalous. At most a share `false_alarm_rate` of
        normal pictures has any such place.
    map_thresholds : (n,) float64 or None
        The same of each picture, where strata were given and have thresholds of their own.
    roi : Region or None
        Of pictures: the region of interest, where reconstructions are of the rectangle around it
        (`oddgan.preprocessing.region`). None where they are of whole pictures, as with `tile`.
    given : Given or None
        What was explained, for `plot` and `to_frame`; a pickle leaves it out.
    """

    score: np.ndarray
    p_value: np.ndarray
    is_anomaly: np.ndarray
    terms: Mapping[str, np.ndarray]
    reconstruction: np.ndarray | list[np.ndarray] | None
    anomaly_map: list[np.ndarray] | np.ndarray | None
    trained_on: np.ndarray | None
    columns: tuple[str, ...] = ()
    map_threshold: float | None = None
    map_thresholds: np.ndarray | None = None
    roi: Region | None = None
    given: Given | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "given": None}

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
        threshold = self.map_threshold if self.map_thresholds is None else float(self.map_thresholds[i])
        return anomaly_map, threshold_in(anomaly_map, threshold) if self.is_anomaly[i] else threshold

    # --- what is seen of it -----------------------------------------------------------------------------------------

    def to_frame(self, backend: str | None = None) -> Any:
        """A DataFrame with a line for each row.

        Columns: "score", "p_value", "verdict" ("anomaly" or "normal"), "trained_on" where it is known; "term NAME"
        for each term; of
        tables, "column 1", "share 1" to "column 3", "share 3", the columns with the largest shares; of pictures with
        standardised maps "regions", how many there are, and "region area", the share of the picture that they cover.

        `backend`: "pandas", "polars" or "pyarrow"; None: of the type of the DataFrame that was explained, with its
        index, or else the first of these that is installed. Raises `ParameterError` for another one.
        """
        columns: dict[str, Any] = {
            "score": self.score,
            "p_value": self.p_value,
            "verdict": ["anomaly" if flag else "normal" for flag in self.is_anomaly],
            **({} if self.trained_on is None else {"trained_on": self.trained_on}),
            **{f"term {name}": values for name, values in self.terms.items()},
        }
        if self.columns and self.anomaly_map is not None:
            largest = [self.largest(i, MOST) for i in range(len(self.score))]
            for place in range(min(MOST, len(self.columns))):
                columns[f"column {place + 1}"] = [one[place][0] for one in largest]
                columns[f"share {place + 1}"] = np.array([one[place][1] for one in largest])
        elif self.anomaly_map is not None and self.map_threshold is not None:
            columns["regions"] = np.array([len(self.regions(i)) for i in range(len(self.score))])
            columns["region area"] = np.array([self.mask(i).mean() for i in range(len(self.score))])
        return framed(columns, None if self.given is None else self.given.frame, backend)

    def plot(self, i: int = 0, *, ax: Any = None) -> Any:
        """Draw row i: `oddgan.plot.AnomalyMapDisplay` of a picture, `oddgan.plot.ColumnsDisplay` of a table's row.
        Returns the display. Raises `MissingExtra` without matplotlib."""
        rows, plots = None if self.given is None else self.given.rows, show.plots()
        if self.columns:
            return plots.ColumnsDisplay.from_explanation(self, i, X=rows, ax=ax)
        value_range = None if self.given is None else self.given.value_range
        return plots.AnomalyMapDisplay.from_explanation(rows, self, i, value_range=value_range, ax=ax)

    def __repr__(self) -> str:
        return show.text(*self._summary())

    def _repr_html_(self) -> str:
        first = np.argsort(-self.score, kind="stable")[:SHOWN]
        name = (lambda i: f"row {i}") if self.given is None else self.given.rows.name
        verdicts = ("normal", "anomaly")
        lines = [
            [name(int(i)), f"{self.score[i]:.4g}", f"{self.p_value[i]:.3g}", verdicts[int(self.is_anomaly[i])], where]
            for i, where in zip(first, map(self._where, first), strict=True)
        ]
        head = "the most anomalous", "score", "p-value", "verdict", "where"
        return show.html(*self._summary(), table=(head, lines))

    def _summary(self) -> tuple[str, list[str], dict[str, Any]]:
        """Title, warnings and facts."""
        n, flagged = len(self.score), int(self.is_anomaly.sum())
        known = 0 if self.trained_on is None else int(self.trained_on.sum())
        parts = {
            "reconstruction": self.reconstruction,
            "shares of columns" if self.columns else "anomaly map": self.anomaly_map,
        }
        warnings = [f"{known:,} of {n:,} rows equal rows that the model was trained on: they do not test it"] * (
            known > 0
        )
        facts = {
            "terms": ", ".join(self.terms) or "none",
            "with": ", ".join(name for name, one in parts.items() if one is not None) or "scores alone",
        }
        return f"Explanation of {n:,} row{'s' * (n != 1)}: {flagged:,} with the verdict anomaly", warnings, facts

    def _where(self, i: int) -> str:
        """Where row i is anomalous, in a few words."""
        if self.columns:
            return ", ".join(f"{name} {share:.0%}" for name, share in self.largest(int(i)))
        if self.anomaly_map is None or self.map_threshold is None:
            return ""
        found = self.regions(int(i))
        return f"{len(found)} region{'s' * (len(found) != 1)}, {self.mask(int(i)).mean():.1%} of the picture"

    def largest(self, i: int, most: int = 3) -> tuple[tuple[str, float], ...]:
        """The columns of a table with the largest shares of row i's residual, and their shares, at most `most` of
        them; empty where there are no shares."""
        if not self.columns or self.anomaly_map is None:
            return ()
        shares = self.anomaly_map[i]
        return tuple((self.columns[c], float(shares[c])) for c in np.argsort(-shares, kind="stable")[:most])
