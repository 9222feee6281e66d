"""From normal rows to an `EnsembleModel`: rows are held out once, each member is trained, and the whole is calibrated.

A run can be kept in a folder: what run it is, each finished member as a model file, and the checkpoint of the member
in training. A run that was broken off goes on with that member.
"""

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import cautions, preprocessing
from ..errors import ArtifactError, DataError, OutputError, ParameterError
from ..files import whole_file
from ..hooks import Hook, Moment
from ..kit.recipe import Recipe
from ..ranks import current
from ..rows import Rows, open_rows, together
from ..training.checkpoint import seed_of
from ..verdict import Calibration, check_rate
from . import archive, artifact, checks, fitting
from .ensemble import EnsembleModel, Rule
from .holding_out import HeldOut, divide, units
from .model import Model
from .runs import Run, in_processes

RUN = "run.json"
SPLIT = "division of the rows"  # older runs have none, and still go on
ABOUT_FOLDS = ("few-rows", "weak-rate")  # of members: the whole warns of them itself, or nobody need
ABOUT_MEMBERS = (*ABOUT_FOLDS, "tied-scores", "rows-on-both-sides")  # ranks of folds do not show these


@dataclass(frozen=True)
class Settings:
    """How an ensemble is fitted: `random_state` and `false_alarm_rate` as detectors have them, and its `other`
    parameters, of which `calibrate_fraction` is the share of the rows that is held out to calibrate with; half as many
    are held out to tune with."""

    random_state: Any
    false_alarm_rate: float | Literal["auto"]
    other: Mapping[str, Any]

    def parameters(self, seed: int) -> dict[str, Any]:
        """All of them, JSON-able, with the seed that `random_state` gave."""
        return {**self.other, "random_state": seed, "false_alarm_rate": self.false_alarm_rate}


Members = Callable[[int], Mapping[str, Recipe]]
"""From the ensemble's seed to its members by name, in the form that they are fitted in."""


def fit(members: Members, rows: Rows, y: Any, settings: Settings, *, held: HeldOut, run: Run) -> EnsembleModel:
    """Train every member on the same rows, scale their scores on the same tuning rows, and calibrate their mean on rows
    that none of them was shown. Raises what `Detector.fit` does."""
    with in_processes(next(iter(members(0).values()))), cautions.kept() as found:
        checks.warn_of_labels(y)
        kept = KeptRun.of(run, settings.random_state)
        recipes = members(kept.seed)
        keys = held.keys(rows)
        train, apart = _held_out(rows, recipes.values(), settings, kept.seed, held, keys.groups)
        prints = _prints_of(next(iter(recipes.values())), rows, train, apart["calibrate"], held.calibrate)
        own = held.calibrating(keys, apart["calibrate"])
        if not isinstance(settings.false_alarm_rate, str):
            check_rate(settings.false_alarm_rate, *units(len(prints), own["groups"]))
        shown = rows.some(apart["tune"]) if held.tune is None else held.tune
        kept.begin("ensemble", recipes, rows, held.tune, held.calibrate, split=(train, *apart.values()))
        models = {
            name: kept.member(i, name, recipe, rows.some(train), tune=shown, calibrate=shown)
            for i, (name, recipe) in enumerate(recipes.items())
        }
        model = _ensemble(models, "mean", settings, kept.seed, len(train))
        normals, whole = rows.some(apart["calibrate"]), model
        if held.calibrate is not None:
            normals = open_rows(held.calibrate, like=model.preprocessor)
        model = current().decided(
            lambda: whole.with_verdict_of(normals, settings.false_alarm_rate, kept.watched, **own), long=True
        )
        checks.warn_of_repetition(next(iter(models.values())).trained_on, prints)
        checks.warn_of_few(len(train))
        checks.warn_of_calibration(model.calibration, settings.false_alarm_rate)
    return replace(model, facts={**model.facts, "warnings": found})


