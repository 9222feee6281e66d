"""docs/results/false_alarms.md and its plot, from benchmarks/results/false_alarms.jsonl.

python -m benchmarks.pages.false_alarms
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from typing import Any

import numpy as np

from oddgan.evaluation.runner import lines_of
from oddgan.report import markdown
from oddgan.report.charts import Axes, label, line

from ..studies.false_alarms import CERTAINTY, CHEAP, DETECTORS, FILE, FORM, FRAMES, NEURAL, PARTS, RATES, Band, band
from . import RESULTS

PAGE, PLOT = RESULTS / "false_alarms.md", RESULTS / "false_alarms.svg"
Line = dict[str, Any]
SHOWN = {
    "knn": "KNN", "lof": "LOF", "pca": "PCA", "isolationforest": "IsolationForest",
    "ganomaly": "GANomaly", "egbad": "EGBAD", "alad": "ALAD",
}  # fmt: skip
COLOURS = {
    "knn": "#3b82d0", "lof": "#d97706", "pca": "#3f9d5a", "isolationforest": "#a855c7",
    "ganomaly": "#c2410c", "egbad": "#0e7490", "alad": "#be185d",
}  # fmt: skip
"""Distinct on white and on black."""


@cache
def lines() -> tuple[Line, ...]:
    """All that was run."""
    return lines_of(FILE, FORM)


class Cell:
    """The false alarms of a line's cell at a rate: how many were `found` and `expected`, of so many `new` rows."""

    def __init__(self, of: Line, cell: Line, rate: float) -> None:
        self.line, self.name, self.rate = of, cell["of"], rate
        held = [i for i, count in enumerate(cell["alarms"][f"{rate:g}"]) if count is not None]
        self.found = float(sum(cell["alarms"][f"{rate:g}"][i] for i in held))
        self.counts = [cell["calibrate"][i] for i in held], [cell["new"][i] for i in held]
        self.new, self.splits = sum(self.counts[1]), len(held)

    @property
    def band(self) -> Band:
        """What chance makes."""
        return band(*self.counts, self.rate)

    @property
    def share(self) -> float:
        """The false-alarm rate that was found."""
        return self.found / self.new

    @property
    def place(self) -> int:
        """-1 below the band, 0 in it, 1 above it."""
        return int(self.found > self.band.high) - int(self.found < self.band.low)

    @property
    def shown(self) -> str:
        """The rate, with a mark where it is not in the band."""
        return f"{100 * self.share:.2f}{ {-1: ' ↓', 0: '', 1: ' **↑**'}[self.place] }"


def cells(
    part: str, rates: Iterable[float] = RATES, *, method: str | None = None, detectors: Iterable[str] = tuple(DETECTORS)
) -> list[Cell]:
    """Those of all new rows, where the rate was held."""
    return [cell for cell in of_all(part, rates, method, detectors) if cell.name == ""]


def of_all(part: str, rates: Iterable[float], method: str | None, detectors: Iterable[str]) -> list[Cell]:
    """Every cell of these lines, where the rate was held in some split."""
    found = [
        Cell(one, cell, rate)
        for one in lines()
        if one["part"] == part and method in (None, one["method"]) and one["detector"] in detectors
        for cell in one["cells"]
        for rate in rates
    ]
    return [cell for cell in found if cell.splits and cell.new]


def percent(value: float) -> str:
    """A share with two decimals, as a percentage."""
    return f"{100 * value:.2f}"


def number(some: Sequence[Cell], place: int) -> int:
    """How many cells are there."""
    return sum(cell.place == place for cell in some)


def by_detector() -> str:
    """A row for each detector, and their sum."""
    rows = []
    groups = {SHOWN[name]: cells("rows", detectors=[name]) for name in DETECTORS}
    groups |= {"**all**": cells("rows")}
    for name, some in groups.items():
        if not some:
            continue
        row = [name, str(len(some)), *(str(number(some, place)) for place in (1, 0, -1))]
        row.append(" and ".join(f"{sum(cell.band.outside[i] for cell in some):.1f}" for i in (1, 0)))
        for rate in RATES:
            mine = [cell for cell in some if cell.rate == rate]
            found, expected = sum(cell.found for cell in mine), sum(cell.band.expected for cell in mine)
            spread = sum(cell.band.deviation**2 for cell in mine) ** 0.5 / expected
            row.append(f"{found / expected:.3f}" + ("" if name == "**all**" else f" ± {spread:.3f}"))
        rows.append(row)
    head = ["detector", "cells", "above", "within", "below", "above, below by chance"]
    return markdown.table([*head, *(f"found / expected at {100 * rate:g} %" for rate in RATES)], rows)


