"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder of pictures, one picture, an .npy or .npz file, an IDX file, or a data set's name "
        "(see: oddgan datasets).",
        show_default=False,
    ),
]
Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A model file that oddgan train wrote.", show_default=False)
]
Normal = Annotated[
    str | None,
    typer.Option("--normal", metavar="CLASS,...", help="Classes that are normal, in data with classes."),
]
Anomaly = Annotated[
    str | None,
    typer.Option("--anomaly", metavar="CLASS,...", help="Classes that are anomalies; all others are normal."),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Go on without pictures that cannot be read; they are listed.")
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
Convert = Annotated[
    bool,
    typer.Option("--convert", help="Accept pictures whose size or channels differ from the training pictures'."),
]


def classes(text: str | None) -> list[str] | None:
    """The class names in "3,5"."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