def fit_folds(
    member: Callable[[int], Recipe], rows: Rows, y: Any, settings: Settings, folds: int, *, tune: Any, run: Run
) -> EnsembleModel:
    """Train a member without each of so many folds, and calibrate on all rows, each by the member that was trained
    without it. Raises what `Detector.fit` does, and `DataError` where fewer rows differ than there are folds."""
    with in_processes(member(0)), cautions.kept() as found:
        checks.warn_of_labels(y)
        kept = KeptRun.of(run, settings.random_state)
        _check_number(rows)
        recipe, fold = member(kept.seed), folds_of(rows, folds, kept.seed)
        if not isinstance(settings.false_alarm_rate, str):
            check_rate(settings.false_alarm_rate, len(rows))
        kept.begin(f"{folds} folds", {"": recipe}, rows, tune)
        models = {}
        for k in range(folds):
            inside, outside = rows.some(np.flatnonzero(fold == k)), rows.some(np.flatnonzero(fold != k))
            models[f"fold-{k + 1}"] = kept.member(
                k, f"fold {k + 1}", recipe, outside, tune=tune, calibrate=inside, unsaid=ABOUT_FOLDS
            )
        model = _ensemble(models, "folds", settings, kept.seed, len(rows))
        checks.warn_of_few(len(rows))
        checks.warn_of_calibration(model.calibration, settings.false_alarm_rate)
    return replace(model, facts={**model.facts, "warnings": found})


def _ensemble(models: Mapping[str, Model], rule: Rule, settings: Settings, seed: int, n_train: int) -> EnsembleModel:
    """The models as one; with the rule "mean" it is to be calibrated."""
    n = sum(len(model.calibration.scores) for model in models.values())
    calibration, peaks = Calibration.of(np.zeros(1), "auto"), None
    if rule == "folds":
        calibration = Calibration.of(ranks(n), settings.false_alarm_rate)
        found = [model.map_scale.peaks for model in models.values() if model.map_scale is not None]
        peaks = np.sort(np.concatenate([one for one in found if one is not None])) if found else None
    first = next(iter(models.values())).facts
    facts: dict[str, Any] = {"rows": n_train, "seed": seed}
    facts |= {"updates": _updates(models)} if _updates(models) else {}
    facts |= {name: first[name] for name in ("precision", "device", "processes") if name in first}
    return EnsembleModel(models, rule, calibration, peaks, settings.parameters(seed), facts)


def ranks(n: int) -> np.ndarray:
    """The calibration scores (n,) of a cross-conformal ensemble."""
    return np.arange(1, n + 1, dtype=np.float64)


def _updates(models: Mapping[str, Model]) -> dict[str, int]:
    """Updates of each stage where all members have the same, and else of each member's stages."""
    found = {name: dict(model.facts.get("updates", {})) for name, model in models.items()}
    first = next(iter(found.values()))
    if all(one == first for one in found.values()):
        return first
    return {f"{name} {stage}": count for name, own in found.items() for stage, count in own.items()}


# --- which rows are held out --------------------------------------------------------------------------------------


def _check_number(rows: Rows) -> None:
    if len(rows) < fitting.LEAST_ROWS:
        raise DataError(
            f"n_samples = {len(rows)}: give at least {fitting.LEAST_ROWS} normal rows, better some hundreds"
        )


