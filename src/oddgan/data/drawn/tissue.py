"""Small grey sections of layered tissue with speckle, as optical coherence tomography shows them: drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .dice import Dice, even, step

SIDE = 64
KINDS = ("fluid", "deposit", "foci")
TRAIN, GOOD, EACH = 400, 60, 20
VISIBLE = 10 / 255
"""A pixel belongs to a lesion if the lesion changes it by more than this, of black to white, before the speckle."""

DEPTHS = (15.0, 20.0, 29.0, 34.0, 43.0, 46.0, 50.0)  # where a layer ends, from above, in pixels
BRIGHTNESS = (0.07, 0.62, 0.40, 0.27, 0.46, 0.20, 0.85, 0.36)  # of each layer

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section: the borders of its layers (layers, W) and how bright everything is."""

    borders: Array
    gain: float
    seed: int

    @classmethod
    def drawn(cls, dice: Dice, seed: int) -> "Section":
        """One of the sections that occur."""
        x = np.linspace(-1, 1, SIDE)
        place, tilt, bow, pit = dice.number(-2, 2), dice.number(-2, 2), dice.number(0, 2), dice.number(0, 2)
        curve = place + tilt * x + bow * x * x + 0.4 * dice.waves(x * 2, 5)
        hollow = pit * np.exp(-(((x - dice.number(-0.6, 0.6)) / 0.35) ** 2))  # of the upper layers alone
        scale = dice.number(0.9, 1.1)
        borders = [
            curve + scale * (depth - 32) + 32 + hollow * max(0.0, 1 - i / 4) + 0.35 * dice.waves(x * 3, 6)
            for i, depth in enumerate(DEPTHS)
        ]
        return cls(borders=np.array(borders), gain=0.8 + 0.4 * even(seed), seed=seed)

    def scene(self, bumps: Array | None = None) -> Array:
        """Brightness (H, W) without speckle; `bumps` (W,) lift the two lowest borders."""
        dice = Dice(7, self.seed, 1)
        y = np.arange(SIDE, dtype=np.float64)[:, None]
        seen: Array = np.full((SIDE, SIDE), BRIGHTNESS[0])
        for i, (border, bright) in enumerate(zip(self.borders, BRIGHTNESS[1:], strict=True)):
            lifted = border - bumps if bumps is not None and i in (4, 5) else border
            seen = seen + (bright - seen) * step(lifted - y, 1.6)
        below = np.maximum(y - self.borders[-1], 0)
        seen = seen * np.exp(-below / dice.number(10, 16))
        for _ in range(dice.index(3)):  # vessels cast shadows on what is below them
            wide, strong = dice.number(0.8, 2.2), dice.number(0.15, 0.35)
            at = dice.number(0, SIDE)
            shadow = np.exp(-(((np.arange(SIDE) - at) / wide) ** 2) / 2)
            seen = seen * (1 - strong * shadow * step(self.borders[0] + 4 - y, 4))
        return np.asarray(seen)

    def scanned(self, seen: Array) -> NDArray[np.uint8]:
        """The picture, with speckle, which multiplies, and noise, which adds."""
        dice = Dice(7, self.seed, 2)
        speckle = np.exp(0.20 * dice.normal((SIDE, SIDE)) + 0.12 * dice.cloud((SIDE, SIDE), 0.8))
        found = self.gain * seen * speckle + 0.02 * np.abs(dice.normal((SIDE, SIDE)))
        return np.rint(255 * np.clip(found, 0, 1)).astype(np.uint8)


def section(number: int, kind: str = "good") -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Section `number` (SIDE, SIDE), and where it has a lesion (SIDE, SIDE); the good one of that number is the same
    tissue without it."""
    dice = Dice(7, number)
    tissue = Section.drawn(dice, number)
    plain = tissue.scene()
    seen = plain if kind == "good" else _LESIONS[kind](dice, tissue, plain)
    changed = np.abs(seen - plain) > VISIBLE
    if kind == "deposit":  # all of it from the upper border to the lower, though grey levels cross in between
        down, up = (np.logical_or.accumulate(part, axis=0) for part in (changed, changed[::-1]))
        changed = down & up[::-1]
    return tissue.scanned(seen), changed


def _fluid(dice: Dice, tissue: Section, seen: Array) -> Array:
    """Dark hollows between the second layer and the fifth."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    middle = dice.number(8, 56)
    for _ in range(1 + dice.index(3)):
        at = min(max(middle + dice.number(-8, 8), 4), 60)
        top, bottom = tissue.borders[1][int(at)], tissue.borders[4][int(at)]
        high, wide = dice.number(0.2, 0.34) * (bottom - top), dice.number(3.5, 7)
        depth = dice.number(top + high + 1, bottom - high - 1)
        inside = np.hypot((y - depth) / high, (x - at) / wide) - 1
        seen = seen + (0.09 - seen) * step(inside * min(high, wide), 1.5)
    return seen


def _deposit(dice: Dice, tissue: Section, seen: Array) -> Array:
    """Bumps below the bright layer, which they lift."""
    x = np.arange(SIDE)
    bumps = np.zeros(SIDE)
    for _ in range(1 + dice.index(3)):
        at, wide, high = dice.number(6, 58), dice.number(2.5, 5), dice.number(3.5, 7)
        bumps = np.maximum(bumps, high * np.exp(-(((x - at) / wide) ** 2) / 2))
    return tissue.scene(bumps)


def _foci(dice: Dice, tissue: Section, seen: Array) -> Array:
    """Some small bright spots in the middle layers."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    for _ in range(3 + dice.index(4)):
        at, size = dice.number(4, 60), dice.number(1.1, 1.9)
        depth = dice.number(tissue.borders[1][int(at)] + 2, tissue.borders[4][int(at)] - 2)
        seen = seen + dice.number(0.45, 0.7) * np.exp(-(((y - depth) ** 2 + (x - at) ** 2) / size**2) / 2)
    return seen


_LESIONS = {"fluid": _fluid, "deposit": _deposit, "foci": _foci}
