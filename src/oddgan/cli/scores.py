"""Scores as CSV or Parquet. Floats are written so that reading gives the same bits."""

import csv
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from ..errors import MissingExtra, OutputError, ParameterError
from ..files import whole_file

VERDICTS = ("normal", "anomaly")
MOST = 3  # columns that are named of each row
SPOOLED = 64 * 2**20  # bytes of results that wait in memory for the run to end well; more wait on disk


class Writer(Protocol):
    """Takes the results of some rows at a time; of tables also the columns with the largest shares."""

    def __call__(
        self,
        names: Sequence[str | int],
        score: np.ndarray,
        p_value: np.ndarray,
        is_anomaly: np.ndarray,
        columns: Sequence[str] | None = None,
    ) -> None: ...


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


def check_format(path: Path | None) -> None:
    """Raise `ParameterError` or `MissingExtra` when results cannot be written in the format that `path` ends in."""
    if path is None or path.suffix.lower() == ".csv":
        return
    if path.suffix.lower() != ".parquet":
        raise ParameterError(f"{path}: results are .csv or .parquet; give a name that ends so")
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet", "writing Parquet") from error


@contextmanager
def scores_to(path: Path | None, key: str, *, columns: bool = False) -> Iterator[Writer]:
    """Where results go, whole or not at all: a file, or standard output. `key`: the first column, "path" or "row".
    `columns`: there is a last column, with the columns that have the largest shares."""
    heads = [key, "score", "p_value", "verdict", *["columns"] * columns]
    if path is None:
        with tempfile.SpooledTemporaryFile(SPOOLED) as spool:
            yield _Csv(spool, heads)
            spool.seek(0)
            _to_stdout(spool)
        return
    with whole_file(path) as file:
        if path.suffix.lower() == ".csv":
            yield _Csv(file, heads)
        else:
            parquet = _Parquet(file, heads)
            yield parquet
            parquet.close()


def _to_stdout(spool: IO[bytes]) -> None:
    try:
        sys.stdout.flush()
        shutil.copyfileobj(spool, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written ({error.strerror}); free space or use -o") from error


class _Csv:
    def __init__(self, file: Any, heads: Sequence[str]) -> None:
        self.file = file
        self._write([heads])

    def __call__(
        self,
        names: Sequence[str | int],
        score: np.ndarray,
        p_value: np.ndarray,
        is_anomaly: np.ndarray,
        columns: Sequence[str] | None = None,
    ) -> None:
        verdicts = (VERDICTS[int(flag)] for flag in is_anomaly)
        more = [] if columns is None else [columns]
        self._write(zip(names, map(repr, score.tolist()), map(repr, p_value.tolist()), verdicts, *more, strict=True))

    def _write(self, rows: Any) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.file.write(text.getvalue().encode("utf-8", "surrogateescape"))  # a file's name as its bytes are on disk


class _Parquet:
    def __init__(self, file: IO[bytes], heads: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {"row": pa.int64(), "score": pa.float64(), "p_value": pa.float64()}
        self.schema = pa.schema([(head, types.get(head, pa.string())) for head in heads])
        self.writer = pq.ParquetWriter(file, self.schema)

    def __call__(
        self,
        names: Sequence[str | int],
        score: np.ndarray,
        p_value: np.ndarray,
        is_anomaly: np.ndarray,
        columns: Sequence[str] | None = None,
    ) -> None:
        import pyarrow as pa

        firsts = [os.fsencode(n).decode("utf-8", "replace") if isinstance(n, str) else n for n in names]
        verdicts = np.array(VERDICTS, dtype=object)[is_anomaly.astype(int)]
        more = [] if columns is None else [columns]
        self.writer.write_table(pa.table([firsts, score, p_value, verdicts, *more], schema=self.schema))

    def close(self) -> None:
        """Write the file's end."""
        self.writer.close()