def _held_out(
    rows: Rows, recipes: Iterable[Recipe], settings: Settings, seed: int, given: HeldOut, groups: Any
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The numbers of the rows to train on, and of those held out to "calibrate" and to "tune", where none are given:
    disjoint, drawn by the seed, ascending."""
    _check_number(rows)
    n, rate = len(rows), settings.false_alarm_rate
    most = slow = min(type(recipe).max_held_out_rows for recipe in recipes)
    if not isinstance(rate, str):
        most = max(most, math.ceil(10 / rate))
    share = max(1, round(n * settings.other["calibrate_fraction"]))
    counts = {
        "calibrate": min(share, most) if given.calibrate is None else 0,
        "tune": min(max(1, share // 2), slow) if given.tune is None else 0,
    }
    return divide(n, counts, seed, groups)


def _prints_of(recipe: Recipe, rows: Rows, train: np.ndarray, held: np.ndarray, calibrate: Any) -> np.ndarray:
    """The fingerprints (n,) of the calibration rows. They are read before the long part, so that a row that cannot be
    used is found now."""
    if rows.kind not in recipe.kinds:
        return np.zeros(max(len(held), 1), np.uint64)  # the fit of that member says so
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the members' fits warn of the same
        preprocessor = preprocessing.fit(rows, train, recipe)
        if calibrate is not None:
            rows = open_rows(calibrate, like=preprocessor)
            held = np.arange(len(rows))
        return preprocessor.trained_on(preprocessor.prepare(rows, held))


def folds_of(rows: Rows, folds: int, seed: int) -> np.ndarray:
    """The fold (n,) of each row, from 0 on: drawn by the seed, as equal in size as may be where equal rows are in one
    fold (`oddgan.rows.together`). Raises `DataError` where fewer rows differ than there are folds."""
    group = together(rows)
    group = np.arange(len(rows)) if group is None else group
    sizes = np.bincount(group)
    if len(sizes) < folds:
        raise DataError(f"folds={folds}: only {len(sizes)} of {len(rows)} rows differ; give more rows, or fewer folds")
    order = np.random.default_rng([seed, len(rows)]).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled, fold_of = np.zeros(folds, int), np.zeros(len(sizes), int)
    for one in order:
        fold_of[one] = filled.argmin()
        filled[fold_of[one]] += sizes[one]
    return np.asarray(fold_of[group])


# --- one run, member by member ------------------------------------------------------------------------------------


class _AsMember(Hook):
    """Shows a member's run as a part of the whole."""

    def __init__(self, hook: Hook, name: str) -> None:
        self.hook, self.name = hook, name

    def _shown(self, show: Callable[[Moment], None], moment: Moment) -> None:
        named = replace(moment, stage=f"{self.name}, {moment.stage}")
        show(named)
        if named.stopped is not None:
            moment.stop(named.stopped)

    def on_start(self, moment: Moment) -> None:
        self._shown(self.hook.on_start, moment)

    def on_update(self, moment: Moment) -> None:
        self._shown(self.hook.on_update, moment)

    def on_epoch(self, moment: Moment) -> None:
        self._shown(self.hook.on_epoch, moment)

    def on_end(self, moment: Moment) -> None:
        self._shown(self.hook.on_end, moment)

    def on_calibrate(self, done: int, total: int) -> None:
        self.hook.on_calibrate(done, total)


@dataclass
class KeptRun:
    """The run of an ensemble, and the folder that it is kept in, if it is. `seed`: of everything in it."""

    run: Run
    seed: int
    folder: Path | None = None
    codes: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, run: Run, random_state: Any) -> "KeptRun":
        """A run that begins, or that goes on with the seed it had. Raises `ArtifactError`."""
        folder = None if run.checkpoint is None else Path(run.checkpoint)
        begun = None if folder is None else _begun(folder)
        seed = (
            seed_of(random_state, None)
            if begun is None or isinstance(random_state, int | np.integer)
            else int(begun["seed"])
        )
        return cls(run, current().decided(lambda: seed), folder)

    def begin(
        self, what: str, recipes: Mapping[str, Recipe], rows: Rows, *others: Any, split: Sequence[np.ndarray] = ()
    ) -> None:
        """Write down which run this is, or find out that it goes on; `split`: the numbers of the rows to train on and
        of those held out, where these follow from more than the seed. Raises `ArtifactError` where the folder holds
        another one."""
        current().decided(lambda: self._begin(what, recipes, rows, others, split), long=True)  # it reads all rows

    def _begin(self, what: str, recipes: Mapping[str, Recipe], rows: Rows, others: Any, split: Any) -> None:
        if self.folder is None:
            return
        identity = {
            "run": what,
            "seed": self.seed,
            "members": [
                [name, type(recipe).__name__, _jsonable(recipe.parameters)] for name, recipe in recipes.items()
            ],
            "rows": _digest(rows),
            "held out": [None if one is None else _digest(open_rows(one)) for one in others],
            **({SPLIT: _digest_of(np.ascontiguousarray(one, "<i8").tobytes() for one in split)} if split else {}),
        }
        begun = _begun(self.folder)
        if begun is None:
            with whole_file(self.folder / RUN) as file:
                file.write(json.dumps(identity, indent=2).encode())
        elif differing := [
            name for name in identity if begun.get(name) != identity[name] and (name in begun or name != SPLIT)
        ]:
            raise ArtifactError(
                f"{self.folder}: belongs to another run (its {' and '.join(differing)} differ); train with the same "
                "settings and rows to resume it, or start again: with --fresh on the command line, else delete the "
                "folder"
            )

    def member(
        self,
        number: int,
        name: str,
        recipe: Recipe,
        rows: Rows,
        *,
        tune: Any,
        calibrate: Any,
        unsaid: Sequence[str] = ABOUT_MEMBERS,
    ) -> Model:
        """The member with that number, trained now or in an earlier part of this run. What it warns of is passed on,
        each kind once, but for the codes `unsaid`."""
        done = None if self.folder is None else self.folder / f"{number + 1}.oddgan"
        world = current()
        earlier = None
        if done is not None:
            earlier = world.decided(
                lambda: artifact.model_from(type(recipe), *archive.read(done)) if done.exists() else None
            )
        if earlier is not None:
            model = earlier
        else:
            running = None if self.folder is None else self.folder / f"{number + 1}.ckpt"
            hooks = tuple(_AsMember(hook, name) for hook in self.run.hooks)
            own = replace(self.run, checkpoint=running, hooks=hooks)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", cautions.OddganWarning)
                model = fitting.fit(recipe, rows, None, held=HeldOut(tune=tune, calibrate=calibrate), run=own)
            if done is not None and running is not None and world.leads:
                artifact.write(done, model)
                running.unlink(missing_ok=True)
        for one in model.facts.get("warnings", ()):
            if one["code"] not in (*unsaid, *self.codes):
                self.codes.add(one["code"])
                cautions.warn(getattr(cautions, one["kind"], cautions.OddganWarning), one["code"], one["message"])
        return model

    def watched(self, done: int, total: int) -> None:
        """Let hooks know how many of the held-out rows are scored."""
        for hook in self.run.hooks:
            hook.on_calibrate(done, total)


