"""oddgan train."""

import inspect
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataError, ParameterError, without_secrets
from ..hooks import Hook, Progress, TensorBoard, clock
from ..parameters import declared
from . import launched, terminal
from .checkpoints import checkpoint_of, forget, is_run
from .flags import chosen, dashed, flags, parsed, written
from .options import (
    Anomaly,
    Category,
    ChannelsFrom,
    Data,
    Drop,
    Groups,
    Label,
    Normal,
    Number,
    Reports,
    SkipBad,
    Strata,
    Threads,
    as_words,
)
from .outputs import check_folder, check_reports, check_writable, write_reports
from .process import LEFT_OUT, loading

if TYPE_CHECKING:
    from ..data import Split
    from ..detector import Detector
    from ..evaluation import Evaluation

USUAL = "ganomaly"  # whose flags there are where no detector is named
AUTO = "auto"  # tries several and takes the best


def command(arguments: list[str] | None) -> Callable[..., None]:
    """The command `train`, with the flags of the detector that `arguments` choose; None: without any."""
    fixed = [p for p in inspect.signature(train).parameters.values() if p.name not in ("arguments", "parameters")]
    asked = None if arguments is None else chosen(arguments, "--detector", "")
    own = asked not in ("", AUTO)
    flagged = [] if asked is None else flags(named(asked if own else USUAL), defaults=own)

    def run(**given: Any) -> None:
        parameters = {p.name: given.pop(p.name) for p in flagged}
        with launched.together(parameters.get("device")):
            train(**given, arguments=arguments or [], parameters=parameters)

    run.__doc__ = train.__doc__
    run.__signature__ = inspect.Signature([*fixed, *flagged])  # type: ignore[attr-defined]
    return run


