"""Models and rows as the commands need them: rows come in chunks, so memory stays flat."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from . import terminal
from .options import classes
from .process import loading

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..data import PictureRows, Rows, Split, TableFile
    from ..detector import Detector
    from ..rows.table_files import Columns

LISTED = 10  # unreadable pictures that are named; the others are counted
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
) -> "Detector":
    """The model in `path`, set up as the options say."""
    with loading():
        from .. import detectors

    detector = detectors.load(path, device=device)
    if block_size is not None:
        detector = detector.with_block_size(block_size)
    if false_alarm_rate is not None:
        detector = detector.with_false_alarm_rate(false_alarm_rate)
    if convert:
        from ..preprocessing.pictures import PicturePreprocessor

        if isinstance(detector.preprocessor_, PicturePreprocessor):
            detector.preprocessor_ = replace(detector.preprocessor_, convert=True)
    return detector


def open_split(
    data: str, *, normal: list[str] | None, anomaly: list[str] | None, skip_bad: bool, **how: Any
) -> "Split":
    """`oddgan.data.load` with a progress bar; what it left out is listed. What was not given has its defaults."""
    from .. import data as sources

    how |= {"normal": classes(normal), "anomaly": classes(anomaly)}
    given = {name: value for name, value in how.items() if value is not None}
    with terminal.bar("reading pictures") as progress:
        split = sources.load(data, skip_bad=skip_bad, progress=progress, **given)
    listed(split.skipped)
    return split


def columns_of(detector: "Detector") -> "Columns | None":
    """The columns that the model takes, where it takes tables."""
    from ..preprocessing.tables import TablePreprocessor

    preprocessor = detector.preprocessor_
    return preprocessor if isinstance(preprocessor, TablePreprocessor) else None


def as_taken(rows: "Rows | TableFile", detector: "Detector") -> "Rows | TableFile":
    """`rows`; of a file of a table, the columns that the model takes. Raises `DataError` where they do not fit."""
    from ..data import TableFile

    if not isinstance(rows, TableFile):
        return rows
    columns = columns_of(detector)
    if columns is None:
        raise DataError(f"{rows.path}: is a table, and the model takes {detector.preprocessor_.describe()}")
    return rows.typed(columns.columns, columns.kinds)


def check_readable(source: str, *parts: "Rows | None") -> None:
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
        listed(bad, always=True)
        raise DataError(
            f"{source}: {len(bad):,} of {total:,} pictures cannot be read; mend or remove them, or use --skip-bad"
        )


def listed(bad: Sequence[Unreadable], *, always: bool = False) -> None:
    """Name pictures that cannot be read, the first ten of them, on standard error."""
    if always or not terminal.quiet:
        for name, reason in bad[:LISTED]:
            terminal.complain(f"unreadable: {name}: {reason}")
        if len(bad) > LISTED:
            terminal.complain(f"unreadable: and {len(bad) - LISTED:,} more")


@dataclass(frozen=True)
class Chunk:
    """Some rows in a row: pictures or a part of a table, and each one's name, or number where it has none."""

    rows: Any
    names: list[str | int]


def chunks(rows: "Rows | TableFile", block_size: int, bad: list[Unreadable]) -> Iterator[Chunk]:
    """`rows` some at a time, in whole scoring blocks where memory allows. Unreadable pictures end up in `bad`."""
    from ..data import TableFile
    from ..rows.tables import TableRows

    step = max(block_size, TABLE_ROWS)
    if isinstance(rows, TableFile):
        start = 0
        for part in rows.parts(step):
            yield Chunk(part, list(range(start, start + len(part))))
            start += len(part)
        return
    if isinstance(rows, TableRows) or (isinstance(rows, np.ndarray) and rows.ndim == 2):
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            yield Chunk(some, list(range(start, start + len(some))))
        return
    from ..rows.picture_files import NamedPictures

    most = max(block_size, CHUNK_ROWS)
    held, taken = NamedPictures([]), 0
    for name, picture, reason in _read(rows):
        if picture is None:
            bad.append((str(name), reason))
            continue
        held.append(picture)
        held.names.append(name)
        taken += picture.nbytes
        if len(held) == most or taken >= CHUNK_BYTES:
            yield Chunk(held, held.names)
            held, taken = NamedPictures([]), 0
    if held:
        yield Chunk(held, held.names)


def _read(rows: "NDArray[Any] | PictureRows") -> Iterator[tuple[str | int, Any, str]]:
    """Name, picture and, in place of a picture that cannot be read, the reason; decoded in threads, in order."""
    from ..data import Pictures
    from ..rows.threads import threaded

    named = getattr(rows, "name", None)

    def read(i: int) -> tuple[str | int, Any, str]:
        name = str(named(i)) if callable(named) else i
        try:
            return name, rows[i], ""
        except DataError as error:
            path = rows.paths[i] if isinstance(rows, Pictures) else name
            return name, None, str(error).removeprefix(f"{path}: ")

    yield from threaded(read, range(len(rows)))
