"""Scores as CSV, JSON Lines or Parquet: whole at the end, or row by row as they come."""

import csv
import io
import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import numpy as np

from ..errors import MissingExtra, OutputError, ParameterError
from ..files import whole_file
from ..verdict.regions import MapRegion

VERDICTS = ("normal", "anomaly")
UNUSABLE = "unusable"
"""The verdict on a row that could not be read or does not fit the model; its reason stands beside it."""

MOST = 3  # columns that are named of each row
SPOOLED = 64 * 2**20  # bytes of results that wait in memory for the run to end well; more wait on disk
GROUP = 2**16  # rows of a row group in Parquet
DIGITS = 9  # of a number in text: what a float32, in which networks compute, has

Format = Literal["csv", "jsonl", "parquet"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}

Key = tuple[str | int | None, ...]
"""What identifies a row: its path, its number in a table, or both."""


@dataclass(frozen=True)
class Results:
    """The results of some rows, in order. `keys` of all; `score`, `p_value`, `is_anomaly` (n,) float64 and bool;
    `columns`, of tables, those with the largest shares; `regions`, of pictures, where each is anomalous; `reasons`: why
    a row could not be used, "" where it could; `others`: (n,) bool each, what is an anomaly at further rates, in their
    order; `q_value`: (n,) float64, where the verdict is by them."""

    keys: Sequence[Key]
    score: np.ndarray
    p_value: np.ndarray
    is_anomaly: np.ndarray
    columns: Sequence[str] | None = None
    regions: Sequence[Sequence[MapRegion]] | None = None
    reasons: Sequence[str] | None = None
    others: Sequence[np.ndarray] = ()
    q_value: np.ndarray | None = None

    def first(self, n: int) -> "Results":
        """Those of the first n rows."""
        held = {name: getattr(self, name) for name in ("columns", "regions", "reasons")}
        more: dict[str, Any] = {name: None if column is None else column[:n] for name, column in held.items()}
        others = [flags[:n] for flags in self.others]
        return Results(self.keys[:n], self.score[:n], self.p_value[:n], self.is_anomaly[:n], others=others, **more)

    def more(self, *, in_full: bool) -> list[Sequence[Any]]:
        """The further columns that there are: regions as text, or `in_full`."""
        regions: Sequence[Any] | None = self.regions
        if regions is not None:
            regions = [[_in_full(one) for one in found] if in_full else _briefly(found) for found in regions]
        reasons = None if self.reasons is None else [*map(_text, self.reasons)]
        return [column for column in (self.columns, regions, reasons) if column is not None]

    def all(self, number: Callable[[np.ndarray], Sequence[Any]], *, in_full: bool) -> list[Sequence[Any]]:
        """All columns but the keys, numbers as `number` makes them; regions as text, or `in_full`."""
        numbers = [one for one in (self.score, self.p_value, self.q_value) if one is not None]
        verdicts = [self.verdicts(flags) for flags in (self.is_anomaly, *self.others)]
        return [*map(number, numbers), *verdicts, *self.more(in_full=in_full)]

    def verdicts(self, flags: np.ndarray) -> list[str]:
        """ "normal", "anomaly" or "unusable" of each, by what is an anomaly (n,)."""
        found = [VERDICTS[int(flag)] for flag in flags]
        return found if self.reasons is None else [
            UNUSABLE if reason else verdict for verdict, reason in zip(found, self.reasons, strict=True)
        ]  # fmt: skip


def _in_full(region: MapRegion) -> dict[str, Any]:
    return {**region.to_json(), "value": _finite(region.value)}


def _briefly(regions: Sequence[MapRegion]) -> str:
    """Regions as text: "12,30,8,5 7.31; 40,2,3,3 6.9"."""
    return "; ".join(f"{','.join(map(str, one.box))} {one.value:.3g}" for one in regions)


class Writer(Protocol):
    """Takes the results of some rows at a time."""

    def __call__(self, results: Results) -> None: ...