def named(name: str) -> type["Detector"]:
    """The class of a detector."""
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
            help="Which detector; its parameters are among the flags below. auto: tries several and takes the one that "
            "best finds simulated anomalies.",
            show_default="what suits the data",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=1,
            help="An ensemble: train K times, with the seeds 0, 1, ... (or --random-state and on), and average.",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=2,
            help="For few rows: train K times, without a K-th of the rows each, so that every row sets the threshold.",
        ),
    ] = None,
    minutes_to_choose: Annotated[
        float | None,
        typer.Option(
            metavar="M", min=0.01, help="With --detector auto: minutes for all candidates together.", show_default="5"
        ),
    ] = None,
    continue_from: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Train this model on, for --updates, --epochs or --minutes more, at another --lr if one is given. "
            "Give the rows that it knows and new ones together.",
        ),
    ] = None,
    normal: Normal = None,
    anomaly: Anomaly = None,
    label: Label = None,
    drop: Drop = None,
    category: Category = None,
    number: Number = None,
    channels_from: ChannelsFrom = None,
    groups: Groups = None,
    strata: Strata = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Normals to set the threshold with, of which none is trained on; understood as DATA is. --groups and "
            "--strata are then theirs.",
            show_default="some of DATA, held out of training",
        ),
    ] = None,
    skip_bad: SkipBad = False,
    report: Reports = None,
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

    On several processors or GPUs: torchrun --nproc-per-node N -m oddgan train ... trains in N processes, each with
    its share of every batch.
    """
    from .reading import check_readable, columns_in, columns_of, open_split

    automatic = detector == AUTO
    if automatic and launched.launched():
        raise ParameterError("--detector auto: is for one process; choose first, then train with the detector it names")
    if minutes_to_choose is not None and not automatic:
        raise ParameterError("--minutes-to-choose: is for --detector auto; give both, or leave it out")
    cls = named(USUAL if detector is None or automatic else detector)
    given = parsed(cls, parameters)
    untrained: Any = cls(**given)
    if continue_from is not None:
        untrained = _Continued(continue_from, given, bool(detector or seeds or folds))
    model = output or Path(f"{name_of(data)}.oddgan")
    if seeds is not None and folds is not None:
        raise ParameterError("--seeds and --folds are both given; choose one")
    inputs = (data,) if continue_from is None else (data, continue_from)
    reports = check_reports(report)
    check_writable(model, None if is_run(checkpoint) else checkpoint, *reports, inputs=inputs)
    again = launched.restarted()  # torchrun repeats the command as it was given
    kept = checkpoint_of(model, checkpoint, resume or again, fresh and not again)
    launched.meet()
    if fresh and not again and launched.leads():
        forget(kept)
    understood: dict[str, Any] = {
        "normal": normal,
        "anomaly": anomaly,
        "label": label,
        "drop": drop,
        "category": category,
    }
    understood |= {"number": number, "channels_from": channels_from, "skip_bad": skip_bad}
    if continue_from is not None:
        understood["like"] = columns_of(untrained.known)
    keys: dict[str, Any] = {"groups": groups, "strata": strata}
    own = columns_in(data) if groups or strata else ()
    leave = [*(drop or ()), *(key for key in keys.values() if key in own)] or None  # of rows that no key is asked of
    split = open_split(data, **{**understood, "drop": leave} if calibrate else {**understood, **keys})
    apart = open_split(calibrate, **understood, **keys) if calibrate else None
    for source, found in ((data, split), (calibrate, apart)):
        if found is not None and found.train is None:
            raise DataError(f"{source}: no normal rows to train on or to calibrate with; give data with normal ones")
    assert split.train is not None
    if apart is not None:
        split = replace(split, calibrate=apart.train)
    judged = split.test is not None and (bool(reports) or split.labels is not None)
    if judged and not skip_bad:
        check_readable(data, split.test)  # now, and not after training
    if threads is not None:
        set_threads(threads)
    terminal.facts(("data", split.note))
    if detector is None and continue_from is None:
        from ..advice import recommended

        try:
            untrained = recommended(split.train, **given)
        except DataError:
            check_readable(data, split.train, split.tune, split.calibrate)  # one was met: say how many there are
            raise
        terminal.facts(("detector", described_as(untrained, given)))
    elif automatic:
        from .choosing import chosen_detector

        untrained = chosen_detector(data, split, kept, minutes_to_choose, given)
    untrained = _several(untrained, seeds, folds)
    hooks: list[Hook] = []
    if tensorboard is not None and launched.leads():
        check_folder(tensorboard)
        hooks.append(TensorBoard(tensorboard))
    resumed, started = kept.exists(), time.monotonic()
    try:
        fitted = _fit(untrained, split, kept, checkpoint_seconds, hooks, arguments)
    except DataError:
        check_readable(data, split.train, split.tune, split.calibrate)  # one was met: say how many there are
        raise
    if not launched.leads():
        return
    if apart is not None and (groups or strata):
        fitted = fitted.recalibrate(apart.train, groups=apart.groups, strata=apart.strata)
    fitted.save(model)
    forget(kept)
    seconds = None if resumed else time.monotonic() - started
    terminal.facts(*described(fitted, model, seconds))
    evaluation = _judge(fitted, split, bool(reports)) if judged else None
    _report(reports, fitted, data=name_of(data), note=split.note, seconds=seconds, evaluation=evaluation)
    more = as_words(drop=leave, channels_from=channels_from)
    _say_next(fitted, model, data, split, more, [*as_words(normal=normal, anomaly=anomaly, label=label), *more])
    if split.skipped or (apart is not None and apart.skipped):
        raise typer.Exit(LEFT_OUT)


class _Continued:
    """In place of an unfitted detector: the model in `path`, to be trained on as the flags `given` say."""

    def __init__(self, path: Path, given: Mapping[str, Any], others: bool) -> None:
        from .reading import open_model

        if others:
            raise ParameterError("--continue-from: the model says which detector it is; leave out --detector, --seeds")
        given = {name: value for name, value in given.items() if name != "random_state"}  # which the model has
        if unknown := given.keys() - {"updates", "epochs", "minutes", "lr"}:
            raise ParameterError(f"--{dashed(min(unknown))}: is as the model has it; leave it out with --continue-from")
        self.known, self.changes = open_model(path), given

    def fit(self, X: Any, **how: Any) -> "Detector":
        return self.known.continue_fit(X, **self.changes, **how)


def fit(detector: "Detector", split: "Split", hooks: list[Hook], **how: Any) -> "Detector":
    """Fit `detector` on the split's normal rows, with a progress bar."""
    with Progress() as bar:
        shown = [] if terminal.quiet else [bar]
        how |= {"hooks": [*shown, *hooks], "on_interrupt": "raise"}  # what there is can be resumed
        how |= {"tune": split.tune, "calibrate": split.calibrate, "groups": split.groups, "strata": split.strata}
        return detector.fit(split.train, **how)


