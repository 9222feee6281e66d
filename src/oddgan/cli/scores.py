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
SPOOLED = 64 * 2**20  # bytes of results that wait in memory for the run to end well; more wait on disk


class Writer(Protocol):
    """Takes the results of some rows at a time."""

    def __call__(
        self, names: Sequence[str | int], score: np.ndarray, p_value: np.ndarray, is_anomaly: np.ndarray
    ) -> None: ...


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
def scores_to(path: Path | None, key: str) -> Iterator[Writer]:
    """Where results go, whole or not at all: a file, or standard output. `key`: the first column, "path" or "row"."""
    if path is None:
        with tempfile.SpooledTemporaryFile(SPOOLED) as spool:
            yield _Csv(spool, key)
            spool.seek(0)
            _to_stdout(spool)
        return
    with whole_file(path) as file:
        if path.suffix.lower() == ".csv":
            yield _Csv(file, key)
        else:
            parquet = _Parquet(file, key)
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
    def __init__(self, file: Any, key: str) -> None:
        self.file = file
        self._write([(key, "score", "p_value", "verdict")])

    def __call__(
        self, names: Sequence[str | int], score: np.ndarray, p_value: np.ndarray, is_anomaly: np.ndarray
    ) -> None:
        verdicts = (VERDICTS[int(odd)] for odd in is_anomaly)
        self._write(zip(names, map(repr, score.tolist()), map(repr, p_value.tolist()), verdicts, strict=True))

    def _write(self, rows: Any) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.file.write(text.getvalue().encode("utf-8", "surrogateescape"))  # a file's name as its bytes are on disk


class _Parquet:
    def __init__(self, file: IO[bytes], key: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        first = pa.string() if key == "path" else pa.int64()
        columns = [(key, first), ("score", pa.float64()), ("p_value", pa.float64()), ("verdict", pa.string())]
        self.schema = pa.schema(columns)
        self.writer = pq.ParquetWriter(file, self.schema)

    def __call__(
        self, names: Sequence[str | int], score: np.ndarray, p_value: np.ndarray, is_anomaly: np.ndarray
    ) -> None:
        import pyarrow as pa

        shown = [os.fsencode(n).decode("utf-8", "replace") if isinstance(n, str) else n for n in names]
        verdicts = [VERDICTS[int(odd)] for odd in is_anomaly]
        self.writer.write_table(pa.table([shown, score, p_value, verdicts], schema=self.schema))

    def close(self) -> None:
        """Write the file's end."""
        self.writer.close()
