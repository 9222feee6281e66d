"""Simulated anomalies of pictures: pasted patches and scars (Li et al., "CutPaste", CVPR 2021), foreign texture in a
Perlin mask (Zavrtanik et al., "DRAEM", ICCV 2021), and what else happens to parts: stains, blur, missing and doubled
parts, other colours. They are small by default, as defects are.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, SupportsInt, get_args

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ParameterError
from .colours import foreign, procedural, recoloured
from .noise import blob, perlin, perlin_mask

__all__ = [
    "KINDS",
    "NOTICEABLE",
    "SIZE",
    "Kind",
    "anomalous",
    "changed",
    "foreign",
    "perlin",
    "perlin_mask",
    "procedural",
    "recoloured",
]

Kind = Literal["patch", "scar", "texture", "stain", "blur", "missing", "doubled", "colour"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SIZE = (0.002, 0.05)
"""The default area of an anomaly, as a share of the picture's (CutPaste: 0.02 to 0.15)."""
NOTICEABLE = 0.02
"""The change that the mask shows, as a share of the value range."""
VISIBLE = 0.05  # what the largest change exceeds, so that there is something to see
SHARP = 0.5  # share of anomalies whose edges are sharp: pictures may have no grey between black and white
TRIES = 8
CANDIDATES = 8  # places among which that with the most structure is taken

Floats = NDArray[np.float32]
Box = tuple[slice, slice]
Change = tuple[Box, Floats, Floats]
"""A box, its new content (h, w, C) in units of the value range, and the content's opacity (h, w)."""


