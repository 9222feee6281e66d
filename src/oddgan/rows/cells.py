"""Values of rows in JSON, as a column of a model has them: the same in a line of standard input and in a request."""

import math
from collections.abc import Iterable
from typing import Any

from ..strict_json import SHOWN
from .csv_values import is_missing
from .tables import Kind, truths

SPELLED = {"true": 1.0, "1": 1.0, "false": 0.0, "0": 0.0}


class Unfit(ValueError):
    """A value that does not fit its column, and why."""


class Column:
    """A column of this `kind`; `texts`: the values that a category had in training.

    Texts are read as those of a CSV file, unless training had them as they are: without spaces around them, and some of
    them, such as "" and "NA", are missing values.
    """

    def __init__(self, kind: Kind, texts: Iterable[str] = ()) -> None:
        self.kind = kind
        self.texts = frozenset(texts) if kind == "category" else frozenset[str]()
        self.truths = truths(sorted(self.texts))

    def value(self, given: Any) -> float | str | None:
        """What a value of JSON is: a number; a category's text; 1.0 and 0.0 for true and false; None where it is
        missing. Raises `Unfit`."""
        if given is None:
            return None
        if self.kind == "number":
            return _number(given)
        return self._text(given) if self.kind == "category" else _truth(given)

    def _text(self, given: Any) -> str | None:
        if isinstance(given, bool):
            if given not in self.truths:
                raise Unfit(f"{shown(given)} is not text, and training had no such value in one spelling")
            return self.truths[given]
        if isinstance(given, int):  # a code may be written as a number
            return str(given)
        if not isinstance(given, str):
            raise Unfit(f"{shown(given)} is not text")
        if given in self.texts:
            return given
        return None if is_missing(given) else given.strip()


def _number(given: Any) -> float:
    if not isinstance(given, int | float):
        raise Unfit(f"{shown(given)} is not a number; null stands for a missing value")
    try:
        found = float(given)
    except OverflowError:
        raise Unfit("the number is too large") from None
    if math.isinf(found):
        raise Unfit("the number is infinite, or too large")
    return found


def _truth(given: Any) -> float | None:
    if isinstance(given, int) and given in (0, 1):  # true and false are such numbers
        return float(given)
    if isinstance(given, str):
        if is_missing(given):
            return None
        if (found := SPELLED.get(given.strip().lower())) is not None:
            return found
    raise Unfit(f"{shown(given)} is neither true nor false")


def shown(value: Any) -> str:
    """A value in a message."""
    return f"{value!r:.{SHOWN}}"
