"""Public text says what an engineer of the field would say; `docs/glossary.md` has the terms."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
MODULES = sorted((ROOT / "src" / "oddgan").rglob("*.py"))

INSTEAD = {
    r"odd": "anomalous (an anomaly, the anomalies)",
    r"odder|oddest|oddly|oddness": "more anomalous, most anomalous",
    r"acquaint(ed)?": "keep reference rows",
    r"strangers?": "unknown, new",
    r"inert": "without gradient",
    r"in (any |other )?company": "in a batch, among other rows",
    r"for ever": "permanently, always",
    r"mends?|mended": "fix, repair",
    r"denormals? (is|are) (taken for|nothing)": "flushed to zero",
    r"told apart|tells? apart": "distinguished",
    r"by lot": "at random",
    r"kept at most": "at most",
    r"thrown away": "discarded",
    r"nothing to be told": "nothing to see",
    r"is of another": "differs, has another",
    r"that there is none of": "without any",
    r"save for|save where": "except for",
    r"hitherto|wherefore": "so far, which is why",
}
"""What public text does not say, and what it says instead."""

ALLOWED = {
    ("data/layouts.py", "odd"): "the name of a folder that users have",
    ("rows/csv_arrow.py", "odd"): "an odd number of quotes",
    ("networks/blocks.py", "odd"): "numbers that are not even",
    ("networks/convolution.py", "odd"): "numbers that are not even",
    ("evaluation/runner.py", "odd"): "a key of committed results",
    ("README.md", "odd"): "the slogan",
    ("docs/detectors/ganomaly.md", "odd"): "the key of committed results",
    ("docs/papers.md", "odd"): "lines of published tables, by their names there",
    ("CHANGELOG.md", "odd"): "names of before",
    ("CHANGELOG.md", "inert"): "names of before",
    ("CHANGELOG.md", "oddest"): "names of before",
}


def found(text):
    """(what is said, what to say instead, where) of each hit."""
    for pattern, instead in INSTEAD.items():
        for hit in re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w-])", text, flags=re.IGNORECASE):
            line = text.count("\n", 0, hit.start()) + 1
            yield hit[0].lower(), f"line {line}: {hit[0]!r} in {text.splitlines()[line - 1].strip()[:90]!r}: {instead}"


def hits(name, text):
    return [message for said, message in found(text) if (name, said) not in ALLOWED]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages(path):
    assert not hits(str(path.relative_to(ROOT)), path.read_text("utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT / "src" / "oddgan").as_posix())
def test_messages_and_docstrings(path):
    """Every text in the package: docstrings, help, messages."""
    name = path.relative_to(ROOT / "src" / "oddgan").as_posix()
    tree = ast.parse(path.read_text("utf-8"))
    texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [f"at {node.lineno}: {message}" for node in texts for message in hits(name, node.value)]


def test_the_glossary_has_the_terms():
    glossary = (ROOT / "docs" / "glossary.md").read_text("utf-8").lower()
    for term in (
        "anomaly score",
        "p-value",
        "false-alarm rate",
        "held-out rows",
        "reference rows",
        "embedding",
        "residual",
    ):
        assert term in glossary
