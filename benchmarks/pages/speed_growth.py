"""The section of docs/results/speed.md on growth, and its plots, from the entry `growth` of the results."""

import math
from html import escape

from oddgan.report import markdown
from oddgan.report.charts import Axes, label, line

from . import RESULTS

FOLDER = RESULTS / "speed"
COLOURS = (
    "#3b82d0",
    "#d97706",
    "#3f9d5a",
    "#a855c7",
)  # distinct on white and on black, and for most colour-blind readers
UNITS = {"rows": "rows", "pixels": "pixels of a picture", "steps": "steps of a search", "starts": "starts of a search"}
WIDTH, HEIGHT, LINE = 380, 250, 17
MARGIN = 30  # for the last label of the right plot

STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#6b6b6b}.label{font-size:13px}.grid{stroke:#8885;stroke-width:.6}"
    ".axis{stroke:#888}path{fill:none;stroke-width:2}@media(prefers-color-scheme:dark){text{fill:#aaa}}"
)

HEAD = """\
## How it grows

Seconds and peak memory (including the rows, not the loaded libraries) against the size of the work, each point in a
process of its own. A slope of 1 on logarithmic axes means proportional growth, 0 means none.
"""


def growth_section(results: dict[str, dict]) -> str:
    """The section as Markdown; empty where growth was not measured."""
    series = series_of(results)
    if not series:
        return ""
    lines = [HEAD]
    lines += [f"![Seconds and megabytes against {UNITS[by]}](speed/{by}.svg)\n" for by in kinds(series)]
    rows = []
    for name, one in series.items():
        values = f"{one['values'][0]:,}, {one['values'][-1]:,}"
        cells = [name, UNITS[one["by"]], values]
        for what in ("seconds", "megabytes"):
            cells += [f"{one[what][0]:.3g}, {one[what][-1]:.3g}", f"{one[f'slope of {what}']:.2f}"]
        rows.append(cells)
    head = ["series", "against", "from, to", "seconds", "slope", "MB", "slope"]
    return "\n".join([*lines, markdown.table(head, rows, numbers_from=2)]) + "\n"


def plots(results: dict[str, dict]) -> dict[str, str]:
    """The plots by the name of their file."""
    series = series_of(results)
    return {f"{by}.svg": plot(by, {n: one for n, one in series.items() if one["by"] == by}) for by in kinds(series)}


def write_plots(results: dict[str, dict]) -> None:
    """Write every plot into docs/speed."""
    for name, text in plots(results).items():
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / name).write_text(text, "utf-8")


def series_of(results: dict[str, dict]) -> dict[str, dict]:
    """The measured series by name."""
    found: dict[str, dict] = results.get("growth", {}).get("facts", {}).get("series", {})
    return found


def kinds(series: dict[str, dict]) -> list[str]:
    """What the series are measured against, each once, in order."""
    return list(dict.fromkeys(one["by"] for one in series.values()))


def plot(by: str, series: dict[str, dict]) -> str:
    """Seconds on the left, megabytes on the right, one line per series."""
    height = HEIGHT + LINE * len(series) + 8
    parts = [panel(by, "seconds", series), f'<g transform="translate({WIDTH})">{panel(by, "megabytes", series)}</g>']
    for i, name in enumerate(series):
        y = HEIGHT + LINE * (i + 1)
        parts.append(f'<path stroke="{COLOURS[i % len(COLOURS)]}" d="M60 {y - 4}h18"/>')
        parts.append(label("label", 86, y, name, "start"))
    title = escape(f"Seconds and megabytes against {UNITS[by]}")
    width = 2 * WIDTH + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{title}"><style>{STYLE}</style>{"".join(parts)}</svg>\n'
    )


def panel(by: str, what: str, series: dict[str, dict]) -> str:
    """One plot on logarithmic axes."""
    sizes = sorted({size for one in series.values() for size in one["values"]})
    found = [value for one in series.values() for value in one[what]]
    low, high = math.floor(math.log10(min(found))), math.ceil(math.log10(max(found)))
    high = max(high, low + 1)
    # `Axes` has no vertical logarithmic scale, so it gets the logarithms.
    axes = Axes(x=(sizes[0], sizes[-1]), y=(low, high), width=WIDTH, height=HEIGHT, log=True)
    parts = []
    for power in range(low, high + 1):
        y = axes.py(power)
        parts += [
            line("grid", axes.left, y, axes.end, y),
            label("tick", axes.left - 7, y + 4, f"{10.0**power:g}", "end"),
        ]
    for size in labelled(sizes, axes):
        parts += [line("axis", axes.px(size), axes.base, axes.px(size), axes.base + 4)]
        parts += [label("tick", axes.px(size), axes.base + 17, f"{size:,}", "middle")]
    parts += [line("axis", axes.left, axes.base, axes.end, axes.base)]
    parts += [label("label", (axes.left + axes.end) / 2, axes.height - 4, UNITS[by], "middle")]
    parts += [label("label", axes.left, axes.top - 3, what, "start")]
    for i, one in enumerate(series.values()):
        points = list(zip(one["values"], map(math.log10, one[what]), strict=True))
        colour = COLOURS[i % len(COLOURS)]
        parts.append(f'<g stroke="{colour}">{axes.path(points, "line")}</g>')
        parts += [f'<circle fill="{colour}" cx="{axes.px(x):.1f}" cy="{axes.py(y):.1f}" r="3"/>' for x, y in points]
    return "".join(parts)


def labelled(sizes: list[int], axes: Axes) -> list[int]:
    """The sizes whose labels have enough space, beginning with the first."""
    kept = sizes[:1]
    for size in sizes[1:]:
        if axes.px(size) - axes.px(kept[-1]) > 52:
            kept.append(size)
    return kept