def _fit(
    detector: "Detector", split: "Split", kept: Path, seconds: float, hooks: list[Hook], arguments: list[str]
) -> "Detector":
    try:
        return fit(detector, split, hooks, checkpoint=kept, checkpoint_seconds=seconds)
    except KeyboardInterrupt:
        if not kept.exists():
            raise terminal.Interrupted("interrupted before the first checkpoint: nothing is kept") from None
        words = (word for word in arguments if word not in ("--fresh", "--resume"))
        again = shlex.join([*launched.command(), *words, "--resume"])
        raise terminal.Interrupted(f"interrupted; go on with: {again}") from None


def _several(detector: "Detector", seeds: int | None, folds: int | None) -> "Detector":
    """The detector, or an ensemble of it: with several seeds, or without each of several folds."""
    if seeds is None and folds is None:
        return detector
    from ..ensemble import CrossConformal, Ensemble

    how: dict[str, Any] = {"random_state": detector.random_state or 0, "false_alarm_rate": detector.false_alarm_rate}
    one = detector.set_params(random_state=None, false_alarm_rate="auto")
    if folds is not None:
        return CrossConformal(one, folds=folds, **how)
    return Ensemble(one, seeds=seeds, calibrate_fraction=detector.calibrate_fraction, **how)


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
    name = Path(without_secrets(data).partition("?")[0]).resolve().name
    for ending in (".gz", ".npy", ".npz", "-ubyte", ".csv", ".tsv", ".parquet"):
        name = name.removesuffix(ending)
    return name or "model"


def described(detector: "Detector", model: Path, seconds: float | None) -> list[tuple[str, str]]:
    """What was trained in so many seconds, or None when parts of the run are older, for a user."""
    from ..report.text import percent

    facts, held = detector.info()["training"], detector.model_.calibration.describe()
    took = "" if seconds is None else f" in {clock(seconds)}"
    return [
        ("rows", detector.preprocessor_.describe()),
        ("trained", f"{detector.title_} {trained_on(facts)}{took}"),
        (
            "threshold",
            f"{detector.threshold_:.6g}, set by {held} held out of training for "
            f"{percent(detector.false_alarm_rate_)} false alarms",
        ),
        ("guarantee", str(detector.guarantee_)),
        ("model", f"{model} ({terminal.size(model)})"),
    ]


def trained_on(facts: Mapping[str, Any]) -> str:
    """How many rows a model was trained on, and how long each stage was, from its facts about training."""
    updates = ", ".join(f"{count:,} updates of {stage}" for stage, count in facts.get("updates", {}).items())
    processes = f" in {facts['processes']} processes" if "processes" in facts else ""
    return f"on {facts['rows']:,} rows{': ' if updates else ''}{updates}{processes}"


def _judge(detector: "Detector", split: "Split", mapped: bool) -> "Evaluation":
    from ..evaluation import evaluate
    from .figures import headline_figures

    with terminal.bar("evaluating") as progress:
        evaluation = evaluate(detector, split, progress=progress, **({} if mapped else {"mapped": 0}))
    terminal.facts(("test", headline_figures(evaluation)))
    return evaluation


def _report(paths: list[Path], detector: "Detector", **known: Any) -> None:
    from ..evaluation import training_of

    if paths:
        write_reports(paths, training_of(detector, **known))
        terminal.facts(("report", [str(path) for path in paths]))


def _say_next(detector: "Detector", model: Path, data: str, split: "Split", more: list[str], given: list[str]) -> None:
    pictures = detector.model_.preprocessor.kind == "pictures"
    if pictures and detector.reconstructs:
        more = [*more, "--maps", "maps"]
    commands = [["score", str(model), "NEW_DATA", "-o", "scores.csv", *more]]
    if split.labels is not None:
        commands.append(["evaluate", str(model), data, *given, "--report", "report.html"])
    if detector.generates:
        commands.append(["generate", str(model), "-o", "generated.png" if pictures else "generated.csv"])
    terminal.commands(*(["oddgan", *command] for command in commands))
