"""Tables in CSV files, read in parts, so that a file may be larger than memory.

The first line names the columns; the separator (comma, semicolon, tab or bar) is found from it. A column whose values
are all numbers holds numbers; every other column holds categories. Empty, "NA", "N/A", "?", "nan" and "null" (in any
case) are missing values; among numbers also `MARKS`, such as "-" and "#N/A". A column that is nearly all numbers, and
one of dates, is refused unless the caller says what it holds (`oddgan.rows.texts`). Files are UTF-8 and may be
compressed with gzip.

Where pyarrow is installed, it reads large files (`csv_arrow`); Python's reader takes over where the two may differ, and
raises the errors.
"""

import codecs
import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from . import csv_arrow
from .csv_values import MARKS, Places, fast_numbers, is_mark, kind_of, numbers
from .stored_table import Numbers
from .texts import is_number, shown, suspicious

if TYPE_CHECKING:
    from .tables import Kind, TableRows

SEPARATORS = ",;\t|"
PART = 16_384  # rows read at a time
BLOCK = 512  # rows converted at a time
MOST_FIELD = 131_072  # characters of one value: the limit of Python's reader
MOST_LINE = 2**24  # characters of one line: memory holds a few of them, whatever a compressed file unpacks to
FAST = 2**18  # bytes; for smaller files, importing pyarrow takes longer than reading them

Gather: TypeAlias = Callable[[Iterable[NDArray[np.float64]]], Numbers]
"""Makes one table of its parts (m, k)."""

_LINE_BREAK = re.compile(r"\s*[\r\n]\s*")
_YEAR = re.compile(r"[12]\d{3}")  # the only numbers that may be column names


class _NotANumberError(DataError):
    """A column of numbers contains a text. `column`: its name."""

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


