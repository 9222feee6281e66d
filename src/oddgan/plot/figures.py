"""Figures and their panels, through matplotlib's objects: pyplot only where no Axes are given."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import DataError, MissingExtra, ParameterError
from .palette import VERMILION

SIZE = (6.0, 4.2)  # inches, of a display of one panel


class Display:
    """What all displays have: after `plot`, `ax_`, `figure_` and, of several panels, `axes_`."""

    ax_: Any
    axes_: Any
    figure_: Any

    def _grid(self, ax: Any, n: int, columns: int, size: tuple[float, float]) -> list[Any]:
        """n Axes, `columns` beside each other: of `size` each where they are new; those that `ax` holds, if several."""
        if isinstance(ax, list | tuple | np.ndarray):
            return list(self._panels(ax, 1, n, size)[0])
        rows, columns = -(-n // columns), min(n, columns)
        axes = list(self._panels(ax, rows, columns, (size[0] * columns, size[1] * rows)).flat)
        for spare in axes[n:]:
            spare.set_axis_off()
        return axes[:n]

    _own = False  # whether the figure was made here
    _divided: Any = None  # the one Axes that was divided into panels

    def _single(self, ax: Any, size: tuple[float, float] = SIZE) -> Any:
        """The Axes to draw in."""
        require()
        self._own = ax is None
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.subplots(figsize=size, layout="constrained")[1]
        self.ax_, self.figure_ = ax, ax.figure
        return ax

    def _panels(self, ax: Any, rows: int, columns: int, size: tuple[float, float], **how: Any) -> np.ndarray:
        """The Axes (rows, columns) to draw in: new ones; `ax` divided; or, of several, these. `how`: as
        `GridSpec` has it. Raises `ParameterError` for another number of them."""
        require()
        self._own, self._divided = ax is None, None
        if ax is None:
            import matplotlib.pyplot as plt

            figure = plt.figure(figsize=size, layout="constrained")
            spec = figure.add_gridspec(rows, columns, **how)
        elif isinstance(ax, list | tuple | np.ndarray):
            given = np.array(ax, dtype=object).ravel()
            if len(given) != rows * columns:
                raise ParameterError(
                    f"{type(self).__name__}: ax holds {len(given)} Axes and there are {rows * columns} panels: "
                    "give one, which is divided, or as many"
                )
            return self._kept(given.reshape(rows, columns))
        else:
            figure, place = ax.figure, ax.get_subplotspec()
            ax.set_axis_off()
            self._divided = ax
            if place is None:
                return self._kept(_inset(ax, rows, columns, how))
            spec = place.subgridspec(rows, columns, **how)
        axes = [[figure.add_subplot(spec[i, j]) for j in range(columns)] for i in range(rows)]
        return self._kept(np.array(axes, dtype=object).reshape(rows, columns))

    def _title(self, text: str) -> Any:
        """Write a line above all panels, which may be longer than the first is wide. Returns the artist."""
        if self._own:
            return self.figure_.suptitle(text, x=0.01, ha="left", fontsize="large")
        over = self.ax_ if self._divided is None else self._divided
        return over.set_title(text, loc="left")

    def _note(self, text: str) -> Any:
        """Write lines below all panels. Returns the artist."""
        how = {"fontsize": "small", "color": VERMILION, "ha": "left"}
        if self._own:
            return self.figure_.supxlabel(text, x=0.01, **how)
        found = self.axes_[-1, 0].annotate(
            text, (0, 0), xytext=(-30, -42), xycoords="axes fraction", textcoords="offset points", va="top",
            annotation_clip=False, **how,
        )  # fmt: skip
        found.set_in_layout(False)
        return found

    def _key(self, handles: Any, columns: int) -> Any:
        """A legend below all panels. Returns the artist."""
        how = {"frameon": False, "fontsize": "small", "ncols": columns, "handles": handles}
        if self._own:
            return self.figure_.legend(loc="outside lower left", **how)
        return self.ax_.legend(loc="upper left", **how)

    def _kept(self, axes: np.ndarray) -> np.ndarray:
        self.axes_, self.ax_ = axes, axes.flat[0]
        self.figure_ = self.ax_.figure
        return axes


def _inset(ax: Any, rows: int, columns: int, how: dict[str, Any]) -> np.ndarray:
    """Panels inside Axes that belong to no grid."""
    gap = 0.1
    heights, widths = (
        np.array(how.get(name) or [1.0] * n) / sum(how.get(name) or [1.0] * n)
        for name, n in (("height_ratios", rows), ("width_ratios", columns))
    )
    axes = np.empty((rows, columns), dtype=object)
    for i, j in np.ndindex(rows, columns):
        left, below = widths[:j].sum(), 1 - heights[: i + 1].sum()
        box = (left, below + gap * heights[i], (1 - gap) * widths[j], (1 - 2 * gap) * heights[i])
        axes[i, j] = ax.inset_axes(box)
    return axes


def require() -> None:
    """Raise `MissingExtra` where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingExtra("matplotlib", "plot", "oddgan.plot") from error


def percent(axis: Any) -> None:
    """Show an axis of shares in percent."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))


def tidy(ax: Any) -> None:
    """Without the frame's upper and right lines, with faint grid lines."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color="#E6E6E6", linewidth=0.8)
    ax.set_axisbelow(True)


def bare(ax: Any) -> None:
    """Of a picture: without ticks and frame."""
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)


def displayed(picture: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """A picture (H, W) or (H, W, C) as matplotlib shows it, from 0 to 1: (H, W), or (H, W, 3) for colours."""
    low, high = value_range
    values = np.asarray(picture, np.float64)
    if values.ndim == 3:
        values = values[..., :3] if values.shape[2] >= 3 else values[..., 0]
    return np.asarray(np.clip((values - low) / ((high - low) or 1.0), 0.0, 1.0))


def show(ax: Any, picture: np.ndarray, **how: Any) -> Any:
    """Draw a picture whose values are from 0 to 1: a grey one in grey. Returns the artist."""
    bare(ax)
    how = {"cmap": "gray", "vmin": 0.0, "vmax": 1.0, "interpolation": "nearest", **how}
    return ax.imshow(picture, **how)


def mosaic(pictures: Sequence[np.ndarray] | np.ndarray, columns: int, gap: int = 1) -> np.ndarray:
    """Pictures (n, h, w) or (n, h, w, 3) from 0 to 1 as one, in rows of `columns`, with white between them."""
    first = np.asarray(pictures[0])
    h, w = first.shape[:2]
    rows = -(-len(pictures) // columns)
    shape = rows * (h + gap) - gap, columns * (w + gap) - gap, *first.shape[2:]
    sheet = np.ones(shape)
    for i, picture in enumerate(pictures):
        y, x = (i // columns) * (h + gap), (i % columns) * (w + gap)
        sheet[y : y + h, x : x + w] = picture
    return sheet


def chosen(i: int, n: int) -> int:
    """Row i of n, from the end where it is negative. Raises `DataError` where there is none."""
    if not -n <= i < n:
        raise DataError(
            f"i={i}: {f'there are {n:,} rows, from 0 to {n - 1:,}' if n != 1 else 'there is 1 row, and its i is 0'}"
        )
    return i % n
