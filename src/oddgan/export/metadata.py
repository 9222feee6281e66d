"""What an ONNX file says of itself (`metadata_props`), for programs that have the file alone."""

import json
from typing import Any

from .. import __version__
from ..preprocessing import PicturePreprocessor, TablePreprocessor
from ..preprocessing.table_columns import Categories
from ..runtime.engines import ELSEWHERE

_ELSEWHERE = ELSEWHERE.decode()
_ESCAPED = f"\\u{ord(_ELSEWHERE[0]):04x}{_ELSEWHERE[1:]}"


def columns_of(preprocessor: Any) -> list[dict[str, Any]] | None:
    """Of a table, what the input has in each column: numbers, NaN for a missing one, or codes of categories, for which
    a text that has none takes that of `other`, and a missing value that of `missing`. None for pictures."""
    if not isinstance(preprocessor, TablePreprocessor):
        return None
    pairs = zip(preprocessor.names, preprocessor.kinds, preprocessor.categories, strict=True)
    return [{"name": name, "kind": kind, **_codes(one)} for name, kind, one in pairs]


def _codes(one: Categories | None) -> dict[str, Any]:
    if one is None:
        return {}
    *_, missing = one.codes(())
    return {
        "codes": {text: code for code, text in enumerate(one.texts)},
        "missing": int(missing),
        "other": one.size - 1 if one.other else -1,
    }


def described(preprocessor: Any, facts: dict[str, Any]) -> dict[str, str]:
    """The entries: `facts` are those that are known of the export, values that JSON has; texts stay as they are."""
    found: dict[str, Any] = {"oddgan": __version__, **facts, "input": f"takes {preprocessor.describe()}"}
    if isinstance(preprocessor, PicturePreprocessor):
        low, high = preprocessor.value_range
        found["layout"] = f"rows, height, width, {preprocessor.channels} channel{'s' * (preprocessor.channels > 1)}"
        found["values"] = f"{preprocessor.dtype}, {low:g} (black) to {high:g} (white)"
    else:
        found["columns"] = columns_of(preprocessor)
    return {name: _text(value) for name, value in found.items() if value is not None}


def _text(value: Any) -> str:
    """As JSON, but plain texts as they are. No file that names `ELSEWHERE` is loaded, so a column that is called so is
    spelt with an escape."""
    if isinstance(value, str) and _ELSEWHERE not in value:
        return value
    return json.dumps(value).replace(_ELSEWHERE, _ESCAPED)
