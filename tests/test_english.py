"""Public text says what an engineer of the field would say; `docs/reference/glossary.md` has the terms.

Searched are the pages, and in the package docstrings, messages, comments, data files and templates.
"""

import ast
import io
import re
import tokenize
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "oddgan"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
FILES = sorted(path for path in PACKAGE.rglob("*") if path.suffix in {".py", ".toml", ".j2"})

INSTEAD = {
    r"odd": "anomalous (an anomaly, the anomalies)",
    r"odder|oddest|oddly|oddness": "more anomalous, most anomalous",
    r"acquaint(s|ed|ing|ance)?": "keep reference rows",
    r"strangers?": "unknown, new",
    r"inert": "without gradient",
    r"company": "a batch, other rows, the rest of its block",
    r"for ever": "permanently, always",
    r"mend(s|ed|ing)?": "fix, repair",
    r"denormals? (is|are) (taken for|nothing)": "flushed to zero",
    r"told apart|tells? apart": "distinguished",
    r"(is|are|be|been|was|were) told|nothing to be told": "is given, is reported; nothing to see",
    r"tells? (how|which|what|that|whether|where|why|you|us)": "says, shows, reports",
    r"by lot": "at random",
    r"by name, in words": "by name",
    r"kept at most": "at most",
    r"thrown away": "discarded",
    r"(is|are|be) of another": "differs, has another",
    r"that there is none of": "without any",
    r"the others go on": "the others continue",
    r"lies? in": "is in (of files and data)",
    r"save for|save where": "except for",
    r"hitherto|wherefore": "so far, which is why",
}
"""What public text does not say, and what it says instead."""

ALLOWED = {
    ("src/oddgan/data/layouts.py", "odd"): "the name of a folder that users have",
    ("src/oddgan/networks/blocks.py", "odd"): "numbers that are not even",
    ("src/oddgan/networks/convolution.py", "odd"): "numbers that are not even",
    ("README.md", "odd"): "the slogan",
    ("docs/detectors/ganomaly.md", "odd"): "the key of committed results",
    ("docs/detectors/ocgan.md", "lie in"): "points in a cube",
    ("CHANGELOG.md", "inert"): "names of before",
    ("CHANGELOG.md", "oddest"): "names of before",
}
"""(file, what it says) and why it may. `oddgan`, `OddganError` and the like are other words: only whole words count."""


def name(path):
    return path.relative_to(ROOT).as_posix()


def comments(source):
    """(line, text) of each run of comment lines, as one text: a phrase may continue on the next line."""
    runs = []
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type == tokenize.COMMENT]
    for before, token in pairwise([None, *tokens]):
        text = token.string.lstrip("#: ")
        if before and token.start == (before.start[0] + 1, before.start[1]):
            runs[-1][1] += "\n" + text
        else:
            runs.append([token.start[0], text])
    return runs


def texts(path):
    """(line, text) of everything in a file that is read by people."""
    source = path.read_text("utf-8")
    if path.suffix != ".py":
        return [(1, source)]
    strings = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return [*((node.lineno, node.value) for node in strings), *comments(source)]


def found(path):
    """(what is said, where and what to say instead) of each hit."""
    for first, text in texts(path):
        for pattern, instead in INSTEAD.items():
            # A phrase may be wrapped, and a hyphen makes another word.
            whole = rf"(?<![\w-])(?:{pattern})(?![\w-])".replace(" ", r"\s+")
            for hit in re.finditer(whole, text, flags=re.IGNORECASE):
                start = text.count("\n", 0, hit.start())
                said = " ".join(hit[0].lower().split())
                line = text.splitlines()[start].strip()[:100]
                yield said, f"{name(path)}:{first + start}: {said!r} in {line!r}; say: {instead}"


@pytest.mark.parametrize("path", [*PAGES, *FILES], ids=name)
def test_words(path):
    assert not [message for said, message in found(path) if (name(path), said) not in ALLOWED]


def test_every_exception_is_needed():
    said = {(name(path), said) for path in (*PAGES, *FILES) for said, _ in found(path)}
    assert not ALLOWED.keys() - said


def test_the_search_finds_wrapped_phrases_comments_and_messages(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    module = tmp_path / "module.py"
    source = '"""Kept for\n    ever."""\n\nx = 1  # oddgan\n# drawn by\n# lot\ny = f"{x} is Odd, odd_ is not"\n'
    module.write_text(source, "utf-8")
    where = [(said, message.split(": ")[0]) for said, message in found(module)]
    assert sorted(where) == [("by lot", "module.py:5"), ("for ever", "module.py:1"), ("odd", "module.py:7")]


def test_the_glossary_has_the_terms():
    glossary = (ROOT / "docs" / "reference" / "glossary.md").read_text("utf-8").lower()
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
