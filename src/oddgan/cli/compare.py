"""oddgan compare."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError, ParameterError
from . import terminal
from .flags import chosen, parsed, shared_flags
from .options import (
    Address,
    Anomaly,
    Category,
    ChannelsFrom,
    Data,
    Drop,
    Engine,
    Label,
    Normal,
    Number,
    Reports,
    SkipBad,
    Threads,
    Workers,
    classes,
    engine_of,
)
from .outputs import check_reports, check_writable, write_reports, write_text
from .process import LEFT_OUT, loading

if TYPE_CHECKING:
    from ..detector import Detector


def command(arguments: list[str] | None) -> Callable[..., None]:
    """The command `compare`, with the flags of the detectors that `arguments` choose; None: without any."""
    fixed = [p for p in inspect.signature(compare).parameters.values() if p.name != "parameters"]
    flagged = [] if arguments is None else shared_flags(_classes(chosen(arguments, "--detectors", "")).values())

    def run(**given: Any) -> None:
        parameters = {p.name: given.pop(p.name) for p in flagged}
        compare(**given, parameters=parameters)

    run.__doc__ = compare.__doc__
    run.__signature__ = inspect.Signature([*fixed, *flagged])  # type: ignore[attr-defined]
    return run


def _classes(names: str) -> dict[str, type["Detector"]]:
    with loading():
        from .. import detectors

    found: dict[str, type[Detector]] = {}
    for name in classes(names) or ():
        if name.lower() in found:
            raise ParameterError(f"--detectors: {name} is given twice; name each once")
        found[name.lower()] = detectors.get(name)
    return found


def compare(
    data: Data,
    *,
    detectors: Annotated[
        str, typer.Option("--detectors", metavar="NAME,...", help="Which detectors; their parameters are flags below.")
    ],
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Train each so many times, with seeds 0 to N-1.")] = 3,
    normal: Normal = None,
    anomaly: Anomaly = None,
    label: Label = None,
    drop: Drop = None,
    category: Category = None,
    number: Number = None,
    channels_from: ChannelsFrom = None,
    skip_bad: SkipBad = False,
    labels: Annotated[
        bool | None,
        typer.Option(
            "--labels/--no-labels",
            help="Judge by labelled test rows, or by held-out normals and simulated anomalies of them.",
            show_default="by labels if there are any",
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Where every finished run is kept; what is there is not run again.",
            show_default="DATA's name + -compare.jsonl",
        ),
    ] = None,
    report: Reports = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all figures and runs as JSON.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="DETECTOR.PARAMETER=VALUE", help="A parameter of one detector; may be repeated."),
    ] = None,
    threads: Threads = None,
    engine: Engine = None,
    workers: Workers = None,
    address: Address = None,
    checkpoint_seconds: Annotated[
        float, typer.Option(metavar="S", min=0, help="Seconds from one checkpoint of a run to the next.")
    ] = 60.0,
    parameters: dict[str, Any],
) -> None:
    """Train several detectors on the same normal rows; set mean and deviation of their figures side by side.

    DATA is understood by its layout, as oddgan train does. Without test rows that have labels, detectors are ranked by
    simulated anomalies of normal rows that are held out, which promises nothing. A flag such as --updates goes to every
    detector that has the parameter. A comparison that is interrupted or killed goes on where it was when the command is
    given again; another detector or seed is added in the same way.
    """
    from .. import report as pages
    from ..evaluation import compare as run_comparison
    from .reading import check_readable, open_split
    from .train import name_of, set_threads

    on = engine_of(engine, workers, address, threads)
    kept = results or Path(f"{name_of(data)}-compare.jsonl")
    contenders = _contenders(_classes(detectors), parameters, changes or [])
    reports = check_reports(report)
    check_writable(kept, *reports, markdown, json, inputs=(data,))
    split = open_split(
        data,
        normal=normal,
        anomaly=anomaly,
        label=label,
        drop=drop,
        category=category,
        number=number,
        channels_from=channels_from,
        skip_bad=skip_bad,
    )
    without = labels is False or split.test is None or split.labels is None
    if labels and without:
        raise DataError(f"{data}: has no labelled test rows ({split.note}); leave --labels out")
    if split.train is None:
        raise DataError(f"{data}: no normal rows to train on; give data with normal ones")
    if not skip_bad:
        check_readable(data, split.train, split.tune, split.calibrate, None if without else split.test)
    if threads is not None or on is not None:
        set_threads(threads or 1)
    with terminal.resumable() as hooks:
        found = run_comparison(
            split,
            contenders,
            seeds=range(seeds),
            labels=not without,
            results=kept,
            checkpoint_seconds=checkpoint_seconds,
            hooks=hooks,
            report=terminal.note,
            engine=on,
        )
    head, lines = pages.comparison.table(found)
    terminal.say(found.note)
    terminal.say()
    terminal.table(head, lines)
    terminal.say()
    for line in pages.comparison.notes(found):
        terminal.say(line)
    write_reports(reports, found)
    write_text(markdown, lambda: pages.to_markdown(found))
    write_text(json, lambda: pages.to_json(found))
    terminal.written(kept, *reports, markdown, json)
    if all(one.errors for one in found.contenders):
        raise typer.Exit(1)
    if split.skipped:
        raise typer.Exit(LEFT_OUT)


def _contenders(
    chosen: Mapping[str, type["Detector"]], given: Mapping[str, Any], changes: Sequence[str]
) -> dict[str, "Detector"]:
    """The unfitted detectors: `given` goes to all that have the parameter, each of `changes` to the one it names."""
    from ..parameters import declared

    own: dict[str, dict[str, str]] = {name: {} for name in chosen}
    for change in changes:
        place, equals, value = change.partition("=")
        name, dot, parameter = place.lower().partition(".")
        parameter = parameter.replace("-", "_")
        if not (equals and dot):
            raise ParameterError(f"--set {change}: write DETECTOR.PARAMETER=VALUE, as in ganomaly.latent_dim=16")
        if name not in chosen:
            raise ParameterError(f"--set {change}: {name} is not among --detectors {','.join(chosen)}")
        if parameter not in declared(chosen[name]) or parameter == "random_state":
            raise ParameterError(f"--set {change}: {name} has no parameter {parameter} to set")
        own[name][parameter] = value
    contenders = {}
    for name, cls in chosen.items():
        shared = {key: value for key, value in given.items() if value is not None}
        if lacking := [f"--{key.replace('_', '-')}" for key in shared if key not in declared(cls)]:
            terminal.note(f"{name} has no {', '.join(lacking)}: left out")
        contenders[name] = cls(
            **parsed(cls, {key: value for key, value in shared.items() if key in declared(cls)} | own[name])
        )
    return contenders
