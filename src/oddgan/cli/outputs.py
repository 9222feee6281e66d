"""Places for results: found out to be writable before the long part, and filled whole or not at all."""

import shlex
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError
from ..files import whole_file, whole_folder
from . import terminal

if TYPE_CHECKING:
    from ..report import Found

__all__ = [
    "PICTURES",
    "check_folder",
    "check_reports",
    "check_writable",
    "whole_folder",
    "write_reports",
    "write_text",
]

PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}


def check_writable(*paths: Path | None, inputs: Iterable[str | Path] = ()) -> None:
    """Make the folders of these files-to-be. Raises `OutputError` where one cannot be written, would replace another
    result, an input, or a picture in a folder of inputs, or would become a part of a table in a folder of inputs."""
    from ..rows.table_files import is_table

    taken = {Path(given).resolve() for given in inputs}
    for path in paths:
        if path is None:
            continue
        if path.name.startswith("--"):
            raise OutputError(f"{path}: stands where the name of a file is expected; give the name before it")
        place = path.resolve()
        around = [folder for folder in taken if folder in place.parents]
        picture = place.suffix.lower() in PICTURES and place.exists()
        if place in taken or (picture and around):
            raise OutputError(f"{path}: would replace what the command reads or also writes; give another name")
        if place.suffix.lower() == ".parquet" and any(is_table(folder) for folder in around):
            raise OutputError(f"{path}: would be read as a part of the table in {around[0]}; give another folder")
        taken.add(place)
        if path.is_dir():
            raise OutputError(f"{path}: is a folder; give the name of a file")
        check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Make this folder. Raises `OutputError` where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{folder}: nothing can be written there ({reason}); choose another place") from error


def check_reports(paths: Sequence[Path] | None) -> list[Path]:
    """The places of reports, of which there may be none. Raises `ParameterError` for a suffix that says no form."""
    from ..report import suffix_of

    for path in paths or ():
        suffix_of(path)
    return list(paths or ())


def write_reports(paths: Sequence[Path], found: "Found") -> None:
    """Write a report to each place, with the command that is running."""
    from .. import report

    for path in paths:
        report.write(found, path, [shlex.join(["oddgan", *terminal.asked])])


def write_text(path: Path | None, text: Callable[[], str]) -> None:
    """Write a file whole, where one was asked for."""
    if path is not None:
        with whole_file(path) as file:
            file.write(text().encode())
