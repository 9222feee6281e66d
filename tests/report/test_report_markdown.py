"""One function writes all Markdown tables, and nothing in a cell breaks one."""

import ast
from pathlib import Path

import oddgan
from oddgan.report import markdown

PACKAGE = Path(oddgan.__file__).parent


def test_a_table_by_hand():
    assert markdown.table(["name", "value"], [["a", "1"], ["b|c", "2\n3"]]) == (
        "| name | value |\n| --- | ---: |\n| a | 1 |\n| b\\|c | 2 3 |"
    )
    assert markdown.table(["a", "b", "c"], [], numbers_from=2) == "| a | b | c |\n| --- | --- | ---: |"


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
