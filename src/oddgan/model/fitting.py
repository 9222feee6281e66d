"""From normal rows to a `Model`: hold rows out, preprocess, train, keep reference rows, tune, calibrate.

Training, tuning and calibration rows are disjoint. Calibration rows are read once, after everything else is frozen.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from .. import cautions, machine, preprocessing, ranks, training
from ..errors import DataError, ParameterError
from ..kit.neural import NeuralRecipe
from ..kit.recipe import ALL, Recipe
from ..preprocessing import PicturePreprocessor, fingerprints, profile
from ..preprocessing.parts import Preprocessor, joined
from ..preprocessing.prepared import PreparedRows, SelectedRows
from ..rows import Rows, open_rows
from ..training.checkpoint import TUNED_ON, Checkpoint, seed_of
from ..verdict import ALONE, Calibration, Combination, Kept, Reference, Views, check_neighbours, check_rate
from ..verdict.maps import MOST_BLUR
from ..verdict.patches import PatchMemory, core_set, patch_vectors
from . import checks, health
from .holding_out import HeldOut, Keys, hold_out, units
from .maps import RowMaps, in_halves
from .model import Model
from .runs import Run, Watched, in_processes
from .scored_by import score_terms, scored_by
from .terms import TermComputer

COPIES = 10  # rows that are looked through for each reference row, where many rows equal others
REFERENCE_NUMBERS = 2**24  # in the embeddings of reference rows at most: 64 MiB, milliseconds a row
LEAST_ROWS = 4
MOST_PICTURES = 1_000  # or tiles, of which patches are remembered
CORE = 0.1  # the share of training patches that is kept
# Of the shorter side of the networks' pictures, or of a tile: sigmas that smooth its maps.
BLURS = (1 / 128, 1 / 64, 1 / 32, 1 / 16)


def fit(recipe: Recipe, rows: Rows, y: Any = None, *, held: HeldOut, run: Run) -> Model:
    """Train on normal rows, then calibrate on normals that were held out of training.

    `y`: labels, which are ignored. Raises what `Detector.fit` does. Warnings become facts of the model.
    """
    with in_processes(recipe) as world:
        run = replace(run, hooks=run.hooks if world.leads else ())
        if not isinstance(recipe, NeuralRecipe):  # nothing that processes could share
            return world.decided(lambda: _warned(recipe, rows, y, held, run), long=True)
        return _warned(recipe, rows, y, held, run)


def _warned(recipe: Recipe, rows: Rows, y: Any, held: HeldOut, run: Run) -> Model:
    with cautions.kept() as found:
        checks.warn_of_labels(y)
        model = _fit(recipe, rows, held, run)
    return replace(model, facts={**model.facts, "warnings": ranks.current().decided(lambda: found)})


def _fit(recipe: Recipe, rows: Rows, given: HeldOut, run: Run) -> Model:
    if rows.kind not in recipe.kinds:
        raise ParameterError(
            f"{type(recipe).__name__} is for {recipe.kinds[0]}, and these are rows of a {rows.kind}: choose another "
            "detector, such as GANomaly"
        )
    if len(rows) < LEAST_ROWS:
        raise DataError(f"n_samples = {len(rows)}: give at least {LEAST_ROWS} normal rows, better some hundreds")
    checks.warn_of_rows(rows)
    seed = seed_of(recipe.random_state, run.checkpoint)
    seed = ranks.current().decided(lambda: seed)
    recipe = recipe.fixed(random_state=seed if not isinstance(recipe.random_state, int | None) else recipe.random_state)
    resolved = recipe.fixed(score_by=scored_by(recipe, rows))
    names = score_terms(resolved)
    keys = given.keys(rows)
    train, held = hold_out(
        resolved, len(rows), seed, tune=given.tune is None, calibrate=given.calibrate is None, groups=keys.groups
    )
    preprocessor = preprocessing.fit(rows, train, recipe)
    division = Division(rows, train, held, keys, given)
    return made(recipe, names, preprocessor, division, seed, run)


@dataclass(frozen=True, eq=False)
class Division:
    """Which of some rows are trained on and which are `held` out, by number; the rows' keys, and what was `given`."""

    rows: Rows
    train: np.ndarray
    held: Mapping[str, np.ndarray]
    keys: Keys
    given: HeldOut


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """Where training goes on: the networks' numbers, the recipe with its further budget, how many times it has gone
    on, whether the budget has a learning rate of its own, and fingerprints of what they were trained on before."""

    numbers: Mapping[str, torch.Tensor]
    recipe: NeuralRecipe
    times: int
    own_rate: bool
    known: np.ndarray

    def stages(self, stages: Sequence[training.Stage]) -> list[training.Stage]:
        """These stages with the further budget, under names of their own."""
        changes: dict[str, Any] = {"updates": None, **({"lr": None} if self.own_rate else {})}
        return [replace(one, name=f"{one.name}, continued {self.times}", **changes) for one in stages]


