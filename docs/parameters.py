"""Writes docs/reference/parameters.md, the parameters that all detectors share, and each detector's own on its page.

python docs/parameters.py
"""

import re
from collections.abc import Iterable
from pathlib import Path

from oddgan import detectors
from oddgan.kit.neural import NeuralRecipe
from oddgan.parameters import GROUPS, UNSAID, Declared, declared, grouped, spell
from oddgan.report import markdown

HERE = Path(__file__).parent
PAGE = HERE / "reference" / "parameters.md"

TITLES = {
    "training": "Training",
    "calibration": "The threshold",
    "neighbours": "Comparing with training rows",
    "pictures": "Pictures",
    "tables": "Tables",
    "computing": "Computing",
}


def rows(declarations: Iterable[Declared]) -> str:
    """Parameters as a Markdown table."""
    cells = []
    for one in declarations:
        ends = ((">=", one.param.low), ("<=", one.param.high))
        limits = [f"{sign} {end:g}" for sign, end in ends if end is not None and abs(end) <= UNSAID]
        cells.append((f"`{one.name}`", f"`{one.default}`", ", ".join([spell(one.type), *limits]), one.param.help))
    return markdown.table(["parameter", "default", "values", "meaning"], cells, numbers_from=4)


def table(cls: type) -> str:
    """A detector's own parameters, and those of the shared ones whose default or meaning is its own."""
    shared = declared(NeuralRecipe)
    own = [one for group in grouped(cls).values() for one in group if shared.get(one.name) != one]
    return rows(own)


def shared() -> str:
    """The page of shared parameters."""
    lines = [
        "# Parameters that detectors share",
        "",
        "Every detector takes these, beside its own, which are on [its page](../detectors/index.md). A parameter is a",
        "keyword of the constructor, a flag of `oddgan train` (`false_alarm_rate`, `--false-alarm-rate`) and an entry",
        "of the model file. `help(oddgan.GANomaly)` and `oddgan train DATA --detector ganomaly --help` list them in",
        "the same groups. Those of pictures have no effect on tables, and those of tables none on pictures; those of",
        "training concern detectors whose networks are trained. A detector whose default differs says so on its page.",
        "",
        "<!-- written by docs/parameters.py -->",
        "",
    ]
    for group, declarations in grouped(NeuralRecipe).items():
        if group:
            assert group in GROUPS
            lines += [f"## {TITLES[group]}", "", rows(declarations), ""]
    return "\n".join(lines)


def with_table(text: str, cls: type) -> str:
    """A detector's page with its table of parameters."""
    start = re.search(r"^## Parameters\n", text, flags=re.M)
    assert start is not None, f"the page of {cls.__name__} has no section of parameters"
    link = "Of training, threshold, pictures, tables and computing: [shared parameters](../reference/parameters.md)."
    return f"{text[: start.end()]}\n{table(cls)}\n\n{link}\n"


if __name__ == "__main__":
    PAGE.write_text(shared(), "utf-8")
    for name in detectors.names():
        path = HERE / "detectors" / f"{name}.md"
        path.write_text(with_table(path.read_text("utf-8"), detectors.get(name)), "utf-8")
