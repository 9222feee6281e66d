"""Models and rows as the commands need them: rows come in chunks, so memory stays flat."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, LeftOut, ParameterError
from . import terminal
from .process import loading

if TYPE_CHECKING:
    from ..data import Rows as Held
    from ..data import Split
    from ..detector import Detector
    from ..rows import PictureRows, Rows
    from ..rows.table_files import Columns, TableFile

EXPORT = "oddgan.json"  # what the folder of an export holds
LISTED = 10  # unusable rows that a refusal names; the others are counted
CHUNK_BYTES = 128 * 2**20
CHUNK_ROWS = 1024
TABLE_ROWS = 16_384

Unreadable = tuple[str, str]  # name, reason


def open_model(
    path: Path,
    *,
    device: str | None = None,
    false_alarm_rate: float | None = None,
    block_size: int | None = None,
    convert: bool = False,
    threads: int | None = None,
    exported: bool = False,
) -> "Detector":
    """The model in `path`, set up as the options say: a model file, or, where that will do (`exported`), the folder of
    an export, which loads no torch. `threads`: of processors, None: as many as there are."""
    if (path / EXPORT).is_file():
        if not exported:
            raise ParameterError(f"{path}: is an export, which oddgan score and info take; give the model file")
        detector: Detector = _exported(path, device, threads)
    else:
        detectors = readers(path)
        detector = detectors.load(path, device=device)
        if threads is not None:
            from .train import set_threads

            set_threads(threads)
    if block_size is not None:
        detector = detector.with_block_size(block_size)
    if false_alarm_rate is not None:
        detector = detector.with_false_alarm_rate(false_alarm_rate)
    if convert and detector.model_.preprocessor.kind == "pictures":
        detector = detector.with_conversion()
    return detector


def readers(path: Path) -> Any:
    """`oddgan.detectors`, which reads the model file `path`. Raises `LeftOut`."""
    try:
        with loading():
            from .. import detectors
    except ModuleNotFoundError as error:
        raise LeftOut.of(f"{path}: a model file, not what oddgan export writes,", error) or error from error
    return detectors


def _exported(path: Path, device: str | None, threads: int | None) -> Any:
    """The scorer of an export: to a command, a detector that scores."""
    with loading():
        from ..runtime import Scorer

    if device not in (None, "auto", "cpu"):
        raise ParameterError(f"--device {device}: {path} is an export, which is computed on the CPU")
    return Scorer(path, threads=threads)


def open_split(
    data: str, *, normal: list[str] | None = None, anomaly: list[str] | None = None, skip_bad: bool, **how: Any
) -> "Split":
    """`oddgan.data.load` with a progress bar; what it left out is listed. What was not given has its defaults."""
    from .. import data as sources

    channels = how.pop("channels_from", None)
    how |= {"normal": normal, "anomaly": anomaly, "channels_from": channels.split(",") if channels else None}
    given = {name: value for name, value in how.items() if value is not None}
    with terminal.bar("reading pictures") as progress:
        split = sources.load(data, skip_bad=skip_bad, progress=progress, **given)
    listed(split.skipped)
    return split


def columns_of(detector: "Detector") -> "Columns | None":
    """The columns that the model takes, where it takes tables."""
    preprocessor = detector.model_.preprocessor
    return preprocessor if preprocessor.kind == "table" else None


def opener(drop: Iterable[str], channels_from: str | None) -> Callable[[str], Any]:
    """What opens a source of rows, with these options."""
    from .. import data as sources

    more: dict[str, Any] = {"drop": drop} if drop else {}
    if channels_from:
        more["channels_from"] = channels_from.split(",")
    return lambda source: sources.rows(source, **more)


def columns_in(data: str) -> tuple[str, ...]:
    """The columns of a table, as far as its files say; none of other data."""
    from ..rows.remote import local
    from ..rows.table_files import TableFile, is_table

    path = local(data)
    return TableFile(path).columns if path.exists() and is_table(path) else ()


def as_taken(rows: Any, detector: "Detector", beside: str | None = None) -> "Rows | TableFile":
    """What `oddgan.data.rows` gave, as rows that the model takes; a table file is read in parts, with the model's
    columns, and one `beside` them, of strata. Raises `DataError` where they do not fit."""
    from ..rows import open_rows
    from ..rows.table_files import TableFile

    like = detector.model_.preprocessor
    if not isinstance(rows, TableFile):
        return open_rows(rows, like=like)
    if like.kind != "table":
        raise DataError(f"{rows.path}: is a table, and the model takes {like.describe()}")
    check_beside(detector, strata=beside)
    return rows.typed(like.columns, like.kinds, [] if beside is None else [beside])


def check_beside(detector: "Detector", **keys: str | None) -> None:
    """Raise `ParameterError` where a column that says what rows belong to is one that the model takes."""
    own = detector.model_.preprocessor.columns or ()
    for flag, column in keys.items():
        if column in own:
            raise ParameterError(
                f"--{flag} {column}: the model takes this column as one of its own; train with --{flag} {column}"
            )


def check_readable(source: str, *parts: "Held | None") -> None:
    """List every picture of these parts that cannot be read and raise `DataError`, if there are any."""
    from ..data import Pictures

    bad: list[Unreadable] = []
    total = 0
    for rows in parts:
        if isinstance(rows, Pictures):
            with terminal.bar("checking pictures") as progress:
                bad += rows.unreadable(progress=progress)
            total += len(rows)
    refuse(source, bad, total)


def refuse(source: str, bad: Sequence[Unreadable], total: int) -> None:
    """List the pictures that cannot be read and raise `DataError`, if there are any."""
    if bad:
        listed(bad, refused=True)
        where = f"{source}: " if source else ""
        of = f" of {total:,}" if total else ""
        plural = "s" * ((total or len(bad)) != 1)
        raise DataError(f"{where}{len(bad):,}{of} row{plural} cannot be used; repair or remove them, or use --skip-bad")


def listed(bad: Sequence[Unreadable], *, refused: bool = False) -> None:
    """Name what cannot be used, on standard error: all of it where work goes on without it, the first ten of it where
    it is `refused`."""
    if refused or not terminal.quiet:
        shown = bad[:LISTED] if refused else bad
        for name, reason in shown:
            terminal.complain(f"unusable: {name}: {reason}")
        if len(bad) > len(shown):
            terminal.complain(f"unusable: and {len(bad) - len(shown):,} more")


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows of one source.

    `rows`: those that the model can judge, in memory; `numbers` (m,): which they are; `names`: of all, in order, the
    first of them number `start`; `bad`: why the others cannot be used, by number.
    """

    rows: Any
    numbers: list[int]
    start: int
    names: list[str | int]
    bad: dict[int, str]


