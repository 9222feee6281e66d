"""Whether false-alarm rates were held, over data sets and detectors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..errors import DataError
from ..verdict.uniformity import alarms_band
from . import palette
from .figures import Display, percent, tidy

FURTHEST = 2.5  # times the rate, which an axis shows
CERTAINTY = 0.95
NEEDED = ("data", "detector", "rate", "found", "calibrate", "new")


@dataclass(frozen=True)
class Alarms:
    """False alarms of a detector on a data set at a rate: how many were `found` and `expected` of `new` rows, and the
    exact band of chance, `low` to `high`."""

    data: str
    detector: str
    rate: float
    found: float
    new: int
    expected: float
    low: float
    high: float

    @property
    def share(self) -> float:
        """The rate that was found."""
        return self.found / self.new

    @property
    def within(self) -> bool:
        """Whether it is within the band."""
        return self.low <= self.found <= self.high


@dataclass(eq=False, kw_only=True, repr=False)
class FalseAlarmsDisplay(Display):
    """False-alarm rates that were found, beside those requested: a panel for each rate, a line for each data set.

    Attributes
    ----------
    alarms : tuple of Alarms
        What was found, with the band that holds `certainty` (0.95) of such counts.
    rates : tuple of float
    """

    alarms: tuple[Alarms, ...]
    rates: tuple[float, ...]

    @classmethod
    def from_records(
        cls, records: Iterable[Mapping[str, Any]], *, certainty: float = CERTAINTY, ax: Any = None
    ) -> Self:
        """Draw records, each with "data", "detector", "rate", "found" (false alarms among new normal rows, over all
        splits), "calibrate" and "new" (the numbers of calibration rows and of new rows, or one of each split).

        The band is exact: alarms of a split are BetaBinomial(new, k, n + 1 - k) with k = floor(rate (n + 1)), and
        their sum the convolution. Raises `DataError` where a record lacks something.
        """
        found = [_alarms(record, i, certainty) for i, record in enumerate(records)]
        if not found:
            raise DataError("records: there are none to plot")
        return cls(alarms=tuple(found), rates=tuple(sorted({one.rate for one in found}))).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw in `ax`, one Axes or one for each rate, or in a new figure."""
        data = list(dict.fromkeys(one.data for one in self.alarms))
        detectors = list(dict.fromkeys(one.detector for one in self.alarms))
        size = 1.6 + 2.7 * len(self.rates), 1.5 + 0.24 * len(data) + 0.2 * -(-len(detectors) // 4)
        axes = self._panels(ax, 1, len(self.rates), size)[0]
        self.points_ = {}
        for panel, rate in zip(axes, self.rates, strict=True):
            some = [one for one in self.alarms if one.rate == rate]
            for one in some:
                place, wide = data.index(one.data), (one.high - one.low) / one.new
                panel.barh(place, wide, left=one.low / one.new, height=0.72, color=palette.BAND, zorder=1)
            panel.axvline(rate, color=palette.CHANCE, linestyle=":", linewidth=1.5, zorder=2)
            for i, detector in enumerate(detectors):
                mine = [one for one in some if one.detector == detector]
                shift = 0.36 * ((i + 0.5) / len(detectors) - 0.5)
                x = np.array([min(one.share, FURTHEST * rate) for one in mine])
                y = np.array([data.index(one.data) + shift for one in mine])
                self.points_[rate, detector] = panel.scatter(
                    x, y, s=18, marker=palette.MARKERS[i % len(palette.MARKERS)], color=palette.CYCLE[i % 8],
                    label=detector, zorder=3, clip_on=False,
                )  # fmt: skip
            panel.set(xlim=(0, FURTHEST * rate), ylim=(len(data) - 0.4, -0.6))
            panel.set_xticks([0, rate, 2 * rate])
            percent(panel.xaxis)
            panel.set_yticks(range(len(data)), labels=data if panel is axes[0] else [])
            panel.set_title(f"requested {100 * rate:g} %", fontsize="medium")
            panel.set_xlabel("false alarms found")
            tidy(panel)
            panel.grid(False, axis="y")
        self._key([self.points_[self.rates[0], detector] for detector in detectors], min(4, len(detectors)))
        return self


def _alarms(record: Mapping[str, Any], i: int, certainty: float) -> Alarms:
    if missing := [name for name in NEEDED if name not in record]:
        raise DataError(f"record {i}: has no {missing[0]!r}; a record has {', '.join(NEEDED)}")
    calibrate, new = (np.atleast_1d(record[name]).astype(int).tolist() for name in ("calibrate", "new"))
    if len(calibrate) != len(new) or min(new) < 1:
        raise DataError(f"record {i}: 'calibrate' and 'new' must have one number for each split, of one row at least")
    expected, low, high = alarms_band(calibrate, new, float(record["rate"]), certainty)
    return Alarms(
        str(record["data"]), str(record["detector"]), float(record["rate"]), float(record["found"]), sum(new),
        expected, low, high,
    )  # fmt: skip
