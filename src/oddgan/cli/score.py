"""oddgan score."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import DataError, ParameterError
from . import terminal
from .options import BlockSize, ChannelsFrom, Convert, Device, Drop, FalseAlarmRate, Model, SkipBad, Threads
from .outputs import check_folder, check_writable
from .process import LEFT_OUT

if TYPE_CHECKING:
    from ..detector import Detector
    from .reading import Chunk
    from .scores import Format, Results


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
    drop: Drop = None,
    channels_from: ChannelsFrom = None,
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

    DATA's layout is ignored: every picture below the folder is scored. The columns are path (or row, counted from 0;
    both for several tables), score (higher is more anomalous), p_value (the share of held-out normal rows that score as
    high), and verdict: anomaly where the p-value is at most the false-alarm rate. For tables one more, columns: those
    with the largest share of the row's residual. A row's score does not depend on the other rows.

    With --skip-bad, what cannot be read or does not fit the model has the verdict unusable and one more column, reason,
    and the exit code is 4.
    """
    from .maps import kinds_of, scale_of
    from .reading import open_model
    from .scores import format_of
    from .train import set_threads

    kinds, fullest = kinds_of("overlay" if map_as is None else map_as), scale_of(map_scale)
    if maps is None and (map_as is not None or map_scale is not None):
        raise ParameterError("--map-as and --map-scale say how maps are written: give --maps FOLDER as well")
    listening = data == ["-"]
    if "-" in data and not listening:
        raise ParameterError("- reads paths from standard input: give it alone")
    chosen = format_of(output, form, stream or listening)
    inputs = [] if listening else data
    check_writable(output, inputs=(model, *inputs))
    if maps is not None:
        around = {maps.resolve(), *maps.resolve().parents}
        if any(Path(one).resolve() in around for one in inputs if Path(one).exists()):
            raise ParameterError(f"--maps {maps}: is among the pictures themselves; choose another folder")
        check_folder(maps.absolute().parent)
    open_source = _opener(drop or (), channels_from)
    first = None if listening else open_source(data[0])  # before the model, which takes longer to load
    detector = open_model(
        model, device=device, false_alarm_rate=false_alarm_rate, block_size=block_size, convert=convert
    )
    if threads is not None:
        set_threads(threads)
    sources = _listened(open_source) if listening else _opened(data, first, open_source, detector, skip_bad)
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
    )
    with nullcontext(_no_progress) if listening else terminal.bar("scoring") as progress:
        anomalies, left_out = how.run(sources, progress)
    if fail_on_anomaly and anomalies:
        raise typer.Exit(3)
    if left_out:
        raise typer.Exit(LEFT_OUT)


@dataclass(frozen=True)
class Source:
    """Something to score: what it was called, and its rows, or why there are none."""

    name: str
    rows: Any = None
    reason: str = ""


def _no_progress(done: int, total: int) -> None:
    del done, total


def _opener(drop: Iterable[str], channels_from: str | None) -> Callable[[str], Any]:
    from .. import data as sources

    more: dict[str, Any] = {"drop": drop} if drop else {}
    if channels_from:
        more["channels_from"] = channels_from.split(",")
    return lambda source: sources.rows(source, **more)


def _opened(
    data: list[str], first: Any, open_source: Callable[[str], Any], detector: "Detector", skip_bad: bool
) -> Iterator[Source]:
    """Every source, all of them opened before the first is scored, so that an error comes now."""
    from .reading import as_taken

    def source(i: int) -> Source:
        try:
            return Source(data[i], as_taken(open_source(data[i]) if i else first, detector))
        except DataError as error:
            if not skip_bad or len(data) == 1:
                raise
            return Source(data[i], reason=str(error).removeprefix(f"{data[i]}: "))

    return iter([source(i) for i in range(len(data))])


def _listened(open_source: Callable[[str], Any]) -> Iterator[Source]:
    """The sources that standard input names, each when its line has come."""
    for line in iter(sys.stdin.readline, "") if sys.stdin is not None else ():
        if name := line.rstrip("\r\n"):
            try:
                yield Source(name, open_source(name))
            except DataError as error:
                yield Source(name, reason=str(error).removeprefix(f"{name}: "))


