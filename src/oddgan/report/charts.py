"""Small charts as inline SVG, coloured by the page's style sheet: no library and no script, sharp in print."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import MappingProxyType

import numpy as np

from ..metrics import Estimate

Points = Iterable[tuple[float, float]]

BINS = 40
CUT = 3  # times from the lowest score to the threshold, where scores above are shown together
SQUEEZED = 0.15  # a threshold in this leftmost share of the width calls for a logarithmic scale


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The area of a plot: converts data to pixels. Axes without given ticks get round ones."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_ticks: Sequence[float] = ()
    y_ticks: Sequence[float] = ()
    width: int = 460
    height: int = 300
    left: int = 60
    right: int = 12
    top: int = 14
    bottom: int = 40
    log: bool = False  # the horizontal scale

    @property
    def end(self) -> int:
        """The plot's right edge in pixels."""
        return self.width - self.right

    @property
    def base(self) -> int:
        """The plot's lower edge in pixels."""
        return self.height - self.bottom

    def px(self, value: float) -> float:
        """The horizontal position of a value, in pixels."""
        low, high, at = (math.log(v) if self.log else v for v in (*self.x, value))
        return self.left + (at - low) / (high - low) * (self.end - self.left)

    def py(self, value: float) -> float:
        """The vertical position of a value, in pixels."""
        return self.base - (value - self.y[0]) / (self.y[1] - self.y[0]) * (self.base - self.top)

    def path(self, points: Points, css: str, *, close: bool = False) -> str:
        """A line through data points; points on the same spot are drawn once, and a NaN interrupts the line."""
        parts: list[str] = []
        pen, last = "M", ""
        for x, y in points:
            if not math.isfinite(y):
                pen = "M"
                continue
            spot = f"{self.px(x):.1f} {self.py(y):.1f}"
            if pen == "M" or spot != last:
                parts.append(pen + spot)
            pen, last = "L", spot
        return f'<path class="{css}" d="{"".join(parts)}{"Z" if close and parts else ""}"/>'

    def frame(self, x_label: str, y_label: str, *, percent: bool = False) -> str:
        """Grid lines, ticks with their numbers, and the axes' names."""
        parts = []
        for value in self.y_ticks or ticks(*self.y):
            y = self.py(value)
            parts += [line("grid", self.left, y, self.end, y)]
            parts += [label("tick", self.left - 7, y + 4, f"{100 * value:g}%" if percent else f"{value:g}", "end")]
        for value in self.x_ticks or ticks(*self.x):
            x = self.px(value)
            parts += [line("axis", x, self.base, x, self.base + 4)]
            parts += [label("tick", x, self.base + 17, f"{value:g}", "middle")]
        parts += [line("axis", self.left, self.base, self.end, self.base)]
        parts += [label("label", (self.left + self.end) / 2, self.height - 4, x_label, "middle")]
        middle = (self.top + self.base) / 2
        parts += [
            f'<g transform="translate(11 {middle:.1f}) rotate(-90)">{label("label", 0, 0, y_label, "middle")}</g>'
        ]
        return "".join(parts)

    def upright(self, css: str, x: float, above: int = 0) -> str:
        """A vertical line over the plot's height, and `above` pixels higher."""
        return line(css, self.px(x), self.top - above, self.px(x), self.base)

    def dot(self, x: float, y: float, note: str = "") -> str:
        """A point with a note beside it, on the side with more space."""
        px, py, late = self.px(x), self.py(y), x > 0.7 * self.x[1]
        text = label(
            "note", px + (-10 if late else 10), py + (18 if y > 0.12 else -8), note, "end" if late else "start"
        )
        return f'<circle class="dot" cx="{px:.1f}" cy="{py:.1f}" r="4.5"/>{text if note else ""}'

    def svg(self, title: str, *parts: str) -> str:
        """The chart; `title` describes it for screen readers."""
        return (
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(title)}">'
            f"{''.join(parts)}</svg>"
        )


