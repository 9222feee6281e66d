"""Whether a training went well: measured at the end of a fit, from quantities that need no anomalies.

From the history, the networks, and samples of training rows, of held-out rows and of generated rows come indicators
(`oddgan.model.indicators`); rules with measured thresholds (`oddgan.model.symptoms`) warn of what went wrong. Nothing
here changes a fit: everything is frozen already, and randomness is a generator of its own.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import cautions, machine, training
from ..errors import OddganError
from ..kit.neural import NeuralRecipe
from ..kit.recipe import Recipe
from ..preprocessing.parts import Block, Parts, Preprocessor
from ..preprocessing.prepared import PreparedRows, SelectedRows, spread
from ..preprocessing.tiles import TilePreprocessor
from ..rows import TableRows
from ..simulate import pictures, tables
from ..verdict import Calibration, Combination, MapScale
from . import indicators, symptoms
from .indicators import Health
from .maps import RowMaps
from .terms import X_HAT, TermComputer

SAMPLE = 256  # training, held-out and generated rows that are looked at
SCORED = 64  # held-out rows of which anomalies are simulated, and training rows that are scored
SEARCHED = 16  # of these, where each takes a search
TWICE = 2  # simulated anomalies of each row
SIZE = (0.02, 0.15)  # of simulated anomalies of pictures, as shares of the area: CutPaste's, for they should be easy
BROKEN_OFF = {"diverged", "interrupted", "stopped-by-hook"}
"""Reasons why a stage ended early that have been warned of in training."""
KEY = 16  # the end of the keys of the generators here: those of a fit end otherwise


@dataclass(frozen=True, eq=False, kw_only=True)
class Finished:
    """What a fit has, once everything is frozen.

    `stopped`: stages that ended early, and the "reason" of each. `rows` and `numbers`: the held-out rows as the user
    gave them; `held`: the same, prepared; `train`: the training rows, prepared; `continued`: whether the networks were
    trained before, so that this part of their training may be short.
    """

    recipe: Recipe
    computer: TermComputer
    preprocessor: Preprocessor
    combination: Combination
    calibration: Calibration
    map_scale: MapScale | None
    history: training.History
    stopped: Mapping[str, Mapping[str, Any]]
    rows: Any
    numbers: np.ndarray
    held: Any
    train: Any
    seed: int
    continued: bool = False

    @property
    def net(self) -> nn.ModuleDict:
        """The networks."""
        return self.computer.net

    @property
    def slow(self) -> bool:
        """Whether a score takes a search for each row."""
        return self.recipe.searches or self.recipe.adapts_weights

    @property
    def random(self) -> np.random.Generator:
        """A new generator, always the same."""
        return np.random.default_rng([self.seed, KEY])


def checked(fit: Finished) -> Health:
    """The indicators of a fit, by name; gives a `TrainingWarning` of each symptom among them."""
    try:
        found = measured(fit)
    except Exception as error:  # a training is worth more than what is said of it
        reason = f"{type(error).__name__}: {error}"
        message = f"how the training went could not be measured ({reason[:200]}); the model itself is complete"
        cautions.warn(cautions.TrainingWarning, "not-measured", message)
        return {}
    for symptom in symptoms.of(found):
        cautions.warn(cautions.TrainingWarning, symptom.code, symptom.message)
    return found


def measured(fit: Finished) -> Health:
    """The indicators of a fit, by name. Those of generated rows, reconstructions and weights are of trained networks
    alone."""
    found: Health = {"trained": float(isinstance(fit.recipe, NeuralRecipe))}
    if isinstance(fit.recipe, NeuralRecipe):
        found |= indicators.of_history(fit.history)
        found["broken_off"] = float(any(one.get("reason") in BROKEN_OFF for one in fit.stopped.values()))
        found |= {} if fit.continued else _moved(fit)
        x, held = _sample(fit.train, fit, SAMPLE), _sample(fit.held, fit, SAMPLE)
        if (made := _generated(fit)) is not None:
            found |= indicators.of_generated(_vectors(x), _vectors(held), made)
        if not fit.slow:
            found |= indicators.of_features(np.concatenate([*_blocks(fit.computer.features, held, fit)]))
            found |= _reconstructed(fit, x, held)
    found |= _scored(fit)
    if fit.continued:
        found.pop("epochs", None)
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


# --- the networks ---------------------------------------------------------------------------------------------------


def _moved(fit: Finished) -> Health:
    """ "moved.PLAYER": how far training took the weights, as a share of their norm at the start. "travel": learning
    rate times updates of the player that was updated least: how far Adam could take a weight."""
    assert isinstance(fit.recipe, NeuralRecipe)
    updates = dict(zip(fit.history.get("stage", ()), fit.history.get("update", ()), strict=True))
    travel: dict[str, float] = {}
    for stage in fit.recipe.stages():
        for player in stage.players:
            lr = fit.recipe.lr if stage.lr is None else stage.lr
            own = lr[player] if isinstance(lr, Mapping) else lr
            travel[player] = travel.get(player, 0.0) + own * _steps(stage.optimiser, updates.get(stage.name, 0))
    with machine.sealed():
        torch.manual_seed(training.key(fit.seed))
        first = fit.recipe.build(fit.preprocessor.shape)
    found: Health = {"travel": min(travel.values(), default=0.0)}
    for player in travel:
        norm = change = 0.0
        for before, after in zip(first[player].parameters(), fit.net[player].parameters(), strict=True):
            if before.ndim > 1:
                then, now = before.detach().double(), after.detach().cpu().double()
                norm, change = norm + float((then**2).sum()), change + float(((now - then) ** 2).sum())
        if norm > 0:
            found[f"moved.{player}"] = (change / norm) ** 0.5
    return found


def _steps(optimiser: str, updates: int) -> float:
    """How many learning rates a weight moves at most, whose gradient has one size and sign. RMSprop takes longer steps
    at first, since its mean of squares begins at zero and is not corrected for it."""
    if optimiser == "adam":
        return float(updates)
    return float(((1 - 0.99 ** np.arange(1.0, updates + 1)) ** -0.5).sum())


# --- samples of rows ------------------------------------------------------------------------------------------------


def _some(prepared: Any, fit: Finished, most: int) -> SelectedRows:
    """Some of the rows, or of their tiles, each as a row of its own."""
    drawn = prepared.sample(most, fit.seed)
    return SelectedRows(drawn, np.sort(fit.random.permutation(len(drawn))[:most]))


def _sample(prepared: Any, fit: Finished, most: int) -> Tensor:
    some: PreparedRows = _some(prepared, fit, most)
    return some.batch(np.arange(len(some)))


def _vectors(x: Tensor) -> np.ndarray:
    return np.asarray(x.flatten(1).double().cpu().numpy())


def _blocks(compute: Any, x: Tensor, fit: Finished) -> Iterator[Any]:
    """What `compute` makes of rows, block by block."""
    return (compute(x[start : start + fit.computer.block_size]) for start in range(0, len(x), fit.computer.block_size))


def _generated(fit: Finished) -> np.ndarray | None:
    """Generated rows (n, d), None where the detector models no distribution."""
    if not fit.recipe.generates:
        return None
    try:
        with machine.sealed(), torch.no_grad():
            torch.manual_seed(training.key(fit.seed, KEY))
            return _vectors(fit.recipe.sample(fit.net, SAMPLE))
    except OddganError:
        return None


def _reconstructed(fit: Finished, train: Tensor, held: Tensor) -> Health:
    """Of held-out rows, and of rows that are none: each of their values is another training row's."""
    if not fit.recipe.reconstructs:
        return {}
    flat = train.flatten(1)
    order = torch.from_numpy(fit.random.permuted(np.tile(np.arange(len(flat)), (flat.shape[1], 1)), axis=1).T)
    other = flat.gather(0, order)[: len(held)].reshape(-1, *train.shape[1:])

    def answer(x: Tensor) -> np.ndarray:
        found = fit.computer.found(x, (X_HAT,)).x_hat
        return np.empty((len(x), 0)) if found is None else _vectors(found)

    x_hat, other_hat = (np.concatenate([*_blocks(answer, rows, fit)]) for rows in (held, other))
    if x_hat.shape[1] != flat.shape[1]:
        return {}
    return indicators.of_reconstructions(_vectors(held), x_hat, _vectors(other), other_hat)