@dataclass(frozen=True)
class Scoring:
    """How rows are scored and where results go. `several`: whether there may be more than one source."""

    detector: "Detector"
    output: Path | None
    form: "Format" = "csv"
    maps: Path | None = None
    kinds: Sequence[str] = ("overlay",)
    fullest: float | None = None
    regions: bool = False
    skip_bad: bool = False
    stream: bool = False
    several: bool = False

    def run(self, sources: Iterable[Source], progress: Callable[[int, int], None] = _no_progress) -> tuple[int, int]:
        """Write the results of all rows; return how many are anomalies and how many could not be used. Nothing is
        written unless all goes well, or results are streamed."""
        import numpy as np

        from ..report.text import percent
        from .outputs import whole_folder
        from .reading import listed, refuse
        from .scores import scores_to

        detector, sources = self.detector, iter(sources)
        table = detector.model_.preprocessor.kind == "table"
        self._check_locates(table)
        first = next(sources, None)
        keys = self._keys(first, table)
        bad: list[tuple[str, str]] = []
        done = anomalies = seen = total = 0
        with ExitStack() as stack:
            folder = self.maps
            if folder is not None and not self.stream:
                folder = stack.enter_context(whole_folder(folder))
            write = stack.enter_context(
                scores_to(
                    self.output,
                    keys,
                    self.form,
                    columns=table,
                    regions=self.regions,
                    reasons=self.skip_bad,
                    stream=self.stream,
                )
            )
            for source in ([] if first is None else [first]), sources:
                for one in source:
                    total += self._count(one)
                    for results, unusable in self._results(one, keys, folder):
                        bad += unusable
                        seen += len(results.score)
                        if bad and not self.skip_bad:
                            if self.stream:  # what came before it is known, and stays
                                write(results.first(int(np.isnan(results.score).argmax())))
                                refuse(one.name, bad, 0)
                            continue  # only the list of what cannot be used is still of interest
                        write(results)
                        done += len(results.score) - len(unusable)
                        anomalies += int(results.is_anomaly.sum())
                        progress(done + len(bad), total)
            if bad and (not self.skip_bad or not (done or self.stream)):
                refuse(first.name if first and not self.several else "", bad, seen)
        listed(bad)
        left_out = f", {len(bad):,} could not be used" if bad else ""
        terminal.note(
            f"{done:,} row{'s' * (done != 1)}: {anomalies:,} anomal{'y' if anomalies == 1 else 'ies'} (scores above "
            f"{detector.threshold_:.6g}; false-alarm rate {percent(detector.false_alarm_rate_)}){left_out}"
        )
        terminal.written(self.output, self.maps)
        return anomalies, len(bad)

    def _check_locates(self, table: bool) -> None:
        for flag, asked in (("--maps", self.maps is not None), ("--regions", self.regions)):
            if asked and table:
                raise DataError(f"the model takes tables, and anomaly maps are of pictures: leave out {flag}")
            if asked and not self.detector.locates:
                raise ParameterError(f"{type(self.detector).__name__} locates nothing: leave out {flag}")
        cut = "--regions" if self.regions else "--map-as mask" if self.maps is not None and "mask" in self.kinds else ""
        if cut and self.detector.model_.map_threshold is None:
            raise ParameterError(f"{cut}: the model is from before maps had a threshold; train it again")

    def _keys(self, first: Source | None, table: bool) -> tuple[str, ...]:
        """What identifies a row in results."""
        if self.several or first is None:
            return ("path", "row") if table else ("path",)
        return ("path",) if first.rows is None or first.rows.named else ("row",)

    def _count(self, source: Source) -> int:
        """How many rows there are, for a bar that is seen: to count those of a CSV file is a pass over it."""
        if source.rows is None:
            return 1
        return len(source.rows) if sys.stderr.isatty() or not hasattr(source.rows, "parts") else 0

    def _results(
        self, source: Source, keys: tuple[str, ...], folder: Path | None
    ) -> "Iterator[tuple[Results, list[tuple[str, str]]]]":
        """The results of a source's rows, some at a time, and the names of those that could not be used."""
        from .reading import as_taken, chunks

        reason = source.reason
        if not reason:
            try:
                rows = as_taken(source.rows, self.detector)
                for chunk in chunks(rows, self.detector, self.detector.block_size if self.stream else None):
                    names = [self._name(source.name, rows, name) for name in chunk.names]
                    unusable = [(str(names[i - chunk.start]), why) for i, why in sorted(chunk.bad.items())]
                    found = names if len(keys) == 1 else [(source.name, n) for n in chunk.names]
                    yield self._judged(chunk, found, names, folder), unusable
                return
            except DataError as error:
                if not self.stream:
                    raise
                reason = str(error).removeprefix(f"{source.name}: ")
        key = (source.name, None)[: len(keys)]
        yield self._unusable(key, reason), [(source.name, reason)]

    def _name(self, source: str, rows: Any, name: str | int) -> str | int:
        """What to call a row: with its source before it, where there may be several."""
        if not self.several or rows.kind == "table":
            return name
        if isinstance(name, int):
            return f"{source}[{name}]"
        return source if len(rows) == 1 and Path(source).name == name else (Path(source) / name).as_posix()

    def _judged(self, chunk: "Chunk", keys: Any, names: Any, folder: Path | None) -> "Results":
        """The results of a chunk's rows, unusable ones among them, and their heat maps."""
        import numpy as np

        from .maps import MapFiles
        from .scores import Results, in_words

        detector, n = self.detector, len(chunk.names)
        keys = [key if isinstance(key, tuple) else (key,) for key in keys]
        table = detector.model_.preprocessor.kind == "table"
        columns: Any = [""] * n if table else None
        regions: Any = [()] * n if self.regions else None
        at = np.array(chunk.numbers, dtype=int) - chunk.start
        score, p_value, flagged = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, dtype=bool)
        if len(at):
            if table:
                score[at], shares = detector.score_and_shares(chunk.rows)
                columns = in_words(detector.preprocessor_.names, shares, n)
            elif folder is None and not self.regions:
                score[at] = detector.anomaly_score(chunk.rows)
            else:
                found = detector.explain(chunk.rows)
                score[at] = found.score
                files = None
                if folder is not None:
                    files = MapFiles(folder, cast(Path, self.maps), detector, self.kinds, self.fullest)
                for j, i in enumerate(at.tolist()):
                    if files is not None:
                        files.write(names[i], chunk.rows[j], found, j)
                    if regions is not None:
                        regions[i] = found.regions(j)
            p_value[at] = detector.model_.calibration.p_value(score[at])
            flagged[at] = score[at] > detector.threshold_
        reasons = None
        if self.skip_bad:
            reasons = [chunk.bad.get(chunk.start + i, "") for i in range(n)]
        return Results(keys, score, p_value, flagged, columns, regions, reasons)

    def _unusable(self, key: Any, reason: str) -> "Results":
        """The result of a source that cannot be used at all."""
        import numpy as np

        from .scores import Results

        none = np.full(1, np.nan)
        table = self.detector.model_.preprocessor.kind == "table"
        reasons = [reason] if self.skip_bad else None
        regions = [()] if self.regions else None
        return Results([key], none, none, np.zeros(1, bool), [""] if table else None, regions, reasons)
