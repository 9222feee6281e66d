"""One function writes all Markdown tables, and nothing in a cell breaks one."""

import ast
from pathlib import Path

import pytest

import oddgan
from oddgan.report import document as doc
from oddgan.report import markdown

PACKAGE = Path(oddgan.__file__).parent


def test_a_table_by_hand():
    assert markdown.table(["name", "value"], [["a", "1"], ["b|c", "2\n3"]]) == (
        "| name | value |\n| --- | ---: |\n| a | 1 |\n| b\\|c | 2 3 |"
    )
    assert markdown.table(["a", "b", "c"], [], numbers_from=2) == "| a | b | c |\n| --- | --- | ---: |"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
        ("a &lt; b", "a &amp;lt; b"),
        ("[here](http://x) ![](y)", r"\[here\](http://x) !\[\](y)"),
        ("`code` *bold* __all__ ~~gone~~", r"\`code\` \*bold\* \_\_all\_\_ \~\~gone\~\~"),
        ("a\u202egpj.exe \x1b[0m \u200b \U000e0041", r"a\u202egpj.exe \u001b[0m \u200b \U000e0041"),
        (r"C:\parts\*x", r"C:\parts\\\*x"),
        ("two\nlines", "two lines"),
    ],
)
def test_names_are_shown_as_they_are(text, expected):
    assert markdown.plain(text) == expected


@pytest.mark.parametrize(
    "text",
    ["random_state", "p < 0.5 & q > 1", "[0.1, 0.2]", "2 * 3", "only <20> rows", "a\\b", "~5%", "0.87 – 0.9 †", "-0.5"],
)
def test_ordinary_text_is_left_as_it_is(text):
    assert markdown.plain(text) == text


def test_every_block_of_a_document_escapes():
    bad = "<b>[x](y)"
    row = (bad, bad)
    blocks = [
        *(doc.Paragraph(bad), doc.Notes((bad,)), doc.Warnings((bad,), bad), doc.Tiles((doc.Tile(bad, bad, (bad,)),))),
        *(doc.Table(bad, row, (row,)), doc.Chart("", bad, bad, data=doc.Table(bad, row, (row,)))),
        *(doc.Listing(bad, row, (row,), frozenset(), ()), doc.Facts({bad: [row]}), doc.Commands(bad, ("x",))),
    ]
    shown = doc.Item(bad, 1.0, 0.5, (bad, ""), bad, columns=((bad, "50%"),))
    blocks.append(doc.Galleries((doc.Gallery(bad, bad, (shown,)),)))
    page = markdown.rendered(doc.Document(bad, "scores", bad, (doc.Section(bad, tuple(blocks)),), bad))
    assert bad not in page
    assert "<b>" not in page
    assert page.count("&lt;b>") > 25
    assert markdown.rendered(doc.Document("1. a", "x", "# b", (), "- c")) == "# 1\\. a\n\n\\# b\n\n\\- c\n"


def test_no_other_place_joins_cells():
    root = PACKAGE.parents[1]
    files = [*PACKAGE.rglob("*.py"), *root.glob("benchmarks/**/*.py"), *root.glob("docs/*.py")]
    assert len(files) > 100
    found = [path.name for path in files if "| {' | '" in path.read_text("utf-8")]
    assert found == ["markdown.py"]


def test_the_package_does_not_import_matplotlib():
    """But for `oddgan.plot`, which needs the extra of that name."""
    for path in set(PACKAGE.rglob("*.py")) - set((PACKAGE / "plot").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "matplotlib"], path
