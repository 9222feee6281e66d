"""Tables in Parquet files, read in parts. Needs the extra `parquet`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, MissingExtra
from .csv_files import PART

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

        with self._understood():
            for batch in self.file.iter_batches(size, columns=list(kinds)):
                yield self._as_rows(pa.Table.from_batches([batch]), list(kinds), kinds)

    def whole(self, chosen: Sequence[str], known: "Mapping[str, Kind]") -> "TableRows":
        """All rows of the columns `chosen`. Numbers become texts where they are `known` to be categories."""
        if not self.count():
            raise DataError(f"{self.path}: has no rows; give at least one")
        with self._understood():
            return self._as_rows(self.file.read(columns=list(chosen)), chosen, known)

    def _as_rows(self, table: Any, names: Sequence[str], kinds: "Mapping[str, Kind]") -> "TableRows":
        import pyarrow as pa

        from .tables import as_table

        for i, field in enumerate(table.schema):
            if kinds.get(field.name) == "category" and (
                pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
            ):
                table = table.set_column(i, field.name, table.column(i).cast(pa.string()))
        return as_table(table).chosen(names)

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
