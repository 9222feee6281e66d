"""Writes the table of parameters on each detector's page, from the declarations themselves.

python docs/parameters.py [NAME ...]
"""

import inspect
import re
import sys
from pathlib import Path

from oddgan import detectors
from oddgan.parameters import declared, spell
from oddgan.report import markdown


def table(cls: type) -> str:
    """The parameters of a detector as a Markdown table: its own first, then those of every detector."""
    own = inspect.get_annotations(cls)
    rows = sorted(declared(cls).values(), key=lambda one: one.name not in own)
    cells = []
    for one in rows:
        ends = ((">=", one.param.low), ("<=", one.param.high))
        limits = [f"{sign} {end:g}" for sign, end in ends if end is not None]
        cells.append((f"`{one.name}`", f"`{one.default}`", ", ".join([spell(one.type), *limits]), one.param.help))
    return markdown.table(["parameter", "default", "values", "meaning"], cells, numbers_from=4)


if __name__ == "__main__":
    for name in sys.argv[1:] or detectors.names():
        page = Path(__file__).parent / "detectors" / f"{name}.md"
        text = page.read_text("utf-8")
        head = text[: re.search(r"^## Parameters\n", text, flags=re.M).end()]
        page.write_text(f"{head}\n{table(detectors.get(name))}\n", "utf-8")
