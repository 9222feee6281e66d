"""Documents as one self-contained HTML page: its styles, charts, pictures and a small script are within it, it loads
nothing, and a Content-Security-Policy holds it to that. Without the script everything can be read."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import groupby
from typing import Any

from . import document as doc


@cache
def _environment() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_file),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


@cache
def _file(name: str) -> str:
    return (resources.files(__package__) / "templates" / name).read_text(encoding="utf-8")


def rendered(document: doc.Document) -> str:
    """The page. One document gives one page, byte for byte."""
    style, script = _file("style.css").strip(), _file("report.js").strip()
    scripted = any(isinstance(block, doc.Galleries | doc.Listing) for one in document.sections for block in one.blocks)
    sections = [{"title": one.title, "key": one.key, "blocks": list(_grouped(one.blocks))} for one in document.sections]
    return str(
        _environment()
        .get_template("report.html.j2")
        .render(
            d=document,
            sections=sections,
            style=style,
            script=script if scripted else "",
            policy=_policy(style, script if scripted else ""),
        )
    )


def _policy(style: str, script: str) -> str:
    """What a browser may do with the page: its own style and script, and pictures within it."""
    parts = ["default-src 'none'", "img-src data:", f"style-src '{_hash(style)}'"]
    parts += [f"script-src '{_hash(script)}'"] if script else []
    return "; ".join([*parts, "base-uri 'none'", "form-action 'none'"])


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _grouped(blocks: Sequence[doc.Block]) -> Iterator[dict[str, Any]]:
    """Blocks with the macro that shows each; charts side by side where they are narrow."""
    for name, some in groupby(blocks, _macro):
        if name in ("half", "small"):
            yield {"macro": name, "block": list(some)}
        else:
            for block in some:
                yield {"macro": name, "block": block, **_choices(block)}


def _macro(block: doc.Block) -> str:
    if isinstance(block, doc.Chart):
        return block.width
    return "card" if isinstance(block, doc.Facts) else type(block).__name__.lower()


def _choices(block: doc.Block) -> dict[str, Any]:
    """What a reader can filter by: (name, number of the column, values)."""
    if isinstance(block, doc.Listing):
        columns = ((block.head[i], i, sorted({row[i] for row in block.rows})) for i in block.choices)
    elif isinstance(block, doc.Galleries):
        items = [item for gallery in block.items for item in gallery.items]
        values = {"kind": {one.kind for one in items}, "verdict": {one.verdict[0] for one in items}}
        columns = ((name, 0, sorted(some)) for name, some in values.items())
    else:
        return {}
    return {"choices": [one for one in columns if len(one[2]) > 1]}