def made(
    recipe: Recipe,
    names: tuple[str, ...],
    preprocessor: Preprocessor,
    division: Division,
    seed: int,
    run: Run,
    start: Start | None = None,
) -> Model:
    """The model of these rows: trained, tuned and calibrated. `names`: of the terms that the score is made of."""
    rows, train, held, given = division.rows, division.train, division.held, division.given
    looks = profile.learn(rows, train, preprocessor)
    # What is held out is read before the long part, so that a row that cannot be used is found now.
    held_out: dict[str, Any] = {}
    sources: dict[str, tuple[Any, np.ndarray]] = {}
    counts: dict[str, int] = {}
    for part, own in (("tune", given.tune), ("calibrate", given.calibrate)):
        if own is not None:
            own = open_rows(own, like=preprocessor)
            counts[part], sources[part] = len(own), (own, np.arange(len(own)))
            held_out[part] = preprocessor.prepare(own, np.arange(len(own)))
        elif len(held[part]):
            counts[part], sources[part] = len(held[part]), (rows, held[part])
            held_out[part] = preprocessor.prepare(rows, held[part])
    of_held = given.calibrating(division.keys, held["calibrate"])
    if not isinstance(recipe.false_alarm_rate, str):
        check_rate(recipe.false_alarm_rate, *units(counts["calibrate"], of_held["groups"]))
    prepared = preprocessor.prepare(rows, train)
    candidates = None if recipe.local == "off" else _candidates(recipe, prepared, seed)
    trained_on = preprocessor.trained_on(prepared)
    tuned_on = None
    if "tune" in held_out and getattr(recipe, "early_stopping", None) is not None:
        tuned_on = preprocessor.trained_on(held_out["tune"])
    net, history, facts = _trained(
        recipe,
        preprocessor.shape,
        prepared,
        (trained_on, tuned_on),
        seed,
        run,
        held_out=held_out.get("tune"),
        start=start,
    )
    if start is not None:
        trained_on = np.sort(np.concatenate([trained_on, np.setdiff1d(start.known, trained_on)]))

    def model() -> Model:
        computer = TermComputer(recipe, net)
        if candidates is not None:
            computer = TermComputer(recipe, net, _reference(computer, *candidates, seed))
        reference = computer.reference
        combination = Combination(recipe.local, names, reference)
        tuned = "tune" in held_out and (combination.needs_tuning or combination.by_map)
        watched = Watched(run.hooks, counts["calibrate"] + (counts["tune"] if tuned else 0))
        how: dict[str, Any] = {"blurs": map_blurs(recipe, preprocessor), "places": not recipe.map_has_scale}
        maps, normals, order = None, held_out["calibrate"], np.arange(counts["calibrate"])
        if combination.by_map and "tune" in held_out:
            assert isinstance(preprocessor, PicturePreprocessor)  # `score_terms` lets no table be scored by a map
            learned = RowMaps(preprocessor, **how, learn=counts["tune"])
            computer.pooled(watched.parts(held_out["tune"]), preprocessor, combination, learned)
            maps = RowMaps(preprocessor, learned.scale)
            if combination.needs_tuning:
                combination = combination.tuned(computer.pooled(held_out["tune"], preprocessor, combination, maps))
                maps = RowMaps(preprocessor, learned.scale)
        elif tuned:
            combination = combination.tuned(computer.pooled(watched.parts(held_out["tune"]), preprocessor, combination))
        if maps is None and isinstance(preprocessor, PicturePreprocessor) and recipe.locates:
            order, learn = in_halves(counts["calibrate"], of_held["groups"])
            source, numbers = sources["calibrate"]
            normals, maps = preprocessor.prepare(source, numbers[order]), RowMaps(preprocessor, **how, learn=learn)
        scores = np.empty(len(order))
        scores[order] = combination.score(computer.pooled(watched.parts(normals), preprocessor, combination, maps))
        calibration = Calibration.of(scores, recipe.false_alarm_rate, **of_held)
        checks.warn_of_repetition(trained_on, preprocessor.trained_on(held_out["calibrate"]))
        checks.warn_of_few(len(train))
        checks.warn_of_calibration(calibration, recipe.false_alarm_rate)
        groups = None if of_held["groups"] is None else of_held["groups"][order]
        map_scale = None if maps is None else maps.calibrated(groups)
        unused = "tune" if "tune" in held_out else "calibrate"
        found = health.checked(
            health.Finished(
                recipe=recipe,
                computer=computer,
                preprocessor=preprocessor,
                combination=combination,
                calibration=calibration,
                map_scale=map_scale,
                history=history,
                stopped=facts.get("stopped", {}),
                rows=sources[unused][0],
                numbers=sources[unused][1],
                held=held_out[unused],
                train=prepared,
                seed=seed,
                continued=start is not None,
            )
        )
        return Model(
            recipe=recipe,
            net=net,
            preprocessor=preprocessor,
            combination=combination,
            calibration=calibration,
            map_scale=map_scale,
            history=history,
            facts={"rows": len(train), "seed": seed, **facts, "health": found},
            trained_on=trained_on,
            profile=looks,
        )

    return ranks.current().decided(model, long=True)  # of the same networks, and one model for all


