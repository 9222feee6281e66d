"""Documents and tables as GitHub-flavoured Markdown."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import singledispatch

from . import document as doc

LISTED = 50  # rows of a listing; the JSON has all


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int = 1) -> str:
    """A Markdown table without a final line break: columns from `numbers_from` on are aligned to the right.

    Whatever a cell holds, it stays one cell: "|" is escaped, and line breaks become spaces. Cells are Markdown: what
    may hold anything, as names do, goes through `plain` first.
    """
    rule = ["---" if i < numbers_from else "---:" for i in range(len(head))]
    lines = [_escaped(head), rule, *map(_escaped, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(cells: Sequence[str]) -> list[str]:
    return [" ".join(cell.split("\n")).replace("|", "\\|") for cell in cells]


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line, with as little escaped as that takes: what would be HTML, a link,
    code or emphasis is; control characters and those that turn the direction of text appear as their escapes."""
    text = "".join(_spelt(one) for one in " ".join(text.split()))
    text = re.sub(r"\\(?=[!-/:-@[-`{-~]|$)", r"\\\\", text)
    text = re.sub(r"&(?=#?\w+;)", "&amp;", text)
    text = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)
    if re.search(r"\][(\[:]|\[\^", text):
        text = re.sub(r"([\[\]])", r"\\\1", text)
    if text.count("~") > 1:
        text = text.replace("~", "\\~")
    text = re.sub(r"(`|(?<![^\W_])_|_(?![^\W_])|\*(?=\S)|(?<=\S)\*)", r"\\\1", text)
    return text


def _spelt(one: str) -> str:
    if unicodedata.category(one) not in ("Cc", "Cf", "Zl", "Zp") or one in "\u200c\u200d":  # joiners
        return one
    return f"\\u{ord(one):04x}" if ord(one) < 0x10000 else f"\\U{ord(one):08x}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int = 1) -> str:
    return table([*map(plain, head)], ([*map(plain, row)] for row in rows), numbers_from=numbers_from)


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
    """`plain` text that begins no heading, quotation, list or rule either."""
    text = re.sub(r"^(\d+)(?=[.)](\s|$))", r"\1\\", plain(text))
    return re.sub(r"^(?=#{1,6}(\s|$)|>|[-+](\s|$)|--|=)", r"\\", text)


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
    return "\n".join(
        f"- {plain(one.label)}: **{plain(one.value)}**{''.join(f'; {plain(detail)}' for detail in one.details)}"
        for one in block.items
    )


@_block.register
def _(block: doc.Table) -> str:
    shown = _table(block.head, block.rows, numbers_from=block.numbers_from)
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
    yield _table(head, lines)


@_block.register
def _(block: doc.Listing) -> str:
    more = len(block.rows) - LISTED
    left = f"\n\n{more:,} more rows are in the JSON." if more > 0 else ""
    return f"{_line(block.caption)}\n\n{_table(block.head, block.rows[:LISTED])}{left}"


@_block.register
def _(block: doc.Facts) -> str:
    groups = ((name, pairs) for name, pairs in {**block.groups, **block.folded}.items() if pairs)
    return "\n\n".join(_table((name, ""), pairs, numbers_from=2) for name, pairs in groups)


@_block.register
def _(block: doc.Commands) -> str:
    text = "\n".join(block.lines)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{_line(block.caption)}\n\n{fence}{block.language}\n{text}\n{fence}"
