"""Toothed lock washers, photographed from above: drawn, so that a set with exact masks can be shown and shared."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .dice import Dice, even, step

SIDE = 128
KINDS = ("scratch", "stain", "broken", "dent")
TRAIN, GOOD, EACH = 200, 40, 12
VISIBLE = 4 / 255
"""A pixel belongs to a defect if the defect changes it by more than this, of black to white, before the noise."""

HOLE, BODY, TOOTH, TEETH = 21.0, 43.0, 10.0, 12  # radii, height and number
STEEL = np.array([0.93, 0.97, 1.0])
MAT = np.array([0.30, 0.36, 0.40])
RUST = np.array([0.50, 0.33, 0.20])

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Washer:
    """How one part lies and is lit, which is what differs among normal ones; and what is wrong with it.

    `missing`: of one tooth, its number and how much is left of it.
    """

    centre: tuple[float, float]
    turn: float
    lamp: float
    seed: int
    gain: float
    warmth: float
    missing: tuple[int, float] | None = None

    @classmethod
    def drawn(cls, dice: Dice, seed: int) -> "Washer":
        """One of the parts that occur."""
        return cls(
            centre=(SIDE / 2 + dice.number(-1.5, 1.5), SIDE / 2 + dice.number(-1.5, 1.5)),
            turn=dice.number(-0.05, 0.05),
            lamp=dice.number(-2.1, -1.7),  # from above, a little to the left
            seed=seed,
            gain=0.84 + 0.32 * even(seed),
            warmth=dice.number(-0.025, 0.025),
        )

    def polar(self, shift: float = 0.0) -> tuple[Array, Array]:
        """Radius and angle of each pixel, about the centre moved down by `shift` pixels and right by half as many."""
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
        y, x = y - self.centre[0] - shift, x - self.centre[1] - shift / 2
        return np.hypot(x, y), np.arctan2(y, x)

    def outside(self, r: Array, angle: Array) -> Array:
        """The distance in pixels to the outer border, negative inside."""
        at = (angle - self.turn) % (2 * np.pi)
        phase = TEETH * at
        height = TOOTH * step(-0.6 * np.cos(phase) - 0.1, 1.0)
        slope = np.gradient(TOOTH * step(-0.6 * np.cos(np.arange(0, 2 * np.pi, 0.01)) - 0.1, 1.0), 0.01)
        steep = TEETH * slope[np.minimum((phase % (2 * np.pi)) / 0.01, len(slope) - 1).astype(int)]
        if self.missing is not None:
            tooth, left = self.missing
            here = np.rint(phase / (2 * np.pi)).astype(int) % TEETH == tooth
            rough = 1.2 * np.cos(1.4 * phase + tooth) + 0.5 * np.cos(3.1 * phase + tooth)
            broken = np.minimum(height, np.maximum(TOOTH * left + rough, 0))
            steep = np.where(here & (broken < height), 0, steep)
            height = np.where(here, broken, height)
        return np.asarray((r - BODY - height) / np.sqrt(1 + (steep / np.maximum(r, 1)) ** 2))

    def scene(self) -> tuple[Array, Array, Array]:
        """(colours (H, W, 3), coverage by metal (H, W), brightness of the metal (H, W)), without noise."""
        dice = Dice(self.seed, 1)
        r, angle = self.polar()
        outer, inner = self.outside(r, angle), HOLE - r
        metal = step(outer) * step(inner)
        # Turned steel: fine grooves, and a bright cross where they face the lamp.
        grooves = dice.cloud((1, 4 * SIDE), 1.6)[0][np.minimum(4 * r, 4 * SIDE - 1).astype(int)]
        streaks = dice.waves(angle, 30, 0.6) * np.cos(r / 3 + 2 * dice.waves(angle, 4))
        shade = 0.56 + 0.03 * grooves + 0.014 * streaks + 0.015 * dice.cloud((SIDE, SIDE), 9)
        shade = shade + 0.24 * np.abs(np.cos(angle - self.lamp)) ** 7 * step(-outer - 60, 60)
        facing = np.cos(angle - self.lamp)
        shade = shade + 0.20 * facing * (step(-outer - 2.6, 1.6) - step(-inner - 2.6, 1.6))
        # A woven mat, with the part's soft shadow.
        y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
        weave = np.sin(x * 1.26 + dice.number(0, 6)) * np.sin(y * 1.26 + dice.number(0, 6))
        mat = 1 + 0.07 * weave + 0.05 * dice.normal((SIDE, SIDE)) + 0.04 * dice.cloud((SIDE, SIDE), 14)
        far, there = self.polar(3.5)
        mat = mat * (1 - 0.55 * step(self.outside(far, there) - 1, 8) * step(HOLE - far - 1, 8))
        colours = (mat * (1 - metal))[..., None] * MAT + (shade * metal)[..., None] * STEEL
        return colours, metal, shade

    def photographed(self, colours: Array) -> NDArray[np.uint8]:
        """The picture: lamp, lens and sensor."""
        dice = Dice(self.seed, 2)
        y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
        light = 1 + 0.10 * (np.cos(self.lamp) * x + np.sin(self.lamp) * y) - 0.07 * (x * x + y * y)
        seen = colours * self.gain * light[..., None] * (1 + self.warmth * np.array([1, 0, -1]))
        seen = seen + 0.012 * dice.normal((SIDE, SIDE, 1)) + 0.006 * dice.normal((SIDE, SIDE, 3))
        return np.asarray(np.rint(255 * np.clip(seen, 0, 1)), np.uint8)


def washer(number: int, kind: str = "good") -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Washer `number` (SIDE, SIDE, 3), and where it is defective (SIDE, SIDE); the good one of that number is the same
    part without the defect."""
    dice = Dice(2024, number)
    part = Washer.drawn(dice, number)
    colours, metal, shade = part.scene()
    if kind == "good":
        return part.photographed(colours), np.zeros((SIDE, SIDE), bool)
    if kind == "broken":
        part = replace(part, missing=(dice.index(TEETH), dice.number(-0.1, 0.45)))
        marked = part.scene()[0]
    else:
        marked = _MARKS[kind](dice, part, colours, shade)
        marked = colours + (marked - colours) * metal[..., None]
    return part.photographed(marked), np.abs(marked - colours).max(axis=2) > VISIBLE