def map_blurs(recipe: Recipe, preprocessor: Preprocessor) -> tuple[float, ...]:
    """Sigmas in pixels of a map, by which maps are smoothed: of whole pictures those of the networks, of tiles the
    pictures' own."""
    if recipe.map_blur is not None:
        return (float(recipe.map_blur),)
    side = recipe.tile or min(preprocessor.shape[1:], default=0)
    return tuple(min(share * side, MOST_BLUR) for share in BLURS)


def _candidates(recipe: Recipe, prepared: Any, seed: int) -> tuple[SelectedRows, np.ndarray]:
    """The training rows, or tiles, that may become reference rows: distinct ones, at most `max_reference_rows`, drawn
    by the seed; and how many of the rows looked through equal each of them, (m,) float64."""
    most = recipe.max_reference_rows
    parts = prepared.sample(most, seed)
    order = np.random.default_rng([seed, len(parts)]).permutation(len(parts))[: COPIES * most]
    first, copies = fingerprints.distinct(SelectedRows(parts, order))
    kept = SelectedRows(parts, order[first][:most])
    check_neighbours(recipe.neighbours, len(kept), copies[:most])
    return kept, copies[:most].astype(np.float64)


def _reference(computer: TermComputer, candidates: SelectedRows, copies: np.ndarray, seed: int) -> Kept:
    """The candidates' embeddings and terms, as far as `REFERENCE_NUMBERS` goes; or their patches."""
    recipe = computer.recipe
    if recipe.local == "patches":
        return _memory(computer, candidates, seed)
    names = () if recipe.local in ALONE else ALL
    embeddings: list[list[np.ndarray]] = []
    terms: list[dict[str, np.ndarray]] = []
    gathered, most = 0, len(candidates)
    for block in candidates.blocks(recipe.block_size):
        found = computer.found(block.x, names)
        embeddings.append(found.embeddings)
        terms.append(found.terms)
        if not gathered:
            numbers = sum(vectors.shape[1] for vectors in found.embeddings)
            most = max(recipe.neighbours + 1, REFERENCE_NUMBERS // numbers)  # the first are as random as any
        gathered += len(block.x)
        if gathered >= most:
            break
    whole = [np.concatenate(blocks)[:most] for blocks in zip(*embeddings, strict=True)]
    kept = {name: value[:most] for name, value in joined(terms).items()}
    made_in = recipe.block_size if recipe.near != "rows" and recipe.pads_blocks else 0
    copies = copies[: len(whole[0])]
    if recipe.local == "views":
        return Views.of(whole, recipe.neighbours, copies=copies, block_size=made_in)
    return Reference.of(whole, kept, recipe.neighbours, copies=copies, block_size=made_in)


def _memory(computer: TermComputer, candidates: SelectedRows, seed: int) -> PatchMemory:
    """A core set of the candidates' patches, equally many of each picture, drawn by the seed."""
    random, most = np.random.default_rng(seed), min(len(candidates), MOST_PICTURES)
    each, drawn = max(1, computer.recipe.max_reference_rows // most), []
    for block in SelectedRows(candidates, np.arange(most)).blocks(computer.block_size):
        for patches in patch_vectors(computer.found(block.x, ()).embeddings):
            vectors = patches.reshape(-1, patches.shape[-1])
            drawn.append(vectors[np.sort(random.permutation(len(vectors))[:each])])
    found = PatchMemory.of(np.concatenate(drawn)).vectors
    deviation = found.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0).astype(np.float32)  # layers differ in size, and channels too
    found = found / scale
    return PatchMemory(found[core_set(found, max(1, round(CORE * len(found))), seed)], scale)


def _trained(
    recipe: Recipe,
    shape: tuple[int, ...],
    rows: PreparedRows,
    prints: tuple[np.ndarray, np.ndarray | None],
    seed: int,
    run: Run,
    *,
    held_out: PreparedRows | None,
    start: Start | None,
) -> tuple[nn.ModuleDict, training.History, dict[str, Any]]:
    """The finished networks, in evaluation mode, their history, and facts about the training. `prints`: fingerprints of
    the training rows, and of the tuning rows where these decide when it ends."""
    device = machine.device(recipe.device)
    history: training.History = {}
    facts: dict[str, Any] = {"device": device.type}
    with machine.sealed():
        torch.manual_seed(training.key(seed))
        net = machine.place(nn.ModuleDict(recipe.build(shape)), device).eval()
        if isinstance(recipe, NeuralRecipe):
            stages, budgeted = list(recipe.stages()), recipe
            if start is not None:
                net.load_state_dict(start.numbers)
                stages, budgeted = start.stages(stages), start.recipe
            settings = settings_of(budgeted, shape, seed, len(rows))
            saved, world = None, ranks.current()
            if run.checkpoint or world.size > 1:
                identity = _identity(budgeted, shape, settings, *prints)
                if start is not None:
                    identity["continued"] = start.times
                world.check_run({**identity, "checkpoint": run.checkpoint is not None})
                saved = Checkpoint(run.checkpoint, identity, run.seconds) if run.checkpoint else None
            keep = run.on_interrupt == "keep" or (run.on_interrupt is None and run.checkpoint is None)
            watch = training.Watch(held_out, recipe.early_stopping, keep)
            history = training.run(net, stages, rows, settings, checkpoint=saved, hooks=run.hooks, watch=watch)
            facts = {
                "updates": dict(zip(history["stage"], history["update"], strict=True)),
                "precision": str(settings.precision).removeprefix("torch."),
                **({"stopped": watch.stopped} if watch.stopped else {}),
                **({"processes": world.size} if world.size > 1 else {}),
                **facts,
            }
            torch.manual_seed(training.key(seed))
        with torch.no_grad():
            recipe.finish(net, rows)
    return net.requires_grad_(False), history, facts


def settings_of(recipe: NeuralRecipe, shape: tuple[int, ...], seed: int, n: int) -> training.Settings:
    """How n rows are trained on."""
    device = machine.device(recipe.device)
    budgeted = any(given is not None for given in (recipe.updates, recipe.epochs, recipe.minutes))
    return training.Settings(
        batch_size=recipe.batch_size,
        updates=recipe.updates if budgeted else training.updates_by_default(n, recipe.batch_size),
        epochs=recipe.epochs,
        minutes=recipe.minutes,
        lr=recipe.lr,
        betas=(recipe.beta1, recipe.beta2),
        ema=recipe.ema,
        precision=machine.precision(recipe.precision, device, shape),
        device=device,
        seed=seed,
        augment=recipe.augment,
    )


def _identity(
    recipe: NeuralRecipe,
    shape: tuple[int, ...],
    settings: training.Settings,
    trained_on: np.ndarray,
    tuned_on: np.ndarray | None,
) -> dict[str, Any]:
    """What must be equal for a checkpoint to belong to this run; the seed stands for `random_state`."""
    # of no effect on training, or expressed otherwise below
    free = {"random_state", "device", "false_alarm_rate", "convert", "block_size", "stride", "top_tiles", "map_blur"}
    free |= {"local", "near", "neighbours", *recipe.after_training}
    return {
        "detector": type(recipe).__name__,
        **{name: value for name, value in recipe.parameters.items() if name not in free},
        "precision": str(settings.precision),
        "device": settings.device.type,
        "seed": settings.seed,
        "shape": list(shape),
        "number of training rows": len(trained_on),
        "checksum of training rows": zlib.crc32(trained_on.tobytes()),
        **({} if tuned_on is None else {TUNED_ON: zlib.crc32(tuned_on.tobytes())}),
    }