class CsvFile:
    """One CSV file.

    `columns`: the names of all its columns, from its first line, or `names` for a file without a header. Raises
    `DataError` that names the file and the line.
    """

    def __init__(self, path: Path, names: Sequence[str] | None = None) -> None:
        self.path = path
        self.named = names is None
        self.separator = ","
        self.one_line = True  # whether the header ends in its own line, with no quote left open
        self.columns = tuple(names) if names is not None else self._header()
        self.place = {name: i for i, name in enumerate(self.columns)}

    def count(self) -> int:
        """The number of rows."""
        if self._fast():
            with suppress(csv_arrow.Doubtful):
                return sum(len(table) for table in self._tables(PART))
        return sum(1 for _ in self._rows())

    def kinds(self, chosen: Sequence[str], known: "Mapping[str, Kind]") -> "dict[str, Kind]":
        """The kinds of the columns `chosen`: from `known`, or else from the first rows."""
        if all(name in known for name in chosen):
            return {name: known[name] for name in chosen}
        rows = list(itertools.islice(self._rows(), PART))
        kinds: dict[str, Kind] = {}
        for name in chosen:
            place = self.place[name]
            kinds[name] = known.get(name) or kind_of([row[place] for _, row in rows])
        return kinds

    def parts(self, kinds: "Mapping[str, Kind]", size: int = PART) -> "Iterator[TableRows]":
        """The columns that `kinds` names, in its order, `size` rows at a time. Raises `_NotANumberError` for a text in
        a column of numbers."""
        from .tables import TableRows

        known = [Places(kind) for kind in kinds.values()]
        for values in self._values(kinds, known, size):
            texts = tuple(tuple(one.texts) for one in known)
            yield TableRows(values, tuple(kinds), tuple(kinds.values()), texts)

    def _values(self, kinds: "Mapping[str, Kind]", known: "list[Places]", size: int) -> Iterator[NDArray[np.float64]]:
        """All rows as numbers and places, `size` at a time: read by pyarrow, and by Python from the first doubt on."""
        done = 0
        if self._fast():
            with suppress(csv_arrow.Doubtful):
                for table in self._tables(size):
                    yield self._converted(table, kinds, known)
                    done += len(table)
                return
        rows = itertools.islice(self._rows(), done, None)
        while block := list(self._blocks(itertools.islice(rows, size), kinds, known)):
            yield np.concatenate(block)

    def _fast(self) -> bool:
        """Whether pyarrow is installed, is worth its import, and agrees with Python on where the header ends."""
        try:
            large = self.path.stat().st_size >= FAST
        except OSError:
            return False  # reading the file will report it
        return large and self.one_line and csv_arrow.available()

    def _tables(self, size: int) -> Iterator[Any]:
        return csv_arrow.tables(self.path, self.separator, self.columns, self.named, size, MOST_FIELD)

    def _converted(self, table: Any, kinds: "Mapping[str, Kind]", known: "list[Places]") -> NDArray[np.float64]:
        """The rows of a pyarrow table of texts. Raises `Doubtful`, and then leaves `known` as it was."""
        values = np.empty((len(table), len(kinds)))
        columns = [table.column(name).combine_chunks() for name in kinds]
        for i, kind in enumerate(kinds.values()):
            if kind == "number":
                try:
                    values[:, i] = fast_numbers(columns[i])
                except ValueError as error:
                    raise csv_arrow.Doubtful from error
        if np.isinf(values[:, [kind == "number" for kind in kinds.values()]]).any():
            raise csv_arrow.Doubtful
        for i, kind in enumerate(kinds.values()):
            if kind != "number":
                values[:, i] = csv_arrow.places(columns[i], known[i])
        return values

    def _blocks(
        self, rows: Iterator[tuple[int, list[str]]], kinds: "Mapping[str, Kind]", known: "list[Places]"
    ) -> Iterator[NDArray[np.float64]]:
        """`rows` as numbers and places, in blocks small enough for the processor's cache."""
        columns = [self.place[name] for name in kinds]
        while block := list(itertools.islice(rows, BLOCK)):
            lines, split = zip(*block, strict=True)
            texts = list(zip(*split, strict=True))
            values = np.empty((len(block), len(kinds)))
            for i, (name, kind) in enumerate(kinds.items()):
                found = texts[columns[i]]
                if kind == "number":
                    values[:, i] = self._checked(found, name, lines)
                else:
                    values[:, i] = np.fromiter(map(known[i].__getitem__, found), np.float64, len(found))
            yield values

    def whole(self, chosen: Sequence[str], known: "Mapping[str, Kind]", gathered: Gather | None = None) -> "TableRows":
        """All rows of the columns `chosen`. A column with any text holds categories, unless it is `known` to hold
        numbers. `gathered`: makes one table of parts."""
        from .tables import TableRows

        kinds = self.kinds(chosen, known)
        while True:
            try:
                lists: list[tuple[tuple[str, ...], ...]] = [()]
                values = (gathered or together)(_seen(self.parts(kinds), lists))
                break
            except _NotANumberError as error:
                if error.column in known:
                    raise
                kinds[error.column] = "category"  # its first rows were all numbers
        if not len(values):
            fix = "give at least one" if self.one_line else "a quote that opens in line 1 is closed too late or never"
            raise DataError(f"{self.path}: has no rows; {fix}")
        rows = TableRows(values, tuple(kinds), tuple(kinds.values()), lists[0])
        inferred = {name: (i, rows.texts[i]) for i, name in enumerate(kinds) if name not in known and rows.texts[i]}
        # A column whose first rows hold nothing but marks such as "-" may turn out to hold numbers.
        if late := [name for name, (_, texts) in inferred.items() if kind_of(texts) == "number"]:
            return self.whole(chosen, {**known, **dict.fromkeys(late, "number")}, gathered)
        for name, (i, texts) in inferred.items():
            self._check_texts(name, texts, values[:, i])
        return rows

    def _check_texts(self, name: str, texts: Sequence[str], places: NDArray[np.float64]) -> None:
        """Raise `DataError` for a column of texts that is likely to hold something else."""
        if len(self.columns) == 1 and all(len(text.split()) == len(name.split()) > 1 for text in texts):
            raise DataError(
                f"{self.path}: line 1: {name!r} is one column, whose values are separated by blanks as its name is; "
                "separate columns by commas, semicolons or tabs"
            )
        found = suspicious(texts, np.bincount(places[~np.isnan(places)].astype(int), minlength=len(texts)), MARKS)
        if found is not None:
            line, text = self._first(name, found.text)
            where = f"line {line}, " if found.kind == "number" else ""
            raise DataError(
                f"{self.path}: {where}{found.says(name, text)}, or say that it holds categories: --category {name} "
                f"(category=[{name!r}] in Python)"
            )

    def _first(self, name: str, text: str) -> tuple[int, str]:
        """The line of the first row in which a column holds `text`, and the text as it is written."""
        place = self.place[name]
        return next((line, row[place]) for line, row in self._rows() if row[place].strip() == text)

    def _header(self) -> tuple[str, ...]:
        with self._opened() as stream:
            lines = self._lines(stream, [0, 0])
            first = next(lines, "")
            if not first.strip():
                raise DataError(f"{self.path}: line 1 is empty; it must name the columns")
            if "\0" in first:
                raise DataError(f"{self.path}: line 1 contains NUL characters, as UTF-16 does; save the file as UTF-8")
            if first.strip().lower() in [f"sep={one}".strip() for one in SEPARATORS]:
                raise DataError(f"{self.path}: line 1 is {first.strip()!r}, which only Excel knows; remove the line")
            self.separator = max(SEPARATORS, key=lambda one: len(_split(first, one)))
            reader = csv.reader(itertools.chain([first], lines), delimiter=self.separator)
            try:
                names = [_LINE_BREAK.sub(" ", name.strip()) for name in next(reader)]
            except csv.Error as error:
                raise DataError(f"{self.path}: line 1: {error}; it must name the columns") from error
            self.one_line = reader.line_num == 1
        before: set[str] = set()
        for i, name in enumerate(names):
            if not name:
                cause = "a separator at the end of the line?" if i and i + 1 == len(names) else "a row number?"
                raise DataError(f"{self.path}: line 1: column {i + 1} has no name ({cause}); name it or remove it")
            if is_number(name) and not _YEAR.fullmatch(name):
                raise DataError(
                    f"{self.path}: line 1 must name the columns, but contains the number {name}; add a header line"
                )
            if name in before:
                raise DataError(f"{self.path}: line 1: two columns are named {name!r}; rename one")
            before.add(name)
        return tuple(names)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """For each row, the number of the line in which it ends, and its values. Empty lines are skipped."""
        taken, end = [0, 0], 0  # `end`: the line in which the row before ends
        with self._opened() as stream:
            reader = csv.reader(self._lines(stream, taken), delimiter=self.separator)
            try:
                if self.named:
                    next(reader)
                    end = reader.line_num
                for row in reader:
                    if row and 0 < taken[1] < reader.line_num:  # a quote was open at the end of the file
                        row[-1] = row[-1][:-1]
                        if "\n" in row[-1]:
                            raise DataError(
                                f"{self.path}: a quote of line {end + 1} is never closed, and takes in the rest of the "
                                "file; fix the line"
                            )
                    if row and len(row) != len(self.columns):
                        raise self._ragged(row, end + 1, reader.line_num)
                    taken[0], end = 0, reader.line_num
                    if row:
                        yield end, row
            except csv.Error as error:
                opened = f" (is a quote of line {end + 1} never closed?)" if reader.line_num > end + 1 else ""
                raise DataError(f"{self.path}: line {reader.line_num}: {error}{opened}; fix the line") from error

    def _ragged(self, row: Sequence[str], start: int, end: int) -> DataError:
        """What to say of a row, from line `start` to line `end`, with more or fewer values than there are columns."""
        columns = f"{len(self.columns)} column{'s' * (len(self.columns) != 1)}"
        found = f"{self.path}: line {end} has {len(row)} value{'s' * (len(row) != 1)} for {columns}"
        if end > start:
            return DataError(f"{found}, and its row begins in line {start}: is a quote never closed? Fix that line")
        if len(row) == len(self.columns) + 1 and not row[-1].strip():
            return DataError(f"{found}: it ends with a separator, and line 1 does not; fix the line")
        if len(self.columns) == 1 and self.named:
            return DataError(f"{found} ({self.columns[0]!r:.60}); fix the line, or line 1, which must name the columns")
        return DataError(f"{found}; fix the line")

    def _lines(self, stream: TextIO, taken: list[int]) -> Iterator[str]:
        """The lines of a file, and an empty one, which a quote that is still open takes in. `taken`: how many
        characters were read since the caller set that to 0, at the end of a row; and how many lines the file has, once
        that is known. Raises `DataError` for a line, or a row of several lines, that is too long to be one."""
        number = 0
        while line := stream.readline(MOST_LINE):
            number += 1
            taken[0] += len(line)
            if taken[0] >= MOST_LINE:
                raise DataError(
                    f"{self.path}: line {number} has more than {MOST_LINE:,} characters, which no row has; check the "
                    "file"
                    if len(line) == MOST_LINE
                    else f"{self.path}: line {number} belongs to a row of more than {MOST_LINE:,} characters, since a "
                    "quote is not closed; check the file"
                )
            yield line
        if number:
            taken[1] = number
            yield "\n"

    def _checked(self, found: Sequence[str], name: str, lines: Sequence[int]) -> NDArray[np.float64]:
        try:
            values = numbers(found)
        except ValueError:
            i = next(i for i, text in enumerate(found) if not is_number(text) and not is_mark(text))
            raise _NotANumberError(
                f"{self.path}: line {lines[i]}, column {name!r}: {shown(found[i])} is not a number; fix it, or leave "
                "it empty if the value is missing",
                name,
            ) from None
        if np.isinf(values).any():
            i = int(np.flatnonzero(np.isinf(values))[0])
            raise DataError(
                f"{self.path}: line {lines[i]}, column {name!r}: {found[i]} is infinite; fix it or leave it empty"
            )
        return values

    @contextmanager
    def _opened(self) -> Iterator[TextIO]:
        try:
            with _binary(self.path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as stream:
                yield stream
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.path}: is not UTF-8 ({self._undecodable(error.reason)}); save it as UTF-8"
            ) from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{self.path}: the gzip file is damaged or truncated ({error}); download it again"
            ) from error
        except PermissionError:
            raise DataError(f"{self.path}: may not be read (permission denied); give read permission") from None
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror or error}); check the file") from error

    def _undecodable(self, reason: str) -> str:
        """Where the file is not UTF-8, and why."""
        number = 0
        with suppress(OSError, EOFError, zlib.error), _binary(self.path) as lines:
            while line := lines.readline(MOST_LINE):
                number += 1
                if number == 1 and line[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                    return "but UTF-16"
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    return f"line {number}: {error.reason}"
        return reason


def together(parts: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """All rows of these parts (m, k), in memory."""
    held = list(parts)
    return np.concatenate(held) if held else np.empty((0, 0))


def _seen(parts: "Iterator[TableRows]", texts: list[tuple[tuple[str, ...], ...]]) -> Iterator[NDArray[np.float64]]:
    """The values of parts; `texts` gets the categories of the last one, which are those of all."""
    for part in parts:
        texts[0] = part.texts
        yield part.values  # type: ignore[misc]


def _binary(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """The uncompressed bytes of a file."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else path.open("rb")


def _split(line: str, separator: str) -> list[str]:
    """The values of a line; the whole line where it cannot be split so."""
    try:
        return next(csv.reader([line], delimiter=separator))
    except csv.Error:
        return [line]