# --- scores ---------------------------------------------------------------------------------------------------------


def _scored(fit: Finished) -> Health:
    """Of the calibration rows' scores, of training rows' and of simulated anomalies'."""
    tiled = isinstance(fit.preprocessor, TilePreprocessor)
    most = SEARCHED if fit.slow else SCORED
    if fit.slow and fit.computer.reference is not None:  # which belongs to the full block
        return indicators.of_scores(fit.calibration.scores, *[np.empty(0)] * 3)
    computer = fit.computer
    if fit.slow:
        computer = TermComputer(fit.recipe.fixed(block_size=min(SEARCHED, fit.recipe.block_size)), fit.net)

    def score(parts: Parts) -> np.ndarray:
        return _scores_of_parts(parts, fit, computer) if tiled else _scores(parts, fit, computer)

    normal, altered = _simulated(fit, most)
    scores = np.concatenate([score(parts) for parts in altered]) if altered else np.empty(0)
    held = fit.calibration.scores
    if tiled:
        held = score(_some(fit.held, fit, SAMPLE))
    # What is compared with training rows has these among them.
    alone = isinstance(fit.recipe, NeuralRecipe) and not fit.slow and fit.recipe.local == "off"
    train = score(_some(fit.train, fit, most)) if alone else np.empty(0)
    return indicators.of_scores(held, train, np.empty(0) if fit.slow else score(normal), scores)


