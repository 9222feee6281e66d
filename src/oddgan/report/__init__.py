"""Reports of what was found, each as one HTML page, as Markdown and as JSON; and pictures with heat maps.

    oddgan.report.write(found, "report.html")      # or .md, or .json

`found` is what `oddgan.evaluate`, `oddgan.compare` or `oddgan.papers.reproduce` gives, or what
`oddgan.evaluation.judge` (rows without labels), `training_of` or `calibration_of` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..colours import Shades
from ..errors import ParameterError
from ..evaluation import Comparison, Evaluation, Recalibration, Scores, Training
from ..files import whole_file
from . import comparison, markdown, text
from .document import Document
from .heat import heat_map_grid, located, overlay, panel, shades_of
from .text import SCHEMA_VERSION

if TYPE_CHECKING:
    from ..papers import Reproduction

    Found: TypeAlias = Evaluation | Scores | Training | Recalibration | Comparison | Reproduction

__all__ = [
    "SCHEMA_VERSION",
    "SUFFIXES",
    "Document",
    "Shades",
    "document_of",
    "heat_map_grid",
    "located",
    "markdown",
    "overlay",
    "panel",
    "shades_of",
    "suffix_of",
    "to_html",
    "to_json",
    "to_markdown",
    "write",
    "write_html",
]

SUFFIXES = (".html", ".json", ".md")
"""Of the files that a report can be written to."""


def _makers(found: Found) -> tuple[Callable[..., Document], Callable[..., str]]:
    """What makes the document and the JSON of what was found."""
    from . import calibrated, compared, evaluated, scored, trained

    if isinstance(found, Evaluation):
        return evaluated.document, text.to_json
    if isinstance(found, Scores):
        return scored.document, scored.to_json
    if isinstance(found, Training):
        return trained.document, trained.to_json
    if isinstance(found, Recalibration):
        return calibrated.document, calibrated.to_json
    if isinstance(found, Comparison):
        return compared.document, comparison.to_json
    from . import reproduced  # loads torch

    return reproduced.document, reproduced.to_json


def document_of(found: Found, commands: Sequence[str] = ()) -> Document:
    """What a report says, in the form that HTML and Markdown are made of. `commands`: lines of a shell that make it
    again, where there are any."""
    return _makers(found)[0](found, commands)


def to_html(found: Found, commands: Sequence[str] = ()) -> str:
    """One self-contained HTML page: it loads nothing, and everything can be read without its script."""
    from . import page

    return page.rendered(document_of(found, commands))


def to_markdown(found: Found, commands: Sequence[str] = ()) -> str:
    """The same as GitHub-flavoured Markdown, with pictures and charts in words, and the first rows of long tables."""
    return markdown.rendered(document_of(found, commands))


def to_json(found: Found, commands: Sequence[str] = ()) -> str:
    """What was found as strict JSON. The keys are documented where each is written: `oddgan.report.text.to_json` (an
    evaluation), and `to_json` of `oddgan.report.scored`, `trained`, `calibrated`, `comparison` and `reproduced`."""
    return _makers(found)[1](found, commands)


def suffix_of(path: str | Path) -> str:
    """The suffix that says in which form a report is written. Raises `ParameterError` for another one."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ParameterError(f"{path}: reports are {', '.join(SUFFIXES)}; give a name that ends so")
    return suffix


def write(found: Found, path: str | Path, commands: Sequence[str] = ()) -> None:
    """Write a report to `path`, whole or not at all: .html, .json or .md, by its suffix. Raises `ParameterError` for
    another suffix, `OutputError` where it cannot be written."""
    forms = {".html": to_html, ".json": to_json, ".md": to_markdown}
    _keep(forms[suffix_of(path)](found, commands), path)


def write_html(found: Found, path: str | Path) -> None:
    """Write the page to `path`, whatever its suffix. Raises `OutputError` where it cannot be written."""
    _keep(to_html(found), path)


def _keep(said: str, path: str | Path) -> None:
    with whole_file(path) as file:
        file.write(said.encode("utf-8", "replace"))  # a file's name may be bytes that are no text
