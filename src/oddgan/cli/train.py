"""oddgan train."""

import inspect
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError, ParameterError
from ..hooks import Hook, Progress, TensorBoard, clock
from ..parameters import declared
from . import terminal
from .flags import chosen, dashed, flags, parsed, written
from .options import Anomaly, Category, ChannelsFrom, Data, Drop, Label, Normal, Number, SkipBad, Threads, as_words
from .outputs import check_folder, check_writable
from .process import LEFT_OUT, loading

if TYPE_CHECKING:
    from ..data import Split
    from ..detector import Detector

USUAL = "ganomaly"  # whose flags there are where no detector is named


def command(arguments: list[str] | None) -> Callable[..., None]:
    """The command `train`, with the flags of the detector that `arguments` choose; None: without any."""
    fixed = [p for p in inspect.signature(train).parameters.values() if p.name not in ("arguments", "parameters")]
    named = None if arguments is None else chosen(arguments, "--detector", "")
    flagged = [] if named is None else flags(_class(named or USUAL), defaults=bool(named))

    def run(**given: Any) -> None:
        parameters = {p.name: given.pop(p.name) for p in flagged}
        train(**given, arguments=arguments or [], parameters=parameters)

    run.__doc__ = train.__doc__
    run.__signature__ = inspect.Signature([*fixed, *flagged])  # type: ignore[attr-defined]
    return run


def _class(name: str) -> type["Detector"]:
    with loading():
        from .. import detectors
    return detectors.get(name)


def train(
    data: Data,
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="MODEL", help="The model file.", show_default="DATA's name + .oddgan"),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Which detector; its parameters are among the flags below.",
            show_default="what suits the data",
        ),
    ] = None,
    normal: Normal = None,
    anomaly: Anomaly = None,
    label: Label = None,
    drop: Drop = None,
    category: Category = None,
    number: Number = None,
    channels_from: ChannelsFrom = None,
    skip_bad: SkipBad = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Evaluate on the data's test rows and write a report.")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Log every loss term for TensorBoard.")
    ] = None,
    threads: Threads = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Where the run is kept until it is done.", show_default="the model's path + .ckpt"
        ),
    ] = None,
    checkpoint_seconds: Annotated[
        float, typer.Option(metavar="S", min=0, help="Seconds from one checkpoint to the next.")
    ] = 60.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run, if there is one.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew, and forget an interrupted run.")] = False,
    arguments: list[str],
    parameters: dict[str, Any],
) -> None:
    """Train a detector on normal data and calibrate its threshold.

    DATA is understood by its layout: pictures directly in a folder (all normal); train/good, test/good and test/KIND;
    normal/ and abnormal/; a table in a CSV or Parquet file, all of it normal or as --label and --normal say. Anomalies
    are never trained on. A run that is interrupted goes on with --resume, and ends
    in the same model.
    """
    from .reading import check_readable, open_split

    cls = _class(detector or USUAL)
    given = parsed(cls, parameters)
    untrained = cls(**given)
    model = output or Path(f"{name_of(data)}.oddgan")
    check_writable(model, checkpoint, report, inputs=(data,))
    kept = _checkpoint(model, checkpoint, resume, fresh)
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
    if split.train is None:
        raise DataError(f"{data}: no normal rows to train on; give data with normal ones")
    if report is not None and split.test is None:
        raise DataError(
            f"{data}: no test rows, so there is nothing for --report; leave it out or give data with a test"
        )
    judged = split.test is not None and (report is not None or split.labels is not None)
    if judged and not skip_bad:
        check_readable(data, split.test)  # now, and not after training
    if threads is not None:
        set_threads(threads)
    terminal.facts(("data", split.note))
    if detector is None:
        from ..advice import recommended

        try:
            untrained = recommended(split.train, **given)
        except DataError:
            check_readable(data, split.train, split.tune, split.calibrate)  # one was met: say how many there are
            raise
        terminal.facts(("detector", described_as(untrained, given)))
    hooks: list[Hook] = []
    if tensorboard is not None:
        check_folder(tensorboard)
        hooks.append(TensorBoard(tensorboard))
    if fresh:
        kept.unlink(missing_ok=True)
    resumed, started = kept.exists(), time.monotonic()
    try:
        fitted = _fit(untrained, split, kept, checkpoint_seconds, hooks, arguments)
    except DataError:
        check_readable(data, split.train, split.tune, split.calibrate)  # one was met: say how many there are
        raise
    fitted.save(model)
    kept.unlink(missing_ok=True)
    terminal.facts(*described(fitted, model, None if resumed else time.monotonic() - started))
    if judged:
        _judge(fitted, split, report)
    _say_next(fitted, model, data, split, drop, as_words(normal=normal, anomaly=anomaly, label=label, drop=drop))
    if split.skipped:
        raise typer.Exit(LEFT_OUT)