def outside() -> str:
    """The cells that are not in their bands."""
    some = [cell for cell in cells("rows") if cell.place]
    rows = [
        [
            cell.line["data"],
            SHOWN[cell.line["detector"]],
            f"{100 * cell.rate:g}",
            percent(cell.share),
            percent(cell.band.expected / cell.new),
            f"{percent(cell.band.low / cell.new)} to {percent(cell.band.high / cell.new)}",
        ]
        for cell in some
    ]
    return markdown.table(["set", "detector", "rate, %", "found, %", "expected, %", "band, %"], rows)


def sets() -> str:
    """A row for each set: rows, and what was found at five percent."""
    rows = []
    for data in PARTS["rows"].sets:
        mine = {cell.line["detector"]: cell for cell in cells("rows", [0.05]) if cell.line["data"] == data}
        anything = next((cell for cell in cells("rows") if cell.line["data"] == data), None)
        if anything is None:
            continue
        n = anything.line["rows"]
        row = [data, f"{n['fit']:,}", f"{anything.counts[0][0]:,}", f"{n['new']:,}"]
        for names in (CHEAP, tuple(NEURAL)):
            there = [mine[name] for name in names if name in mine]
            bound = there[0].band if there else None
            row += [mine[name].shown if name in mine else "" for name in names]
            row.append(f"{percent(bound.low / there[0].new)} to {percent(bound.high / there[0].new)}" if bound else "")
        rows.append(row)
    names = [*(SHOWN[name] for name in CHEAP), "band", *(SHOWN[name] for name in NEURAL), "band"]
    return markdown.table(["set", "fit", "calibrate", "new", *names], rows)


def with_copies() -> str:
    """A row for each set that holds equal rows."""
    rows = []
    for data in PARTS["copies"].sets:
        for name in CHEAP:
            row = [data, SHOWN[name]]
            for rate in RATES[1:]:
                mine = [
                    cell
                    for cell in of_all("copies", [rate], None, [name])
                    if cell.line["data"] == data and cell.name in ("", "unseen")
                ]
                if not mine:
                    continue
                every, unseen = mine[0], next((cell for cell in mine if cell.name == "unseen"), None)
                if rate == RATES[1]:
                    n = every.counts[0]
                    row += [f"{n[0]:,}" if min(n) == max(n) else f"{min(n):,} to {max(n):,}"]
                    row += [f"{unseen.new / every.new:.0%}" if unseen else "0%"]
                row += [every.shown, percent(unseen.share) if unseen else ""]
            rows.append(row)
    head = ["set", "detector", "calibrate", "unseen"]
    return markdown.table([*head, *(f"{w} at {100 * r:g} %" for r in RATES[1:] for w in ("all", "unseen"))], rows)


def two_ways(part: str, rate: float = 0.1) -> str:
    """A row for each set and detector: what was found by either method."""
    rows = []
    first, second = PARTS[part].methods
    for name in PARTS[part].detectors:
        for data in PARTS[part].sets:
            mine = [
                next(
                    (cell for cell in cells(part, [rate], method=one, detectors=[name]) if cell.line["data"] == data),
                    None,
                )
                for one in (first, second)
            ]
            if mine[0] is None or mine[1] is None:
                continue
            bound = mine[0].band
            rows.append(
                [
                    data,
                    SHOWN[name],
                    mine[0].shown,
                    f"{percent(bound.low / mine[0].new)} to {percent(bound.high / mine[0].new)}",
                    percent(mine[1].share),
                ]
            )
    return markdown.table(["set", "detector", f"{first}, %", "band, %", f"{second}, %"], rows)


def tally(part: str) -> str:
    """By method: cells above, within and below."""
    rows = []
    for method in PARTS[part].methods:
        some = cells(part, method=method)
        if some:
            ratios = [cell.found / cell.band.expected for cell in some]
            rows.append(
                [
                    method,
                    str(len(some)),
                    *(str(number(some, place)) for place in (1, 0, -1)),
                    f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                ]
            )
    return markdown.table(["method", "cells", "above", "within", "below", "found / expected: median (range)"], rows)


def strata() -> str:
    """By set, detector and method: the classes' rates at ten percent."""
    rows = []
    for method in PARTS["strata"].methods:
        groups: dict[tuple[str, str], list[Cell]] = defaultdict(list)
        for cell in of_all("strata", [0.1], method, DETECTORS):
            if cell.name:
                groups[cell.line["data"], cell.line["detector"]].append(cell)
        for (data, name), some in groups.items():
            shares = [cell.share for cell in some]
            rows.append(
                [
                    data,
                    SHOWN[name],
                    method,
                    f"{percent(min(shares))} to {percent(max(shares))}",
                    *(str(number(some, place)) for place in (1, 0, -1)),
                ]
            )
    return markdown.table(
        ["set", "detector", "method", "lowest to highest of the classes, %", "above", "within", "below"], sorted(rows)
    )


