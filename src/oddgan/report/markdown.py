"""Documents and tables as GitHub-flavoured Markdown."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import singledispatch

from . import document as doc

LISTED = 50  # rows of a listing; the JSON has all


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int = 1) -> str:
    """A Markdown table without a final line break: columns from `numbers_from` on are aligned to the right.

    Whatever a cell holds, it stays one cell: "|" is escaped, and line breaks become spaces.
    """
    rule = ["---" if i < numbers_from else "---:" for i in range(len(head))]
    lines = [_escaped(head), rule, *map(_escaped, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(cells: Sequence[str]) -> list[str]:
    return [" ".join(cell.split("\n")).replace("|", "\\|") for cell in cells]


def rendered(document: doc.Document) -> str:
    """A whole document; pictures and charts in words."""
    parts = [f"# {_line(document.title)}"]
    parts += [_line(document.note)] if document.note else []
    for section in document.sections:
        parts += [f"## {_line(section.title)}"] if section.title else []
        parts += [text for block in section.blocks if (text := _block(block))]
    parts += [_line(document.footer)] if document.footer else []
    return "\n\n".join(parts) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split())


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {_line(line)}" for line in lines)


@singledispatch
def _block(block: object) -> str:
    raise TypeError(f"no block of a document: {block!r}")


@_block.register
def _(block: doc.Paragraph) -> str:
    return _line(block.text)


@_block.register
def _(block: doc.Notes) -> str:
    return _list(block.lines)


@_block.register
def _(block: doc.Warnings) -> str:
    return f"**{_line(block.title)}**\n\n{_list(block.lines)}"


@_block.register
def _(block: doc.Tiles) -> str:
    return _list(
        f"{one.label}: **{one.value}**{''.join(f'; {detail}' for detail in one.details)}" for one in block.items
    )


@_block.register
def _(block: doc.Table) -> str:
    shown = table(block.head, block.rows, numbers_from=block.numbers_from)
    return f"{_line(block.caption)}\n\n{shown}" if block.caption else shown


@_block.register
def _(block: doc.Chart) -> str:
    parts = [f"*{_line(block.alt)}*"]
    parts += [_line(block.caption)] if block.caption else []
    parts += [_block(block.data)] if block.data else []
    return "\n\n".join(parts)


@_block.register
def _(block: doc.Sheet) -> str:
    return f"{_line(block.caption)} ({len(block.views)} pictures)"


@_block.register
def _(block: doc.Galleries) -> str:
    return "\n\n".join(part for gallery in block.items for part in _gallery(gallery))


def _gallery(gallery: doc.Gallery) -> Iterator[str]:
    yield f"### {_line(gallery.title)}"
    yield _line(gallery.caption)
    kinds, columns = (any(getattr(one, name) for one in gallery.items) for name in ("kind", "columns"))
    head = ["row", "score", "p-value", "verdict", *["kind"] * kinds, *["columns"] * columns]
    lines = []
    for one in gallery.items:
        line = [one.name, f"{one.score:.4g}", f"{one.p_value:.3g}", one.verdict[0], *[one.kind] * kinds]
        lines.append([*line, *[", ".join(f"{name} {share}" for name, share in one.columns)] * columns])
    yield table(head, lines)


@_block.register
def _(block: doc.Listing) -> str:
    more = len(block.rows) - LISTED
    left = f"\n\n{more:,} more rows are in the JSON." if more > 0 else ""
    return f"{_line(block.caption)}\n\n{table(block.head, block.rows[:LISTED])}{left}"


@_block.register
def _(block: doc.Facts) -> str:
    groups = ((name, pairs) for name, pairs in {**block.groups, **block.folded}.items() if pairs)
    return "\n\n".join(table((name, ""), pairs, numbers_from=2) for name, pairs in groups)


@_block.register
def _(block: doc.Commands) -> str:
    text = "\n".join(block.lines)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{_line(block.caption)}\n\n{fence}{block.language}\n{text}\n{fence}"
