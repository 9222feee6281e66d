"""oddgan info and oddgan datasets: what there is."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ParameterError
from . import terminal
from .options import Model

if TYPE_CHECKING:
    from ..parameters import Declared


def info(
    model: Model,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON, with the training history.")] = False,
) -> None:
    """Say what a model is: detector, parameters, preprocessing, threshold, training."""
    from ..model import archive as artifact
    from ..report.text import percent
    from .flags import written
    from .reading import EXPORT, readers
    from .train import trained_on

    if (model / EXPORT).is_file():
        _say_export(model, as_json)
        return
    detector = readers(model).load(model, device="cpu")  # finds out whether its parts agree
    manifest: dict[str, Any] = artifact.read(model)[0]
    if as_json:
        terminal.say(json.dumps(manifest, indent=2, ensure_ascii=False))
        return
    trained, held = manifest["training"], detector.model_.calibration.describe()
    weights = sum(weight.numel() for weight in detector.net_.parameters())
    place = " on ".join(trained[fact] for fact in ("precision", "device") if fact in trained)
    versions = ", ".join(f"{name} {version}" for name, version in manifest["versions"].items())
    terminal.facts(
        *[
            ("model", f"{model} ({terminal.size(model)}, format {manifest['format_version']})"),
            ("detector", f"{detector.title_}, {weights:,} weights"),
            ("rows", detector.preprocessor_.describe()),
            (
                "threshold",
                f"{detector.threshold_:.6g}, set by {held} held out of training for "
                f"{percent(detector.false_alarm_rate_)} false alarms",
            ),
            ("guarantee", str(detector.guarantee_)),
            ("trained", f"{trained_on(trained)}; {place}"),
            ("made", f"by oddgan {manifest['oddgan']} ({versions})"),
            *[("warnings", [one["message"] for one in trained["warnings"]])] * bool(trained.get("warnings")),
        ]
    )
    terminal.say()
    if "members" in manifest:
        _say_members(detector, manifest)
        return
    parameters = _declared(detector)
    used = _used(detector)
    rows = [
        (name, written(getattr(detector, name)) + used.get(name, ""), _changed(getattr(detector, name), d.default))
        for name, d in parameters.items()
    ]
    terminal.table(("parameter", "value", "default"), rows, numbers_from=3)


def _say_export(folder: Path, as_json: bool) -> None:
    """What the folder of an export holds."""
    from ..runtime import Scorer
    from ..verdict.guarantee import percent

    scorer = Scorer(folder)
    facts = scorer.info()
    if as_json:
        terminal.say(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    terminal.facts(
        ("export", f"{folder} ({sum(one['bytes'] for one in facts['files'].values()) / 1e6:.1f} MB)"),
        ("detector", scorer.title_),
        ("rows", scorer.preprocessor_.describe()),
        (
            "threshold",
            f"{scorer.threshold_:.6g}, set by {scorer.calibration.describe()} held out of training for "
            f"{percent(scorer.false_alarm_rate_)} false alarms",
        ),
        ("guarantee", str(scorer.guarantee_)),
        (
            "compared",
            f"largest difference of scores {facts['parity']['score']['largest_difference']:.3g}, of verdicts "
            f"{facts['parity']['verdicts']['differ']:,}",
        ),
        ("made", f"by oddgan {facts['oddgan']}"),
    )


def _declared(detector: Any) -> "dict[str, Declared]":
    from ..parameters import declared

    cls: Any = type(detector)
    return declared(cls)


def _say_members(detector: Any, manifest: Mapping[str, Any]) -> None:
    """Of an ensemble: its own parameters, and each member with those that are not its defaults."""
    from .flags import dashed, written

    own = manifest["parameters"].items()
    terminal.table(("parameter", "value"), [(name, written(value)) for name, value in own], numbers_from=2)
    terminal.say()
    rows = []
    for name, member in detector.model_.members.items():
        known = _declared(member.recipe)
        values = member.recipe.parameters.items()
        given = {key: value for key, value in values if value != known[key].default and key != "device"}
        flags = " ".join(f"--{dashed(key)} {written(value)}" for key, value in given.items())
        rows.append((name, type(member.recipe).__name__.lower(), flags))
    terminal.table(("member", "detector", "parameters"), rows, numbers_from=3)


def _used(detector: Any) -> dict[str, str]:
    """What the fit took where a parameter left it open, by name."""
    model = detector.model_
    manifest = model.preprocessor.to_manifest()[0]
    taken: dict[str, Any] = {"false_alarm_rate": model.calibration.rate}
    for name in ("size", "channels", "value_range", "stride"):
        if name in manifest:
            taken[name] = manifest[name]
    counts = [f"{count:,} {stage}" for stage, count in model.facts.get("updates", {}).items()]
    if counts and not any((detector.updates, detector.epochs, detector.minutes)):
        taken["updates"] = ", ".join(counts)
    open_ones = {name for name in taken if getattr(detector, name) in (None, "auto")}
    return {name: f" ({_spelt(taken[name])})" for name in open_ones}


def _spelt(value: Any) -> str:
    from .flags import written

    return f"{value:.3g}" if isinstance(value, float) else written(tuple(value) if isinstance(value, list) else value)


def _changed(value: Any, default: Any) -> str:
    from .flags import written

    return "" if value == default else written(default)


def datasets(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A set that oddgan draws, to write with -o.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PLACE",
            help="Write the set NAME there: pictures as a folder in MVTec AD's layout, a table as a CSV file with the "
            "column class.",
        ),
    ] = None,
    fetch: Annotated[
        str | None, typer.Option(metavar="NAME", help="Fetch this set from its home into ODDGAN_DATA and check it.")
    ] = None,
) -> None:
    """List the data sets that have a name, what was found of them, and how to get the rest; or write one that oddgan
    draws, to try things on: oddgan datasets washers -o parts."""
    from .. import data as sources

    if (name is None) != (output is None):
        raise ParameterError(
            f"{name}: say where to write it, as in oddgan datasets {name} -o FOLDER"
            if name is not None
            else f"--output {output}: say which set to write, as in oddgan datasets washers -o {output}"
        )
    if name is not None and output is not None:
        terminal.note(f"drawing {name}; that takes some seconds")
        sources.write(name, output)
        terminal.say(f"{name} is in {output}")
        terminal.commands(_first_command(name, output))
        return
    if fetch is not None:
        with terminal.bar(f"fetching {fetch}") as bar:
            place = sources.fetch(fetch, lambda file, done, size: bar(done, size or done + 1))
        terminal.say(f"{fetch} is in {place}")
        return
    known = sources.datasets()
    found = [
        (one.name, one.kind, "?" if one.rows is None else f"{one.rows:,}", _shape(one.shape), one.licence)
        for one in known
        if one.found
    ]
    terminal.table(("found", "kind", "rows", "shape", "terms"), found, numbers_from=5)
    missing = [one for one in known if not one.found]
    if missing:
        terminal.say()
        terminal.table(("not found", "how to get it"), [(one.name, f"{one.how} into {one.where}") for one in missing])
        terminal.say()
    terminal.say(
        "Data sets are in the folder that the environment variable ODDGAN_DATA names. Nothing is downloaded unasked; "
        "--fetch NAME gets a set whose files have an address."
    )


def _first_command(name: str, place: Path) -> list[str]:
    """How to train on what was written."""
    options = ["--label", "class", "--normal", "benign"] if place.is_file() else []
    return ["oddgan", "train", str(place), *options, "-o", f"{place.stem}.oddgan"]


def _shape(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else "x".join(map(str, shape))
