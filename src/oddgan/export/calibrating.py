"""The threshold of an export: the model's own held-out rows, found again and scored in the runtime."""

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from .. import cautions
from ..errors import ParameterError
from ..model import Model
from ..model.holding_out import HeldOut, hold_out
from ..model.maps import RowMaps, in_halves
from ..model.scored_by import scored_by
from ..preprocessing import PicturePreprocessor
from ..rows import Rows
from ..runtime import Scorer
from ..verdict import Calibration, Combination, MapScale
from ..verdict.strata import one_each

SAME = 1e-4  # relative to the score, at least the median one: scores of the same rows, on whatever machine
SEED = "seed"


@dataclass(frozen=True, eq=False)
class Held:
    """A model's rows: those that it was calibrated with, `calibrate` (m,), by number among `rows`; `tune` and `train`,
    where they were trained on too. `groups`, `strata` (m,): what the calibration rows belong to."""

    rows: Rows
    calibrate: np.ndarray
    tune: np.ndarray | None = None
    train: np.ndarray | None = None
    groups: np.ndarray | None = None
    strata: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Thresholds:
    """What verdicts are made by."""

    combination: Combination
    calibration: Calibration
    map_scale: MapScale | None


def found_again(model: Model, rows: Rows, groups: Any = None) -> Held:
    """The rows among these that the model was calibrated with: those that its seed holds out, if they are what it was
    trained on, or all of them. Torch's scores of them are the model's, which proves it. Raises `ParameterError` where
    they are neither."""
    keys = HeldOut(groups=groups).keys(rows)
    recipe, seed, n = model.recipe, model.facts.get(SEED), len(rows)
    possible: list[tuple[np.ndarray, np.ndarray | None, np.ndarray | None]] = []
    tune: np.ndarray | None
    train: np.ndarray | None
    if isinstance(seed, int) and n > len(model.calibration.scores):
        resolved = recipe.fixed(score_by=scored_by(recipe, rows))
        for tuned in (True, False):
            try:
                train, held = hold_out(resolved, n, seed, tune=tuned, calibrate=True, groups=keys.groups)
            except ValueError:
                continue
            possible.append((held["calibrate"], held["tune"] if len(held["tune"]) else None, train))
    possible.append((np.arange(n), None, None))
    theirs = model.calibration.scores
    for calibrate, tune, train in possible:
        if len(calibrate) != len(theirs):
            continue
        scores = model.score(rows.some(calibrate))
        near = max(SAME, recipe.tolerance) * np.maximum(np.abs(theirs), np.median(np.abs(theirs)))
        if (np.abs(np.sort(scores) - theirs) <= near).all():
            own = keys.groups if train is not None else one_each(groups, n, "groups")
            return _with_keys(model, Held(rows, calibrate, tune, train), scores, own)
    raise ParameterError(
        f"none of these {n:,} rows have the scores of the {len(theirs):,} rows that set the model's threshold: give "
        "the data that it was trained on, as it was then, or what it was calibrated with; with other normal rows, "
        "calibrate it first (oddgan calibrate)"
    )


def _with_keys(model: Model, held: Held, scores: np.ndarray, own: np.ndarray | None) -> Held:
    """The same with the groups and strata that the calibration has. Groups are those of all rows, `own` (n,). Strata,
    and groups where none are given, are known in the order of scores; warns where scores that another machine computed
    leave that order open."""
    calibration = model.calibration
    groups = strata = None
    if calibration.groups is not None and own is not None:
        groups = own[held.calibrate]
    elif calibration.groups is not None:
        groups = _by_rank(calibration.groups, scores, calibration.scores)
    if calibration.stratum is not None:
        number = _by_rank(calibration.stratum, scores, calibration.scores)
        strata = np.array(calibration.strata, dtype=object)[number].astype(str)
    return replace(held, groups=groups, strata=strata)


def _by_rank(keys: np.ndarray, scores: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Keys (m,) that are in the order of scores, for rows with these scores (m,); `theirs` (m,): those of the
    model, ascending."""
    order = np.argsort(scores, kind="stable")
    near = 2 * np.abs(scores[order] - theirs).max()
    if near and (unsure := int(((np.diff(theirs) <= near) & (np.diff(keys) != 0)).sum())):
        cautions.warn(
            cautions.CalibrationWarning,
            "unsure-strata",
            f"{unsure:,} pairs of calibration rows of different strata or groups have scores that are nearer to each "
            "other than this machine's to the model's, and may be taken for each other: calibrate the model on this "
            "machine before (oddgan calibrate)",
        )
    found = np.empty_like(keys)
    found[order] = keys
    return found


def rescored(scorer: Scorer, model: Model, held: Held) -> Thresholds:
    """The same thresholds by the runtime's own scores, in the steps of a fit (`oddgan.model.fitting.made`)."""
    pipeline, combination, scale = scorer.pipeline, scorer.combination, model.map_scale
    preprocessor = cast(PicturePreprocessor, scorer.preprocessor_)
    maps: RowMaps | None = None
    if held.tune is not None:
        tune = held.rows.some(held.tune)
        if combination.by_map and scale is not None:
            scale = _learned(scorer, combination, tune, scale, model)
            maps = RowMaps(preprocessor, scale)
        if combination.needs_tuning:
            combination = combination.tuned(pipeline.pooled(tune, combination, maps))
    order = np.arange(len(held.calibrate))
    if scale is not None and pipeline.maps:
        maps = RowMaps(preprocessor, scale)
        if not combination.by_map and held.train is not None:  # half of these rows say what is usual, as in a fit
            order, learn = in_halves(len(order), held.groups)
            maps = RowMaps(preprocessor, **_how(scale, model), learn=learn)
    scores = np.empty(len(order))
    scores[order] = combination.score(pipeline.pooled(held.rows.some(held.calibrate[order]), combination, maps))
    groups = None if held.groups is None else held.groups[order]
    calibration = Calibration.of(scores, model.calibration.rate, groups=held.groups, strata=held.strata)
    return Thresholds(combination, calibration, None if maps is None else maps.calibrated(groups))


def _learned(scorer: Scorer, combination: Combination, tune: Rows, scale: MapScale, model: Model) -> MapScale:
    """What is usual of the runtime's maps of tuning rows."""
    preprocessor = cast(PicturePreprocessor, scorer.preprocessor_)
    learned = RowMaps(preprocessor, **_how(scale, model), learn=len(tune))
    scorer.pipeline.pooled(tune, combination, learned)
    return learned.scale


def _how(scale: MapScale, model: Model) -> dict[str, Any]:
    return {"blurs": scale.blurs, "places": not model.recipe.map_has_scale}
