"""What objects show of themselves, as text and in notebooks: a title, what warns, then facts."""

import importlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

WIDTH = 100  # characters of a fact in a line of text
_BOX = "border:1px solid #8888;border-radius:4px;padding:.5em .8em;margin:.2em 0;display:inline-block;max-width:60em"
_WARNING = "border-left:4px solid #D55E00;padding:.1em .6em;margin:.3em 0"
_CELL = "text-align:left;padding:.1em .9em .1em 0;vertical-align:top"


def text(title: str, warnings: Iterable[str], facts: Mapping[str, Any]) -> str:
    """Some lines: the title, a line for each warning, a line for each fact."""
    lines = [title, *(f"warning: {one}" for one in warnings)]
    return "\n".join([*lines, *(f"{name}: {value}" for name, value in facts.items())])


def html(
    title: str,
    warnings: Iterable[str],
    facts: Mapping[str, Any],
    table: tuple[Sequence[str], Iterable[Sequence[Any]]] | None = None,
) -> str:
    """The same for a notebook, readable on light and on dark, with a table, head and rows, if there is one."""
    parts = [f"<strong>{escape(title)}</strong>"]
    parts += [f'<div style="{_WARNING}" role="note">Warning: {escape(one)}</div>' for one in warnings]
    if facts:
        rows = (
            f'<tr><th scope="row" style="{_CELL};font-weight:normal;opacity:.75">{escape(name)}</th>'
            f'<td style="{_CELL}">{escape(str(value))}</td></tr>'
            for name, value in facts.items()
        )
        parts.append(f'<table style="margin:.3em 0"><tbody>{"".join(rows)}</tbody></table>')
    if table is not None:
        head, body = table
        cells = "".join(f'<th scope="col" style="{_CELL}">{escape(name)}</th>' for name in head)
        lines = (
            "<tr>" + "".join(f'<td style="{_CELL}">{escape(str(value))}</td>' for value in row) + "</tr>"
            for row in body
        )
        parts.append(
            f'<table style="margin:.3em 0"><thead><tr>{cells}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
        )
    return f'<div style="{_BOX}">{"".join(parts)}</div>'


def plots() -> Any:
    """`oddgan.plot`, for the methods that draw: it stands above all that has such a method, so it is found by name, and
    only when something is drawn."""
    return importlib.import_module("oddgan.plot")
