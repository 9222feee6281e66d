"""docs/results/speed.md, from benchmarks/results/speed.json: `python -m benchmarks.pages.speed`."""

from statistics import median

from oddgan.report import markdown

from ..speed.results import read
from ..speed.timing import spread
from . import RESULTS, speed_growth

PAGE = RESULTS / "speed.md"

HEAD = """\
# Speed

Times hold for the machine below; ratios carry over to others better. Where nothing is gained, that is said as well.
"""

GAINS = {
    "anogan-encoder": "**AnoGAN scores {times} times as fast from an encoder's guess** as by 500 steps of search for "
    "one picture at a time: {ours} against {theirs}. The AUROC is no lower (below). The encoder takes a training of "
    "its own, once.",
    "anogan-500-bfloat16": "**AnoGAN with all 500 steps is {times} times as fast** for 64 pictures together, in "
    "bfloat16, as for one picture at a time.",
    "ganomaly-step-3x128": "**Training GANomaly takes a half to a quarter of the time** of a plain PyTorch loop with "
    "the same networks: at 128x128 pixels it is {times} times as fast.",
    "egbad-kdd99": "**EGBAD learns KDD99 {times} times sooner**, to an AUROC of 0.98: in {ours}, with settings of ours "
    "beside the authors'.",
    "scoring-1": "**A single picture is scored {times} times as fast** as by PyTorch in evaluation mode: {ours}.",
    "parquet-10m": "**Ten million table rows** are scored from a Parquet file to another at {ours}, in less than "
    "500 MB of memory, with p-values, verdicts and the columns that decided.",
    "folder-10000": "**Training from a folder costs nothing** beside an array in memory, after the first epoch: "
    "pictures are decoded once, into a cache.",
    "process": "**A command answers about one picture in {ours}**, start of Python and torch included.",
    "pyod-alad": "**ALAD fits in {ours}** to the AUROC that PyOD's reaches in {theirs}. From seed to seed that varies "
    "widely, since PyOD's is near guessing on this set.",
}
"""What a reader gains, by the work that shows it."""

LOSSES = {
    "adgan": "ADGAN on pictures is as fast as a plain loop ({times} times): its time is that of single passes.",
    "scoring-64": "Blocks of 64 pictures are scored {times} times as fast as by PyTorch in evaluation mode, which is "
    "good at that.",
    "outlier-tables-forest": "scikit-learn's isolation forest by itself takes {share} of the time of ours, which also "
    "checks every value, holds rows out and scores them to set the threshold.",
}
"""Where nothing is gained, likewise."""

HOW = """\
## How it is measured

Each work is done twice: by oddgan, through the calls that a user makes, and by a peer. The peers are plain PyTorch
loops, written for this benchmark in the published order of steps, in float32, with the networks that oddgan builds;
PyOD in an environment of its own; scikit-learn itself. Both sides get the same rows and the same number of threads,
which sleep while they wait for each other (`OMP_WAIT_POLICY=passive`; the command line lets them spin for a moment
first). They run in turn in one process (PyOD: in two), and the order is swapped from round to round. A ratio is the
peer's time over oddgan's: above 1, oddgan is faster. Given are the median of the rounds' ratios, and the least and the
most.

One run makes `benchmarks/results/speed.json`, and `python -m benchmarks.pages.speed` this page:

    python -m benchmarks.speed        # or: make bench
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
    parts = [HEAD, gains(compared), ratios(compared), accuracy(compared), speed_growth.growth_section(results)]
    parts += [HOW, machine(results), rooflines(compared), notes(results)]
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


def gains(results: dict[str, dict]) -> str:
    """What a reader gains, and where nothing is gained, in sentences."""
    parts = []
    for title, known in (("What you gain", GAINS), ("Where little or nothing is gained", LOSSES)):
        lines = []
        for name, sentence in known.items():
            if entry := results.get(name):
                ratio = median(entry["ratios"])
                unit = entry["unit"].partition(" to ")[0]
                ours, theirs = (seconds(median(entry[side]), unit) for side in ("ours", "theirs"))
                bound = f"{entry['bound']} " if entry.get("bound") else ""
                times = f"{bound}{float(f'{ratio:.2g}'):,g}"
                lines.append(f"- {sentence.format(times=times, ours=ours, theirs=theirs, share=f'{ratio:.0%}')}")
        if lines:
            parts += [f"## {title}\n", *lines, ""]
    return "\n".join(parts)


def ratios(results: dict[str, dict]) -> str:
    """The table of all works that have a peer."""
    head = ["work", "beside", "times as fast: median [least, most]", "oddgan", "peer"]
    rows = []
    for name, entry in results.items():
        bound = f"{entry['bound']} " if entry.get("bound") else ""
        times = [seconds(median(entry[side]), entry["unit"]) for side in ("ours", "theirs")]
        rows.append([f"`{name}`: {entry['what']}", entry["against"], bound + rounded(entry["ratios"]), *times])
    return f"## Beside peers\n\n{markdown.table(head, rows, numbers_from=2)}\n"


def rounded(values: list[float]) -> str:
    """Median, least and most: 2.51 [2.4, 2.63], 3,920 [3,820, 4,030]."""
    middle, least, most = (f"{float(f'{value:.3g}'):,g}" for value in spread(values))
    return f"{middle} [{least}, {most}]"


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
        "### How close to the machine's limit\n",
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
    lines = ["### Notes\n"]
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
