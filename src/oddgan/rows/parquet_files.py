"""Tables in Parquet files, read in parts. Needs the extra `parquet`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, MissingExtra
from .csv_files import PART, Gather
from .stored_table import LARGE, PIECE

if TYPE_CHECKING:
    from .tables import Kind, TableRows

BUFFER = 2**18  # bytes per column


class ParquetFile:
    """One Parquet file.

    `columns`: the names of all its columns, except an index that pandas wrote. The file defines their kinds. Raises
    `MissingExtra` where pyarrow is not installed, `DataError` for a file that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow.parquet as pq
        except ImportError as error:
            raise MissingExtra("pyarrow", "parquet", "reading Parquet") from error
        self.path = path
        with self._understood():
            # Each column has its own buffer. Otherwise pyarrow keeps everything that it has read of the file.
            self.file: Any = pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER)
            names = [str(name) for name in self.file.schema_arrow.names]
        self.columns = tuple(name for name in names if not name.startswith("__index_level_"))

    def count(self) -> int:
        """The number of rows."""
        return int(self.file.metadata.num_rows)

    def parts(self, kinds: "Mapping[str, Kind]", size: int = PART) -> "Iterator[TableRows]":
        """The columns that `kinds` names, in its order, `size` rows at a time."""
        import pyarrow as pa

        first = 0
        with self._understood():
            for batch in self.file.iter_batches(size, columns=list(kinds)):
                yield self._as_rows(pa.Table.from_batches([batch]), list(kinds), kinds, first)
                first += len(batch)

    def whole(self, chosen: Sequence[str], known: "Mapping[str, Kind]", gathered: Gather | None = None) -> "TableRows":
        """All rows of the columns `chosen`. Numbers become texts where they are `known` to be categories. `gathered`:
        makes one table of the parts of a large file."""
        if not self.count():
            raise DataError(f"{self.path}: has no rows; give at least one")
        if gathered is not None and 8 * self.count() * len(chosen) > LARGE:
            return merged(self.parts({name: known.get(name, "number") for name in chosen}), gathered)
        with self._understood():
            rows = self._as_rows(self.file.read(columns=list(chosen)), chosen, known)
        if rows.values.nbytes > PIECE:
            import pyarrow as pa

            pa.default_memory_pool().release_unused()  # as much as the rows take
        return rows

    def _as_rows(self, table: Any, names: Sequence[str], kinds: "Mapping[str, Kind]", first: int = 0) -> "TableRows":
        import pyarrow as pa
        import pyarrow.compute as pc

        from .tables import as_table

        for i, field in enumerate(table.schema):
            if kinds.get(field.name) == "category" and (
                pa.types.is_integer(field.type) or pa.types.is_floating(field.type) or pa.types.is_null(field.type)
            ):
                column = table.column(i)
                if pa.types.is_floating(field.type):  # NaN is missing, and no text
                    column = pc.if_else(pc.is_nan(column), pa.scalar(None, field.type), column)
                table = table.set_column(i, field.name, column.cast(pa.string()))
        return as_table(table, first).chosen(names)

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except DataError as error:
            raise DataError(f"{self.path}: {error}") from error
        except PermissionError:
            raise DataError(f"{self.path}: may not be read (permission denied); give read permission") from None
        except (MissingExtra, KeyboardInterrupt):
            raise
        except Exception as error:  # pyarrow raises many types on damaged files
            reason = " ".join(str(error).split())
            raise DataError(f"{self.path}: is not a Parquet file, or damaged ({reason}); write it again") from error


def merged(parts: "Iterator[TableRows]", gathered: Gather) -> "TableRows":
    """All rows of these parts of one table, whose categories each part numbers by itself. A column of which a part
    holds nothing has any kind there. Raises `DataError` where the kinds of columns differ."""
    from .tables import TableRows

    heads: list[TableRows] = []
    known: list[dict[str, int]] = []
    kinds: list[Kind | None] = []  # None: nothing but missing numbers yet
    named: list[tuple[tuple[str, ...], bool]] = []  # what the part said of texts that had the kind first

    def values() -> Iterator[NDArray[np.float64]]:
        for part in parts:
            if not heads:
                heads.append(part)
                known.extend({} for _ in part.kinds)
                kinds.extend(None for _ in part.kinds)
                named.extend(((), False) for _ in part.kinds)
            found = np.array(part.values, np.float64)
            for i, now in enumerate(part.kinds):
                if now == kinds[i] or (now == "number" and np.isnan(found[:, i]).all()):
                    continue
                if kinds[i] is not None:
                    name = part.name_of(i)
                    raise DataError(
                        f"column {name!r} is of the kind {now}, and {kinds[i]} in other rows; write one type"
                    )
                kinds[i] = now
                named[i] = part.texts[i], bool(part.plain) and part.plain[i]
            for i, kind in enumerate(part.kinds):
                if kind == "category":
                    codes = [known[i].setdefault(text, len(known[i])) for text in part.texts[i]]
                    places = found[:, i]
                    found[:, i] = np.array([*codes, np.nan])[np.where(np.isnan(places), -1, places).astype(int)]
            yield found

    whole = gathered(values())
    head = heads[0]
    decided: tuple[Kind, ...] = tuple(kind or "number" for kind in kinds)
    texts = tuple(
        tuple(texts) if kind == "category" else said
        for kind, texts, (said, _) in zip(decided, known, named, strict=True)
    )
    plain = tuple(said for _, said in named)
    return TableRows(whole, head.columns, decided, texts, None, plain if any(plain) else ())
