"""The fast path for large CSV files: pyarrow splits the lines and parses the numbers.

It returns exactly what Python's reader in `csv_files` returns, or raises `Doubtful` for anything that the two may read
differently. The caller then continues with Python's reader, which decides, and names the line in its errors.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = Callable[[Sequence[str]], NDArray[np.float64]]
"""Texts as numbers, NaN for missing values; raises ValueError for any other text."""

BLOCK = 2**20  # bytes that pyarrow reads at a time; a longer row is doubtful


class Doubtful(Exception):
    """pyarrow failed, or may have read something differently from Python."""


def available() -> bool:
    """Whether pyarrow is installed."""
    try:
        import pyarrow.csv  # noqa: F401
    except ImportError:
        return False
    return True


def tables(path: Path, separator: str, columns: Sequence[str], header: bool, size: int, longest: int) -> Iterator[Any]:
    """The rows of a CSV file as pyarrow tables of texts, `size` rows each, the last one fewer.

    `header`: whether to skip the first line. `longest`: bytes of the longest value that is not doubtful. Memory holds
    one table and some blocks that pyarrow reads ahead. Raises `Doubtful`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv

    try:
        reader = csv.open_csv(
            _stream(path),
            csv.ReadOptions(column_names=list(columns), skip_rows=int(header), block_size=BLOCK),
            csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
        )
        waiting, count = [], 0
        for batch in reader:
            for column in batch.columns:
                if len(column) and pc.max(pc.binary_length(column)).as_py() > longest:
                    raise Doubtful
                # Where a block ends between a quoted \r and \n, pyarrow loses the \n.
                if pc.any(pc.match_substring(column, "\r")).as_py():
                    raise Doubtful
            waiting.append(batch)
            count += len(batch)
            while count > size:  # so that the last row is not given before it is known to be the last
                table = pa.Table.from_batches(waiting)
                yield table.slice(0, size).combine_chunks()
                waiting, count = table.slice(size).to_batches(), count - size
        if count:
            table = pa.Table.from_batches(waiting).combine_chunks()
            if "\n" in table.column(table.num_columns - 1)[-1].as_py():
                raise Doubtful  # a quote may be open at the end of the file
            yield table
    except (pa.ArrowException, OSError) as error:
        raise Doubtful from error


def _stream(path: Path) -> Any:
    """The uncompressed bytes of a file. pyarrow reads ahead in a thread and closes the file when that has ended."""
    import pyarrow as pa

    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    file = pa.OSFile(str(path))
    return pa.CompressedInputStream(file, "gzip") if compressed else file


def numbers(texts: Any, missing: Sequence[str], by_python: Numbers) -> NDArray[np.float64]:
    """A column of texts as numbers, NaN for missing values. Raises ValueError for any other text.

    pyarrow parses [-]digits[.digits][e[+-]digits] to the nearest float64, as Python does. A column with any other text,
    except those in `missing`, is converted by `by_python`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        return _finite(pc.cast(texts, pa.float64()))
    except ValueError:  # pyarrow's errors among them
        pass
    gaps = pc.is_in(texts, value_set=pa.array(missing))
    try:
        found = _finite(pc.fill_null(pc.cast(pc.if_else(gaps, None, texts), pa.float64()), 0.0))
    except ValueError:
        return by_python(texts.to_pylist())
    return np.where(gaps.to_numpy(zero_copy_only=False), np.nan, found)


def _finite(column: Any) -> NDArray[np.float64]:
    values: NDArray[np.float64] = column.to_numpy()
    if not np.isfinite(values).all():
        raise ValueError("pyarrow accepts more spellings of NaN than Python")
    return values


def places(texts: Any, known: Mapping[str, float]) -> NDArray[np.float64]:
    """`known[text]` for each row's text, looked up once per distinct text, in the order of appearance."""
    encoded = texts.dictionary_encode()
    found = np.array([known[text] for text in encoded.dictionary.to_pylist()], np.float64)
    taken: NDArray[np.float64] = found[encoded.indices.to_numpy()]
    return taken


def spellings(texts: Sequence[str]) -> list[str]:
    """All upper- and lower-case spellings of `texts`."""
    return sorted({"".join(letters) for text in texts for letters in product(*((c, c.upper()) for c in text))})