def fit(detector: "Detector", split: "Split", hooks: list[Hook], **how: Any) -> "Detector":
    """Fit `detector` on the split's normal rows, with a progress bar."""
    with Progress() as bar:
        shown = [] if terminal.quiet else [bar]
        how |= {"hooks": [*shown, *hooks], "on_interrupt": "raise"}  # what there is can be resumed
        return detector.fit(split.train, tune=split.tune, calibrate=split.calibrate, **how)


def _fit(
    detector: "Detector", split: "Split", kept: Path, seconds: float, hooks: list[Hook], arguments: list[str]
) -> "Detector":
    try:
        return fit(detector, split, hooks, checkpoint=kept, checkpoint_seconds=seconds)
    except KeyboardInterrupt:
        if not kept.exists():
            raise terminal.Interrupted("interrupted before the first checkpoint: nothing is kept") from None
        again = shlex.join(["oddgan", *(word for word in arguments if word not in ("--fresh", "--resume")), "--resume"])
        raise terminal.Interrupted(f"interrupted; go on with: {again}") from None


def set_threads(count: int) -> None:
    """How many processor threads torch uses."""
    import torch

    torch.set_num_threads(count)


def described_as(detector: "Detector", given: Mapping[str, Any]) -> str:
    """A detector that was recommended, as it would be named: "ganomaly --local views"."""
    own = {
        name: value
        for name, value in detector.parameters.items()
        if name not in given and value != declared(type(detector))[name].default
    }
    words = [type(detector).__name__.lower(), *(f"--{dashed(name)} {written(value)}" for name, value in own.items())]
    return f"{' '.join(words)}, which suits such data; --detector NAME takes another"


def name_of(data: str) -> str:
    """What to call what comes of DATA: its last part, without endings."""
    name = Path(data).resolve().name
    for ending in (".gz", ".npy", ".npz", "-ubyte", ".csv", ".tsv", ".parquet"):
        name = name.removesuffix(ending)
    return name or "model"


def _checkpoint(model: Path, given: Path | None, resume: bool, fresh: bool) -> Path:
    """Where the run is kept; an earlier run's file is neither used nor discarded unless the user asks for it."""
    if resume and fresh:
        raise ParameterError("--resume and --fresh are both given; choose one")
    path = given or model.with_name(f"{model.name}.ckpt")
    if path.exists() and not (resume or fresh):
        raise ParameterError(f"{path}: an earlier run was interrupted; go on with --resume, or start anew with --fresh")
    if resume and not path.exists():
        terminal.note(f"no interrupted run at {path}: starting anew")
    return path


def described(detector: "Detector", model: Path, seconds: float | None) -> list[tuple[str, str]]:
    """What was trained in so many seconds, or None when parts of the run are older, for a user."""
    from ..report.text import percent

    facts, n = detector.info()["training"], detector.n_calibrate_
    took = "" if seconds is None else f" in {clock(seconds)}"
    return [
        ("rows", detector.preprocessor_.describe()),
        ("trained", f"{type(detector).__name__} {trained_on(facts)}{took}"),
        (
            "threshold",
            f"{detector.threshold_:.6g}, set by {n:,} normal rows held out of training for "
            f"{percent(detector.false_alarm_rate_)} false alarms",
        ),
        ("model", f"{model} ({terminal.size(model)})"),
    ]


def trained_on(facts: Mapping[str, Any]) -> str:
    """How many rows a model was trained on, and how long each stage was, from its facts about training."""
    updates = ", ".join(f"{count:,} updates of {stage}" for stage, count in facts.get("updates", {}).items())
    return f"on {facts['rows']:,} rows{': ' if updates else ''}{updates}"


def _judge(detector: "Detector", split: "Split", report: Path | None) -> None:
    from ..evaluation import evaluate
    from ..report import write_html
    from .figures import headline_figures

    with terminal.bar("evaluating") as progress:
        evaluation = evaluate(detector, split, progress=progress)
    terminal.facts(("test", headline_figures(evaluation)))
    if report is not None:
        write_html(evaluation, report)
        terminal.facts(("report", str(report)))


def _say_next(
    detector: "Detector", model: Path, data: str, split: "Split", drop: list[str] | None, given: list[str]
) -> None:
    from ..detector import Detector

    pictures = detector.model_.preprocessor.kind == "pictures"
    more = [] if pictures else as_words(drop=drop)
    if pictures and detector.reconstructs:
        more = ["--maps", "maps"]
    commands = [["score", str(model), "NEW_DATA", "-o", "scores.csv", *more]]
    if split.labels is not None:
        commands.append(["evaluate", str(model), data, *given, "--report", "report.html"])
    if type(detector).sample is not Detector.sample:
        commands.append(["generate", str(model), "-o", "generated.png" if pictures else "generated.csv"])
    terminal.commands(*(["oddgan", *command] for command in commands))
