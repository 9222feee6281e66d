"""oddgan export."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import DataError
from . import terminal
from .options import (
    Anomaly,
    ChannelsFrom,
    Convert,
    Drop,
    FalseAlarmRate,
    Groups,
    Label,
    Model,
    Normal,
    SkipBad,
    Threads,
)
from .process import LEFT_OUT


def export(
    model: Model,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]",
            help="The data that the model was trained on, with the same options; or, after oddgan calibrate, what it "
            "was calibrated with. The rows that set its threshold are found again and set it anew, by scores of the "
            "runtime.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="The folder to write.", show_default="MODEL's name + -RUNTIME"
        ),
    ] = None,
    to: Annotated[str, typer.Option("--to", metavar="onnx|openvino", help="What is to compute it.")] = "onnx",
    precision: Annotated[
        str,
        typer.Option(
            metavar="float32|float16|int8",
            help="float16: weights take half the space. int8: 8-bit arithmetic, with ranges of training rows. Both "
            "have thresholds of their own, and their scores differ from the model's.",
        ),
    ] = "float32",
    keep_thresholds: Annotated[
        bool,
        typer.Option(
            "--keep-thresholds", help="Without DATA: the model's own thresholds, compared on rows that are made up."
        ),
    ] = False,
    false_alarm_rate: FalseAlarmRate = None,
    groups: Groups = None,
    normal: Normal = None,
    anomaly: Anomaly = None,
    label: Label = None,
    drop: Drop = None,
    channels_from: ChannelsFrom = None,
    convert: Convert = False,
    skip_bad: SkipBad = False,
    threads: Threads = None,
) -> None:
    """Write a model as a folder that scores without torch, in ONNX Runtime or OpenVINO.

    oddgan score DIR scores with it, as oddgan.runtime.Scorer does in Python. Preprocessing, networks and score terms
    are one graph, which other languages can load, too. Scores, verdicts and maps are compared with the model's, on rows
    that were held out of training and, where DATA has labels, on its test; an export that does not answer as the model
    does is not written.
    """
    from ..export import export as write
    from .reading import columns_of, open_model, open_split

    folder = output or model.with_name(f"{model.stem}-{to}")
    detector = open_model(model, device="cpu", false_alarm_rate=false_alarm_rate, convert=convert, threads=threads)
    rows: Any = None
    how: dict[str, Any] = {"to": to, "precision": precision, "keep_thresholds": keep_thresholds}
    skipped: Any = ()
    if data is not None:
        split = open_split(
            data,
            normal=normal,
            anomaly=anomaly,
            label=label,
            drop=drop,
            channels_from=channels_from,
            groups=groups,
            skip_bad=skip_bad,
            like=columns_of(detector),
        )
        if split.train is None:
            raise DataError(f"{data}: no normal rows; give the data that the model was trained on")
        rows, skipped = (split.train if split.calibrate is None else split.calibrate), split.skipped
        how["groups"] = split.groups if split.calibrate is None else None
        if split.test is not None and split.labels is not None:
            how["check"] = split.test, split.labels
    with terminal.bar("exporting"):
        facts = write(detector, folder, rows, **how)
    _say(folder, facts)
    if skipped:
        raise typer.Exit(LEFT_OUT)


def _say(folder: Path, facts: dict[str, Any]) -> None:
    score, verdicts, maps, labelled = (facts[name] for name in ("score", "verdicts", "map", "labelled"))
    rows = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in facts["rows"].items())
    lines = [
        f"scores differ by up to {score['largest_difference']:.3g} ({score['relative']:.1e} of the largest)",
        f"{verdicts['differ']:,} verdicts differ, {verdicts['differ_beyond_tolerance']:,} of them farther than "
        f"{score['tolerance']:.0e} from the threshold",
    ]
    if maps is not None:
        lines.append(f"maps differ by up to {maps['largest_difference']:.3g} usual deviations")
    found = [("compared on", f"{rows} rows"), ("", lines)]
    if labelled is not None:
        for name in ("model", "export"):
            one = labelled[name]
            area = "" if one["auroc"] is None else f"AUROC {one['auroc']:.4f}, "
            found.append((f"test, {name}", f"{area}{one['false_alarms']:,} false alarms, {one['caught']:,} caught"))
    threshold = facts["threshold"]
    by = "by scores of the runtime" if facts["rescored"] else "as the model has it"
    terminal.facts(
        *found,
        ("threshold", f"{threshold['export']:.6g} (the model: {threshold['model']:.6g}), set {by}"),
        ("export", str(folder)),
        ("next", f"oddgan score {folder} DATA"),
    )