def is_kept(path: str | Path) -> bool:
    """Whether the folder `path` keeps the run of an ensemble."""
    return (Path(path) / RUN).is_file()


def forget(path: str | Path) -> None:
    """Remove a checkpoint: a file, or the folder of an ensemble's run with what the run has written into it. Raises
    `OutputError`."""
    path = Path(path)
    try:
        if not is_kept(path):
            path.unlink(missing_ok=True)
            return
        for one in (*path.glob("*.oddgan"), *path.glob("*.ckpt"), path / RUN):
            one.unlink()
        path.rmdir()
    except OSError as error:
        raise OutputError(f"{path}: cannot be removed ({error.strerror or error})") from error


def _begun(folder: Path) -> dict[str, Any] | None:
    """What a folder says of the run in it; None where there is none yet. Raises `ArtifactError`."""
    if not folder.exists():
        return None
    try:
        found = json.loads((folder / RUN).read_bytes())
        if not isinstance(found, dict) or type(found.get("seed")) is not int:
            raise ValueError("no run")
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{folder}: is no run of an ensemble, or damaged; delete it to start again, or give another checkpoint"
        ) from error
    return found


def _digest(rows: Rows) -> str:
    return _digest_of(rows.content())


def _digest_of(pieces: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for piece in pieces:
        digest.update(len(piece).to_bytes(8, "little") + piece)
    return digest.hexdigest()


def _jsonable(parameters: Mapping[str, Any]) -> Any:
    """Parameters as a file gives them back."""
    return json.loads(json.dumps(parameters))


def names_of(recipes: Sequence[Recipe]) -> list[str]:
    """What to call the members: by their class, and by their number where several have one."""
    names = [type(recipe).__name__.lower() for recipe in recipes]
    return [f"{name}-{names[: i + 1].count(name)}" if names.count(name) > 1 else name for i, name in enumerate(names)]


def check_own(recipes: Iterable[Recipe]) -> None:
    """Raise `ParameterError` for a member with a false-alarm rate of its own, which would go unheard."""
    for recipe in recipes:
        if not isinstance(recipe.false_alarm_rate, str):
            raise ParameterError(
                f"false_alarm_rate={recipe.false_alarm_rate:g} of {type(recipe).__name__}: an ensemble has one "
                "threshold; give the rate to the ensemble itself"
            )