# --- the plot -----------------------------------------------------------------------------------------------------

STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#555}.label{font-size:13px}.grid{stroke:#8885;stroke-width:.6}"
    ".axis{stroke:#888}.asked{stroke:#888;stroke-dasharray:3 3}.band{fill:#8883}.wide{fill:#8882}"
    "@media(prefers-color-scheme:dark){text{fill:#aaa}}"
)
LEFT, PANEL, ROW, TOP, GAP = 130, 250, 19, 26, 14
FURTHEST = 2.5  # times the rate


def plot() -> str:
    """A panel for each rate, a line for each set: bands, and the rates found."""
    everything = cells("rows")
    data = [name for name in PARTS["rows"].sets if any(cell.line["data"] == name for cell in everything)]
    height = TOP + ROW * len(data) + 40
    parts = [label("tick", LEFT - 8, TOP + ROW * (i + 0.5) + 4, name, "end") for i, name in enumerate(data)]
    for number_, rate in enumerate(RATES):
        axes = Axes(
            x=(0, FURTHEST * rate),
            y=(len(data), 0),
            x_ticks=[rate * step for step in (0, 0.5, 1, 1.5, 2)],
            width=PANEL,
            height=height,
            left=0,
            right=0,
            top=TOP,
            bottom=40,
        )
        some = [cell for cell in everything if cell.rate == rate]
        parts.append(f'<g transform="translate({LEFT + number_ * (PANEL + GAP)})">{panel(axes, some, data)}</g>')
    width, x = LEFT + len(RATES) * (PANEL + GAP), LEFT
    for name, colour in COLOURS.items():
        parts += [mark(name, x, height + 10, colour), label("tick", x + 9, height + 14, SHOWN[name], "start")]
        x += 36 + 7 * len(SHOWN[name])
    title = escape(alt())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 26}" width="{width}" role="img" '
        f'aria-label="{title}"><style>{STYLE}</style>{"".join(parts)}</svg>\n'
    )


def panel(axes: Axes, some: Sequence[Cell], data: Sequence[str]) -> str:
    """The cells of a rate."""
    parts = [
        label("label", (axes.left + axes.end) / 2, 14, f"asked: {100 * some[0].rate:g} %" if some else "", "middle")
    ]
    for tick in axes.x_ticks:
        parts += [line("grid", axes.px(tick), axes.top, axes.px(tick), axes.base)]
        parts += [label("tick", axes.px(tick), axes.base + 16, f"{100 * tick:g} %", "middle")]
    parts.append(line("axis", axes.left, axes.base, axes.end, axes.base))
    bands, dots = [], []
    for i, name in enumerate(data):
        mine = [cell for cell in some if cell.line["data"] == name]
        for css, detectors, half in (("wide", tuple(NEURAL), 0.44), ("band", CHEAP, 0.3)):
            there = next((cell for cell in mine if cell.line["detector"] in detectors), None)
            if there is not None:
                low, high = (min(axes.px(v / there.new), axes.end) for v in (there.band.low, there.band.high))
                y, h = axes.py(i + 0.5 - half), 2 * half * ROW
                bands.append(
                    f'<rect class="{css}" x="{low:.1f}" y="{y:.1f}" width="{high - low:.1f}" height="{h:.1f}"/>'
                )
        for j, cell in enumerate(sorted(mine, key=lambda cell: list(DETECTORS).index(cell.line["detector"]))):
            at = min(axes.px(cell.share), axes.end - 3)
            up = axes.py(i + 0.5 + 0.06 * (j - (len(mine) - 1) / 2))
            dots.append(mark(cell.line["detector"], at, up, COLOURS[cell.line["detector"]]))
    rate = some[0].rate if some else 0.0
    return "".join([*parts, *bands, line("asked", axes.px(rate), axes.top, axes.px(rate), axes.base), *dots])