def anomalous(
    picture: NDArray[Any],
    random: np.random.Generator,
    kind: Kind | None = None,
    *,
    other: NDArray[Any] | None = None,
    size: float | tuple[float, float] | None = None,
    value_range: tuple[float, float] | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """A copy of a normal picture with one simulated anomaly.

    Parameters
    ----------
    picture : (H, W, C) array
        A normal picture of at least 2x2 pixels and any number of channels, of whole or of finite real numbers. It is
        not changed.
    random : numpy.random.Generator
        Where everything random is drawn from; it alone decides what becomes of a picture.
    kind : one of `KINDS`, optional
        "patch": a piece of `other`, pasted. "scar": a thin, bent strip. "texture": a piece of `other`, turned and
        recoloured, in a mask of Perlin noise. "stain": darker or brighter, with a smooth edge. "blur": out of focus.
        "missing": a part gives way to what is beside it, or to a smooth background. "doubled": a part once more, beside
        itself. "colour": another colour or grey level. By default a random one.
    other : (H, W, C) array, optional
        Another normal picture of the same shape and type, to take content from. By default `picture` itself.
    size : float or (float, float), optional
        The share of the picture's area in which the anomaly lies, or its range; above 0, at most 1. By default `SIZE`.
        A scar is thinner.
    value_range : (float, float), optional
        The lowest and the highest value of a pixel. By default a whole number's type's (0 to 255 for uint8), and -1 to
        1 for real numbers.

    Returns
    -------
    picture : (H, W, C) array
        Of the type of `picture`, within the value range where it has changed. Some pixel changes by at least 5 % of the
        range: a kind that cannot do so, such as "blur" of a constant picture, gives way to "stain".
    mask : (H, W) bool
        Where some channel has changed by more than 2 % of the value range. At a smooth edge more pixels have changed.

    Raises
    ------
    DataError
        `picture` is no (H, W, C) array of numbers, or `other` differs from it in shape or type.
    ParameterError
        `kind` is unknown, or `size` or `value_range` make no sense.
    """
    scene = _scene(picture, picture if other is None else other, value_range)
    if kind is not None and kind not in KINDS:
        raise ParameterError(f"kind={kind!r}: expected one of {', '.join(KINDS)}")
    least, most = (size, size) if isinstance(size, int | float) else size or SIZE
    if not 0 < least <= most <= 1:
        raise ParameterError(f"size={size!r}: expected a share of the area, or a range of shares, above 0 and up to 1")
    make = _MAKERS[KINDS[random.integers(len(KINDS))] if kind is None else kind]
    for attempt in range(TRIES + 1):
        share = math.exp(random.uniform(math.log(least), math.log(most)))
        box, content, opacity = (make if attempt < TRIES else _stain)(scene, share, random)
        if random.random() < SHARP and make not in (_stain, _blur):
            opacity = (opacity > 0.5 * opacity.max()).astype(np.float32)
        old, new = picture[box], scene.blended(box, content, opacity)
        mask = changed(old, new, scene.high - scene.low)
        visible = changed(old, new, scene.high - scene.low, VISIBLE).any()
        if attempt == TRIES or (visible and mask.sum() >= 0.1 * (opacity > 0.5).sum()):
            break
    result, whole = picture.copy(), np.zeros(picture.shape[:2], bool)
    result[box], whole[box] = new, mask
    return result, whole


def changed(old: NDArray[Any], new: NDArray[Any], span: float, share: float = NOTICEABLE) -> NDArray[np.bool_]:
    """Where two pictures (H, W, C) differ in some channel by more than `share` of the value range's length `span`:
    (H, W) bool."""
    difference = np.abs(new.astype(np.float32) - old.astype(np.float32))
    return np.asarray(difference.max(-1) > share * span)


@dataclass(frozen=True, eq=False)
class _Scene:
    """The picture, another one to take content from, and the value range, in units of which content is given."""

    picture: NDArray[Any]
    other: NDArray[Any]
    low: float
    high: float

    @property
    def sides(self) -> tuple[int, int]:
        return self.picture.shape[0], self.picture.shape[1]

    def at(self, box: Box, other: bool = False) -> Floats:
        """The content of a box (h, w, C), 0 to 1."""
        found: Floats = (self.other if other else self.picture)[box].astype(np.float32)
        found -= np.float32(self.low)
        found /= np.float32(self.high - self.low)
        return np.clip(found, 0, 1, out=found)

    def blended(self, box: Box, content: Floats, opacity: Floats) -> NDArray[Any]:
        """A box with new content, in the picture's type; where the opacity is 0 not a bit has changed."""
        old = self.at(box)
        new = np.clip(old + opacity[..., None] * (content - old), 0, 1).astype(np.float64)
        new = self.low + new * (self.high - self.low)
        dtype = self.picture.dtype
        if dtype.kind in "iu":
            new = np.rint(new)
        return np.where(opacity[..., None] > 0, new.clip(self.low, self.high).astype(dtype), self.picture[box])


def _scene(picture: NDArray[Any], other: NDArray[Any], value_range: tuple[float, float] | None) -> _Scene:
    """What is given, checked."""
    if picture.ndim != 3 or picture.dtype.kind not in "iuf" or min(picture.shape[:2]) < 2 or not picture.shape[2]:
        raise DataError(
            f"a picture is an array (H, W, C) of numbers, at least 2x2; this one is {picture.shape} of {picture.dtype}"
        )
    if other.shape != picture.shape or other.dtype != picture.dtype:
        raise DataError(
            f"other is {other.shape} of {other.dtype} and the picture {picture.shape} of {picture.dtype}: resize it"
        )
    if value_range is None:
        limits = np.iinfo(picture.dtype) if picture.dtype.kind in "iu" else None
        value_range = (-1.0, 1.0) if limits is None else (float(limits.min), float(limits.max))
    low, high = value_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ParameterError(f"value_range={value_range!r}: expected the lowest and the highest value of a pixel")
    return _Scene(picture, other, low, high)


def _box(scene: _Scene, share: float, random: np.random.Generator, aspect: float = 2.5) -> Box:
    """A random box of this share of the area, up to `aspect` times as high as wide or the reverse."""
    height, width = scene.sides
    ratio = math.exp(random.uniform(-1, 1) * math.log(aspect))
    area = share * height * width
    h = min(height, max(2, round(math.sqrt(area * ratio))))
    w = min(width, max(2, round(math.sqrt(area / ratio))))
    return _at(random.integers(height - h + 1), random.integers(width - w + 1), h, w)


def _at(top: SupportsInt, left: SupportsInt, h: int, w: int) -> Box:
    return slice(int(top), int(top) + h), slice(int(left), int(left) + w)


def _size(box: Box) -> tuple[int, int]:
    return box[0].stop - box[0].start, box[1].stop - box[1].start


def _moved(scene: _Scene, box: Box, down: float, right: float) -> Box:
    """A box moved by so many of its own sides, as far as there is room."""
    (h, w), (height, width) = _size(box), scene.sides
    top = min(max(box[0].start + round(down * h), 0), height - h)
    return _at(top, min(max(box[1].start + round(right * w), 0), width - w), h, w)


def _structured(scene: _Scene, share: float, random: np.random.Generator) -> Box:
    """Of some random boxes, the one with the most structure: of a smooth one, nothing is missing or doubled."""
    boxes = [_box(scene, share, random) for _ in range(CANDIDATES)]
    return max(boxes, key=lambda box: float(scene.at(box).std((0, 1)).max()))


def _piece(scene: _Scene, size: tuple[int, int], random: np.random.Generator, turn: bool) -> Floats:
    """Content of the other picture from a random place, of the size (h, w); turned, or only perhaps mirrored."""
    (h, w), (height, width) = size, scene.sides
    quarters = int(random.integers(4)) if turn else 0
    if quarters % 2 and (w > height or h > width):
        quarters -= 1
    if quarters % 2:
        h, w = w, h
    box = _at(random.integers(height - h + 1), random.integers(width - w + 1), h, w)
    piece = np.rot90(scene.at(box, other=True), quarters)
    return piece[:, ::-1] if random.random() < 0.5 else piece


def _patch(scene: _Scene, share: float, random: np.random.Generator) -> Change:
    """CutPaste: a piece, its sides up to 3.3 to 1; half of them change in brightness and contrast, by up to 10 %."""
    box = _box(scene, share, random, aspect=3.3)
    piece = _piece(scene, _size(box), random, turn=random.random() < 0.5)
    if random.random() < 0.5:
        piece = (piece - piece.mean()) * np.float32(random.uniform(0.9, 1.1)) + piece.mean()
        piece = piece * np.float32(random.uniform(0.9, 1.1))
    return box, piece, np.ones(_size(box), np.float32)


def _scar(scene: _Scene, share: float, random: np.random.Generator) -> Change:
    """A strip around a parabola, thinner towards its ends, of pasted content or of one colour."""
    height, width = scene.sides
    area, shorter = share * height * width, min(height, width)
    length = min(max(2.0, shorter * random.uniform(0.1, 0.6), math.sqrt(area)), 0.8 * max(height, width))
    thick = min(max(1.0, area * random.uniform(0.2, 0.6) / length), max(1.0, shorter / 12))
    bend, angle = length * random.uniform(-0.25, 0.25), random.uniform(0, math.pi)
    cy, cx = int(random.integers(height)), int(random.integers(width))
    reach = math.ceil(math.hypot(length / 2, bend)) + math.ceil(thick)
    top, left = max(0, cy - reach), max(0, cx - reach)
    box = _at(top, left, min(height, cy + reach + 1) - top, min(width, cx + reach + 1) - left)
    y = (np.arange(box[0].start, box[0].stop, dtype=np.float32) - cy)[:, None]
    x = np.arange(box[1].start, box[1].stop, dtype=np.float32) - cx
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along, t = cos * x + sin * y, np.float32(2 / length)
    across = np.abs(cos * y - sin * x - np.float32(bend) * (along * t) ** 2)
    half = np.float32(thick / 2) * (1 - 0.5 * (along * t).clip(-1, 1) ** 2)
    opacity = np.clip(half + 0.5 - across, 0, 1) * np.clip(np.float32(length / 2 + 0.5) - np.abs(along), 0, 1)
    rows, columns = (np.flatnonzero(opacity.any(axis)) for axis in (1, 0))  # never empty: its middle is in the picture
    opacity = opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    box = _at(top + rows[0], left + columns[0], *opacity.shape)
    if random.random() < 0.5:
        return box, recoloured(_piece(scene, _size(box), random, turn=True), random), opacity
    return box, _shaded(scene.at(box), random, random.uniform(0.3, 0.9)), opacity


def _texture(scene: _Scene, share: float, random: np.random.Generator) -> Change:
    """DRAEM's, in a box: foreign texture where noise is high, blended with up to 0.8 of what was there."""
    box = _box(scene, min(1.0, 2 * share), random)  # of which about half is filled
    (h, w) = _size(box)
    mask = blob((h, w), random, 0.2)
    if min(h, w) >= 2 * 4:
        cells = 2.0 ** random.integers(1, 1 + max(1, int(math.log2(min(h, w) / 4))), 2)
        mask *= perlin((h, w), cells[0], cells[1], random) > 0
    texture = procedural((h, w, scene.picture.shape[2]), random) if random.random() < 0.25 else None
    if texture is None:
        texture = recoloured(_piece(scene, (h, w), random, turn=True), random)
    return box, texture, mask * np.float32(1 - random.uniform(0, 0.8))


def _stain(scene: _Scene, share: float, random: np.random.Generator) -> Change:
    box = _box(scene, share, random)
    return (
        box,
        _shaded(scene.at(box), random, 1.0),
        blob(_size(box), random, 0.9) * np.float32(random.uniform(0.2, 0.7)),
    )


def _shaded(content: Floats, random: np.random.Generator, strength: float) -> Floats:
    """Content moved towards black or white, or in colour towards a tint of these: away from where it is near."""
    mean = float(content.mean())
    bright = mean < 0.35 or (mean < 0.65 and random.random() < 0.5)
    tint = np.full(content.shape[2], float(bright), np.float32)
    if content.shape[2] >= 3 and random.random() < 0.5:
        tint[random.integers(len(tint))] = mean
    return content + np.float32(strength) * (tint - content)


def _blur(scene: _Scene, share: float, random: np.random.Generator) -> Change:
    box = _structured(scene, min(1.0, 1.5 * share), random)
    radius = max(1, round(min(_size(box)) * random.uniform(0.1, 0.3)))
    return box, _smoothed(scene.at(box), radius), blob(_size(box), random, 0.3)


def _smoothed(content: Floats, radius: int) -> Floats:
    """The mean of (2 radius + 1)^2 pixels, twice: nearly a Gaussian."""
    side = 2 * radius + 1
    for axis in (0, 1, 0, 1):
        around = [(0, 0)] * 3
        around[axis] = (radius + 1, radius)
        total = np.cumsum(np.pad(content, around, mode="edge"), axis, dtype=np.float64)
        low, high = (slice(None, -side), slice(side, None))
        at = (slice(None),) * axis
        content = ((total[(*at, high)] - total[(*at, low)]) / side).astype(np.float32)
    return content


def _missing(scene: _Scene, share: float, random: np.random.Generator) -> Change:
    """A part gives way to the smoothest of the places beside it, or to what its border suggests."""
    box = _structured(scene, share, random)
    beside = [_moved(scene, box, down, right) for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    beside = [place for place in beside if place != box]
    if beside and random.random() < 0.5:
        content = min((scene.at(place) for place in beside), key=lambda found: float(found.std((0, 1)).max()))
    else:
        old = scene.at(box)
        y = np.linspace(0, 1, len(old), dtype=np.float32)[:, None, None]
        x = np.linspace(0, 1, old.shape[1], dtype=np.float32)[:, None]
        content = ((1 - y) * old[:1] + y * old[-1:] + (1 - x) * old[:, :1] + x * old[:, -1:]) / 2
    return box, content, blob(_size(box), random, 0.15)


def _doubled(scene: _Scene, share: float, random: np.random.Generator) -> Change:
    """A part once more, half a side to one side away from itself."""
    box = _structured(scene, share, random)
    angle, far = random.uniform(0, 2 * math.pi), random.uniform(0.5, 1.1)
    place = _moved(scene, box, far * math.sin(angle), far * math.cos(angle))
    return place, scene.at(box), blob(_size(box), random, 0.15)


def _colour(scene: _Scene, share: float, random: np.random.Generator) -> Change:
    """The channels shifted: all alike, or each by itself."""
    box = _box(scene, share, random)
    old = scene.at(box)
    channels = old.shape[2]
    shift: Floats = np.full(channels, random.uniform(0.1, 0.4) * random.choice((-1, 1)), np.float32)
    if channels >= 3 and random.random() < 0.7:
        shift = np.asarray(random.normal(0, 0.2, channels), np.float32)
    return box, np.clip(old * np.float32(random.uniform(0.8, 1.2)) + shift, 0, 1), blob(_size(box), random, 0.2)


_MAKERS: dict[Kind, Callable[[_Scene, float, np.random.Generator], Change]] = {
    "patch": _patch,
    "scar": _scar,
    "texture": _texture,
    "stain": _stain,
    "blur": _blur,
    "missing": _missing,
    "doubled": _doubled,
    "colour": _colour,
}
