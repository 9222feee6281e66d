"""A picture beside what a detector makes of it: AnoGAN's figure."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..colours import Shades
from ..errors import DataError, ParameterError
from ..model import Explanation
from ..preprocessing.resizing import resize_map
from ..rows import open_rows
from . import palette
from .figures import Display, chosen, displayed, show

PANEL = 2.7  # inches of a side


@dataclass(eq=False, kw_only=True, repr=False)
class AnomalyMapDisplay(Display):
    """A picture, its reconstruction, the residual and the anomaly map side by side: those that there are.

    The map is shown over the picture as in reports: nothing below half the threshold, full strength at twice the
    threshold (of a flagged picture whose map is below that, at its peak), a line around the regions above it.

    Attributes
    ----------
    picture : (H, W) or (H, W, 3) float64 from 0 to 1, or None
        Black is the lower end of the model's range of values, white the upper end.
    reconstruction : as `picture`, at its size, or None
    residual : (H, W) float64 from 0 to 1, or None
        The absolute difference of the two, the mean over channels.
    anomaly_map : (H, W) float32 or None
        In usual deviations where `threshold` is given.
    threshold : float or None
        A place above it is anomalous.
    contours : list of (k, 2) float64
        The closed lines around the regions, as (x, y) in pixels.
    shades : Shades or None
        Which values are shown in which strength.
    images_ : dict of str to artist
        Once drawn, by "picture", "reconstruction", "residual", "anomaly map".
    """

    picture: np.ndarray | None
    reconstruction: np.ndarray | None
    anomaly_map: np.ndarray | None
    threshold: float | None
    contours: list[np.ndarray]
    shades: Shades | None
    title: str = ""

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, i: int = 0, *, ax: Any = None) -> Self:
        """Explain picture i of X, and draw."""
        rows: Any = open_rows(X, like=estimator.preprocessor_)
        if rows.kind != "pictures":
            raise DataError("X holds rows of a table, which have no maps: take oddgan.plot.ColumnsDisplay")
        i = chosen(i, len(rows))
        one = rows.taken(i, i + 1)
        value_range = estimator.preprocessor_.value_range
        return cls._of(one[0], estimator.explain(one), 0, value_range, rows.name(i)).plot(ax)

    @classmethod
    def from_explanation(
        cls,
        pictures: Any,
        explanation: Explanation,
        i: int = 0,
        *,
        value_range: tuple[float, float] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw row i of an explanation; `pictures` are what was explained, None to leave the picture out.

        `value_range`: which values are black and white; None: 0 and 255 of 8-bit pictures, else the range of the
        picture. Raises `DataError` for another number of pictures, `ParameterError` for rows of a table.
        """
        if explanation.columns:
            raise ParameterError("the explanation is of rows of a table: take oddgan.plot.ColumnsDisplay")
        n = len(explanation.score)
        i = chosen(i, n)
        picture, name = None, f"row {i}"
        if pictures is not None:
            rows: Any = open_rows(pictures)
            if rows.kind != "pictures" or len(rows) != n:
                raise DataError(f"pictures: there are {rows.describe()}, and the explanation is of {n:,} pictures")
            picture, name = rows[i], rows.name(i)
        if value_range is None:
            value_range = _range_of(picture, explanation.reconstruction, i)
        return cls._of(picture, explanation, i, value_range, name).plot(ax)

    @classmethod
    def _of(
        cls,
        picture: np.ndarray | None,
        found: Explanation,
        i: int,
        value_range: tuple[float, float],
        name: str,
    ) -> Self:
        heat = None if found.anomaly_map is None else np.asarray(found.anomaly_map[i], np.float32)
        shown = None if picture is None else displayed(picture, value_range)
        made = None if found.reconstruction is None else displayed(found.reconstruction[i], value_range)
        size = next((one.shape[:2] for one in (shown, heat, made) if one is not None), None)
        if made is not None and size is not None:
            made = _placed(made, size, found)
        shades, contours, threshold = None, [], found.map_threshold
        if heat is not None:
            shades = Shades.of(threshold) if threshold is not None else Shades(float(heat.max()) or 1.0)
            if threshold is not None:
                shades = shades.shown_in(heat) if found.is_anomaly[i] else shades
                contours = [np.array(one.contour, float) - 0.5 for one in found.regions(i)]
        verdict = "anomaly" if found.is_anomaly[i] else "normal"
        return cls(
            picture=shown,
            reconstruction=made,
            anomaly_map=heat,
            threshold=None if shades is None else shades.threshold,
            contours=contours,
            shades=shades,
            title=f"{name}: {verdict}, score {found.score[i]:.4g}, p = {found.p_value[i]:.2g}",
        )

    @property
    def residual(self) -> np.ndarray | None:
        """How far the picture is from its reconstruction, (H, W) from 0 to 1: the mean over channels."""
        if self.picture is None or self.reconstruction is None:
            return None
        whole, made = self.picture, self.reconstruction
        if whole.ndim != made.ndim:  # a model of grey pictures takes colour ones with `convert`
            whole, made = (one.mean(axis=2) if one.ndim == 3 else one for one in (whole, made))
        far = np.abs(whole - made)
        return np.asarray(far.mean(axis=2) if far.ndim == 3 else far)

    @property
    def unit(self) -> str:
        """Of the map."""
        return "usual deviations" if self.threshold is not None else "residual"

    @property
    def panels(self) -> tuple[str, ...]:
        """What there is to show."""
        there = {
            "picture": self.picture,
            "reconstruction": self.reconstruction,
            "residual": self.residual,
            "anomaly map": self.anomaly_map,
        }
        return tuple(name for name, one in there.items() if one is not None)

    def plot(self, ax: Any = None) -> Self:
        """Draw in `ax`, one Axes or one for each of `panels`, or in a new figure. Raises `DataError` where there is
        nothing to draw."""
        names = self.panels
        if not names:
            raise DataError("the detector reconstructs and locates nothing: give the pictures, to see these at least")
        first = next(one for one in (self.picture, self.anomaly_map, self.reconstruction) if one is not None)
        tall = min(2.0, max(0.5, first.shape[0] / first.shape[1]))
        bar = 0.75 if names[-1] == "anomaly map" else 0.0  # inches for the colour bar
        size = PANEL * len(names) + bar, PANEL * tall + 0.75
        axes = self._panels(ax, 1, len(names), size)[0]
        self.images_: dict[str, Any] = {}
        self.lines_: list[Any] = []
        self.colorbar_: Any = None
        for panel, name in zip(axes, names, strict=True):
            if name == "anomaly map":
                self._draw_map(panel)
            else:
                self.images_[name] = show(panel, getattr(self, name))
            panel.set_xlabel(f"{name}\n({self.unit})" if name == "anomaly map" else name)
        self._title(self.title)
        return self

    def _draw_map(self, ax: Any) -> None:
        assert self.anomaly_map is not None
        assert self.shades is not None
        h, w = self.anomaly_map.shape
        below = np.ones((h, w)) if self.picture is None else self.picture
        show(ax, below, extent=(-0.5, w - 0.5, h - 0.5, -0.5))
        image = show(ax, self.anomaly_map, cmap=palette.heat(), norm=palette.norm(self.shades), vmin=None, vmax=None)
        self.images_["anomaly map"] = image
        for contour in self.contours:
            closed = np.vstack([contour, contour[:1]])
            ax.plot(*closed.T, color=palette.INK, linewidth=2.6)
            self.lines_ += ax.plot(*closed.T, color="white", linewidth=1.2)
        ax.set(xlim=(-0.5, w - 0.5), ylim=(h - 0.5, -0.5))
        shades = self.shades
        self.colorbar_ = ax.figure.colorbar(image, cax=ax.inset_axes((1.04, 0.0, 0.05, 1.0)))
        marks = {shades.low: f"{shades.low:.3g}", shades.high: f"{shades.high:.3g}"}
        if self.threshold is not None and shades.low < self.threshold < shades.high:
            marks[self.threshold] = f"{self.threshold:.3g} threshold"
        self.colorbar_.set_ticks(list(marks), labels=list(marks.values()))
        self.colorbar_.ax.tick_params(labelsize="small")
        if self.threshold is not None:
            self.colorbar_.ax.axhline(self.threshold, color=palette.INK, linewidth=1.2)


def _range_of(picture: np.ndarray | None, made: Any, i: int) -> tuple[float, float]:
    """Which values are shown black and white, where nobody says."""
    if picture is not None and picture.dtype != np.uint8:
        return float(picture.min()), float(picture.max())
    if picture is None and made is not None and float(np.max(made[i])) <= 1.0:
        return float(np.min(made[i])), float(np.max(made[i]))
    return 0.0, 255.0


def _placed(made: np.ndarray, size: tuple[int, int], found: Explanation) -> np.ndarray:
    """A reconstruction at the picture's size; of a region of interest, in its place, and black around it."""
    if found.roi is not None:
        levels = found.roi.placed(np.rint(255 * made).astype(np.uint8), size)
        return np.asarray(levels / 255.0)
    if made.ndim == 2:
        return np.asarray(resize_map(made.astype(np.float32), size), np.float64)
    return np.stack([resize_map(one.astype(np.float32), size) for one in np.moveaxis(made, 2, 0)], 2).astype(np.float64)
