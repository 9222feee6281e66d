"""Cells: trainings that are judged, each run once.

A cell is one detector, trained with one seed on some rows and judged on others. `run` runs those that a record does not
have yet; `compare`, `papers.reproduce` and the studies in `benchmarks/` differ in what they plan, not in how it is run.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, OutputError
from ..rows import open_rows

VERSION = 1
HEAD = f'{{"cell": {VERSION}, '.encode()
"""How every line begins."""
CHUNK_BYTES = 2**24


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One detector, trained with one seed and judged on the test rows.

    `key` stands for everything that the figures depend on. `figures` by name (`oddgan.evaluation.comparison.FIGURES`);
    None is a figure that there is none of. `error`: in place of figures, why the detector could not be trained on these
    rows. `facts`: what else there is to know of the run.
    """

    key: str
    data: str
    detector: str
    parameters: Mapping[str, Any]
    seed: int
    figures: Mapping[str, float | None]
    error: str | None
    facts: Mapping[str, Any]


class Record:
    """The cells in a file, each a line of JSON; without a path, in memory only.

    A line is written at once when its cell is done. What a killed process left of a last line is not read, and is
    replaced by the next. Raises `DataError` for a file that holds anything else, `OutputError` for a place that cannot
    be written.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else Path(path)
        self._cells: dict[str, Cell] = {}
        self._torn: int | None = None  # where an unfinished last line begins
        if self.path is not None:
            self._write(self.path, b"")  # what cannot be written is told before the first run, not after it
            self._read(self.path)

    def get(self, key: str) -> Cell | None:
        """The cell of that key, if it is done."""
        return self._cells.get(key)

    def cells(self) -> tuple[Cell, ...]:
        """All that are done, in the order in which they were."""
        return tuple(self._cells.values())

    def add(self, cell: Cell) -> None:
        """Keep a cell. Raises `OutputError` where its line cannot be written."""
        if self.path is not None:
            self._write(self.path, HEAD + json.dumps(asdict(cell), allow_nan=False).encode()[1:] + b"\n")
        self._cells[cell.key] = cell

    def _write(self, path: Path, line: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._torn is not None:
                os.truncate(path, self._torn)
                self._torn = None
            with path.open("ab", buffering=0) as file:
                file.write(line)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{path}: cannot be written ({reason}); choose another place") from error

    def _read(self, path: Path) -> None:
        start = 0
        for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
            if not line.endswith(b"\n") and HEAD.startswith(line[: len(HEAD)]):
                self._torn = start
                return
            try:
                found = json.loads(line)
                version = found.pop("cell")
                cell = Cell(**found)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise DataError(
                    f"{path}: line {number} is no cell of a comparison; give another file for the results"
                ) from error
            if version != VERSION:
                raise DataError(f"{path}: line {number} is of another release (format {version}); give another file")
            self._cells[cell.key] = cell
            start += len(line)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A cell that is to be run. `key`: what its figures depend on. `name`: what a reader calls it. `make`: run it, with
    the file of its checkpoint, or None where nothing is kept. `found`: what becomes of a cell that is there already."""

    key: str
    name: str
    make: Callable[[Path | None], Cell]
    found: Callable[[Cell], Cell] = lambda cell: cell


def run(
    planned: Sequence[Planned],
    record: Record,
    summary: Callable[[Cell], str],
    report: Callable[[str], None] = lambda line: None,
) -> list[Cell]:
    """The planned cells, in order: from the record, or run now and recorded at once.

    A cell that was broken off goes on from its checkpoint, which lies beside the record and is gone when the cell is
    done. `report` is called with a line when a cell begins and when it ends; `summary`: what that line has of a cell.
    """
    cells = []
    for number, one in enumerate(planned, 1):
        what = f"[{number}/{len(planned)}] {one.name}"
        cell = record.get(one.key)
        if cell is not None:
            cell = one.found(cell)
            report(f"{what}: {summary(cell)} (done before)")
        else:
            report(f"{what}: running")
            checkpoint = None if record.path is None else record.path.with_name(f"{record.path.name}.{one.key}.ckpt")
            cell = one.make(checkpoint)
            record.add(cell)
            if checkpoint is not None:
                checkpoint.unlink(missing_ok=True)
            report(f"{what}: {summary(cell)}")
        cells.append(cell)
    return cells


def key_of(**parts: Any) -> str:
    """A name for what these JSON-able values describe: equal values, equal name."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def fingerprint(*parts: Any) -> str:
    """A name for the content of these arrays, tables, pictures and masks; where they lie in files, of the files' bytes.
    Everything is read once, and nothing is held."""
    digest = hashlib.blake2b(digest_size=16)
    for number, part in enumerate(parts):
        digest.update(b"part %d" % number)
        for piece in _pieces(part):
            digest.update(len(piece).to_bytes(8, "little") + piece)
    return digest.hexdigest()


def _pieces(part: Any) -> Iterator[bytes]:
    from ..data.masks import Masks

    if part is None:
        return
    if isinstance(part, Masks):
        for path in part.files:
            yield b"" if path is None else hashlib.sha256(Path(path).read_bytes()).digest()
    elif isinstance(part, np.ndarray) and part.ndim == 1:  # labels
        yield from _of_array(part)
    elif isinstance(part, list) and any(one is None for one in part):  # masks of some rows
        for mask in part:
            yield from (b"none",) if mask is None else _of_array(np.asarray(mask))
    else:
        yield from open_rows(part).content()


def _of_array(array: np.ndarray) -> Iterator[bytes]:
    yield repr((array.shape, array.dtype.str)).encode()
    rows = np.atleast_1d(array)
    if rows.dtype.hasobject:
        yield repr(rows.tolist()).encode()
        return
    step = max(1, CHUNK_BYTES // max(1, rows[:1].nbytes))
    for start in range(0, len(rows), step):
        yield np.ascontiguousarray(rows[start : start + step]).tobytes()
