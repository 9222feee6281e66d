"""oddgan score --engine ray: shards as tasks of Ray, merged in their order.

A task is what `oddgan score --shard I/N` does, and its results are small: a whole file and its facts, which this
process writes. So the results are those of one process, by the checks of `oddgan merge`, and workers need no folder in
common to write to. Ray Data is for users' own programs, with `oddgan.scorer`: it keeps rows in Ray's memory, has an
order of its own, reads no CSV by our rules, and hangs where its actors take all processors.
"""

import sys
import tempfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import typer

from ..engine import Failure, Lost, Ray
from ..errors import DataError, EngineError, OddganError, OddganWarning, OutputError
from ..files import folder_beside
from . import terminal
from .merging import joined, read, totals
from .process import LEFT_OUT
from .scoring import Scoring, Source
from .shards import Shard, beside

EACH = 4  # parts for each worker, so that all end at about the same time
MOST = {"table": 100_000, "pictures": 5_000}  # rows of a part: what a killed worker loses, and a bound of its result
WARNINGS = 10  # that are shown

SAID = ("oddgan: unusable: ", "oddgan: warning: ")


@dataclass(frozen=True)
class Part:
    """The results of a shard as its file and its facts hold them, and what was said meanwhile; or why there are
    none."""

    results: bytes
    facts: bytes
    said: Sequence[str]
    failure: Failure | None = None


def run(
    how: Scoring, given: Mapping[str, Any], sources: Iterable[Source], engine: Ray, rows: int | None
) -> tuple[int, int]:
    """Write the results of all rows; return how many are anomalies and how many could not be used. `given`: the
    options of `oddgan score`; `rows`: at most, of a part."""
    assert how.output is not None
    output, sizes = how.output, [1 if one.rows is None else len(one.rows) for one in sources]
    total = sum(sizes)
    given = {**given, "threads": engine.threads}
    with terminal.bar("scoring") as progress, folder_beside(output) as folder:
        with engine.started((given, output.suffix)) as pool:
            most = rows or MOST[how.detector.model_.preprocessor.kind]
            least = 1 if rows else min(total, EACH * pool.workers)
            count = max(1, least, -(-total // most))
            titles = [f"part {i + 1} of {count}" for i in range(count)]
            terminal.note(f"{total:,} rows in {count:,} parts, {min(count, pool.workers):,} at a time")
            said: dict[int, Sequence[str]] = {}
            done = 0
            for i, part in pool.run(Task(count), titles, report=terminal.note):
                if isinstance(part, Lost):
                    raise EngineError(
                        f"{titles[i]}: {part.reason}, {engine.tries} times; nothing is written; --part-rows makes "
                        "parts smaller"
                    )
                said[i] = part.said
                if part.failure is not None:
                    _repeat(said, refused=True)
                    raise part.failure.error()
                place = Shard(i, count).place(folder / f"out{output.suffix}")
                try:
                    place.write_bytes(part.results)
                    beside(place).write_bytes(part.facts)
                except OSError as error:
                    raise OutputError(f"{output}: cannot be written ({error.strerror or error})") from error
                done += len(Shard(i, count).part(total))
                progress(done, total)
        _repeat(said)
        places = [Shard(i, count).place(folder / f"out{output.suffix}") for i in range(count)]
        facts = [read(place) for place in places]
        scored, anomalies, unusable = totals(facts)
        try:
            joined(places, output, how.form, lambda done, total: None)
        except DataError as error:  # which names parts that are gone
            raise DataError("DATA or the model has changed while parts of it were scored; score it again") from error
    how.sum_up(
        scored, anomalies, [sum(counts) for counts in zip(*(one["further"] for one in facts), strict=True)], unusable
    )
    terminal.written(output)
    return anomalies, unusable


def _repeat(said: Mapping[int, Sequence[str]], *, refused: bool = False) -> None:
    """Say what the workers said, in the order of the rows, and each warning once; if it is quiet, only what is refused
    for."""
    lines = dict.fromkeys(line for i in sorted(said) for line in said[i])
    warned = [line for line in lines if line.startswith(SAID[1])]
    left_out = set(warned[WARNINGS:])
    for line in lines:
        if line not in left_out and (not terminal.quiet or (refused and line.startswith(SAID[0]))):
            print(line, file=sys.stderr)
    if left_out and not terminal.quiet:
        terminal.complain(f"warning: and {len(left_out):,} more, of other parts")


@dataclass(frozen=True)
class Task:
    """In a worker: scores a part of `count`."""

    count: int

    def __call__(self, shared: tuple[Mapping[str, Any], str], i: int) -> Part:
        from .score import score

        given, suffix = shared
        shard, heard, failure = Shard(i, self.count), StringIO(), None
        with tempfile.TemporaryDirectory(prefix="oddgan-") as folder:
            output = Path(folder) / f"out{suffix}"
            try:
                with redirect_stderr(heard), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    warnings.simplefilter("always", OddganWarning)
                    warnings.showwarning = terminal.show_warning(warnings.showwarning)
                    score(**given, output=output, shard=f"{i}/{self.count}")
            except typer.Exit as end:
                if end.exit_code not in (0, LEFT_OUT):
                    raise
            except OddganError as error:
                failure = Failure.of(error)
            said = [line for line in heard.getvalue().splitlines() if line.startswith(SAID)]
            if failure is not None:
                return Part(b"", b"", said, failure)
            place = shard.place(output)
            return Part(place.read_bytes(), beside(place).read_bytes(), said)
