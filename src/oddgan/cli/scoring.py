"""How oddgan score scores sources, and where results go."""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import DataError, ParameterError
from . import terminal
from .looked import Looked

if TYPE_CHECKING:
    from ..detector import Detector
    from .reading import Chunk
    from .scores import Format, Results
    from .shards import Sharding


@dataclass(frozen=True)
class Source:
    """Something to score: what it was called, and its rows, or why there are none."""

    name: str
    rows: Any = None
    reason: str = ""


def no_progress(done: int, total: int) -> None:
    """Show nothing."""
    del done, total


@dataclass(frozen=True)
class Scoring:
    """How rows are scored and where results go. `several`: whether there may be more than one source. `rates`: further
    false-alarm rates; `fdr`: a false discovery rate that verdicts are by; `monitor`: the file of a stream's state;
    `strata`: what says of which sort each row is (`oddgan.data.keys`); `reports`: files for a report, which calls the
    rows `data`; `sharding`: which part of all rows is scored, None: all."""

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
    rates: Sequence[float] = ()
    fdr: float | None = None
    monitor: Path | None = None
    strata: str | None = None
    reports: Sequence[Path] = ()
    data: str = "rows"
    sharding: "Sharding | None" = None

    def run(self, sources: Iterable[Source], progress: Callable[[int, int], None] = no_progress) -> tuple[int, int]:
        """Write the results of all rows; return how many are anomalies and how many could not be used. Nothing is
        written unless all goes well, or results are streamed."""
        import numpy as np

        from .outputs import whole_folder
        from .reading import listed, refuse
        from .scores import scores_to

        detector, sources = self.detector, iter(sources)
        looked = Looked(detector, self.monitor, self.data if self.reports else None)
        for rate in self.rates:
            detector.with_false_alarm_rate(rate)  # is an error now where the calibration rows are too few
        counts = [0] * len(self.rates)
        held: list[Results] = []  # until it is known which of all rows are anomalies
        table = detector.model_.preprocessor.kind == "table"
        self.check_locates(table)
        first = next(sources, None)
        parts: Iterator[range | None] = itertools.repeat(None)
        if self.sharding is not None and first is not None:
            rest = list(sources)
            sources, parts = iter(rest), iter(self.sharding.parts([(one.name, one.rows) for one in (first, *rest)]))
        keys = self._keys(first, table)
        bad: list[tuple[str, str]] = []
        done = anomalies = seen = total = 0
        with ExitStack() as stack:
            warned: Sequence[Mapping[str, str]] = ()
            if self.reports:
                from ..cautions import kept  # scikit-learn comes with it

                warned = stack.enter_context(kept())
            write = stack.enter_context(
                scores_to(
                    self.output,
                    keys,
                    self.form,
                    columns=table,
                    regions=self.regions,
                    reasons=self.skip_bad,
                    stream=self.stream,
                    rates=self.rates,
                    q_values=self.fdr is not None,
                    finish=None if self.sharding is None else self.sharding.write,
                )
            )
            folder = self.maps
            if folder is not None and not self.stream:  # inside: results get their name when maps have theirs
                folder = stack.enter_context(whole_folder(folder))
            for source in ([] if first is None else [first]), sources:
                for one in source:
                    part = next(parts)
                    total += self._count(one) if part is None else len(part)
                    for results, unusable in self._results(one, keys, folder, looked, part):
                        bad += unusable
                        seen += len(results.score)
                        if bad and not self.skip_bad:
                            if self.stream:  # what came before it is known, and stays
                                write(results.first(int(np.isnan(results.score).argmax())))
                                looked.keep()
                                refuse(one.name, bad, 0)
                            continue  # only the list of what cannot be used is still of interest
                        if self.fdr is None:
                            write(results)
                        else:
                            held.append(results)
                        if self.stream:
                            looked.keep()
                        done += len(results.score) - len(unusable)
                        anomalies += int(results.is_anomaly.sum())
                        counts = [n + int(flags.sum()) for n, flags in zip(counts, results.others, strict=True)]
                        progress(done + len(bad), total)
            if self.sharding is not None:
                self.sharding.rows, self.sharding.anomalies, self.sharding.unusable = done, anomalies, len(bad)
                self.sharding.further = counts
            if bad and (not self.skip_bad or not (done or self.stream or self.sharding)):
                refuse(first.name if first and not self.several else "", bad, seen)
            if self.fdr is not None:
                held = self._discovered(held, self.fdr)
                anomalies = sum(int(results.is_anomaly.sum()) for results in held)
                for results in held:
                    write(results)
        listed(bad)
        looked.keep()
        looked.warn()
        looked.report(self.reports, [one["message"] for one in warned], bad, self.fdr, held, self.rates, counts)
        self.sum_up(done, anomalies, counts, len(bad))
        terminal.written(self.output, self.maps, self.monitor, *self.reports)
        return anomalies, len(bad)

    def sum_up(self, done: int, anomalies: int, counts: Sequence[int], left_out: int) -> None:
        """Say how many rows there were, and what makes an anomaly. `counts`: of anomalies at further rates."""
        if self.fdr is None:
            terminal.note(f"guaranteed: {self.detector.guarantee_}")
        more = f", {left_out:,} could not be used" if left_out else ""
        terminal.note(
            f"{done:,} row{'s' * (done != 1)}: {anomalies:,} anomal{'y' if anomalies == 1 else 'ies'} "
            f"({self._ruled(counts)}){more}"
        )

    def _ruled(self, counts: Sequence[int]) -> str:
        """What makes an anomaly, in words, and how many there are at further rates."""
        from ..verdict.guarantee import percent

        if self.fdr is not None:
            return f"false discovery rate {percent(self.fdr)}"
        detector = self.detector
        more = "".join(f"; {n:,} at {percent(rate)}" for n, rate in zip(counts, self.rates, strict=True))
        return f"scores above {detector.threshold_:.6g}; false-alarm rate {percent(detector.false_alarm_rate_)}{more}"

    def _discovered(self, held: "list[Results]", fdr: float) -> "list[Results]":
        """The results of a batch with the verdicts that all of them together give."""
        import numpy as np

        from ..cautions import CalibrationWarning, warn
        from ..verdict.discoveries import UNPROVEN, q_values, too_few

        if not held:
            return held
        p = np.concatenate([results.p_value for results in held])
        if self.detector.guarantee_.factor > 1:
            warn(CalibrationWarning, "fdr-not-proven", UNPROVEN)
        if reason := too_few(p, self.detector.model_.calibration.smallest_p, fdr):
            warn(CalibrationWarning, "fdr-too-few", reason)
        parts = np.split(q_values(p), np.cumsum([len(results.score) for results in held])[:-1])
        return [
            replace(results, q_value=q, is_anomaly=np.nan_to_num(q, nan=1.0) <= fdr + 1e-12)
            for results, q in zip(held, parts, strict=True)
        ]

    def check_locates(self, table: bool) -> None:
        """Raise `DataError` or `ParameterError` where maps or regions are asked for that the model does not have."""
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
        self, source: Source, keys: tuple[str, ...], folder: Path | None, looked: Looked, part: range | None
    ) -> "Iterator[tuple[Results, list[tuple[str, str]]]]":
        """The results of a source's rows, some at a time, and the names of those that could not be used."""
        from .reading import as_taken, chunks

        reason = source.reason
        if part is not None and not part:
            return
        if not reason:
            try:
                rows = as_taken(source.rows, self.detector, self.strata)
                for chunk in chunks(rows, self.detector, self.detector.block_size if self.stream else None, part):
                    names = [self._name(source.name, rows, name) for name in chunk.names]
                    unusable = [(str(names[i - chunk.start]), why) for i, why in sorted(chunk.bad.items())]
                    found = names if len(keys) == 1 else [(source.name, n) for n in chunk.names]
                    chunk, strata = self.with_strata(source.name, chunk)
                    results = self.judged(chunk, found, names, folder, strata)
                    looked.add(chunk, results, [self._full(source.name, name) for name in names])
                    yield results, unusable
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

    def _full(self, source: str, name: str | int) -> str:
        """What a report calls a row."""
        if isinstance(name, str):
            return name
        return f"{source}: row {name}" if self.several else f"row {name}"

    def with_strata(self, source: str, chunk: "Chunk") -> "tuple[Chunk, Any]":
        """The chunk, without a column that only says so, and the strata (m,) of its rows, None where none are given."""
        if self.strata is None or not chunk.numbers:
            return chunk, None
        from ..data.keys import keys_of, without

        found = keys_of(chunk.rows, self.strata, "strata", source)
        return replace(chunk, rows=without(chunk.rows, [self.strata])), found

    def judged(self, chunk: "Chunk", keys: Any, names: Any, folder: Path | None, strata: Any) -> "Results":
        """The results of a chunk's rows, unusable ones among them, and their heat maps."""
        import numpy as np

        from ..verdict.calibration import ROUNDING
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
                found = detector.explain(chunk.rows, strata=strata)
                score[at] = found.score
                files = None
                if folder is not None:
                    files = MapFiles(folder, cast(Path, self.maps), detector, self.kinds, self.fullest)
                for j, i in enumerate(at.tolist()):
                    if files is not None:
                        files.write(names[i], chunk.rows[j], found, j)
                    if regions is not None:
                        regions[i] = found.regions(j)
            p_value[at] = detector.p_value_of(score[at], strata=strata)
            flagged[at] = p_value[at] <= detector.false_alarm_rate_ + ROUNDING
        reasons = None
        if self.skip_bad:
            reasons = [chunk.bad.get(chunk.start + i, "") for i in range(n)]
        others = [p_value <= rate + ROUNDING for rate in self.rates]
        return Results(keys, score, p_value, flagged, columns, regions, reasons, others)

    def _unusable(self, key: Any, reason: str) -> "Results":
        """The result of a source that cannot be used at all."""
        import numpy as np

        from .scores import Results

        none = np.full(1, np.nan)
        table = self.detector.model_.preprocessor.kind == "table"
        reasons = [reason] if self.skip_bad else None
        regions = [()] if self.regions else None
        others = [np.zeros(1, bool) for _ in self.rates]
        return Results([key], none, none, np.zeros(1, bool), [""] if table else None, regions, reasons, others)