def in_words(columns: Sequence[str], shares: Sequence[np.ndarray] | np.ndarray | None, n: int) -> list[str]:
    """Of n rows the columns with the largest `shares` (n, k) as results have them: "bytes 61%; service 20%". Nothing
    where there are no shares."""
    if shares is None:
        return [""] * n
    # Thousands of rows use a few hundred texts: each is put together once and looked up by its number.
    words = np.array([[f"{name} {percent}%" for percent in range(101)] for name in columns], dtype=object)
    left, rows = np.nan_to_num(np.array(shares), nan=0.0), np.arange(n)
    parts = []
    for _ in range(min(MOST, len(columns))):
        column = left.argmax(axis=1)
        parts.append(words[column, np.rint(100 * left[rows, column]).astype(int)].tolist())
        left[rows, column] = -1.0
    return ["; ".join(row) for row in zip(*parts, strict=True)]


def format_of(path: Path | None, asked: str | None, stream: bool) -> Format:
    """In what results are written. Raises `ParameterError` or `MissingExtra` where that is not possible."""
    known = None if path is None else SUFFIXES.get(path.suffix.lower())
    if path is not None and known is None:
        raise ParameterError(f"{path}: results are .csv, .jsonl or .parquet; give a name that ends so")
    if asked not in (None, "csv", "jsonl"):
        raise ParameterError(f"--format {asked}: standard output takes csv or jsonl")
    if known is not None and asked not in (None, known):
        raise ParameterError(f"--format {asked}: {path} says otherwise; leave one of them out")
    chosen: Format = known or ("jsonl" if asked == "jsonl" else "csv")
    if chosen == "parquet":
        if stream:
            raise ParameterError(f"--stream: {path} can only be written whole; use .csv or .jsonl")
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise MissingExtra("pyarrow", "parquet", "writing Parquet") from error
    return chosen


def heads_of(
    *, columns: bool, regions: bool = False, reasons: bool = False, rates: Sequence[float] = (), q_values: bool = False
) -> list[str]:
    """What the columns of results are called, but for the keys; see `scores_to`."""
    more = {"columns": columns, "regions": regions, "reason": reasons}
    verdicts = ["verdict", *(f"verdict_{rate:g}" for rate in rates)]
    numbers = ["score", "p_value", *["q_value"] * q_values]
    return [*numbers, *verdicts, *(name for name, there in more.items() if there)]


@contextmanager
def scores_to(
    path: Path | None,
    keys: Sequence[str],
    form: Format,
    *,
    columns: bool,
    regions: bool = False,
    reasons: bool,
    stream: bool,
    rates: Sequence[float] = (),
    q_values: bool = False,
    finish: Callable[[IO[bytes]], None] | None = None,
) -> Iterator[Writer]:
    """Where results go: a file, or standard output. Whole or not at all, unless `stream` is true. `finish` is called
    with the file when all is written, before it has its name.

    `keys`: what identifies a row, of "path" and "row". `columns`: there is a column with the columns that have the
    largest shares. `regions`: one with the regions that are anomalous. `reasons`: one with the reason why a row
    could not be used. `rates`: further ones, each with a column of verdicts. `q_values`: there is a column of them.
    """
    heads = [*keys, *heads_of(columns=columns, regions=regions, reasons=reasons, rates=rates, q_values=q_values)]
    kinds: dict[Format, Any] = {"csv": _Csv, "jsonl": _JsonLines, "parquet": _Parquet}
    if stream:
        with Through(path) as out:
            yield kinds[form](out, heads)
    elif path is None:
        out = _stdout()
        with tempfile.SpooledTemporaryFile(SPOOLED) as spool:
            yield kinds[form](spool, heads)
            spool.seek(0)
            _to_stdout(spool, out)
    else:
        with whole_file(path) as file:
            with ended(kinds[form](file, heads)) as writer:
                yield writer
            if finish is not None:
                finish(file)


@contextmanager
def ended(writer: Any) -> Iterator[Any]:
    """Close what writes to a file when the block ends well. Otherwise it must not: the file is closed and gone when
    pyarrow's writer is collected, and what it says then hides the error."""
    try:
        yield writer
        writer.close()
    except BaseException:
        writer.abandon()
        raise


