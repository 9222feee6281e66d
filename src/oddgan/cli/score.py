"""oddgan score."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError, ParameterError, without_secrets
from . import terminal
from .options import (
    BlockSize,
    ChannelsFrom,
    Convert,
    Device,
    Drop,
    FalseAlarmRates,
    Model,
    Reports,
    SkipBad,
    Strata,
    Threads,
    shares,
)
from .outputs import check_folder, check_reports, check_writable
from .process import LEFT_OUT
from .scoring import Scoring, Source, no_progress

if TYPE_CHECKING:
    from ..detector import Detector


def score(
    model: Model,
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help="Folders of pictures, pictures, .csv, .parquet, .npy or .npz files, IDX files, or names of data sets "
            "(see: oddgan datasets); - reads paths from standard input, one a line, and scores each as it comes.",
            show_default=False,
        ),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Results, .csv, .jsonl or .parquet.",
            show_default="CSV on standard output",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="csv|jsonl", help="Of results on standard output.", show_default="csv"),
    ] = None,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream", help="Write each result when it is known. Otherwise they are written whole or not at all."
        ),
    ] = False,
    maps: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write the anomaly map of each picture: its path in DATA, as PNG."),
    ] = None,
    map_as: Annotated[
        str | None,
        typer.Option(
            metavar="KIND,...",
            help="What --maps writes: overlay, the map over the picture with a line around what is anomalous; panel, "
            "picture, reconstruction and map side by side; mask, what is anomalous in white; npy or tiff, the map's "
            "values in usual deviations, 32-bit.",
            show_default="overlay",
        ),
    ] = None,
    map_scale: Annotated[
        float | None,
        typer.Option(
            metavar="TIMES",
            help="What overlays show in full colour: so many times the threshold of the map. It is the same for every "
            "picture, so all maps can be compared.",
            show_default="2",
        ),
    ] = None,
    regions: Annotated[
        bool,
        typer.Option(
            "--regions",
            help="One more column, of pictures: the regions whose map is above its threshold, as LEFT,TOP,WIDTH,HEIGHT "
            "VALUE; .jsonl has area, peak and contour, too.",
        ),
    ] = False,
    report: Reports = None,
    drop: Drop = None,
    channels_from: ChannelsFrom = None,
    false_alarm_rate: FalseAlarmRates = None,
    fdr: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Choose anomalies so that at most this share of them are normal, on average, among all rows together "
            "(Benjamini and Hochberg). One more column, q_value.",
        ),
    ] = None,
    monitor: Annotated[
        Path | None,
        typer.Option(
            metavar="STATE.json",
            help="Keep in this file, over runs, whether rows still are like calibration rows (see: oddgan monitor).",
        ),
    ] = None,
    strata: Strata = None,
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

    DATA's layout is ignored: every picture below the folder is scored. The columns are path (or row, counted from 0;
    both for several tables), score (higher is more anomalous), p_value (the share of held-out normal rows that score as
    high), and verdict: anomaly where the p-value is at most the false-alarm rate. For tables one more, columns: those
    with the largest share of the row's residual. A row's score does not depend on the other rows.

    Where rows do not look like training rows at all (exposure, sizes, units, categories, scores), a warning says so.

    With --skip-bad, what cannot be read or does not fit the model has the verdict unusable and one more column, reason,
    and the exit code is 4.
    """
    from .maps import kinds_of, scale_of
    from .reading import open_model
    from .scores import format_of

    kinds, fullest = kinds_of("overlay" if map_as is None else map_as), scale_of(map_scale)
    if maps is None and (map_as is not None or map_scale is not None):
        raise ParameterError("--map-as and --map-scale say how maps are written: give --maps FOLDER as well")
    listening = data == ["-"]
    rates = shares("--false-alarm-rate", false_alarm_rate)
    if fdr is not None:
        _check_fdr(fdr, rates, stream or listening)
    if "-" in data and not listening:
        raise ParameterError("- reads paths from standard input: give it alone")
    chosen = format_of(output, form, stream or listening)
    inputs = [] if listening else data
    reports = check_reports(report)
    check_writable(output, monitor, *reports, inputs=(model, *inputs))
    if maps is not None:
        around = {maps.resolve(), *maps.resolve().parents}
        if any(Path(one).resolve() in around for one in inputs if Path(one).exists()):
            raise ParameterError(f"--maps {maps}: is among the pictures themselves; choose another folder")
        check_folder(maps.absolute().parent)
    open_source = _opener(drop or (), channels_from)
    first = None if listening else open_source(data[0])  # before the model, which takes longer to load
    detector = open_model(
        model,
        device=device,
        false_alarm_rate=rates[0] if rates else None,
        block_size=block_size,
        convert=convert,
        threads=threads,
        exported=True,
    )
    if reports and hasattr(detector, "pipeline"):
        raise ParameterError(f"--report: tells of the training, which {model}, an export, does not hold; leave it out")
    sources = _listened(open_source) if listening else _opened(data, first, open_source, detector, skip_bad, strata)
    how = Scoring(
        detector,
        output,
        chosen,
        maps,
        kinds,
        fullest,
        regions,
        skip_bad,
        stream=stream or listening,
        several=len(data) > 1 or listening,
        rates=rates[1:],
        fdr=fdr,
        monitor=monitor,
        strata=strata,
        reports=reports,
        data="standard input" if listening else _called(data),
    )
    with nullcontext(no_progress) if listening else terminal.bar("scoring") as progress:
        anomalies, left_out = how.run(sources, progress)
    if fail_on_anomaly and anomalies:
        raise typer.Exit(3)
    if left_out:
        raise typer.Exit(LEFT_OUT)


