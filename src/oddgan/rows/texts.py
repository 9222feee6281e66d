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


_MEASURED = re.compile(
    r"([$€£¥~<>≈]?\s?)([+-]?\d[\d.,']*(e[+-]?\d+)?)"
    r"(\s?[^\W\d_]{1,5}(/[^\W\d_]{1,3})?|\s?[%‰°$€£¥]{1,2}[CFK]?)?"
)
GROUPED = re.compile(r"[+-]?\d{1,3}([,']\d{3})+(\.\d+)?")


@dataclass(frozen=True)
class Suspicion:
    """What a column of texts seems to hold. `text`: one that does not fit in, or a date, or a number with a unit;
    `fitting` of `total` values are numbers, or dates, or such numbers."""

    kind: Literal["number", "date", "unit"]
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
        if self.kind == "unit":
            return f"holds numbers with a unit or with thousands separators ({written}); leave the numbers alone"
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
    units = [_unit(text) for text in texts]
    measured = np.array([unit is not None for unit in units], dtype=bool)
    fitting = int(counts[measured | numbers].sum())
    one_unit = len({unit for unit in units if unit is not None}) == 1
    if one_unit and fitting >= NEARLY * total and np.count_nonzero(measured) >= LEAST:
        return Suspicion("unit", texts[int(np.flatnonzero(measured)[0])], fitting, total)
    return None


def _unit(text: str) -> str | None:
    """What is beside a number, such as % or rpm; "" where thousands are separated; None for other texts."""
    found = _MEASURED.fullmatch(text.strip())
    if found is None:
        return None
    before, number, after = found[1].strip(), found[2], (found[4] or "").strip()
    grouped = GROUPED.fullmatch(number) is not None
    return f"{before}|{after}" if before or after or grouped else None


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