def line(css: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """A straight line, in pixels."""
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def label(css: str, x: float, y: float, text: str, anchor: str) -> str:
    """Text at a position in pixels; `anchor` is "start", "middle" or "end"."""
    return f'<text class="{css}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """About `about` round numbers from `low` to `high`."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def score_histogram(
    groups: dict[str, np.ndarray], threshold: float, before: float | None = None, width: int = 960
) -> str:
    """The distribution of scores: `groups` maps "normal", "anomalous", "all", "calibration", "scored", "before" or
    "after" to scores; a group's bars add up to 1. `before`: another threshold, dashed; `width`: in pixels.

    Where the highest scores would squeeze everything below the threshold into a corner, the scale is logarithmic, or,
    of scores below zero, cut.
    """
    every = np.concatenate([*groups.values(), [threshold], [] if before is None else [before]])
    low, high = float(every.min()), float(every.max())
    log = cut = False
    if threshold - low < SQUEEZED * (high - low):
        log, cut = low > 0, low < min(0.0, threshold)
    if cut:
        high = low + CUT * (threshold - low)
    if high - low <= 1e-9 * abs(high):
        low, high = low - 0.5, high + 0.5
    edges = np.geomspace(low, high, BINS + 1) if log else np.linspace(low, high, BINS + 1)
    edges[0], edges[-1] = low, high  # rounding in geomspace would drop the lowest or the highest row
    shares = {name: np.histogram(np.minimum(s, high), edges)[0] / s.size for name, s in groups.items()}
    axes = Axes(
        x=(low, high),
        y=(0, 1.12 * max(float(share.max()) for share in shares.values())),
        x_ticks=_log_ticks(low, high, width) if log else (),
        width=width,
        left=78 if width >= 600 else 60,
        log=log,
    )
    name = "logarithmic" if width >= 600 else "log"
    scale = f" ({name} scale)" if log else f" (the last bar: all above {edges[-2]:.3g})" if cut else ""
    parts = [axes.frame(f"anomaly score{scale}", "share of the group", percent=True)]
    for name, share in shares.items():
        tops = [(x, float(y)) for i, y in enumerate(share) for x in (edges[i], edges[i + 1])]
        parts.append(axes.path([(low, 0.0), *tops, (high, 0.0)], f"area {name}", close=True))
    if before is not None:
        parts.append(axes.upright("chance", before))
    x = axes.px(threshold)
    late = x > axes.width - 160 or (before is not None and threshold < before and x > width / 4)
    parts.append(axes.upright("threshold", threshold, above=10))
    parts.append(
        label("note", x + (-7 if late else 7), axes.top, f"threshold {threshold:.4g}", "end" if late else "start")
    )
    named = " and ".join(f"{s.size} {name}" for name, s in groups.items())
    rows = "row" if [*groups.values()][-1].size == 1 else "rows"
    return axes.svg(f"Histogram of the anomaly scores of {named} {rows}, threshold {threshold:.4g}", *parts)


def _log_ticks(low: float, high: float, width: int) -> list[float]:
    """Powers of ten, with their double and fivefold where there is space; every other one where there is little."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= width / 320 else (1,)
    every = max(1, round((last - first) / (width / 75)))
    return [v for k in range(first, last + 1, every) for m in steps if low <= (v := m * 10.0**k) <= high]


def curve(name: str, points: Points, area: Estimate, operating: tuple[float, float]) -> str:
    """A ROC curve (`name` "ROC") or a precision-recall curve, its chance line, and the threshold's point."""
    roc, points, chance = name == "ROC", list(points), area.chance or 0.0
    scale = (0.0, 0.25, 0.5, 0.75, 1.0)
    axes = Axes(x=(0, 1), y=(0, 1), height=400, x_ticks=scale, y_ticks=scale)
    parts = [
        axes.frame(*(("false-alarm rate", "detection rate") if roc else ("detection rate (recall)", "precision"))),
        axes.path([(points[0][0], 0.0), *points, (points[-1][0], 0.0)], "under", close=True),
        axes.path([(0, 0), (1, 1)] if roc else [(0, chance), (1, chance)], "chance"),
        axes.path(points, "line"),
        axes.dot(*operating, "threshold") if all(map(math.isfinite, operating)) else "",
    ]
    return axes.svg(f"{name} curve: area {area:.3f}, chance {chance:.3f}", *parts)


