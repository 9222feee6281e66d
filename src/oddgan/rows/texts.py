"""Texts in a column that are likely to be something else: numbers with a typing error among them, or dates.

A column of 999 numbers and one "3050 rpm" would otherwise hold a thousand categories, of which every new value is as
usual as the others; so would a column of dates.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

NEARLY = 0.9  # share of a column's values that are numbers from which on the others count as errors
LEAST = 10  # values that say something about a column
DATED = 0.95  # share of a column's values that are dates

_CLOCK = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?( ?(Z|UTC|[+-]\d{2}:?\d{2}))?"
_DAY = r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})|(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})"
_DATE = re.compile(rf"({_DAY})([T ]+{_CLOCK})?|{_CLOCK}")


@dataclass(frozen=True)
class Suspicion:
    """What a column of texts seems to hold. `text`: one that does not fit in, or a date; `fitting` of `total` values
    are numbers, or dates."""

    kind: Literal["number", "date"]
    text: str
    fitting: int
    total: int

    def says(self, written: str) -> str:
        """What is wrong, and what to do about it."""
        if self.kind == "number":
            return (
                f"{written!r} is not a number, and {self.fitting:,} of the column's {self.total:,} values are; correct "
                "it, leave it empty if the value is missing"
            )
        return (
            f"holds dates ({written}); turn them into numbers that mean something (the hour, the days since an event), "
            "leave the column out (--drop)"
        )


def suspicious(texts: Sequence[str], counts: NDArray[np.intp], missing: Collection[str]) -> Suspicion | None:
    """What the values of a column, each of which occurs so many times, seem to be in place of texts; None where nothing
    speaks against texts. `missing`: what stands for a missing value among numbers."""
    numbers = np.array([is_number(text) for text in texts], dtype=bool)
    absent = np.array([text.strip().lower() in missing for text in texts], dtype=bool)
    fitting, total = int(counts[numbers].sum()), int(counts[~absent].sum())
    if total > fitting >= max(LEAST, NEARLY * total):
        return Suspicion("number", texts[int(np.flatnonzero(~numbers & ~absent)[0])], fitting, total)
    dates = np.array([is_date(text) for text in texts], dtype=bool)
    fitting = int(counts[dates].sum())
    if fitting >= DATED * total and np.count_nonzero(dates) > 1:
        return Suspicion("date", texts[int(np.flatnonzero(dates)[0])], fitting, total)
    return None


def is_number(text: str) -> bool:
    """Whether a text is a number as files have them: not NaN, and without Python's underscores."""
    try:
        value = float(text)
    except ValueError:
        return False
    return "_" not in text and value == value


def is_date(text: str) -> bool:
    """Whether a text is a day, a time, or both, as 2024-05-01, 1.5.2024 14:30 or 14:30:05."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return False
    parts = [int(part) for part in found.groups()[1:7] if part is not None]
    return not parts or (max(sorted(parts)[:2]) <= 31 and min(parts) <= 12)
