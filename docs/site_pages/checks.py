"""What must hold of a site that is built."""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from . import api

OUTSIDE = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*\"", re.I)
OUTSIDE_CSS = re.compile(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)'\"]*", re.I)


def problems(site: Path) -> list[str]:
    """A line for every public name that has no entry, and for everything that a reader's browser would fetch from
    elsewhere."""
    return [*missing(site), *fetched(site)]


def missing(site: Path) -> Iterator[str]:
    """Public names without an entry in the reference."""
    packed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]  # four lines of text come first
    entries = (line.split() for line in zlib.decompress(packed).decode().splitlines())
    known = {name for name, kind, *_ in entries if kind.startswith("py:")}
    for module, names in api.names().items():
        if module not in known:
            yield f"{module}: is not in the reference"
        yield from (
            f"{module}.{name}: is not in the reference" for name in names if api.home_of(module, name) not in known
        )


def fetched(site: Path) -> Iterator[str]:
    """Scripts, pictures, styles and fonts that are not part of the site."""
    for path in sorted(site.rglob("*")):
        if path.suffix in (".html", ".css"):
            found = (OUTSIDE if path.suffix == ".html" else OUTSIDE_CSS).findall(path.read_text("utf-8"))
            yield from (f"{path.relative_to(site)}: {one}" for one in found)