def _called(data: list[str]) -> str:
    """What a report calls these sources."""
    from .train import name_of

    return name_of(data[0]) + (f" and {len(data) - 1} more" if len(data) > 1 else "")


def _check_fdr(fdr: float, rates: Sequence[float], streamed: bool) -> None:
    """Raise `ParameterError` where anomalies cannot be chosen among all rows together."""
    from ..verdict.discoveries import check_fdr

    check_fdr(fdr)
    if rates:
        raise ParameterError("--fdr: says which rows are anomalies, as --false-alarm-rate does; give one of them")
    if streamed:
        raise ParameterError(
            "--fdr: chooses among all rows together, and results that are written as they come are final: leave out "
            "--stream, and give DATA, not -"
        )


def _opener(drop: Iterable[str], channels_from: str | None) -> Callable[[str], Any]:
    from .. import data as sources

    more: dict[str, Any] = {"drop": drop} if drop else {}
    if channels_from:
        more["channels_from"] = channels_from.split(",")
    return lambda source: sources.rows(source, **more)


def _opened(
    data: list[str],
    first: Any,
    open_source: Callable[[str], Any],
    detector: "Detector",
    skip_bad: bool,
    strata: str | None,
) -> Iterator[Source]:
    """Every source, all of them opened before the first is scored, so that an error comes now."""
    from .reading import as_taken

    def source(i: int) -> Source:
        try:
            return Source(without_secrets(data[i]), as_taken(open_source(data[i]) if i else first, detector, strata))
        except DataError as error:
            if not skip_bad or len(data) == 1:
                raise
            name = without_secrets(data[i])
            return Source(name, reason=str(error).removeprefix(f"{name}: "))

    return iter([source(i) for i in range(len(data))])


def _listened(open_source: Callable[[str], Any]) -> Iterator[Source]:
    """The sources that standard input names, each when its line has come."""
    for line in iter(sys.stdin.readline, "") if sys.stdin is not None else ():
        if name := line.rstrip("\r\n"):
            try:
                yield Source(name, open_source(name))
            except DataError as error:
                yield Source(name, reason=str(error).removeprefix(f"{name}: "))
