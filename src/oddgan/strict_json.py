"""JSON of users, strictly: a key that is there twice, NaN and Infinity are errors, where Python's `json` takes them."""

import json
from typing import Any

from .errors import DataError

SHOWN = 60  # characters of a user's text in a message


def loads(text: str | bytes, **hooks: Any) -> Any:
    """What a JSON text holds. `hooks`: further arguments of `json.loads`. Raises `DataError`, and what `json.loads`
    does."""
    return json.loads(text, parse_constant=_refused, object_pairs_hook=_once, **hooks)


def _refused(word: str) -> Any:
    raise DataError(f"{word} is no number in JSON; a value that is missing is null")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen = set[str]()
        for name, _ in pairs:
            if name in seen:
                raise DataError(f"has {name!r:.{SHOWN}} twice")
            seen.add(name)
    return found