def steps(recall: np.ndarray, precision: np.ndarray) -> list[tuple[float, float]]:
    """A precision-recall curve as the steps whose area is the average precision."""
    before = np.concatenate([[0.0], recall[:-1]])
    rising = recall > before
    corners = zip(before[rising], recall[rising], precision[rising], strict=True)
    return [(float(x), float(p)) for start, end, p in corners for x in (start, end)]


def p_value_histogram(p_values: np.ndarray, n_calibrate: int, of: str = "normal test rows") -> str:
    """p-values in (0, 1], which are uniform for normal rows, and the band that holds 95% of such bars.

    The band accounts for both samples, test rows and calibration rows (a beta-binomial count).
    """
    n, bins = p_values.size, 10
    share = 1 / bins
    # Bars include their upper end: if n + 1 is a multiple of 10, each holds the same number of possible p-values.
    bar = np.clip(np.ceil(p_values * bins - 1e-9).astype(int) - 1, 0, bins - 1)
    filled = np.bincount(bar, minlength=bins) / n
    spread = 1.96 * math.sqrt(share * (1 - share) / n * (n_calibrate + 1 + n) / (n_calibrate + 2))
    axes = Axes(x=(0, 1), y=(0, 1.15 * max(float(filled.max()), share + spread)), height=270)
    parts = [axes.frame("p-value", f"share of the {of}", percent=True)]
    for i, value in enumerate(map(float, filled)):
        box = _box("bar", axes.px(i * share) + 1, axes.py(value), axes.px((i + 1) * share) - 1, axes.base)
        parts.append(f"<g><title>{i * share:.1f} to {(i + 1) * share:.1f}: {value:.1%}</title>{box}</g>")
    parts.append(_box("band", axes.left, axes.py(share + spread), axes.end, axes.py(max(0.0, share - spread))))
    parts.append(axes.path([(0, share), (1, share)], "chance"))
    return axes.svg(f"Histogram of the p-values of {n} {of}, expected {share:.0%} in each bar", *parts)


def _box(css: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<rect class="{css}" x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}"/>'


def training_curve(
    name: str,
    values: Sequence[float | None],
    updates: Sequence[int],
    stages: Sequence[str],
    held_out: Sequence[float | None] = (),
) -> str:
    """One loss term over the run's updates, with a vertical line where a stage begins; dashed, on held-out rows, where
    it was taken on them."""
    y = [math.nan if v is None else float(v) for v in values]
    finite = [v for v in y if math.isfinite(v)] or [0.0]
    known = [(at, float(v)) for at, v in zip(updates, held_out, strict=False) if v is not None and math.isfinite(v)]
    all_values = [*finite, *(v for _, v in known)]
    low, high = min(all_values), max(all_values)
    pad = 0.08 * (high - low) or 0.1 * abs(high) or 0.5
    end = max(1, *updates)
    axes = Axes(
        x=(0, end),
        y=(low - pad, high + pad),
        x_ticks=ticks(0, end, about=3),
        y_ticks=ticks(low - pad, high + pad, about=3),
        width=300,
        height=150,
        left=44,
        top=8,
        bottom=34,
    )
    starts = [updates[i - 1] for i in range(1, len(stages)) if stages[i] != stages[i - 1]]
    parts = [axes.frame("update", ""), *(axes.upright("chance", at) for at in starts)]
    parts.append(axes.path(zip(updates, y, strict=True), "line"))
    parts += [axes.path(known, "chance")] * bool(known)
    if len(finite) == 1:
        parts += [axes.dot(at, v) for at, v in zip(updates, y, strict=True) if math.isfinite(v)]
    return axes.svg(f"{name} over {end} updates, from {finite[0]:.4g} to {finite[-1]:.4g}", *parts)


def scatter(groups: dict[tuple[str, str], list[tuple[float, float, str]]]) -> str:
    """Points (x, y, what they are) of groups, by name and class of the style sheet. Every group has a colour and a
    shape of its own."""
    every = [(x, y) for points in groups.values() for x, y, _ in points]
    spans = [_padded(min(values), max(values)) for values in zip(*every, strict=True)]
    axes = Axes(x=spans[0], y=spans[1], width=960, height=420, left=78)
    parts = [axes.frame("first principal component", "second")]
    for (_, css), points in groups.items():
        marks = (f"<g>{title(note)}{mark(css, axes.px(x), axes.py(y))}</g>" for x, y, note in points)
        parts.append(f'<g class="points {css}">{"".join(marks)}</g>')
    named = ", ".join(f"{len(points)} {name}" for (name, _), points in groups.items())
    return axes.svg(f"Map of {len(every)} rows by the detector's features: {named}", *parts)


