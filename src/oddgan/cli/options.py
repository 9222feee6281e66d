"""Arguments and options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import ParameterError

if TYPE_CHECKING:
    from ..engine import Ray

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder of pictures, one picture, a .csv, .parquet, .npy, .npz or .tar file, an IDX file, a folder of "
        ".parquet or .tar files, an address (s3://bucket/parts), or a data set's name (see: oddgan datasets).",
        show_default=False,
    ),
]
Model = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="A model file that oddgan train wrote; to score, the folder of oddgan export, too.",
        show_default=False,
    ),
]
Normal = Annotated[
    list[str] | None,
    typer.Option(
        "--normal",
        metavar="CLASS,...",
        help="Classes (or folders) that are normal, in data with classes; all: every one. May be repeated.",
    ),
]
Anomaly = Annotated[
    list[str] | None,
    typer.Option(
        "--anomaly", metavar="CLASS,...", help="Classes that are anomalies; all others are normal. May be repeated."
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="Of a CSV or Parquet file: the column that holds the classes. The model never sees it."
    ),
]
Drop = Annotated[
    list[str] | None,
    typer.Option("--drop", metavar="COLUMN", help="Of a CSV or Parquet file: leave this column out. May be repeated."),
]
Category = Annotated[
    list[str] | None,
    typer.Option(
        "--category",
        metavar="COLUMN",
        help="Of a CSV or Parquet file: the numbers in this column are codes, not amounts. May be repeated.",
    ),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Go on without pictures that cannot be read; they are listed.")
]
Number = Annotated[
    list[str] | None,
    typer.Option(
        "--number",
        metavar="COLUMN",
        help="Of a CSV or Parquet file: this column holds numbers; anything else in it is an error. May be repeated.",
    ),
]
ChannelsFrom = Annotated[
    str | None,
    typer.Option(
        "--channels-from",
        metavar="ENDING,...",
        help="Pictures of one part whose names end so are the channels of one picture: _vis,_ir makes part7_vis.png "
        "and part7_ir.png the picture part7.png.",
    ),
]
Groups = Annotated[
    str | None,
    typer.Option(
        metavar="folder|COLUMN|PATTERN",
        help="What belongs together is held out of training together: pictures by their folder or by what a regular "
        "expression finds in their names (clip[0-9]+), rows by a column. The false-alarm rate is then that of new "
        "groups. Equal rows are held out together in any case.",
    ),
]
Strata = Annotated[
    str | None,
    typer.Option(
        metavar="folder|COLUMN|PATTERN",
        help="One threshold for each sort of normals: each folder, each value of a column, or each text that a regular "
        "expression finds in pictures' names.",
    ),
]
Reports = Annotated[
    list[Path] | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a report: .html, one page that loads nothing; .md, the same as Markdown; .json, all numbers. May "
        "be repeated.",
    ),
]
Threads = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Processor threads.", show_default="all processors")
]
Device = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Where to compute: auto, cpu, cuda, cuda:1, mps.", show_default="as trained"),
]
BlockSize = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Rows that are scored together, a power of two: 64 for throughput, 1 for latency.",
        show_default="as trained",
    ),
]
FalseAlarmRate = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Share of normal rows that may be called anomalies, 0.001 for one in a thousand.",
        show_default="as trained",
    ),
]
FalseAlarmRates = Annotated[
    str | None,
    typer.Option(
        "--false-alarm-rate",
        metavar="SHARE,...",
        help="Share of normal rows that may be called anomalies, 0.001 for one in a thousand. Of several, the first "
        "decides, and each of the others has a column of verdicts.",
        show_default="as trained",
    ),
]
Convert = Annotated[
    bool,
    typer.Option("--convert", help="Accept pictures whose size or channels differ from the training pictures'."),
]
Engine = Annotated[
    Literal["ray"] | None,
    typer.Option(metavar="ray", help="Have the workers of Ray do it, several at a time, here or on a cluster."),
]
Workers = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="With --engine: tasks at a time.", show_default="one for each processor"),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="With --engine: local starts Ray here and ends it; auto takes the one that runs here; ray://HOST:10001 "
        "and HOST:6379 are clusters.",
        show_default="RAY_ADDRESS, or local",
    ),
]


def engine_of(
    engine: str | None, workers: int | None, address: str | None, threads: int | None, **more: Any
) -> "Ray | None":
    """The engine, None for this process. `more`: further parameters of it. Raises `ParameterError`, and `MissingExtra`
    where it is not installed."""
    if engine is None:
        for flag, value in (("--workers", workers), ("--address", address)):
            if value is not None:
                raise ParameterError(f"{flag}: is of an engine: give --engine ray as well")
        return None
    from ..engine import Ray

    found = Ray(workers=workers, address=address, threads=threads or 1, **more)
    found.check()
    return found


def classes(given: str | list[str] | None) -> list[str] | None:
    """The class names in "3,5", or in several of these."""
    if not given:
        return None
    words = [given] if isinstance(given, str) else given
    return [name.strip() for word in words for name in word.split(",") if name.strip()]


def shares(flag: str, given: str | None) -> list[float]:
    """The numbers in "0.01,0.001". Raises `ParameterError` for what is none, and for one that stands there twice."""
    try:
        found = [float(word) for word in given.split(",")] if given is not None else []
    except ValueError:
        raise ParameterError(f"{flag} {given}: give a number between 0 and 1, or several with commas between") from None
    if len(set(found)) < len(found):
        raise ParameterError(f"{flag} {given}: gives one of them twice")
    return found


def as_words(
    *,
    normal: list[str] | None = None,
    anomaly: list[str] | None = None,
    label: str | None = None,
    drop: list[str] | None = None,
    channels_from: str | None = None,
) -> list[str]:
    """These options as words of a command."""
    given = [
        ("--label", [label] if label else []),
        ("--normal", normal),
        ("--anomaly", anomaly),
        ("--drop", drop),
        ("--channels-from", [channels_from] if channels_from else []),
    ]
    return [word for flag, values in given for value in values or [] for word in (flag, value)]
