"""The documentation site: what is made of pages and docstrings, and that it builds (`make check` builds it, too)."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLACES = {"docs/index.md": "index.md", "docs/howto/data.md": "howto/data.md", "docs/howto/index.md": "howto/index.md"}


@pytest.fixture(autouse=True)
def _docs(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(ROOT / "docs"))


def test_links_lead_to_the_sites_pages():
    from site_pages.pages import with_links

    places = PLACES | {"CHANGELOG.md": "project/changelog.md"}
    text = "[a](../index.md) ![b](x.svg) [c](../../CHANGELOG.md#here) [d](../../README.md) [e](../howto) [f](#g) [h](https://i)"
    assert with_links(text, "docs/howto/data.md", places | {"docs/howto/x.svg": "howto/x.svg"}) == (
        "[a](../index.md) ![b](x.svg) [c](../project/changelog.md#here) [d](../index.md) [e](index.md) [f](#g) [h](https://i)"
    )
    assert with_links("see [the file](../src/x.py)", "docs/index.md", places) == "see the file"


def test_a_notebooks_text_links_to_the_site():
    from site_pages.pages import notebook

    cells = [
        {"cell_type": "markdown", "source": ["[a](../docs/howto", "/data.md)"]},
        {"cell_type": "code", "source": "[a](b)"},
    ]
    made = json.loads(notebook({"cells": cells}, "examples/a.ipynb", PLACES | {"examples/a.ipynb": "examples/a.ipynb"}))
    assert [cell["source"] for cell in made["cells"]] == ["[a](../howto/data.md)", "[a](b)"]


def test_an_index_is_the_contents_of_its_folder():
    from site_pages.pages import contents

    files = dict.fromkeys(["howto/index.md", "howto/a.md", "howto/b.md", "howto/c.md", "other.md"], "")
    text = contents("[B](b.md) then [A](a.md#x) and [other](../other.md)", "howto/index.md", files)
    assert text.split("```{toctree}\n:hidden:\n\n")[1].split("\n```")[0] == "b\na\nc"  # what is not linked comes last


def test_a_marked_list_becomes_cards():
    from site_pages.pages import with_cards

    text = with_cards(
        "# T\n\n<!-- cards -->\n- [One](one.md): what\n  it is\n- [Two](x/two.md): more\n\nrest", "index.md"
    )
    assert ":::{grid-item-card} One\n:link: one\n:link-type: doc\n\nwhat it is\n:::" in text
    assert ":link: x/two" in text
    assert text.endswith("::::\n\nrest")
    assert with_cards("# T\n- [One](one.md)\n", "index.md") == "# T\n- [One](one.md)\n"


def test_docstrings_become_restructured_text():
    from site_pages.docstrings import restructured

    lines = [
        "Scores of *rows* `a*b`, |x|, name_.",
        "",
        "    code *as it is*",
        "",
        "Of:",
        "- one",
        "  more",
        "",
        "x    first",
        "yy   second",
    ]
    assert restructured(lines) == [
        r"Scores of \*rows\* `a*b`, \|x\|, name\_.",
        "",
        "::",
        "",
        "    code *as it is*",
        "",
        "Of:",
        "",
        "- one",
        "  more",
        "",
        "x",
        "    first",
        "yy",
        "    second",
    ]


def test_every_command_and_option_is_in_the_reference():
    import typer.main
    from site_pages import cli

    from oddgan.cli.app import app_for

    text = cli.text()
    for name, command in typer.main.get_command(app_for(["score"])).commands.items():
        section = text.partition(f".. program:: oddgan {name}\n")[2].partition(".. program::")[0]
        assert section, name
        for one in command.params:
            names = [one.metavar] if one.param_type_name == "argument" else one.opts
            assert all(re.search(rf"^\.\. option:: .*{re.escape(option)}", section, flags=re.M) for option in names)


def test_what_a_browser_would_fetch_is_found(tmp_path):
    from site_pages.checks import fetched

    (tmp_path / "a.html").write_text('<a href="https://x.org">x</a><script src="b.js"></script>')
    (tmp_path / "a.css").write_text("p { background: url(b.png) }")
    assert not list(fetched(tmp_path))
    (tmp_path / "a.html").write_text('<script defer src="https://cdn.org/b.js"></script>')
    (tmp_path / "a.css").write_text('@import "//fonts.org/x.css";')
    assert len(list(fetched(tmp_path))) == 2


@pytest.mark.slow
def test_it_builds_without_warnings_and_has_every_public_name(tmp_path):
    """`docs/build.py` ends with 1 for a warning, a public name without an entry, or a request to elsewhere."""
    run = subprocess.run(
        [sys.executable, ROOT / "docs" / "build.py", tmp_path / "site"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    for page in ("index", "tutorial", "reference/cli", "reference/api/oddgan", "detectors/ganomaly"):
        assert (tmp_path / "site" / f"{page}.html").stat().st_size > 10_000
