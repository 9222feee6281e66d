"""Texts in a column that are likely to be something else: numbers with a typing error among them, or dates.

A column of 999 numbers and one "3050 rpm" would otherwise hold a thousand categories, of which every new value is as
usual as the others; so would a column of dates.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

NEARLY = 0.9  # share of a column's values that are numbers from which on the others count as errors
LEAST = 10  # values that say something about a column
MOST_SHOWN = 80  # characters of a text in a message
DATED = 0.95  # share of a column's values that are dates

_CLOCK = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?( ?[AaPp][Mm])?( ?(Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
_DAY = r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})|(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})"
_DATE = re.compile(rf"({_DAY})([T ]+{_CLOCK})?|{_CLOCK}")
_MONTH = (
    "(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?|"
    r"dec(ember)?)\.?"
)
_WORDED = re.compile(  # 1 May 2024, [01/May/2024:10:00:00 +0000], Wed May  1 10:00:00 2024, 2024-05, 2024-W18
    rf"\[?((mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? )?(\d{{1,2}}[-/. ]+{_MONTH}[-/., ]*(\d{{4}}|\d{{2}})?|"
    rf"{_MONTH} +\d{{1,2}}(, ?| +)?(\d{{4}})?|{_MONTH}[-/ ]\d{{4}})([T :]+{_CLOCK}( \d{{4}})?)?\]?|"
    r"(19|20)\d\d-(0[1-9]|1[0-2])|(19|20)\d\d-?W[0-5]\d(-?[1-7])?|(19|20)\d{6}[T_ -]\d{4}(\d{2})?Z?",
    re.IGNORECASE,
)

_BLANKS = " \u00a0\u2009\u202f"  # which some countries write between thousands
_MEASURED = re.compile(
    rf"([+\-\u2212(]?)\s?([$€£¥~<>≈']?)\s?[+-]?(\d[\d.,'’{_BLANKS}]*(e[+-]?\d+)?)"
    r"(\s?[^\W\d_]{1,5}(/[^\W\d_]{1,3})?|\s?[%‰°$€£¥]{1,2}[CFK]?)?(\)?)"
)
_GROUPED = re.compile(rf"[+-]?[1-9]\d{{0,2}}([,'’{_BLANKS}])\d{{3}}(\1\d{{3}})*(\.\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(\d*|\d{1,3}(\.\d{3})+),\d+(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Suspicion:
    """What a column of texts seems to hold. `text`: one that does not fit in, or one of the numbers with a decimal
    comma, of the dates, or of the numbers with a unit; `fitting` of `total` values are numbers or such texts."""

    kind: Literal["number", "comma", "date", "unit"]
    text: str
    fitting: int
    total: int

    def says(self, column: str, written: str) -> str:
        """What is wrong with the column, and what to do about it."""
        if self.kind == "number":
            return (
                f"column {column!r}: {shown(written)} is not a number, and {self.fitting:,} of the column's "
                f"{self.total:,} values are; correct it, leave it empty if the value is missing"
            )
        if self.kind == "comma":
            return f"column {column!r} has numbers with a decimal comma ({written}); use a decimal point"
        if self.kind == "unit":
            return (
                f"column {column!r}: holds numbers with a unit or with thousands separators ({written}); write plain "
                "numbers"
            )
        return (
            f"column {column!r}: holds dates ({written}); turn them into numbers that mean something (the hour, the "
            "days since an event), leave the column out (--drop)"
        )


def suspicious(texts: Sequence[str], counts: NDArray[np.intp], missing: Collection[str]) -> Suspicion | None:
    """What the values of a column, each of which occurs so many times, seem to be in place of texts; None where nothing
    speaks against texts. `missing`: what stands for a missing value among numbers."""

    def which(test: Callable[[str], object]) -> NDArray[np.bool_]:
        return np.array([bool(test(text)) for text in texts], dtype=bool)

    def found(kind: Literal["number", "comma", "date", "unit"], first: NDArray[np.bool_], fitting: int) -> Suspicion:
        return Suspicion(kind, texts[int(np.flatnonzero(first)[0])], fitting, total)

    numbers, absent = which(is_number), which(lambda text: text.strip().lower() in missing)
    fitting, total = int(counts[numbers].sum()), int(counts[~absent].sum())
    if total > fitting >= max(LEAST, NEARLY * total):
        return found("number", ~numbers & ~absent, fitting)
    commas = which(lambda text: _DECIMAL_COMMA.fullmatch(text.strip()))
    if commas.any() and not which(_GROUPED.fullmatch)[commas].all():
        fitting = int(counts[commas | numbers].sum())
        if fitting == total or fitting >= max(LEAST, NEARLY * total):
            return found("comma", commas, fitting)
    dates = which(is_date)
    fitting = int(counts[dates].sum())
    if fitting >= DATED * total and np.count_nonzero(dates) > 1:
        return found("date", dates, fitting)
    units = [_unit(text) for text in texts]
    measured = np.array([unit is not None for unit in units], dtype=bool)
    fitting = int(counts[measured | numbers].sum())
    one_unit = len({unit for unit in units if unit is not None}) == 1
    if one_unit and fitting >= NEARLY * total and np.count_nonzero(measured) >= LEAST:
        return found("unit", measured, fitting)
    return None


def _unit(text: str) -> str | None:
    """What is beside a number, such as % or rpm; "" where only thousands are separated or a minus is another character
    than files have; None for other texts."""
    found = _MEASURED.fullmatch(text.strip())
    if found is None:
        return None
    sign, before, number, after = found[1], found[2], found[3], (found[5] or "").strip()
    if (sign == "(") != (found[7] == ")"):
        return None
    if before or after:
        return f"{before}|{after}"
    return "" if sign in ("(", "\u2212") or _GROUPED.fullmatch(number) else None


def shown(text: str) -> str:
    """A text in a message."""
    return repr(text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}...")


def is_number(text: str) -> bool:
    """Whether a text is a number as files have them: not NaN, and without Python's underscores."""
    try:
        value = float(text)
    except ValueError:
        return False
    return "_" not in text and value == value


def is_date(text: str) -> bool:
    """Whether a text is a day, a time, or both, as 2024-05-01, 1.5.2024 14:30, 1 May 2024 or 14:30:05."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return _WORDED.fullmatch(text.strip()) is not None
    parts = [int(part) for part in found.groups()[1:7] if part is not None]
    return not parts or (max(sorted(parts)[:2]) <= 31 and min(parts) <= 12)