def chunks(
    rows: "Rows | TableFile", detector: "Detector", most: int | None = None, part: range | None = None
) -> Iterator[Chunk]:
    """`rows` some at a time, in whole scoring blocks where memory allows; at most `most` where that is given. Pictures
    that cannot be read or do not fit the model come as `Chunk.bad`. `part`: the numbers of the rows that are wanted,
    None: all."""
    from ..rows import PictureRows, TableRows

    if part is not None and not part:
        return
    if isinstance(rows, PictureRows):
        numbers = range(len(rows)) if part is None else part
        yield from _pictures(rows, detector, most or max(detector.block_size, CHUNK_ROWS), numbers)
        return
    step, start = most or max(detector.block_size, TABLE_ROWS), 0
    parts = (rows[i : i + step] for i in range(0, len(rows), step)) if isinstance(rows, TableRows) else rows.parts(step)
    for some in parts:
        end = start + len(some)
        if part is not None and part.start >= end:
            start = end
            continue
        first, last = (start, end) if part is None else (max(start, part.start), min(end, part.stop))
        wanted = list(range(first, last))
        yield Chunk(some[first - start : last - start], wanted, first, list(wanted), {})
        start = end
        if part is not None and part.stop <= end:
            return


def _pictures(rows: "PictureRows", detector: "Detector", most: int, wanted: range) -> Iterator[Chunk]:
    """Pictures decoded in threads, in order, and handed on when they are many or large."""
    from ..rows.pictures import NamedPictures, PictureRows
    from ..rows.places import called
    from ..rows.threads import threaded

    check = detector.model_.preprocessor.check

    def read(i: int) -> tuple[int, Any, str]:
        try:
            picture = rows[i]
            check(picture)
            return i, picture, ""
        except DataError as error:
            path = called(rows.source.paths[i]) if hasattr(rows.source, "paths") else rows.name(i)
            return i, None, str(error).removeprefix(f"{path}: ").removeprefix(f"{rows.name(i)}: ")

    held: list[np.ndarray] = []
    numbers: list[int] = []
    bad: dict[int, str] = {}
    start, taken = wanted.start, 0
    for i, picture, reason in threaded(read, wanted):
        if picture is None:
            bad[i] = reason
        else:
            held.append(picture)
            numbers.append(i)
            taken += picture.nbytes
        if len(held) == most or len(held) + len(bad) >= 2 * most or taken >= CHUNK_BYTES or i + 1 == wanted.stop:
            names: list[str | int] = [rows.name(n) if rows.named else n for n in range(start, i + 1)]
            yield Chunk(PictureRows(NamedPictures(numbers, rows.name, held)), numbers, start, names, bad)
            held, numbers, bad, start, taken = [], [], {}, i + 1, 0