def mark(name: str, x: float, y: float, colour: str) -> str:
    """A dot, or of a trained detector a diamond."""
    if name in NEURAL:
        return f'<path fill="{colour}" d="M{x:.1f} {y - 4:.1f}l4 4l-4 4l-4 -4z"/>'
    return f'<circle fill="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def alt() -> str:
    """What the plot shows, in words."""
    some = cells("rows")
    detectors, sets_ = (len({cell.line[of] for cell in some}) for of in ("detector", "data"))
    return (
        f"False-alarm rates of {detectors} detectors on {sets_} sets at 1, 5 and 10 percent, beside the bands of "
        f"chance: {number(some, 0)} of {len(some)} are within, {number(some, 1)} above, {number(some, -1)} below."
    )


def text() -> str:
    """The page. Raises `ValueError` where nothing was run."""
    some = cells("rows")
    if not some:
        raise ValueError(f"{FILE} has no line: run the study first")
    one = some[0].line
    seconds = sum(found["cpu_seconds"] for found in lines())
    chance = [sum(cell.band.outside[i] for cell in some) for i in (1, 0)]
    return f"""# Are false-alarm rates held?

Each detector was given half of a set's normal rows, and other normal rows to judge. Made by
`python -m benchmarks.studies.false_alarms` and written by `python -m benchmarks.pages.false_alarms`; the runs are in
`benchmarks/results/false_alarms.jsonl`. oddgan {one["versions"]["oddgan"]}, torch {one["versions"]["torch"]},
one thread, {one["machine"]}; {seconds / 60:.0f} minutes of processor time.

A *cell* is a set, a detector and a rate: the false alarms among the new rows of all splits
({DETECTORS[CHEAP[0]][1]} random halves, {DETECTORS[next(iter(NEURAL))][1]} for detectors that train networks, with 200
updates each). Cells whose calibration rows do not hold the rate are left out. **The band is exact**: calibration rows
and new rows are a random division of the rows that were not trained on, so the alarms of a split with n calibration
rows and m new ones are distributed as BetaBinomial(m, k, n + 1 - k), k = floor(rate (n + 1)), where no scores tie, and
the sum over splits as the convolution of these. It holds {CERTAINTY:.0%} of the sums. Splits share rows, which changes
nothing: each has a random order of its own, so their counts are independent given the set. But detectors and rates of
one set share splits: cells beside each other are *not* independent, and an unlucky division is unlucky for several of
them. Expected is k / (n + 1), which is the rate or a little less. Equal rows are left out, all but one of each; what
they do is below.

![{alt()}](false_alarms.svg)

Grey: the bands, the paler ones of the three splits of GANomaly, EGBAD and ALAD. Dots at the right edge are beyond it.

**{number(some, 0)} of {len(some)} cells are within their bands, {number(some, 1)} above and {number(some, -1)} below;**
by chance {chance[0]:.1f} are above and {chance[1]:.1f} below.

{by_detector()}

*±*: the deviation of the ratio by chance. Outside their bands:

{outside()}

## By set, at 5 percent

Rows given to `fit`, of which some were held out to calibrate; new rows; and false alarms in percent. ↑ above the band,
↓ below it; empty where the calibration rows do not hold the rate.

{sets()}

## Bad days: copies

Where rows are not exchangeable, a threshold by rows is too low. Copies, clips and classes have a remedy each.

Every row five times, in a random order, and new rows of which none was seen. *Copies together*: `fit` as it is, which
holds equal rows out together. *By rows*: a fifth of the rows, whichever they are, is held out and given as `calibrate`;
most of them have a copy among the training rows. All cells, at 1, 5 and 10 percent:

{tally("copied")}

At 10 percent:

{two_ways("copied")}

**Sets that hold equal rows, as they are.** A table whose rows are equal no more often than chance makes them is left as
it is; elsewhere equal rows are held out together, and `calibrate` counts groups. New rows may equal known ones, which
no group foresees, so fewer alarms than asked for are to be expected. *Unseen*: new rows that equal no row given to
`fit`, and their share of the new rows. They are the rarer rows, for which nothing is promised. ↑ and ↓ are by the band
of so many groups.

{with_copies()}

## Bad days: clips

Every row is a clip of {FRAMES} frames: the row and noise of a tenth of its columns' deviations. New rows are frames of
new clips. A clip counts once, with the share of its frames that are flagged. The band is that of clips whose frames are
flagged together; where they are not, counts vary less. All cells:

{tally("clips")}

At 10 percent:

{two_ways("clips")}

## Bad days: classes

Pictures of ten classes, all normal, with the class as `strata=`, and without. Each class is a cell, with a band of its
own; without strata it is that of any rows, and shows which classes pay for others. At 10 percent:

{strata()}
"""


def write() -> None:
    """Write both."""
    PLOT.write_text(plot(), "utf-8")
    PAGE.write_text(text(), "utf-8")


if __name__ == "__main__":
    write()
