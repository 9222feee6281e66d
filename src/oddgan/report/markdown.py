"""Tables as GitHub-flavoured Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int = 1) -> str:
    """A Markdown table without a final line break: columns from `numbers_from` on are aligned to the right.

    Whatever a cell holds, it stays one cell: "|" is escaped, and line breaks become spaces.
    """
    rule = ["---" if i < numbers_from else "---:" for i in range(len(head))]
    lines = [_escaped(head), rule, *map(_escaped, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(cells: Sequence[str]) -> list[str]:
    return [" ".join(cell.split("\n")).replace("|", "\\|") for cell in cells]