class Through:
    """Writes every batch of results through to a file or to standard output."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def __enter__(self) -> "Through":
        if self.path is None:
            self.file: Any = _stdout()
            return self
        try:
            self.file = self.path.open("wb")
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror or error})") from error
        return self

    def __exit__(self, *error: object) -> None:
        if self.path is not None:
            self.file.close()

    def write(self, data: bytes) -> None:
        """Write and flush."""
        try:
            self.file.write(data)
            self.file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            where = self.path or "standard output"
            raise OutputError(f"{where}: cannot be written ({error.strerror or error}); free some space") from error


def _stdout() -> Any:
    """Standard output for bytes. Raises `OutputError` where the caller has closed it."""
    if getattr(sys.stdout, "name", None) == os.devnull:  # what `main` puts there then; >/dev/null has another name
        raise OutputError("standard output is closed; use -o")
    return sys.stdout.buffer


def _to_stdout(spool: IO[bytes], out: Any) -> None:
    try:
        sys.stdout.flush()
        shutil.copyfileobj(spool, out)
        out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written ({error.strerror}); free space or use -o") from error


def _numbers(values: np.ndarray) -> list[str]:
    """Numbers as text; nothing for NaN."""
    return ["" if math.isnan(value) else f"{value:.{DIGITS}g}" for value in values.tolist()]


class _Csv:
    def __init__(self, file: Any, heads: Sequence[str]) -> None:
        self.file = file
        self._write([heads])

    def __call__(self, results: Results) -> None:
        columns = results.all(_numbers, in_full=False)
        self._write((*key, *rest) for key, *rest in zip(results.keys, *columns, strict=True))

    def _write(self, rows: Any) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.file.write(text.getvalue().encode("utf-8", "surrogateescape"))  # a file's name as its bytes are on disk

    def close(self) -> None:
        """A CSV file needs no end."""

    abandon = close


class _JsonLines:
    def __init__(self, file: Any, heads: Sequence[str]) -> None:
        self.file, self.heads = file, heads

    def __call__(self, results: Results) -> None:
        lines = [json.dumps(line, ensure_ascii=False, allow_nan=False) for line in entries(results, self.heads)]
        self.file.write("".join(f"{line}\n" for line in lines).encode())

    def close(self) -> None:
        """JSON Lines need no end."""

    abandon = close


def entries(results: Results, heads: Sequence[str]) -> list[dict[str, Any]]:
    """Results as JSON has them, an object each. `heads`: what keys and columns are called."""
    columns = results.all(lambda values: [_finite(value) for value in values.tolist()], in_full=True)
    rows = zip(results.keys, *columns, strict=True)
    return [dict(zip(heads, (*map(_text, key), *rest), strict=True)) for key, *rest in rows]


def _finite(value: float) -> float | None:
    """A number as JSON has it; null where it is not finite."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _text(key: str | int | None) -> str | int | None:
    """A file's name as UTF-8: bytes that are none become replacement characters."""
    return os.fsencode(key).decode("utf-8", "replace") if isinstance(key, str) else key


class _Parquet:
    def __init__(self, file: IO[bytes], heads: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {"row": pa.int64(), "score": pa.float64(), "p_value": pa.float64(), "q_value": pa.float64()}
        self.schema = pa.schema([(head, types.get(head, pa.string())) for head in heads])
        self.writer = RowGroups(pq.ParquetWriter(file, self.schema))

    def __call__(self, results: Results) -> None:
        import pyarrow as pa

        if not results.keys:
            return
        keys = [list(map(_text, column)) for column in zip(*results.keys, strict=True)]
        columns = [*keys, *results.all(lambda values: pa.array(values, from_pandas=True), in_full=False)]
        self.writer.add(pa.table(columns, schema=self.schema))

    def close(self) -> None:
        """Write the file's end."""
        self.writer.close()

    def abandon(self) -> None:
        """Write nothing more."""
        self.writer.abandon()


class RowGroups:
    """Tables into a Parquet file, in groups of `GROUP` rows whatever the sizes in which they come."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer
        self.waiting: list[Any] = []
        self.count = 0

    def add(self, table: Any) -> None:
        """These rows after those before."""
        self.waiting.append(table)
        self.count += len(table)
        while self.count >= GROUP:
            self._write(GROUP)

    def _write(self, rows: int) -> None:
        import pyarrow as pa

        whole = pa.concat_tables(self.waiting)
        self.writer.write_table(pa.concat_tables([whole.slice(0, rows)]).combine_chunks(), row_group_size=GROUP)
        self.waiting, self.count = [whole.slice(rows)], self.count - rows

    def close(self) -> None:
        """Write what waits, and the file's end."""
        if self.count:
            self._write(self.count)
        self.writer.close()

    def abandon(self) -> None:
        """Write nothing more, nor when it is collected."""
        self.writer.is_open = False
