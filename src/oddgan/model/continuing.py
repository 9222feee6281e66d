"""From a fitted model and further normal rows to another model: its networks are trained on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .. import cautions, training
from ..errors import DataError, ParameterError
from ..kit.neural import NeuralRecipe
from ..preprocessing import fingerprints
from ..rows import Rows
from ..training import History
from .fitting import Division, Start, made
from .holding_out import HeldOut, hold_out, tunes
from .model import Model
from .runs import Run, in_processes
from .scored_by import scored_by
from .terms import TermComputer

BUDGETS = ("updates", "epochs", "minutes")


def continued(model: Model, rows: Rows, *, changes: Mapping[str, Any], given: HeldOut, run: Run) -> Model:
    """The model, trained on with `changes`: "updates", "epochs" or "minutes", and perhaps "lr".

    Preprocessing stays as it is. Rows that the model was trained on stay in training, with all of their groups; tuning
    and calibration rows are drawn from the others. Optimisers begin anew. Raises what `Detector.continue_fit` does.
    """
    if not isinstance(model.recipe, NeuralRecipe):
        name = type(model.recipe).__name__
        raise ParameterError(f"{name} trains no networks that could be trained on: fit it again with all rows")
    if not any(changes.get(name) is not None for name in BUDGETS):
        raise ParameterError(f"say for how long to train on: {', '.join(BUDGETS)}")
    recipe = model.recipe
    times = 1 + len(model.facts.get("continued", ()))
    start = Start(
        numbers=model.net.state_dict(),
        recipe=recipe.fixed(**{**dict.fromkeys(BUDGETS), **changes}),
        times=times,
        own_rate="lr" in changes,
        known=model.trained_on,
    )
    seed = training.key(int(model.facts["seed"]), times)
    with in_processes(recipe) as world, cautions.kept() as found:
        run = replace(run, hooks=run.hooks if world.leads else ())
        division, known = _divided(model, rows, given, seed)
        names = model.combination.names
        result = made(recipe, names, model.preprocessor, division, seed, run, start)
        said = world.decided(lambda: found)
    facts = {
        **result.facts,
        "seed": model.facts["seed"],
        "updates": {**model.facts.get("updates", {}), **result.facts["updates"]},
        "continued": [*model.facts.get("continued", ()), {"rows": len(division.train), "known": known, **changes}],
        "warnings": said,
    }
    return replace(result, history=_joined(model.history, result.history), facts=facts)


def _divided(model: Model, rows: Rows, given: HeldOut, seed: int) -> tuple[Division, int]:
    """Which rows are trained on: those that were, and what is not held out of the others; and how many different ones
    were."""
    keys = given.keys(rows)
    prints = fingerprints_of(model, rows)
    known = np.isin(prints, model.trained_on)
    n_known = len(np.unique(prints[known]))
    _warn_of_sampled(model, given)
    if keys.groups is not None:
        known = np.isin(keys.groups, keys.groups[known])
    new = np.flatnonzero(~known)
    resolved = model.recipe.fixed(score_by=scored_by(model.recipe, rows))
    wanted = {"tune": given.tune is None and tunes(resolved), "calibrate": given.calibrate is None}
    if not len(new) and wanted["calibrate"]:
        raise DataError(
            f"the model was trained on all {len(rows):,} rows of X, and none is left to set its threshold: give new "
            "normal rows beside them, or some to calibrate with"
        )
    if not len(new) and wanted["tune"]:
        raise DataError(
            f"the model was trained on all {len(rows):,} rows of X, and none is left to tune with, which this detector "
            "needs: give new normal rows beside them, or some to tune with"
        )
    held = {"calibrate": new[:0], "tune": new[:0]}
    train = new
    if any(wanted.values()):
        groups = None if keys.groups is None else keys.groups[new]
        try:
            kept, found = hold_out(resolved, len(new), seed, **wanted, groups=groups)
        except DataError as error:
            what = " and ".join(name for name, needed in wanted.items() if needed)
            raise DataError(
                f"the model was trained on all but {len(new):,} of {len(rows):,} rows of X, and these are too few to "
                f"hold some out: give more new normal rows, or others to {what} with"
            ) from error
        held, train = {name: new[numbers] for name, numbers in found.items()}, new[kept]
    return Division(rows, np.sort(np.concatenate([np.flatnonzero(known), train])), held, keys, given), n_known


def _warn_of_sampled(model: Model, given: HeldOut) -> None:
    """Of training rows that look like new ones, since the model keeps fingerprints of some only."""
    n = len(model.trained_on)
    complete = "continued" not in model.facts and model.facts["rows"] <= n
    if n >= fingerprints.AT_MOST and not complete and given.calibrate is None:
        cautions.warn(
            cautions.CalibrationWarning,
            "sampled-rows",
            f"the model knows {n:,} of its training rows again and not all: others among X count as new and may set "
            "the threshold, so that false alarms may exceed the rate; give rows to calibrate with that it was not "
            "trained on",
        )


def fingerprints_of(model: Model, rows: Rows) -> np.ndarray:
    """The fingerprint of each row, (n,) uint64, in order."""
    size = TermComputer(model.recipe, model.net).block_size
    blocks = model.preprocessor.parts(rows).blocks(size)
    return np.concatenate([model.preprocessor.fingerprints(block) for block in blocks])


def _joined(old: History, new: History) -> History:
    """One history after the other."""
    before, after = (len(next(iter(one.values()), [])) for one in (old, new))
    columns = dict.fromkeys([*old, *new])
    return {name: [*old.get(name, [None] * before), *new.get(name, [None] * after)] for name in columns}
