"""docs/results/speed.md, from benchmarks/results/speed.json: `python -m benchmarks.pages.speed`."""

from statistics import median

from oddgan.report import markdown

from ..speed.results import read
from ..speed.timing import reached, shown
from . import RESULTS, speed_growth

PAGE = RESULTS / "speed.md"

HEAD = """\
# Speed

Written by `python -m benchmarks.pages.speed` from `benchmarks/results/speed.json`, which one run makes:

    python -m benchmarks.speed        # or: make bench

**How it is measured.** Each work is done twice: by oddgan, through the calls that a user makes, and by a peer. The
peers are plain PyTorch loops, written for this benchmark in the published order of steps, in float32, with the networks
that oddgan builds; PyOD in an environment of its own; scikit-learn itself. Both sides get the same rows and the same
number of threads, which sleep while they wait for each other (`OMP_WAIT_POLICY=passive`; the command line lets them
spin for a moment first). They run in turn in one process (PyOD: in two), and the order is swapped from round to round.
A ratio is the peer's time over oddgan's: above 1, oddgan is faster. The median of the rounds' ratios is given, with the
least and the most. Absolute times hold for the machine below only. Works that are not in the table were not run yet.
"""

ROOFLINE = """\
The **share of the roofline** is the rate of a work (floating-point operations of its convolutions and matrix products
per second), divided by the best rate that this machine reached in the same run, in the type that the work computes in:
"""

ACCURACY = """\
## What it costs in accuracy

A faster way that scores differently is no gain. For each one: the AUROC of both ways, the rank correlation of their
scores, and how many verdicts differ, each way at its own threshold.
"""


def write(results: dict[str, dict]) -> None:
    """The page and its plots, from the entries of the result file."""
    PAGE.write_text(text(results), "utf-8")
    speed_growth.write_plots(results)


def text(results: dict[str, dict]) -> str:
    """The page as Markdown."""
    compared = {name: entry for name, entry in results.items() if entry.get("ratios")}
    parts = [HEAD, machine(results), ratios(compared), rooflines(compared), accuracy(compared), notes(results)]
    parts.append(speed_growth.growth_section(results))
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def machine(results: dict[str, dict]) -> str:
    """What it was measured on; each combination of machine and versions once."""
    seen = []
    for entry in results.values():
        versions = ", ".join(f"{name} {version}" for name, version in entry.get("versions", {}).items())
        kind = entry.get("machine", {})
        bf16 = "with" if kind.get("bfloat16") else "without"
        line = (
            f"{kind.get('processor')}, {kind.get('cores')} cores, {bf16} native bfloat16; threads: {entry['threads']}"
        )
        if (line, versions) not in seen:
            seen.append((line, versions))
    return "\n".join(f"**Measured on** {line}; {versions}.\n" for line, versions in seen)


def ratios(results: dict[str, dict]) -> str:
    """The table of all works that have a peer."""
    head = ["work", "against", "times faster: median [least, most]", "required", "reached", "oddgan", "peer"]
    rows = []
    for name, entry in results.items():
        bound = f"{entry['bound']} " if entry.get("bound") else ""
        required = "" if entry.get("reach") is None else f"{entry['reach']:g}"
        if entry.get("aim") is not None:
            required += f"{', ' if required else ''}aim {entry['aim']:g}"
        times = [seconds(median(entry[side]), entry["unit"]) for side in ("ours", "theirs")]
        row = [f"`{name}`: {entry['what']}", entry["against"], bound + shown(entry["ratios"]), required, reached(entry)]
        rows.append([*row, *times])
    return f"## Against peers\n\n{markdown.table(head, rows, numbers_from=2)}\n"


def seconds(value: float, unit: str) -> str:
    """A time in a readable unit: "41 ms an update" for 0.041 and "seconds an update"."""
    if not unit.startswith("seconds"):
        return f"{value:.3g} {unit}"
    rest = unit.removeprefix("seconds")
    scale, sign = next((pair for pair in ((1, "s"), (1e3, "ms"), (1e6, "µs")) if value * pair[0] >= 1), (1e6, "µs"))
    return f"{value * scale:.3g} {sign}{rest}"


def rooflines(results: dict[str, dict]) -> str:
    """The machine's best rates, and the share of them that each work reaches."""
    found = {name: entry["roofline"] for name, entry in results.items() if entry.get("roofline")}
    if not found:
        return ""
    kinds = list(next(iter(found.values()))["rates"]["float32"])
    best = [
        [f"`{name}`", kind, *(f"{rates[one]:.0f}" for one in kinds)]
        for name, roof in found.items()
        for kind, rates in roof["rates"].items()
    ]
    shares = [
        [
            f"`{name}`",
            f"{roof['gflop']:.3g}",
            roof["type"],
            f"{roof['ours_share']:.0%}",
            f"{roof['gflop_theirs']:.3g}",
            f"{roof['theirs_share']:.0%}",
        ]
        for name, roof in found.items()
    ]
    head = ["work", "GFLOP, oddgan", "type", "share", "GFLOP, peer", "share, in float32"]
    parts = [
        "## How close to the machine's limit\n",
        ROOFLINE,
        markdown.table(["GFLOP/s, in the run of", "type", *kinds], best, numbers_from=2) + "\n",
        markdown.table(head, shares),
    ]
    return "\n".join(parts) + "\n"


def accuracy(results: dict[str, dict]) -> str:
    """What the faster way changes."""
    found = {name: entry["accuracy"] for name, entry in results.items() if entry.get("accuracy")}
    if not found:
        return ""
    lines = [ACCURACY]
    for name, facts in found.items():
        lines.append(f"- `{name}`: " + "; ".join(f"{what} {spelt(value)}" for what, value in facts.items()) + ".")
    return "\n".join(lines) + "\n"


def notes(results: dict[str, dict]) -> str:
    """What a reader must know about each work's figures."""
    found = {name: entry["facts"] for name, entry in results.items() if entry.get("facts") and entry.get("ratios")}
    if not found:
        return ""
    lines = ["## Notes\n"]
    for name, facts in found.items():
        text = "; ".join(f"{what}: {spelt(value)}" for what, value in facts.items())
        lines.append(f"- `{name}`: {text}.")
    return "\n".join(lines) + "\n"


def spelt(value: object) -> str:
    """A fact as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {spelt(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(spelt, value))
    return str(value)


if __name__ == "__main__":
    write(read())
