"""What a fit warns of in a table's columns: those that teach nothing, and those that are likely to be names of rows."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..rows.tables import Kind
from .table_sums import Chosen

UNIQUE = 0.95  # share of values that occur once from which on a column of texts says nothing about new rows
LEAST = 20  # rows that say something about a column
LISTED = 5  # columns that a warning names
EXACT = 2.0**53  # beyond, float64 loses digits of whole numbers
NAMES = frozenset({"id", "index", "row", "rowid", "row_id", "uuid", "key", "unnamed: 0", "no", "nr", "number"})


def warn_of_columns(
    values: Chosen,
    kinds: Sequence[Kind],
    names: Sequence[str],
    texts: Sequence[Sequence[str]],
    counts: Mapping[int, NDArray[np.int64]],
    rare: float,
) -> None:
    """Of the columns of training rows (n, k): numbers, and places in each column's `texts`, of which each occurs as
    often as `counts` of the column says. `rare`: the share of rows below which a category is pooled with others."""
    from ..cautions import DataWarning, warn  # scikit-learn comes with it

    if len(values) < LEAST:
        return
    found: dict[str, list[str]] = {code: [] for code in MESSAGES}
    counting: list[int] = []
    n, (gone, low, high, whole, _) = len(values), values.seen
    for i, (kind, name) in enumerate(zip(kinds, names, strict=True)):
        known = n - int(gone[i])
        if not known:
            found["empty-column"].append(name)
            continue
        if known == n and low[i] == high[i]:
            found["constant-column"].append(name)
        elif kind == "category":
            often = counts[i]
            if (often == 1).sum() >= UNIQUE * known and known >= LEAST:
                found["unique-values"].append(f"{name} ({texts[i][int(values.first(i))]!r:.40}, ...)")
            elif often[often < rare * n].sum() >= UNIQUE * known:
                found["rare-values"].append(f"{name} ({np.count_nonzero(often):,} values)")
        elif kind == "number" and whole[i] and values.distinct(i):
            counting.append(i)
        if kind == "number" and whole[i] and max(-low[i], high[i]) > EXACT:
            found["large-integers"].append(name)
    found["identifier"] = [names[i] for i, one in values.columns(counting) if _identifies(one, names[i])]
    for code, message in MESSAGES.items():
        if found[code]:
            shown = ", ".join(found[code][:LISTED])
            more = f" and {len(found[code]) - LISTED:,} more" if len(found[code]) > LISTED else ""
            warn(DataWarning, code, message.format(columns=f"{shown}{more}"))


MESSAGES = {
    "empty-column": "no training row has a value in {columns}: any value will look anomalous; leave it out (--drop) "
    "unless that is meant",
    "constant-column": "every training row has the same value in {columns}: it teaches nothing, and any other value "
    "will look anomalous; leave it out (--drop) unless that is meant",
    "unique-values": "nearly every value occurs once in {columns}: as a category it says nothing about new rows, whose "
    "values are all unseen; leave it out (--drop), or turn it into groups or numbers",
    "rare-values": "nearly every row has a rare value in {columns}: these are pooled with all values that are unseen, "
    "so the column says next to nothing; leave it out (--drop), turn it into groups, or lower --rare",
    "identifier": "rows are numbered or named in {columns}: that says when a row was recorded, and new rows will be "
    "beyond all of training; leave it out (--drop)",
    "large-integers": "there are whole numbers above 2^53 in {columns}, of which float64 loses digits: if they are "
    "identifiers, leave them out (--drop) or make them text",
}


def _identifies(column: np.ndarray, name: str) -> bool:
    """Whether a column of whole numbers counts the rows: all different, evenly spaced (in any order; some may be held
    out), or called so."""
    known = column[~np.isnan(column)]
    distinct = np.sort(known)
    if len(known) < LEAST or (distinct[1:] == distinct[:-1]).any():
        return False
    steps = np.diff(distinct)
    dense = len(distinct) >= 0.5 * ((distinct[-1] - distinct[0]) / steps.min() + 1)
    rising = bool((np.diff(known) > 0).all())
    return name.strip().lower() in NAMES or (rising and dense)
