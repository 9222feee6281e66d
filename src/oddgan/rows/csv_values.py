"""Values of a column of a CSV file: what they are, and how they become numbers."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import csv_arrow

if TYPE_CHECKING:
    from .tables import Kind

MISSING = frozenset({"", "na", "n/a", "?", "nan", "null"})
MARKS = MISSING | {
    *{"-", "--", "---", ".", "..", "...", "none", "missing", "nil", "-nan", "n.a.", "#n/a", "#na", "<na>", "(null)"},
    *{"\\n", "#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!"},
}
"""What stands for a missing value among numbers, in lower case; in a column of texts most of these may be values."""


def is_missing(text: str) -> bool:
    """Whether it stands for a missing value in any column."""
    return text.strip().lower() in MISSING


def is_mark(text: str) -> bool:
    """Whether it stands for a missing value among numbers."""
    return text.strip().lower() in MARKS


def kind_of(texts: Sequence[str]) -> "Kind":
    """What a column with these values holds. One of marks alone holds texts, unless all of them are missing values."""
    try:
        values = numbers(texts)
    except ValueError:
        return "category"
    return "number" if not np.isnan(values).all() or all(map(is_missing, texts)) else "category"


def numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    """Texts as numbers, NaN for missing values. Raises `ValueError` for any other text."""
    if "_" in "".join(texts):
        raise ValueError("Python would read 1_2 as 12")
    try:
        return np.array(texts, np.float64)
    except ValueError:
        return np.array(["nan" if is_mark(text) else text for text in texts], np.float64)


_MISSING_SPELLINGS = csv_arrow.spellings(sorted(MARKS))


def fast_numbers(texts: Any) -> NDArray[np.float64]:
    """As `numbers`, of a pyarrow array."""
    return csv_arrow.numbers(texts, _MISSING_SPELLINGS, numbers)


class Places(dict[str, float]):
    """The place of each value in the list of a column's values, by its text in the file; NaN for missing values. New
    values are appended to the list. `texts`: the list."""

    def __init__(self, kind: "Kind") -> None:
        super().__init__()
        self.boolean = kind == "boolean"
        self.texts: dict[str, int] = {"False": 0, "True": 1} if self.boolean else {}

    def __missing__(self, written: str) -> float:
        text = written.strip()
        if self.boolean:  # in any case, or as databases write them
            text = {"true": "True", "1": "True", "false": "False", "0": "False"}.get(text.lower(), text)
        place = math.nan if is_missing(text) else float(self.texts.setdefault(text, len(self.texts)))
        self[written] = place
        return place
