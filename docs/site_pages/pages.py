"""From the Markdown pages of the repository to those of the site: links, contents and cards."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

PROJECT = {f"{name}.md": f"project/{name.lower()}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")}
"""Pages of the repository's root that the site has, too. The README has a page of its own kind: the site's index."""

ASSETS = (".svg", ".png", ".jpg")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
CARDS = "<!-- cards -->\n"
GENERATED = {"reference/index.md": ["cli", "api/index"]}
"""Generated pages by the index that lists them."""


def of(root: Path) -> dict[str, str | bytes]:
    """The site's sources by path: Markdown as text, pictures and notebooks as bytes."""
    places = dict(_places(root))
    files: dict[str, str | bytes] = {}
    for source, place in places.items():
        path = root / source
        if path.suffix == ".md":
            files[place] = with_links(path.read_text("utf-8"), source, places)
        elif path.suffix == ".ipynb":
            files[place] = notebook(json.loads(path.read_text("utf-8")), source, places)
        else:
            files[place] = path.read_bytes()
    for place in [one for one in files if PurePosixPath(one).name == "index.md"]:
        text = files[place]
        assert isinstance(text, str)
        files[place] = with_cards(text, place) + contents(text, place, files)
    return files


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Make `folder` hold these files and no others. What has not changed is left alone, so Sphinx reads it once."""
    for name, content in files.items():
        path = folder / name
        data = content.encode() if isinstance(content, str) else content
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    for path in [one for one in folder.rglob("*") if one.is_file()]:
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()


def _places(root: Path) -> Iterator[tuple[str, str]]:
    """Every file of the repository that the site has, and where the site has it."""
    yield from PROJECT.items()
    for path in sorted((root / "docs").rglob("*")):
        inside = path.relative_to(root / "docs")
        if path.suffix in (".md", *ASSETS) and inside.parts[0] != "site_pages":
            yield f"docs/{inside.as_posix()}", inside.as_posix()
    for path in sorted((root / "examples").glob("*")):
        if path.suffix in (".ipynb", ".md", *ASSETS):
            name = "index.md" if path.name == "README.md" else path.name
            yield f"examples/{path.name}", f"examples/{name}"


def with_links(text: str, source: str, places: Mapping[str, str]) -> str:
    """Markdown whose links lead to the site's pages; those to files that the site does not have become their text."""
    here = places[source]

    def link(found: re.Match[str]) -> str:
        mark, shown, target, anchor = found[1], found[2], found[3], found[4] or ""
        path = os.path.normpath(os.path.join(os.path.dirname(source), target))
        place = "index.md" if path == "README.md" else places.get(path) or places.get(f"{path}/index.md")
        if place is None:
            return shown
        return f"{mark}[{shown}]({os.path.relpath(place, os.path.dirname(here) or '.')}{anchor})"

    return LINK.sub(link, text)


def notebook(held: dict[str, Any], source: str, places: Mapping[str, str]) -> str:
    """A notebook whose text links to the site's pages."""
    for cell in held["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = with_links("".join(cell["source"]), source, places)
    return json.dumps(held, ensure_ascii=False)


def contents(text: str, place: str, files: Mapping[str, str | bytes]) -> str:
    """The contents of an index for the site's sidebar: what it links to, in that order, and what else is beside it."""
    folder = PurePosixPath(place).parent
    pages = [one for one in files if one.endswith((".md", ".ipynb")) and one != place]
    own = [one for one in pages if PurePosixPath(one).parent == folder]
    own += [one for one in pages if one.endswith("/index.md") and PurePosixPath(one).parent.parent == folder]
    if place == "index.md":
        own += PROJECT.values()
    linked = [os.path.normpath(folder / found[3]) for found in LINK.finditer(text)]
    order = {one: linked.index(one) if one in linked else len(linked) for one in own}
    names = [os.path.relpath(one, folder).rpartition(".")[0] for one in sorted(order, key=order.__getitem__)]
    names += GENERATED.get(place, [])
    return "\n".join(["", "```{toctree}", ":hidden:", "", *names, "```", ""])


def with_cards(text: str, place: str) -> str:
    """A list of links below `CARDS` as cards: `- [Title](page.md): what it is` each."""
    before, mark, rest = text.partition(CARDS)
    if not mark:
        return text
    listed = re.match(r"\n*((?:- .*\n(?:  .*\n)*)+)", rest)
    assert listed is not None, f"{place}: there is no list below {CARDS}"
    cards = ["::::{grid} 1 2 3 3", ":gutter: 3", ""]
    for item in re.findall(r"- .*\n(?:  .*\n)*", listed[1]):
        found = re.match(r"- \[(.+?)\]\(([^)#]+)\):?\s*(.*)", " ".join(item.split()))
        assert found is not None, f"{place}: {item}"
        cards += [f":::{{grid-item-card}} {found[1]}", f":link: {found[2].rpartition('.')[0]}", ":link-type: doc", ""]
        cards += [found[3], ":::", ""]
    return "\n".join([before.rstrip(), "", *cards, "::::", "", rest[listed.end() :].lstrip("\n")])
