"""oddgan score."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DataError, ParameterError
from . import terminal
from .options import BlockSize, Convert, Data, Device, Drop, FalseAlarmRate, Model, SkipBad, Threads
from .outputs import check_folder, check_writable

if TYPE_CHECKING:
    from ..detector import Detector
    from ..rows import Rows
    from ..rows.table_files import TableFile

MAP_SCALE = 0.5


def score(
    model: Model,
    data: Data,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Results, .csv or .parquet.", show_default="CSV on standard output"
        ),
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write a heat map over each picture: its path in DATA, with .png added."),
    ] = None,
    map_scale: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="What heat maps show as fully anomalous: a difference of picture and reconstruction of this share of "
            "the range from black to white. It is the same for every picture, so all maps can be compared.",
        ),
    ] = MAP_SCALE,
    drop: Drop = None,
    false_alarm_rate: FalseAlarmRate = None,
    convert: Convert = False,
    skip_bad: SkipBad = False,
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with code 3 if an anomaly is found.")
    ] = False,
    block_size: BlockSize = None,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Score pictures or rows: an anomaly score, a p-value, and a verdict for each.

    DATA's layout is ignored: every picture below the folder is scored. The columns are path (or row, counted from 0),
    score (higher is more anomalous), p_value (the share of held-out normal rows that score as high), and verdict:
    anomaly where the p-value is at most the false-alarm rate. For tables one more, columns: those with the largest
    share of the row's residual. A row's score does not depend on the other rows.
    """
    from .. import data as sources
    from .reading import as_taken, open_model
    from .scores import check_format
    from .train import set_threads

    if not map_scale > 0:
        raise ParameterError(f"--map-scale {map_scale:g}: must be above 0")
    check_format(output)
    check_writable(output, inputs=(model, data))
    if maps is not None:
        if Path(data).resolve() in (maps.resolve(), *maps.resolve().parents):
            raise ParameterError(f"--maps {maps}: lies among the pictures themselves; choose another folder")
        check_folder(maps.absolute().parent)
    rows = sources.rows(data, drop=drop or ())
    detector = open_model(
        model, device=device, false_alarm_rate=false_alarm_rate, block_size=block_size, convert=convert
    )
    if threads is not None:
        set_threads(threads)
    taken = as_taken(rows, detector)
    with terminal.bar("scoring") as progress:
        anomalies = score_rows(
            detector, taken, data, output, maps=maps, map_scale=map_scale, skip_bad=skip_bad, progress=progress
        )
    if fail_on_anomaly and anomalies:
        raise typer.Exit(3)


def score_rows(
    detector: "Detector",
    rows: "Rows | TableFile",
    source: str,
    output: Path | None,
    *,
    maps: Path | None = None,
    map_scale: float = MAP_SCALE,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the results of all rows and return the number of anomalies. Nothing is written unless all goes well."""
    from ..report.text import percent
    from .maps import map_path, write_map
    from .outputs import whole_folder
    from .reading import Unreadable, chunks, listed, refuse
    from .scores import in_words, scores_to

    table = rows.kind == "table"
    if maps is not None and table:
        raise DataError(f"{source}: is a table, and heat maps are of pictures; leave out --maps")
    if maps is not None and not detector.locates:
        raise ParameterError(f"{type(detector).__name__} locates nothing: leave out --maps")
    bad: list[Unreadable] = []
    # To count the rows of a CSV file is a pass over it, for nothing but a bar that is seen on a terminal.
    total = len(rows) if sys.stderr.isatty() or not hasattr(rows, "parts") else 0
    done = anomalies = 0
    with ExitStack() as stack:
        folder = None if maps is None else stack.enter_context(whole_folder(maps))
        key = "path" if rows.named else "row"
        write = stack.enter_context(scores_to(output, key, columns=table))
        for chunk in chunks(rows, detector.block_size, bad):
            if bad and not skip_bad:
                continue  # only the list of what cannot be read is still of interest
            columns = None
            if table:
                scores, shares = detector.score_and_shares(chunk.rows)
                columns = in_words(detector.preprocessor_.names, shares, len(scores))
            elif folder is None:
                scores = detector.anomaly_score(chunk.rows)
            else:
                found = detector.explain(chunk.rows)
                scores = found.score
                assert found.anomaly_map is not None
                for i, (name, anomaly_map) in enumerate(zip(chunk.names, found.anomaly_map, strict=True)):
                    write_map(folder / map_path(name), chunk.rows[i], anomaly_map, 2 * map_scale, detector)
            flagged = scores > detector.threshold_
            write(chunk.names, scores, detector.model_.calibration.p_value(scores), flagged, columns)
            done, anomalies = done + len(scores), anomalies + int(flagged.sum())
            progress(done + len(bad), total)
        if not skip_bad or not done:
            refuse(source, bad, total)
    listed(bad)
    left_out = f", {len(bad):,} unreadable left out" if bad else ""
    terminal.note(
        f"{done:,} rows: {anomalies:,} anomal{'y' if anomalies == 1 else 'ies'} (scores above "
        f"{detector.threshold_:.6g}; false-alarm rate {percent(detector.false_alarm_rate_)}){left_out}"
    )
    terminal.written(output, maps)
    return anomalies