def _scores(parts: Parts, fit: Finished, computer: TermComputer) -> np.ndarray:
    """Scores of rows (n,), as the model gives them."""
    maps = RowMaps(fit.preprocessor, fit.map_scale) if fit.combination.by_map else None  # type: ignore[arg-type]
    return fit.combination.score(computer.pooled(parts, fit.preprocessor, fit.combination, maps))


def _scores_of_parts(parts: Parts, fit: Finished, computer: TermComputer) -> np.ndarray:
    """Scores (n,) of tiles by themselves; by the maximum of their raw maps where the map decides, in means over squares
    of four pixels, about as large as a mark that matters."""
    found = []
    for block in parts.blocks(computer.block_size):
        one = computer.found(block.x, (*fit.combination.asked, X_HAT, "map"))
        raw = one.raw_maps(block.x, fit.preprocessor) if fit.combination.by_map else None
        if raw is None:
            found.append(fit.combination.score(fit.combination.terms(one.terms, one.embeddings)))
        else:
            smooth = torch.nn.functional.avg_pool2d(raw, min(4, *raw.shape[2:]), stride=2)
            found.append(smooth.flatten(1).amax(1).double().numpy())
    return np.concatenate(found)


def _simulated(fit: Finished, most: int) -> tuple[Parts, list[Parts]]:
    """Some held-out rows, or tiles, and simulated anomalies of each of them, in their order, once or twice."""
    random = fit.random
    if fit.preprocessor.kind == "pictures":
        some = _some(fit.held, fit, most)
        x = some.batch(np.arange(len(some)))
        return some, [_Held(_marked(x, random)) for _ in range(1 if fit.slow else TWICE)]
    numbers = fit.numbers[spread(len(fit.numbers), SAMPLE)]
    chosen = np.sort(random.permutation(len(numbers))[:most])
    normal: TableRows = fit.rows[numbers]
    some = fit.preprocessor.prepare(normal, chosen)
    if len(numbers) < TWICE:  # anomalies exchange values of rows
        return some, []
    # All of the sample are rows to take values from.
    return some, [
        fit.preprocessor.prepare(tables.anomalous(normal, random)[0], chosen) for _ in range(1 if fit.slow else TWICE)
    ]


def _marked(x: Tensor, random: np.random.Generator) -> Tensor:
    """Pictures (n, C, h, w), each with one simulated anomaly, whose content may be another one's."""
    channels_last = x.permute(0, 2, 3, 1).cpu().numpy()
    others = np.roll(channels_last, 1, axis=0)
    span = (float(channels_last.min()), float(channels_last.max()))
    if span[0] == span[1] or min(channels_last.shape[1:3]) < 2:
        return x
    marked = [
        pictures.anomalous(one, random, other=other, size=SIZE, value_range=span)[0]
        for one, other in zip(channels_last, others, strict=True)
    ]
    return torch.from_numpy(np.stack(marked)).permute(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class _Held:
    """Parts in memory, each a row of its own."""

    x: Tensor

    def blocks(self, size: int) -> Iterator[Block]:
        """All of them, `size` at a time."""
        for start, stop in itertools.pairwise([*range(0, len(self.x), size), len(self.x)]):
            yield Block(self.x[start:stop], np.arange(start, stop))
