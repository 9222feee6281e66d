"""The runner of cells: trains a detector with a seed on rows, judges it, and keeps the result as a line of JSON.

    record = Record("runs.jsonl", CELLS)
    lines = run([Job(key=..., title="knn, seed 0", run=make)], record, summary=str, report=print)

`oddgan.compare`, `oddgan.papers.reproduce` and the studies under `benchmarks/` run their cells here. A line is written
as soon as its cell is done, and a cell whose line exists is not run again. A killed run loses at most the cell that was
running, and that one continues from its checkpoint.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..errors import DataError, OutputError, ParameterError, TrainingError
from ..files import append_whole
from .cells import Cell, key_of

if TYPE_CHECKING:
    from ..detector import Detector
    from ..engine import Ray
    from ..hooks import Hook

VERSION = 1
"""Of the format of a cell's line."""

Line = TypeVar("Line")
Figures = Mapping[str, float | None]
Facts = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Format(Generic[Line]):
    """How the lines of a record are written and read.

    `head`: the bytes that every line begins with. `key`: a line's key. `write` makes a JSON-able mapping from a line;
    `read` makes a line from one, and raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` for anything
    else. `noun`: what an error message calls a line.
    """

    head: bytes
    key: Callable[[Line], str]
    write: Callable[[Line], Mapping[str, Any]]
    read: Callable[[Any], Line]
    noun: str


def _read_cell(found: Any) -> Cell:
    version = found.pop("cell")
    cell = Cell(**found)
    if version != VERSION:
        raise ValueError(f"format {version}")
    return cell


CELLS = Format(
    head=f'{{"cell": {VERSION}, '.encode(),
    key=lambda cell: cell.key,
    write=lambda cell: {"cell": VERSION, **asdict(cell)},
    read=_read_cell,
    noun="cell of a comparison",
)
"""Records of `oddgan.compare` and `oddgan.papers.reproduce`: a `Cell` per line."""


def fields(*names: str) -> Format[dict[str, Any]]:
    """Lines that are plain JSON objects, identified by the values of these fields; the first is in every line."""

    def read(found: Any) -> dict[str, Any]:
        found[names[0]]
        return dict(found)

    return Format(
        head=f'{{"{names[0]}": '.encode(),
        key=lambda line: json.dumps([line.get(name) for name in names]),
        write=lambda line: {names[0]: line[names[0]], **line},
        read=read,
        noun=f"line with {names[0]!r}",
    )


def lines_of(path: Path, form: Format[Line]) -> tuple[Line, ...]:
    """The lines of a record file in their order; none where there is no file. Raises `DataError` as `Record` does."""
    return tuple(_parsed(path, form)[0].values()) if path.exists() else ()


def _parsed(path: Path, form: Format[Line]) -> tuple[dict[str, Line], int | None]:
    """The lines by key, and where an unfinished last line begins."""
    found: dict[str, Line] = {}
    start = 0
    for number, text in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not text.endswith(b"\n") and form.head.startswith(text[: len(form.head)]):
            return found, start
        try:
            line = form.read(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"{path}: line {number} is no {form.noun}, or was written by another release; "
                "give another file for the results"
            ) from error
        found[form.key(line)] = line
        start += len(text)
    return found, None