def _on_the_ring(dice: Dice, part: Washer, margin: float) -> tuple[float, float]:
    """(y, x) of a place on the metal."""
    r, angle = dice.number(HOLE + margin, BODY - margin), dice.number(0, 2 * np.pi)
    return part.centre[0] + r * np.sin(angle), part.centre[1] + r * np.cos(angle)


def _scratch(dice: Dice, part: Washer, colours: Array, shade: Array) -> Array:
    at, to = _on_the_ring(dice, part, 4), dice.number(0, 2 * np.pi)
    length, bend = dice.number(20, 40), dice.number(-0.25, 0.25)
    along = np.linspace(-0.5, 0.5, 80)
    away = bend * length * (along**2 - 0.08)
    line_y = at[0] + along * length * np.sin(to) + away * np.cos(to)
    line_x = at[1] + along * length * np.cos(to) - away * np.sin(to)
    top, left = int(line_y.min()) - 3, int(line_x.min()) - 3
    around = slice(top, int(line_y.max()) + 4), slice(left, int(line_x.max()) + 4)
    y, x = np.mgrid[around][..., None] - np.stack([line_y, line_x])[:, None, None]
    distance = np.hypot(y, x)
    depth = np.interp(distance.argmin(axis=2), [0, 15, 64, 79], [0.3, 1, 1, 0.3])
    core = np.zeros((SIDE, SIDE))
    core[around] = step(distance.min(axis=2) - dice.number(0.5, 0.9)) * depth
    on = core > 0.5
    sign = -1.0 if shade[on].mean() > 0.62 else 1.0
    return np.asarray(colours + (sign * dice.number(0.24, 0.42) * core)[..., None] * STEEL)


def _stain(dice: Dice, part: Washer, colours: Array, shade: Array) -> Array:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    at = _on_the_ring(dice, part, 3)
    r, angle = np.hypot(y - at[0], x - at[1]), np.arctan2(y - at[0], x - at[1])
    edge = r - dice.number(4.5, 8.5) * (1 + 0.22 * dice.waves(angle, 6))
    thick = step(edge, 2) * (0.75 + 0.25 * step(np.abs(edge + 1) - 1, 2)) * dice.number(0.5, 0.9)
    covered = shade[..., None] * (0.18 + RUST)
    return colours + (covered - colours) * thick[..., None]


def _dent(dice: Dice, part: Washer, colours: Array, shade: Array) -> Array:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float64)
    at, size = _on_the_ring(dice, part, 5), dice.number(2.0, 3.8)
    y, x = (y - at[0]) / size, (x - at[1]) / size
    slope = (x * np.cos(part.lamp) + y * np.sin(part.lamp)) * np.exp(-(x * x + y * y) / 1.6)
    pit = -dice.number(0.45, 0.8) * slope - 0.12 * np.exp(-(x * x + y * y))
    return np.asarray(colours + pit[..., None] * STEEL)


_MARKS = {"scratch": _scratch, "stain": _stain, "dent": _dent}
