"""docs/speed.md, made from benchmarks/results/speed.json: `python -m benchmarks --write`."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median

from .timing import shown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "speed.md"
GROWTH = "benchmarks.speed.growth_page"  # how time and memory grow has a section of its own

HEAD = """\
# Speed

Written by `python -m benchmarks --write` from `benchmarks/results/speed.json`, which one run makes:

    python -m benchmarks        # or: make bench

**How it is measured.** Each work is done twice: by oddgan, through the same calls that a user makes, and by a peer. The
peers are plain PyTorch loops, written for this benchmark in the published order of steps, in float32, with the very
networks that oddgan builds; PyOD in an environment of its own; scikit-learn by itself. Both sides get the same rows and
the same number of threads, which sleep while they wait for each other (`OMP_WAIT_POLICY=passive`; the command line
lets them spin for a moment first), and run in turn in one process (PyOD: in two), the order swapped from round to
round. A ratio is the peer's
time over oddgan's: above 1, oddgan is faster. Of the rounds' ratios the median is given, with the least and the most.
Absolute times are those of the machine below and of nobody else's. Works that are not in the table were not run yet.
"""

ROOFLINE = """\
The **share of the roofline** is the rate of a work, its convolutions' and matrix products' floating-point operations
over its seconds, over the best rate that this machine reached in the same run in the type that the work computes in:
"""

ACCURACY = """\
## What it costs in accuracy

A faster way that scores otherwise is no gain. Beside each one stand the AUROC of both ways, the rank correlation of
their scores and how many verdicts differ at thresholds of each way's own.
"""


def write(results: dict[str, dict]) -> None:
    """The page and its plots, from the entries of the result file."""
    PAGE.write_text(text(results), "utf-8")
    if find_spec(GROWTH):
        import_module(GROWTH).write_plots(results)


def text(results: dict[str, dict]) -> str:
    """The page as Markdown."""
    compared = {name: entry for name, entry in results.items() if entry.get("ratios")}
    parts = [HEAD, machine(results), ratios(compared), rooflines(compared), accuracy(compared), notes(results)]
    if find_spec(GROWTH):
        parts.append(import_module(GROWTH).growth_section(results))
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def machine(results: dict[str, dict]) -> str:
    """What it was measured on; each kind of circumstances once."""
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


def reached(entry: dict) -> str:
    """Whether the median came up to what is wanted."""
    if entry.get("reach") is None:
        return ""
    return "yes" if median(entry["ratios"]) >= entry["reach"] else "**no**"


def ratios(results: dict[str, dict]) -> str:
    """The table of all works that have a peer."""
    lines = [
        "## Against peers\n",
        "| work | against | times faster: median [least, most] | wanted | reached | oddgan | peer |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, entry in results.items():
        bound = f"{entry['bound']} " if entry.get("bound") else ""
        wanted = "" if entry.get("reach") is None else f"{entry['reach']:g}"
        if entry.get("aim") is not None:
            wanted += f"{', ' if wanted else ''}aim {entry['aim']:g}"
        times = [seconds(median(entry[side]), entry["unit"]) for side in ("ours", "theirs")]
        row = [f"`{name}`: {entry['what']}", entry["against"], bound + shown(entry["ratios"]), wanted, reached(entry)]
        lines.append(f"| {' | '.join([*row, *times])} |")
    return "\n".join(lines) + "\n"


def seconds(value: float, unit: str) -> str:
    """A time as people read it: "41 ms an update" of 0.041 and "seconds an update"."""
    if not unit.startswith("seconds"):
        return f"{value:.3g} {unit}"
    rest = unit.removeprefix("seconds")
    scale, sign = next((pair for pair in ((1, "s"), (1e3, "ms"), (1e6, "µs")) if value * pair[0] >= 1), (1e6, "µs"))
    return f"{value * scale:.3g} {sign}{rest}"


def rooflines(results: dict[str, dict]) -> str:
    """The machine's best rates, and what share of them each work reaches."""
    found = {name: entry["roofline"] for name, entry in results.items() if entry.get("roofline")}
    if not found:
        return ""
    lines = ["## How near to the machine's limit\n", ROOFLINE]
    kinds = list(next(iter(found.values()))["rates"]["float32"])
    lines += [f"| GFLOP/s, of one work's run | type | {' | '.join(kinds)} |", "|---" * (len(kinds) + 2) + "|"]
    for name, roof in found.items():
        for kind, rates in roof["rates"].items():
            lines.append(f"| `{name}` | {kind} | {' | '.join(f'{rates[one]:.0f}' for one in kinds)} |")
    lines += [
        "",
        "| work | GFLOP, oddgan | type | share | GFLOP, peer | share, in float32 |",
        "|---|---|---|---|---|---|",
    ]
    for name, roof in found.items():
        ours = f"{roof['gflop']:.3g} | {roof['type']} | {roof['ours_share']:.0%}"
        lines.append(f"| `{name}` | {ours} | {roof['gflop_theirs']:.3g} | {roof['theirs_share']:.0%} |")
    return "\n".join(lines) + "\n"


def accuracy(results: dict[str, dict]) -> str:
    """What the faster way changes."""
    found = {name: entry["accuracy"] for name, entry in results.items() if entry.get("accuracy")}
    if not found:
        return ""
    lines = [ACCURACY]
    for name, facts in found.items():
        lines.append(f"- `{name}`: " + "; ".join(f"{what} {said(value)}" for what, value in facts.items()) + ".")
    return "\n".join(lines) + "\n"


def notes(results: dict[str, dict]) -> str:
    """What must be known to read the figures, work by work."""
    found = {name: entry["facts"] for name, entry in results.items() if entry.get("facts") and entry.get("ratios")}
    if not found:
        return ""
    lines = ["## Notes\n"]
    for name, facts in found.items():
        told = "; ".join(f"{what}: {said(value)}" for what, value in facts.items())
        lines.append(f"- `{name}`: {told}.")
    return "\n".join(lines) + "\n"


def said(value: object) -> str:
    """A fact as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {said(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(said, value))
    return str(value)