class Record(Generic[Line]):
    """The cells that are done, one line of JSON each; without a path, in memory only.

    A line is written as soon as its cell is done. An unfinished last line, left by a killed process, is ignored and
    replaced by the next line. Raises `DataError` for a file that holds anything else, `OutputError` where the file
    cannot be written. Two processes must not write one file at the same time.
    """

    def __init__(self, path: str | Path | None, form: Format[Line]) -> None:
        self.path = None if path is None else Path(path)
        self.form = form
        self._lines: dict[str, Line] = {}
        self._torn: int | None = None  # where an unfinished last line begins
        if self.path is not None:
            self._append(self.path, b"")  # fails before the first run, not after it
            self._lines, self._torn = _parsed(self.path, form)

    def get(self, key: str) -> Line | None:
        """The line with that key, if its cell is done."""
        return self._lines.get(key)

    def lines(self) -> tuple[Line, ...]:
        """All lines, in the order in which they were written."""
        return tuple(self._lines.values())

    def add(self, line: Line) -> None:
        """Keep a line. Raises `OutputError` where it cannot be written."""
        if self.path is not None:
            self._append(self.path, json.dumps(self.form.write(line), allow_nan=False).encode() + b"\n")
        self._lines[self.form.key(line)] = line

    def checkpoint(self, key: str) -> Path | None:
        """Where the training of a cell keeps its checkpoint: beside the record; None for a record in memory."""
        if self.path is None:
            return None
        name = key if key.isalnum() else key_of(key=key)
        return self.path.with_name(f"{self.path.name}.{name}.ckpt")

    def _append(self, path: Path, line: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._torn is not None:
                os.truncate(path, self._torn)
                self._torn = None
            with path.open("ab", buffering=0) as file:
                append_whole(file.fileno(), line)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{path}: cannot be written ({reason}); choose another place") from error


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A trained detector and what the training took: `seconds` by the clock and `processor_seconds`, both None where
    it was resumed from a checkpoint."""

    detector: Detector
    seconds: float | None
    processor_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a cell. `resumed`: whether an earlier attempt left a checkpoint to continue from."""

    checkpoint: Path | None
    checkpoint_seconds: float
    hooks: tuple[Hook, ...]
    resumed: bool

    def fit(self, detector: Detector, X: Any, **held_out: Any) -> Fit:
        """Train an unfitted detector on `X`; a killed training continues when its cell is run again.

        `held_out`: `tune` and `calibrate`, as `Detector.fit` takes them.
        """
        clock, processor = time.perf_counter(), time.process_time()
        detector.fit(
            X,
            **held_out,
            checkpoint=self.checkpoint,
            checkpoint_seconds=self.checkpoint_seconds,
            hooks=self.hooks,
            on_interrupt="raise",
        )
        spent = time.perf_counter() - clock, time.process_time() - processor
        seconds, processor_seconds = (None, None) if self.resumed else spent
        return Fit(detector=detector, seconds=seconds, processor_seconds=processor_seconds)


@dataclass(frozen=True, kw_only=True)
class Job(Generic[Line]):
    """A cell to run. `key`: its key in the record; `title`: what progress messages call it; `run`: trains, judges and
    returns the line to keep."""

    key: str
    title: str
    run: Callable[[Attempt], Line]


def run(
    jobs: Iterable[Job[Line]],
    record: Record[Line],
    *,
    summary: Callable[[Line], str],
    checkpoint_seconds: float = 60.0,
    hooks: Iterable[Hook] = (),
    report: Callable[[str], None] = lambda message: None,
    engine: Ray | None = None,
) -> list[Line]:
    """The lines of these jobs, in their order; those that are not in the record yet are run and added to it.

    `report` is called with a message when a cell begins and when it ends; `summary` gives the part of it that says what
    came out. With an `engine`, its workers run the cells, several at a time, and lines are added as they are done;
    hooks are not called then. Raises what a job raises, `ValueError` for a line whose key is not its job's,
    `OutputError` where the record cannot be written, and `EngineError`.
    """
    todo, watching = list(jobs), tuple(hooks)
    if engine is not None:
        from .elsewhere import fill

        fill(todo, record, engine, summary=summary, checkpoint_seconds=checkpoint_seconds, report=report)
        return [line for job in todo if (line := record.get(job.key)) is not None]
    lines: list[Line] = []
    for number, job in enumerate(todo, 1):
        title = f"[{number}/{len(todo)}] {job.title}"
        line = record.get(job.key)
        if line is not None:
            report(f"{title}: {summary(line)} (done before)")
        else:
            report(f"{title}: running")
            checkpoint = record.checkpoint(job.key)
            line = job.run(
                Attempt(
                    checkpoint=checkpoint,
                    checkpoint_seconds=checkpoint_seconds,
                    hooks=watching,
                    resumed=checkpoint is not None and checkpoint.exists(),
                )
            )
            if record.form.key(line) != job.key:
                raise ValueError(f"{job.title}: its line has the key {record.form.key(line)}, not that of its job")
            record.add(line)
            if checkpoint is not None:
                checkpoint.unlink(missing_ok=True)
            report(f"{title}: {summary(line)}")
        lines.append(line)
    return lines


def judged(judge: Callable[[], tuple[Figures, Facts]]) -> tuple[Figures, Facts, str | None]:
    """Figures, facts, and no error; where the detector cannot be trained on these rows, no figures and the reason."""
    try:
        return *judge(), None
    except (DataError, ParameterError, TrainingError) as reason:
        return {}, {}, str(reason)
