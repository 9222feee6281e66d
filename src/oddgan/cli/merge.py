"""oddgan merge."""

from pathlib import Path
from typing import Annotated

import typer

from .outputs import check_writable


def merge(
    shards: Annotated[
        list[Path],
        typer.Argument(metavar="RESULTS...", help="Of all shards, in any order: out.*-of-8.csv.", show_default=False),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="All results: .csv, .jsonl or .parquet.", show_default=False
        ),
    ],
) -> None:
    """Put the results of oddgan score --shard together, in order: they are those of one command without --shard.

    The shards must be all, each once, of the same model, data and options, and as they were written; otherwise nothing
    is written, and what is missing is named with the command that repeats it.
    """
    from .merging import merged
    from .scores import format_of

    form = format_of(output, None, False)
    check_writable(output, inputs=shards)
    merged(shards, output, form)
