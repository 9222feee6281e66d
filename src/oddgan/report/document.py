"""What a report says, before it becomes HTML or Markdown: a title, and sections of a few kinds of blocks.

Builders (`oddgan.report.evaluated`, `scored`, `trained`, `compared`, `reproduced`, `calibrated`) make a `Document` of
what was found; `oddgan.report.page` and `oddgan.report.markdown` write it. A chart is drawn as SVG by
`oddgan.report.charts`, and pictures are encoded by `oddgan.report.pictures`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from typing import Literal, TypeAlias

Pairs: TypeAlias = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Paragraph:
    """Running text. `weight`: "lead" for what matters most, "soft" for explanations."""

    text: str
    weight: Literal["lead", "plain", "soft"] = "plain"


@dataclass(frozen=True)
class Notes:
    """Several remarks, each a line."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Warnings:
    """What a reader must know first, each a line."""

    lines: tuple[str, ...]
    title: str = "Before you trust these figures"


@dataclass(frozen=True)
class Tile:
    """A figure on top: its name, its value, and what to know of it."""

    label: str
    value: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tiles:
    """The few most important figures."""

    items: tuple[Tile, ...]


@dataclass(frozen=True)
class Table:
    """A table of text. Columns from `numbers_from` on are numbers. `strips`: for each row a small SVG that draws it,
    "" for none; `faint`: numbers of rows that are there for reference; `folded`: whether a page shows it when it is
    asked for."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers_from: int = 1
    strips: tuple[str, ...] = ()
    faint: frozenset[int] = frozenset()
    folded: bool = False


@dataclass(frozen=True)
class Chart:
    """A drawing. `legend`: (class of the style sheet, name) of what is drawn in which colour; `data`: the numbers
    behind it, where no other block has them; `width`: how much of the page it takes; `narrow`: the same drawing for a
    narrow page, where the wide one would have to be scrolled."""

    svg: str
    title: str = ""
    caption: str = ""
    legend: Pairs = ()
    data: Table | None = None
    width: Literal["wide", "half", "small"] = "wide"
    narrow: str = ""

    @property
    def alt(self) -> str:
        """The drawing in words."""
        found = re.search(r'aria-label="([^"]*)"', self.svg)
        return unescape(found[1]) if found else self.title


@dataclass(frozen=True)
class View:
    """One of the pictures that show a row: what it is, a data: address, its size in pixels, and its text for those who
    do not see it. `sharp`: enlarged without blur."""

    what: str
    address: str
    width: int
    height: int
    alt: str
    sharp: bool = False


@dataclass(frozen=True)
class Sheet:
    """Pictures that belong together, without a name each."""

    views: tuple[View, ...]
    caption: str = ""


@dataclass(frozen=True)
class Item:
    """A row that is shown: pictures, or the columns that matter of a table's row. `verdict`: as text, and as a class of
    the style sheet; `columns`: (name, share)."""

    name: str
    score: float
    p_value: float
    verdict: tuple[str, str]
    kind: str = ""
    views: tuple[View, ...] = ()
    columns: Pairs = ()


@dataclass(frozen=True)
class Gallery:
    """Rows that are shown, for one reason."""

    title: str
    caption: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Galleries:
    """All galleries of a report, which a reader filters and sorts together; `caption`: how pictures are to be read."""

    items: tuple[Gallery, ...]
    caption: str = ""

    @property
    def pictures(self) -> bool:
        """Whether there is anything to see, or rows of a table alone."""
        return any(item.views for gallery in self.items for item in gallery.items)


@dataclass(frozen=True)
class Listing:
    """Every row, most anomalous first, at most as many as a page can hold. `choices`: numbers of the columns that a
    reader filters by; `numbers`: of those that are numbers."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    choices: tuple[int, ...] = ()


@dataclass(frozen=True)
class Facts:
    """Names and values, in groups: a model card. `folded`: groups that a page shows when they are asked for."""

    groups: Mapping[str, Pairs]
    folded: Mapping[str, Pairs] = field(default_factory=dict)


@dataclass(frozen=True)
class Commands:
    """Lines to run, or Python."""

    caption: str
    lines: tuple[str, ...]
    language: Literal["sh", "python"] = "sh"


Block: TypeAlias = Paragraph | Notes | Warnings | Tiles | Table | Chart | Sheet | Galleries | Listing | Facts | Commands


@dataclass(frozen=True)
class Section:
    """Blocks under a heading; the first one of a document may have none."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def key(self) -> str:
        """The heading as an address within the page."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Document:
    """A report. `kind`: what it is of, as "evaluation"; `note`: what the data is; `footer`: what to know of the whole.
    Sections without blocks are left out."""

    title: str
    kind: str
    note: str
    sections: tuple[Section, ...]
    footer: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sections", tuple(section for section in self.sections if section.blocks))
