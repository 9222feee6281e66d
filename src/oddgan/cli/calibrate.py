"""oddgan calibrate."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    Groups,
    Label,
    Model,
    Normal,
    Reports,
    SkipBad,
    Strata,
    Threads,
)
from .outputs import check_reports, check_writable, write_reports
from .process import LEFT_OUT

if TYPE_CHECKING:
    from ..verdict import KnownDefects


def calibrate(
    model: Model,
    data: Data,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="MODEL",
            help="The model file with the new threshold.",
            show_default="MODEL's name + -recalibrated.oddgan",
        ),
    ] = None,
    defects: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Some known defects: says how many would be caught, and the false-alarm rate that catches them all. "
            "They have no influence on the threshold.",
        ),
    ] = None,
    report: Reports = None,
    groups: Groups = None,
    strata: Strata = None,
    normal: Normal = None,
    anomaly: Anomaly = None,
    label: Label = None,
    drop: Drop = None,
    false_alarm_rate: FalseAlarmRate = None,
    convert: Convert = False,
    channels_from: ChannelsFrom = None,
    skip_bad: SkipBad = False,
    block_size: BlockSize = None,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Set a model's threshold anew, from other normal data, without training: for another camera, site or season.

    DATA is understood by its layout, as oddgan train does; its normal rows, none of which the model should have been
    trained on, set the threshold, all p-values, and the threshold of anomaly maps. The networks stay as they are.
    """
    from ..data.split import for_calibration
    from ..evaluation import calibration_of
    from .reading import as_taken, check_beside, check_readable, columns_of, open_model, open_split
    from .train import name_of, set_threads

    new = output or model.with_name(f"{model.stem}-recalibrated.oddgan")
    reports = check_reports(report)
    check_writable(new, *reports, inputs=(data, defects) if defects else (data,))
    detector = open_model(model, device=device, block_size=block_size, convert=convert)
    check_beside(detector, groups=groups, strata=strata)
    leave = [*(drop or ()), *(name for name in (label, groups, strata) if name)]
    bad = None if defects is None else as_taken(_rows_of(defects, leave, channels_from), detector)
    split = open_split(
        data,
        normal=normal,
        anomaly=anomaly,
        label=label,
        drop=drop,
        channels_from=channels_from,
        groups=groups,
        strata=strata,
        skip_bad=skip_bad,
        like=columns_of(detector),
    )
    if split.train is None:
        raise DataError(f"{data}: no normal rows to calibrate with; give data with normal ones")
    if not skip_bad:
        check_readable(data, split.train)
    if threads is not None:
        set_threads(threads)
    note = for_calibration(split.note)
    terminal.facts(("data", note))
    before = detector.threshold_
    with terminal.bar("scoring"):
        again = detector.recalibrate(
            split.train, false_alarm_rate=false_alarm_rate, groups=split.groups, strata=split.strata
        )
    again.save(new)
    terminal.facts(
        (
            "threshold",
            f"{again.threshold_:.6g} (before: {before:.6g}), set by {again.model_.calibration.describe()} for "
            f"{_percent(again.false_alarm_rate_)} false alarms",
        ),
        *[
            ("", f"{name}: {own.threshold:.6g}, {own.describe()}")
            for name, own in again.model_.calibration.by_stratum.items()
        ],
        ("guarantee", str(again.guarantee_)),
        ("model", f"{new} ({terminal.size(new)})"),
    )
    known = None if bad is None else again.known_defects(bad)
    if known is not None:
        _say_caught(known)
    if reports:
        found = calibration_of(detector, again, data=name_of(data), note=note, defects=known)
        write_reports(reports, found)
        terminal.written(*reports)
    if split.skipped:
        raise typer.Exit(LEFT_OUT)


def _rows_of(defects: str, leave: Sequence[str], channels_from: str | None) -> Any:
    """The defects, without columns to leave out that they have."""
    from .reading import columns_in, opener

    return opener(sorted(set(columns_in(defects)) & set(leave)), channels_from)(defects)


def _percent(share: float) -> str:
    from ..report.text import percent

    return percent(share)


def _say_caught(found: "KnownDefects") -> None:
    low, high = found.interval
    terminal.facts(
        (
            "defects",
            [
                f"{found.n_caught} of {found.n} would be caught ({_percent(found.n_caught / found.n)}; 95% interval "
                f"{_percent(low)} to {_percent(high)})",
                f"a false-alarm rate of {_percent(found.rate_for(1.0))} catches them all, one of "
                f"{_percent(found.rate_for(0.9))} nine of ten: --false-alarm-rate of oddgan score",
                "a rate that was chosen to catch them catches fewer of new defects",
            ],
        )
    )