def mark(css: str, x: float, y: float) -> str:
    """A point: a diamond for anomalies, a circle for others."""
    if css in ("detected", "missed"):
        return f'<path d="M{x:.1f} {y - 5.5:.1f}l5.5 5.5l-5.5 5.5l-5.5 -5.5Z"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.8"/>'


def title(text: str) -> str:
    """What a reader sees who points at something."""
    return f"<title>{escape(text)}</title>"


def _padded(low: float, high: float) -> tuple[float, float]:
    pad = 0.06 * (high - low) or 0.5
    return low - pad, high + pad


def dots(
    name: str,
    rows: Sequence[tuple[str, Sequence[float]]],
    chance: float | None,
    beside: Sequence[str] = (),
    marks: Mapping[str, float] = MappingProxyType({}),
    width: int = 460,
) -> str:
    """A figure of several detectors: each value as a dot, their mean as a line, best possible on the right. `beside`:
    names of rows that are no detector; `marks`: a value of a row that is shown as a ring; `width`: in pixels."""
    values = [*(value for _, some in rows for value in some), *marks.values(), *([] if chance is None else [chance])]
    low = min(values)
    low = max(0.0, math.floor(10 * (low - 0.02)) / 10)
    row, most = (30, 24) if width < 600 else (26, 36)  # pixels, and letters of a name
    longest = max(len(one) for one, _ in rows)
    left = 24 + round(7.0 * min(longest, most))
    axes = Axes(x=(low, 1.0), y=(0, 1), width=width, height=44 + row * len(rows), left=left, top=8, bottom=36)
    parts = []
    for tick in ticks(low, 1.0):
        parts += [axes.upright("grid", tick), label("tick", axes.px(tick), axes.base + 17, f"{tick:g}", "middle")]
    parts.append(label("label", (left + axes.end) / 2, axes.height - 4, name, "middle"))
    if chance is not None:
        parts.append(axes.upright("chance", chance))
    for i, (one, some) in enumerate(rows):
        y = axes.top + row * (i + 0.5)
        css = "rival" if one in beside else "contender"
        shown = one if len(one) <= most else f"{one[: most - 1]}…"
        parts.append(label("note", left - 10, y + 4, shown, "end"))
        parts.append(line("grid", left, y, axes.end, y))
        if some:
            mean = sum(some) / len(some)
            parts.append(line("mean", axes.px(mean), y - 8, axes.px(mean), y + 8))
        for value in some:
            parts.append(f'<circle class="{css}" cx="{axes.px(value):.1f}" cy="{y:.1f}" r="4.2"/>')
        if one in marks:
            parts.append(f'<circle class="published" cx="{axes.px(marks[one]):.1f}" cy="{y:.1f}" r="4.6"/>')
    best = "; ".join(f"{one} {sum(some) / len(some):.3f}" for one, some in rows if some)
    return axes.svg(f"{name} by detector: {best}", *parts)


def strip(estimate: Estimate) -> str:
    """An estimate drawn in a table cell: its interval and value on a scale from 0 to 1, chance as a tick."""
    axes = Axes(x=(0, 1), y=(0, 1), width=120, height=16, left=4, right=4, top=2, bottom=2)
    low, value, high = (axes.px(v) for v in (estimate.low, estimate.value, estimate.high))
    parts = [line("grid", axes.left, 8, axes.end, 8), line("range", low, 8, high, 8)]
    if estimate.chance is not None:
        parts.insert(1, axes.upright("axis", estimate.chance))
    parts.append(f'<circle class="dot" cx="{value:.1f}" cy="8" r="3.5"/>')
    return f'<svg class="strip" viewBox="0 0 120 16" aria-hidden="true">{"".join(parts)}</svg>'
