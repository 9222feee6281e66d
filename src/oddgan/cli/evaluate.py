"""oddgan evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import DataError
from . import terminal
from .options import (
    Anomaly,
    BlockSize,
    ChannelsFrom,
    Convert,
    Data,
    Device,
    Drop,
    FalseAlarmRate,
    Label,
    Model,
    Normal,
    Reports,
    SkipBad,
    Threads,
)
from .outputs import check_reports, check_writable, write_reports, write_text
from .process import LEFT_OUT


def evaluate(
    model: Model,
    data: Data,
    *,
    report: Reports = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all figures and scores as JSON.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures as Markdown.")] = None,
    normal: Normal = None,
    anomaly: Anomaly = None,
    label: Label = None,
    drop: Drop = None,
    all_rows: Annotated[
        bool,
        typer.Option(
            "--all-rows", help="Judge every row of data that was not trained on: nothing is set aside for training."
        ),
    ] = False,
    false_alarm_rate: FalseAlarmRate = None,
    convert: Convert = False,
    channels_from: ChannelsFrom = None,
    skip_bad: SkipBad = False,
    block_size: BlockSize = None,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Compare verdicts with labels: AUROC and AUPRC with 95% intervals beside chance, false alarms, kinds of defect.

    DATA is understood by its layout, as oddgan train does, and its test rows are scored: of a CSV or Parquet file, the
    part that oddgan train held out. Where there are masks, figures
    by pixel are added, at the masks' own size.
    """
    from .. import evaluation
    from ..report import to_json, to_markdown
    from .figures import show
    from .reading import check_readable, columns_of, open_model, open_split
    from .train import set_threads

    reports = check_reports(report)
    check_writable(*reports, json, markdown, inputs=(model, data))
    detector = open_model(
        model, device=device, false_alarm_rate=false_alarm_rate, block_size=block_size, convert=convert
    )
    split = open_split(
        data,
        normal=normal,
        anomaly=anomaly,
        label=label,
        drop=drop,
        channels_from=channels_from,
        skip_bad=skip_bad,
        all_rows=all_rows,
        like=columns_of(detector),
    )
    if split.test is None:
        raise DataError(f"{data}: has no test rows ({split.note}); to judge rows without labels use oddgan score")
    if not skip_bad:
        check_readable(data, split.test)
    if threads is not None:
        set_threads(threads)
    with terminal.bar("evaluating") as progress:
        mapped = {} if reports or json or markdown else {"mapped": 0}  # which takes a while
        found = evaluation.evaluate(detector, split, progress=progress, **mapped)
    show(found)
    write_reports(reports, found)
    write_text(json, lambda: to_json(found))
    write_text(markdown, lambda: to_markdown(found))
    terminal.written(*reports, json, markdown)
    if split.skipped:
        raise typer.Exit(LEFT_OUT)
