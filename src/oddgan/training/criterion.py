"""Which loss terms fall when a network learns, and which only say who is ahead in a game.

It is found out by trial, not by name: the weights of one player after the other are changed a little, and what changes
with them is noted, on the same rows with the same noise.

- A player *judges* another whose output reaches it, if it has a term that depends on the other's weights and is not a
  term of the other's, too: a discriminator judges a generator, but a decoder that shares its loss with the encoder
  judges nobody.
- A term counts if its player judges nobody and no judge's weights change it.

Since outputs are compared, and not gradients, it makes no difference where a step cuts the graph.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .. import machine
from ..preprocessing.prepared import PreparedRows
from .batch import Batch, key
from .stage import Settings, Stage
from .validation import untouched

TRIAL = 2  # the end of the keys of what is drawn here
CHANGE = 0.3  # of weights, in their standard deviations
EQUAL = 1e-7  # up to which two values are the same, relative to them
ROUNDED = 1e-5  # up to which they are but for rounding


@dataclass(frozen=True)
class _Seen:
    """The mean of each term by "PLAYER.TERM", and what reached each player: the mean square of every input."""

    terms: dict[str, float]
    inputs: dict[str, list[float]]


@torch.no_grad()
def counted(net: nn.ModuleDict, stage: Stage, number: int, rows: PreparedRows, settings: Settings) -> tuple[str, ...]:
    """The terms of a stage, as "PLAYER.TERM", whose sum says how well it goes; of terms that are multiples of each
    other, the first. The networks are as before. Raises whatever the step raises."""
    weights = {name: list(module.parameters()) for name, module in net.items()}
    before = {name: [w.clone() for w in mine] for name, mine in weights.items()}
    random = torch.Generator().manual_seed(key(settings.seed, number, 0, TRIAL))
    try:
        for mine in weights.values():  # at first, some layers give nothing, and hide what is before them
            _change(mine, random)
        base = _look(net, stage, number, rows, settings)
        looks = {}
        for player in stage.players:
            kept = [w.clone() for w in weights[player]]
            _change(weights[player], random)
            looks[player] = _look(net, stage, number, rows, settings)
            _fill(weights[player], kept)
    finally:
        for name, mine in weights.items():
            _fill(mine, before[name])
    values = {name: [base.terms[name], *(look.terms[name] for look in looks.values())] for name in base.terms}
    reach = {name: {p for p, look in looks.items() if _differ(look.terms[name], base.terms[name])} for name in values}
    sees = {q: {p for p, look in looks.items() if p != q and _others(look.inputs[q], base.inputs[q])} for q in looks}
    judges = {q for q in looks if any(_judges(q, p, values, reach) for p in sees[q])}
    found: list[str] = []
    for name, course in values.items():
        free = _player(name) not in judges and not reach[name] & judges
        if free and reach[name] and not any(_multiple(course, values[other]) for other in found):
            found.append(name)
    return tuple(found)


def _judges(q: str, p: str, values: Mapping[str, Sequence[float]], reach: Mapping[str, set[str]]) -> bool:
    """Whether q has a term that depends on p's weights and that p is not moved on as well."""
    shared = [course for name, course in values.items() if _player(name) == p]
    return any(
        _player(name) == q and p in reach[name] and not any(_multiple(course, other) for other in shared)
        for name, course in values.items()
    )


def _look(net: nn.ModuleDict, stage: Stage, number: int, rows: PreparedRows, settings: Settings) -> _Seen:
    """What one step gives, in training mode: in evaluation mode, networks that were never trained may say nothing."""
    reached: dict[str, list[Tensor]] = {player: [] for player in stage.players}
    handles = [
        module.register_forward_pre_hook(
            lambda _, args, kwargs, to=reached[player]: to.extend(
                x.detach().float().square().mean() for x in [*args, *kwargs.values()] if isinstance(x, Tensor)
            ),
            with_kwargs=True,
        )
        for player in stage.players
        for module in net[player].modules()
    ]
    moved: dict[str, list[Tensor]] = {}
    try:
        with untouched(net), torch.enable_grad():
            stage.prepare(net)
            machine.seed(key(settings.seed, number, 0, TRIAL), settings.device)
            for losses in stage.moves(net, Batch(rows, settings, number)):
                for player, terms in losses.items():
                    for term, value in terms.items():
                        moved.setdefault(f"{player}.{term}", []).append(value.detach().double().mean())
    finally:
        for handle in handles:
            handle.remove()
    return _Seen(
        {name: float(torch.stack(values).mean()) for name, values in moved.items()},
        {player: torch.stack(inputs).tolist() if inputs else [] for player, inputs in reached.items()},
    )


def _change(weights: Sequence[Tensor], random: torch.Generator) -> None:
    for weight in weights:
        spread = float(weight.std()) if weight.numel() > 1 else 0.0
        noise = torch.randn(weight.shape, generator=random).to(weight)
        weight.add_(noise, alpha=CHANGE * (spread or 1.0))


def _fill(weights: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)


def _differ(a: float, b: float) -> bool:
    return not math.isclose(a, b, rel_tol=EQUAL)


def _others(a: Sequence[float], b: Sequence[float]) -> bool:
    return len(a) != len(b) or any(map(_differ, a, b))


def _multiple(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether a is b times a positive number."""
    pairs = [(x * b[0], y * a[0]) for x, y in zip(a, b, strict=True)]
    return a[0] * b[0] > 0 and all(math.isclose(x, y, rel_tol=ROUNDED) for x, y in pairs)


def _player(name: str) -> str:
    return name.split(".")[0]
