"""Whoever searches the documentation for a message finds it: codes of warnings, and texts of errors."""

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
CODE = re.compile(r"[a-z]+(-[a-z]+)*")
GIVERS = {"warn", "_warn", "Symptom", "Finding"}


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text("utf-8")) for path in (ROOT / "src" / "oddgan").rglob("*.py")}


def codes() -> set[str]:
    """Every code of a warning that the package may give."""
    found = set()
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in GIVERS:
                    found |= {one.value for one in node.args[:2] if isinstance(one, ast.Constant)}
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
                (target,) = node.targets
                if getattr(target, "id", "") in {"SAID", "MESSAGES"}:
                    found |= {one.value for one in node.value.keys if isinstance(one, ast.Constant)}
                if getattr(target, "id", "") == "WORDS":
                    found |= {one.elts[0].value for one in node.value.values if isinstance(one, ast.Tuple)}
    return {one for one in found if isinstance(one, str) and CODE.fullmatch(one)}


def texts() -> set[str]:
    """Every text of the package; what is filled in is a blank line."""
    found = set()
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = (one.value if isinstance(one, ast.Constant) else "\n" for one in node.values)
                found.add("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_every_code_of_a_warning_has_an_entry():
    known = codes()
    assert {"collapsed", "weak-rate", "exposure", "columns-permuted", "interrupted", "identifier"} <= known
    missing = {code for code in known if f"`{code}`" not in PAGE}
    assert not missing


def test_what_is_explained_is_said_somewhere():
    """An entry for a code or a message that is not there any more misleads."""
    warned = PAGE.split("\n## By warning")[1].split("\n## By error message")[0]
    entries = re.findall(r"^\| (`[^|]+) \|", warned, flags=re.M)
    said = {code for entry in entries for code in re.findall(r"`([^`]+)`", entry)}
    assert said <= codes() | {"size", "channels"}
    known = texts()
    errors = re.findall(r"^\| (`[^|]+) \|", PAGE.split("\n## By error message")[1], flags=re.M)
    messages = [text for entry in errors for text in re.findall(r"`([^`]+)`", entry)]
    assert len(messages) > 20
    for message in messages:
        first, *rest = message.split(" ... ") if " ... " in message else message.split(" ..., ")
        assert any(first in text and all(one in text for one in rest) for text in known), message
