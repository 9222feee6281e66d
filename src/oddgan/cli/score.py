"""oddgan score."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError, ParameterError, without_secrets
from . import terminal
from .options import (
    Address,
    BlockSize,
    ChannelsFrom,
    Convert,
    Device,
    Drop,
    Engine,
    FalseAlarmRates,
    Model,
    Reports,
    SkipBad,
    Strata,
    Threads,
    Workers,
    shares,
)
from .outputs import check_folder, check_reports, check_writable
from .process import LEFT_OUT, exit_code
from .scoring import Scoring, Source

if TYPE_CHECKING:
    from ..detector import Detector
    from .scores import Format
    from .shards import Shard

POLL = 1.0  # seconds


def score(
    model: Model,
    data: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATA...",
            help="Folders of pictures, pictures, .csv, .parquet, .npy or .npz files, IDX files, or names of data sets "
            "(see: oddgan datasets); - reads standard input: a path or a JSON object a line, and a line of JSON for "
            "each as it comes.",
            show_default=False,
        ),
    ] = None,
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
    watch: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="In place of DATA: score each new picture below FOLDER, and add its result to --output FILE.jsonl, "
            "which is also the record of what was scored.",
        ),
    ] = None,
    poll: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How often --watch looks.", show_default="1"),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="--watch scores what is there and is not done yet, and ends.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Score part I of N equal parts of DATA's rows, counted from 0, into FILE.I-of-N.csv for --output "
            "FILE.csv (see: oddgan merge).",
        ),
    ] = None,
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
    engine: Engine = None,
    workers: Workers = None,
    address: Address = None,
    part_rows: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="With --engine: rows of a task, at most.",
            show_default="4 tasks for each worker, of 100,000 table rows or 5,000 pictures at most",
        ),
    ] = None,
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
    asked = dict(locals())  # for the tasks of an engine
    from .maps import kinds_of, scale_of
    from .parts import engine_for
    from .reading import open_model, opener
    from .scores import format_of

    kinds, fullest = kinds_of("overlay" if map_as is None else map_as), scale_of(map_scale)
    if maps is None and (map_as is not None or map_scale is not None):
        raise ParameterError("--map-as and --map-scale say how maps are written: give --maps FOLDER as well")
    data = data or []
    listening = data == ["-"]
    live = listening or watch is not None
    rates = shares("--false-alarm-rate", false_alarm_rate)
    if fdr is not None:
        _check_fdr(fdr, rates, stream or live)
    if "-" in data and not listening:
        raise ParameterError("- reads standard input: give it alone")
    if bool(data) == (watch is not None):
        raise ParameterError(
            "give what to score, DATA, or a folder to watch, --watch FOLDER" + ", not both" * bool(data)
        )
    if watch is None and (once or poll is not None):
        raise ParameterError("--once and --poll are for --watch: give --watch FOLDER as well")
    chosen = _check_live(output, form, watch, poll, report, channels_from) if live else format_of(output, form, stream)
    part = (
        None
        if shard is None
        else _shard(
            shard, output, live, {"--fdr": fdr, "--monitor": monitor, "--report": report, "--stream": stream or None}
        )
    )
    if part is not None and output is not None:
        output = part.place(output)
    on = engine_for(asked, live)
    inputs = [] if live else data
    reports = check_reports(report)
    check_writable(output, monitor, *reports, inputs=(model, *inputs))
    if maps is not None:
        around = {maps.resolve(), *maps.resolve().parents}
        held: list[str | Path] = [*inputs, *([watch] if watch is not None else [])]
        if any(Path(one).resolve() in around for one in held if Path(one).exists()):
            raise ParameterError(f"--maps {maps}: is among the pictures themselves; choose another folder")
        check_folder(maps.absolute().parent)
    open_source = opener(drop or (), channels_from)
    first = None if live else _first(data, open_source, skip_bad)  # before the model, which takes longer to load
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
    sharding = None
    if part is not None and output is not None:
        from .shards import Sharding

        given = {
            "format": chosen,
            "false_alarm_rate": [detector.false_alarm_rate_, *rates[1:]],
            "regions": regions,
            "maps": None if maps is None else [map_as, map_scale],
            "skip_bad": skip_bad,
            "convert": convert,
            "drop": sorted(drop or ()),
            "channels_from": channels_from,
            "strata": strata,
            "block_size": detector.block_size,
            "device": device,
        }
        sharding = Sharding(part, output, model, given)
    how = Scoring(
        detector,
        output,
        chosen,
        maps,
        kinds,
        fullest,
        regions,
        skip_bad and not live,  # what is live answers for each item, and goes on
        stream=stream,
        several=len(data) > 1,
        rates=rates[1:],
        fdr=fdr,
        monitor=monitor,
        strata=strata,
        reports=reports,
        data="" if live else _called(data),
        sharding=sharding,
    )
    if watch is not None and output is not None:
        from .watching import watch as keep_watching

        anomalies, left_out, stopped = keep_watching(how, watch, output, poll=POLL if poll is None else poll, once=once)
    elif listening:
        from .lines import standard_input
        from .streaming import answer

        anomalies, left_out, stopped = answer(how, standard_input(), drop or ())
    else:
        sources, stopped = _opened(data, first, open_source, detector, skip_bad, strata), False
        if on is not None:
            from .tasks import run

            anomalies, left_out = run(how, asked, sources, on, part_rows)
        else:
            with terminal.bar("scoring") as progress:
                anomalies, left_out = how.run(sources, progress)
    if stopped:
        raise typer.Exit(exit_code())
    if fail_on_anomaly and anomalies:
        raise typer.Exit(3)
    if left_out:
        raise typer.Exit(LEFT_OUT)


def _shard(text: str, output: Path | None, live: bool, others: dict[str, Any]) -> "Shard":
    """The shard. Raises `ParameterError` for what does not go with one."""
    from .shards import Shard

    found = Shard.parse(text)
    if live:
        raise ParameterError(f"--shard {text}: is a part of DATA, which standard input and --watch do not have")
    if output is None:
        raise ParameterError(f"--shard {text}: give --output FILE, so that oddgan merge can put the parts together")
    if given := [flag for flag, value in others.items() if value is not None]:
        raise ParameterError(
            f"{given[0]}: is of all rows in their order, and --shard scores a part of them; leave it out"
        )
    return found


def _check_live(
    output: Path | None,
    form: str | None,
    watch: Path | None,
    poll: float | None,
    report: Sequence[Path] | None,
    channels_from: str | None,
) -> "Format":
    """The form of results that are written as items come. Raises `ParameterError` for what does not go with them."""
    from .scores import SUFFIXES

    what = "standard input" if watch is None else "--watch"
    if form not in (None, "jsonl") or (output is not None and SUFFIXES.get(output.suffix.lower()) != "jsonl"):
        raise ParameterError(f"{what}: is answered in JSON Lines; give --output a name that ends in .jsonl")
    if watch is not None and output is None:
        raise ParameterError("--watch: give --output FILE.jsonl, where results go and which says what is done")
    if poll is not None and not 0.01 <= poll <= 86_400:
        raise ParameterError(f"--poll {poll:g}: give seconds from 0.01 to 86400")
    if report:
        raise ParameterError(f"--report: is of data that have an end; {what} has none")
    if channels_from:
        raise ParameterError(
            f'--channels-from: {what} does not take it; a line {{"path": ["a_vis.png", "a_ir.png"]}} does'
        )
    return "jsonl"


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


def _first(data: Sequence[str], open_source: Callable[[str], Any], skip_bad: bool) -> Any:
    """The first source, or the error of one that may be left out."""
    try:
        return open_source(data[0])
    except DataError as error:
        if not skip_bad or len(data) == 1:
            raise
        return error


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
            if not i and isinstance(first, DataError):
                raise first
            return Source(without_secrets(data[i]), as_taken(open_source(data[i]) if i else first, detector, strata))
        except DataError as error:
            if not skip_bad or len(data) == 1:
                raise
            name = without_secrets(data[i])
            return Source(name, reason=str(error).removeprefix(f"{name}: "))

    return iter([source(i) for i in range(len(data))])
