"""Pages and tables: evaluations, comparisons and reproduced tables as Markdown and JSON, an evaluation as one HTML
page, and pictures with heat maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..evaluation import Comparison, Evaluation
from . import comparison, markdown, text
from .heat import Shades, heat_map_grid, located, overlay, panel, shades_of
from .page import to_html, write_html
from .text import SCHEMA_VERSION

if TYPE_CHECKING:
    from ..papers import Reproduction

__all__ = [
    "SCHEMA_VERSION",
    "Shades",
    "heat_map_grid",
    "located",
    "markdown",
    "overlay",
    "panel",
    "shades_of",
    "to_html",
    "to_json",
    "to_markdown",
    "write_html",
]


def to_markdown(found: Evaluation | Comparison | Reproduction) -> str:
    """What `oddgan.evaluate`, `oddgan.compare` or `oddgan.papers.reproduce` found, as GitHub-flavoured Markdown."""
    if isinstance(found, Evaluation):
        return text.to_markdown(found)
    if isinstance(found, Comparison):
        return comparison.to_markdown(found)
    from . import reproduction  # loads torch

    return reproduction.page(found.table, found.cells)


def to_json(found: Evaluation | Comparison) -> str:
    """What `oddgan.evaluate` or `oddgan.compare` found, as strict JSON. The keys are documented at
    `oddgan.report.text.to_json` and `oddgan.report.comparison.to_json`."""
    return text.to_json(found) if isinstance(found, Evaluation) else comparison.to_json(found)
