"""Rows of a table: numbers on one scale, categories as columns of 0 and 1.

What is learnt, and how: `oddgan.preprocessing.table_columns`. How it is applied: `oddgan.preprocessing.table_encoder`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..errors import ArtifactError, DataError, ParameterError
from ..rows.stored_table import LARGE, PIECE, StoredTable, in_temporary_file
from ..rows.tables import BOOLEANS, Kind, TableRows, as_table, refuse_suspicious
from .one_part import OnePart
from .parts import Block, Parts
from .prepared import OnePartEach
from .table_checks import warn_of_columns
from .table_columns import Categories, Floats, Numbers, Scaling
from .table_sums import Chosen

if TYPE_CHECKING:
    from torch import Tensor

    from .table_encoder import TableEncoder

CHUNK = 1024  # rows that are encoded together in a pass over all of them

NUMBER: Kind = "number"

_SCALED: dict[Scaling, str] = {
    "standard": "standardised",
    "minmax": "scaled from 0 to 1",
    "robust": "scaled by median and quartiles",
    "quantile": "scaled by rank to a normal distribution",
    "none": "not scaled",
}


@dataclass(frozen=True, eq=False)
class TablePreprocessor(OnePart):
    """How the k columns of a table reach the networks, as (d,) float32.

    `columns`: the user's names, None where there are none. `kinds`: "number", "category" or "boolean" of each.
    `numbers`: the scales of those that are numbers, in their order; `categories`: of each column, None for a number.
    """

    columns: tuple[str, ...] | None
    kinds: tuple[Kind, ...]
    numbers: Numbers
    categories: tuple[Categories | None, ...]
    scaling: Scaling = "standard"

    kind: ClassVar[str] = "table"

    @classmethod
    def fit(
        cls,
        rows: TableRows | np.ndarray,
        numbers: np.ndarray | None = None,
        *,
        scaling: Scaling = "standard",
        log_tails: bool = False,
        rare: float = 0.001,
    ) -> TablePreprocessor:
        """Learn from the training rows `numbers` (all, without them) alone. `scaling`, `log_tails` and `rare` are a
        detector's parameters. Raises `DataError` for a column whose values are too large to be squared."""
        rows = as_table(rows)
        refuse_suspicious(rows)
        kinds = rows.kinds or (NUMBER,) * rows.shape[1]
        values = Chosen(rows.values, numbers)
        number = [i for i, kind in enumerate(kinds) if kind == "number"]
        gone = values.seen.gone
        counts = values.counts({i: len(rows.texts[i]) for i, kind in enumerate(kinds) if kind != "number"})
        categories = tuple(
            Categories.fit(counts[i], int(gone[i]), rows.texts[i], rare) if i in counts else None
            for i in range(len(kinds))
        )
        x = values.taking(number)
        names = rows.columns or tuple(map(str, range(len(kinds))))
        called = rows.columns or tuple(f"column {i}" for i in range(len(kinds)))
        warn_of_columns(values, kinds, called, rows.texts, counts, rare)
        scales = Numbers.fit(x, [names[i] for i in number], scaling, log_tails)
        result = cls(rows.columns, kinds, scales, categories, scaling)
        return replace(result, numbers=replace(scales, blank=_blank(result.encoder, x, scales.missed)))

    @cached_property
    def encoder(self) -> TableEncoder:
        """The tensor operations, (b, k) float64 -> (b, d) float32: what an export carries. See `raw`."""
        from .table_encoder import TableEncoder  # torch comes with it

        return TableEncoder(self.numbers, self.categories)

    @property
    def all_numbers(self) -> bool:
        """Whether every column is one of numbers."""
        return all(one is None for one in self.categories)

    @property
    def shape(self) -> tuple[int, ...]:
        """What the networks work on: (d,)."""
        return (len(self.encoder.owner),)

    @property
    def names(self) -> tuple[str, ...]:
        """What to call the k columns: the user's names, or "column 0"."""
        return self.columns or tuple(f"column {i}" for i in range(len(self.kinds)))

    @cached_property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """The values of each column in the order of their codes, as `TableRows.texts` has them: () for numbers."""
        return tuple(() if one is None else one.texts for one in self.categories)

    def matched(self, rows: TableRows | np.ndarray) -> TableRows:
        """`rows` with the codes of this model's categories in place of their own. Rows that were matched stay.

        Raises `DataError` for columns of other names, in another order, or of another kind than in training.
        """
        rows = as_table(rows)
        if rows.texts is self.texts:
            return rows
        self._check(rows)
        if self.all_numbers and not rows.texts:
            return rows
        values = np.array(rows.values, dtype=np.float64)
        for i, one in enumerate(self.categories):
            if one is None:
                continue
            places = values[:, i]
            known = rows.texts[i] if rows.texts else ()
            codes = one.codes(known or (BOOLEANS if self.kinds[i] == "boolean" else ()))
            values[:, i] = codes[np.where(np.isnan(places), -1, places).astype(int)]
        return TableRows(values, self.columns, self.kinds, self.texts, rows.labels)

    def check(self, row: TableRows) -> None:
        """Raise `DataError` for rows whose columns are not the model's."""
        self._check(row)

    def _check(self, rows: TableRows) -> None:
        k = len(self.kinds)
        if rows.columns is not None and self.columns is not None and rows.columns != self.columns:
            raise DataError(_differing(self.columns, rows.columns))
        if rows.shape[1] != k:
            raise DataError(f"X has {rows.shape[1]} features, but the model is expecting {k} features as input")
        if self.all_numbers and not rows.kinds:
            return
        for i, kind in enumerate(self.kinds):
            given = rows.kind_of(i)
            if given == kind or (given == "boolean" and kind == "number"):
                continue
            places = rows.values[:, i]
            if given != "number" and not rows.texts[i]:
                continue  # a column without any value may be of any type
            if kind != "number" and given == "number" and rows.frame and np.isnan(places).all():
                continue
            if kind == "boolean" and given == "number" and np.isin(places[~np.isnan(places)], (0, 1)).all():
                continue
            words = {"number": "numbers", "category": "text", "boolean": "true and false"}
            fix = "give a DataFrame, whose columns have types" if not rows.frame else "convert it as it was then"
            raise DataError(f"column {self.names[i]!r} held {words[kind]} in training and holds {words[given]}: {fix}")

    def raw(self, rows: TableRows | np.ndarray) -> Tensor:
        """`rows` as the encoder takes them: (n, k) float64, numbers with NaN for missing ones, codes of categories."""
        import torch

        values = self.matched(rows).values
        return torch.from_numpy(np.require(values, np.float64, ["C", "W"]))  # memory-mapped rows are read-only

    def tensor(self, rows: TableRows | np.ndarray) -> Tensor:
        """`rows` as the networks take them, (n, d) float32."""
        encoded: Tensor = self.encoder(self.raw(rows))
        return encoded

    def parts(self, rows: TableRows) -> Parts:
        """The rows in blocks."""
        if isinstance(rows.values, StoredTable):
            self.check(rows)
            return _Read(self, rows)  # each block is matched when it is read
        return _Read(self, self.matched(rows))

    def heat(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """Where rows x differ from their reconstructions, (b, d): the absolute residual."""
        return (x - x_hat).abs()

    def with_conversion(self, convert: bool) -> TablePreprocessor:
        """Raises `ParameterError`: conversion is for pictures."""
        raise ParameterError(f"convert={convert}: is for pictures, and the model takes {self.describe()}")

    def prepare(self, rows: TableRows | np.ndarray, numbers: np.ndarray) -> PreparedTable:
        """Those rows, ready for training."""
        import torch

        rows, numbers = as_table(rows), np.asarray(numbers)
        if isinstance(rows.values, StoredTable) and 4 * len(numbers) * len(self.kinds) > LARGE:
            return self._prepared_in_file(rows, numbers)
        raw = self.raw(rows[numbers])
        encoded = torch.cat([self.encoder.numbers(raw[i : i + CHUNK]) for i in range(0, len(raw), CHUNK)])
        codes = None if self.encoder.all_numbers else raw.index_select(1, self.encoder.category)
        return PreparedTable(self.encoder, encoded, codes)

    def _prepared_in_file(self, rows: TableRows, numbers: np.ndarray) -> PreparedTable:
        """As `prepare`, what is made in a file of the cache's folder that goes with it."""
        import torch

        def made(of: Callable[[Tensor], Tensor]) -> StoredTable:
            step = CHUNK * max(1, PIECE // (8 * CHUNK * len(self.kinds)))
            pieces = (self.raw(rows[numbers[i : i + step]]) for i in range(0, len(numbers), step))
            return in_temporary_file(of(x[i : i + CHUNK]).numpy() for x in pieces for i in range(0, len(x), CHUNK))

        category = self.encoder.category
        codes = None if self.encoder.all_numbers else made(lambda raw: raw.index_select(1, category))
        some = len(self.encoder.number) > 0  # a file of nothing cannot be mapped
        encoded = made(self.encoder.numbers) if some else torch.empty(len(numbers), 0)
        return PreparedTable(self.encoder, encoded, codes)

    def restore(self, tensor: Tensor) -> np.ndarray:
        """The inverse of `tensor`, in the user's units: (n, k) float64 for a table of numbers, with NaN where an
        indicator says that the value is missing. With other columns (n, k) objects: floats, texts, True or False, and
        None for a missing value; a category is the one whose column is largest."""
        import torch

        encoder = self.encoder
        count = len(encoder.number)
        found = encoder.unscaled(tensor[:, :count].double())
        first = count + len(encoder.indicated)
        if first > count:
            gone = tensor[:, count:first] > 0.5
            at = (encoder.indicated[:, None] == encoder.number).int().argmax(dim=1)
            found[:, at] = torch.where(gone, torch.nan, found[:, at])
        if encoder.all_numbers:
            return np.asarray(found.numpy())
        result = np.empty((len(tensor), len(self.kinds)), dtype=object)
        result[:, encoder.number.numpy()] = found.numpy()
        for i, one in enumerate(self.categories):
            if one is None:
                continue
            known = [value == "True" if value in BOOLEANS and self.kinds[i] == "boolean" else value
                     for value in one.values]  # fmt: skip
            largest = tensor[:, first : first + one.size].argmax(dim=1).numpy() if one.size else np.zeros(len(tensor))
            result[:, i] = np.array([*known, None], dtype=object)[largest.astype(int)]
            first += one.size
        return result

    def shares(self, residual: Tensor) -> np.ndarray:
        """(n, d) residuals >= 0 -> each of the user's columns' share of their sum, (n, k) float64: a category's columns
        and a number's indicator count for the column that they come from."""
        import torch

        total = residual.sum(1, keepdim=True).clamp_min(1e-12)
        if not np.array_equal(self.encoder.owner, np.arange(len(self.kinds))):
            by_column = torch.zeros(len(residual), len(self.kinds), dtype=residual.dtype)
            residual = by_column.index_add(1, self.encoder.owner, residual)
        return np.asarray((residual / total).double().numpy())

    def describe(self) -> str:
        """One line for a user."""
        counts = Counter("number" if kind == "number" else "category" for kind in self.kinds)
        kinds = f" ({counts['number']} of numbers, {counts['category']} of categories)" if counts["category"] else ""
        scale = self.numbers.log_scale
        heavy = 0 if scale is None else int((scale > 0).sum())
        logs = f", logarithms of {heavy}" if heavy else ""
        return f"tables of {len(self.kinds)} columns{kinds}, {_SCALED[self.scaling]}{logs}"

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        facts = {
            "kind": "table",
            "columns": None if self.columns is None else list(self.columns),
            "kinds": list(self.kinds),
            "categories": [None if one is None else asdict(one) for one in self.categories],
            "scaling": self.scaling,
        }
        arrays = {name: value for name, value in vars(self.numbers).items() if value is not None}
        return facts, arrays

    @classmethod
    def from_manifest(cls, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> TablePreprocessor:
        """The inverse of `to_manifest`. Raises `ArtifactError` when the facts and the arrays do not agree."""
        columns = None if facts["columns"] is None else tuple(facts["columns"])
        if "kinds" not in facts:  # oddgan 0.1, which knew tables of numbers alone
            arrays = {"center": arrays["mean"], "scale": arrays["scale"]}
            arrays |= {name: np.zeros(len(arrays["center"])) for name in ("blank", "missed")}
            k = len(arrays["center"])
            facts = {"kinds": ["number"] * k, "categories": [None] * k, "scaling": "standard"}
        numbers = Numbers(**arrays)
        kinds: tuple[Kind, ...] = tuple(facts["kinds"])
        categories = tuple(None if one is None else Categories.from_manifest(one) for one in facts["categories"])
        count = kinds.count("number")
        if (
            not kinds
            or any(value.shape[:1] != (count,) for value in arrays.values())
            or [one is None for one in categories] != [kind == "number" for kind in kinds]
            or (columns is not None and len(columns) != len(kinds))
            or not all(isinstance(name, str) for name in columns or ())
            or not set(kinds) <= {"number", "category", "boolean"}
            or facts["scaling"] not in _SCALED
            or (numbers.knots is None) != (facts["scaling"] != "quantile" or not count)
            or not numbers.usable()
        ):
            raise ArtifactError("the table's columns and their scales do not agree")
        return cls(columns, kinds, numbers, categories, facts["scaling"])


class _Read:
    """Rows in blocks, encoded when their block is asked for."""

    def __init__(self, preprocessor: TablePreprocessor, rows: TableRows) -> None:
        self.preprocessor, self.rows = preprocessor, rows

    def blocks(self, size: int) -> Iterator[Block]:
        n = len(self.rows)
        for start in range(0, n, size):
            end = min(start + size, n)
            yield Block(self.preprocessor.tensor(self.rows[start:end]), np.arange(start, end))


@dataclass(frozen=True, eq=False)
class PreparedTable(OnePartEach):
    """Rows of a table, ready for training: scaled numbers and indicators (n, e) float32, and the codes (n, m) of
    categories, which become columns of 0 and 1 when a batch is asked for."""

    encoder: TableEncoder
    encoded: Tensor | StoredTable
    codes: Tensor | StoredTable | None

    def __len__(self) -> int:
        return len(self.encoded)

    def batch(self, numbers: np.ndarray) -> Tensor:
        """Those rows as (b, d) float32."""
        import torch

        numbers = np.asarray(numbers, np.int64)
        some = torch.from_numpy(numbers)

        def taken(of: Tensor | StoredTable) -> Tensor:
            return torch.from_numpy(np.asarray(of[numbers])) if isinstance(of, StoredTable) else of[some]

        x = taken(self.encoded)
        return x if self.codes is None else torch.cat([x, self.encoder.one_hot(taken(self.codes))], dim=1)


def _blank(encoder: TableEncoder, x: Chosen, missed: Floats) -> Floats:
    """What a missing value becomes: the scaled median where training rows missed some, else one beyond the
    largest scaled value."""
    import torch

    landmarks = np.nan_to_num(x.seen.most)
    mean = x.seen.total / np.maximum(1, len(x) - x.seen.gone)
    for i, column in x.sample.columns(np.flatnonzero(missed).tolist()):
        found = column[~np.isnan(column)]
        landmarks[i] = np.median(found) if len(found) else mean[i]  # as `Numbers.fit` does
    scaled = encoder.scaled(torch.from_numpy(landmarks[None]))[0].numpy()
    return np.asarray(np.where(missed > 0, scaled, scaled + 1))


def _differing(trained: tuple[str, ...], given: tuple[str, ...]) -> str:
    """What is wrong with the columns `given`, in scikit-learn's words and in one line."""
    message = "The feature names should match those that were passed during fit."
    for what, names in (
        ("Feature names unseen at fit time", [name for name in given if name not in trained]),
        ("Feature names seen at fit time, yet now missing", [name for name in trained if name not in given]),
    ):
        if names:
            message += f" {what}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}."
    if set(given) == set(trained):
        message += " Feature names must be in the same order as they were in fit."
    return message
