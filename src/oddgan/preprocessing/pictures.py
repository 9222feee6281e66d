"""Pictures: one size, one number of channels, values in [-1, 1].

Resizing is one torch operation (antialiased bilinear; on uint8 within one level of Pillow's), applied to one picture
at a time, at training, scoring and evaluation alike. Values are mapped linearly from `value_range` to [-1, 1] and never
clipped: a picture brighter than any in training should look it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

import numpy as np

from ..errors import ArtifactError, DataError, ParameterError
from ..rows.pictures import SMALLEST_SIDE, PictureRows, as_stored_type, look_at
from .channels import to_channels
from .exposure import Exposure, brought_to, level_of
from .one_part import OnePart
from .parts import Block, Parts
from .prepared import OnePartEach, spread
from .region import Region
from .resizing import resize, resize_map
from .sizes import network_size, spell, warn_of_sizes

if TYPE_CHECKING:
    from torch import Tensor

IN_MEMORY = 1 << 30  # bytes of resized pictures that are kept in memory; beyond, they are resized at every batch
LARGEST = 2**28  # values of a picture as networks take it; no model has more, a forged one may claim it
LEAST_COUNTED = 0.01  # of a place of a map, for it to count
BROUGHT = {"gain": "brightness", "contrast": "brightness and contrast"}
LEVEL_OF = 64  # training pictures whose exposure is looked at
UNNAMED = {"region", "exposure", "level"}  # facts that are named where there is something to say
CHUNK = 256  # pictures at a time in a pass over all of them


@dataclass(frozen=True)
class PicturePreprocessor(OnePart):
    """How pictures reach the networks.

    `size`: (H, W) of the networks' pictures. `channels`: theirs. `dtype`: "uint8" or "float32" (every other type).
    `value_range`: what becomes -1 and 1. `native_size`, `native_channels`: those of every training picture, or None
    when they differed or when `size` or `channels` were given: then any picture is converted. Otherwise a picture that
    does not match is refused, because a camera that changed is a reason to stop, unless `convert` is true. `region`:
    the part of pictures that counts, None for all of them. `exposure`: how each picture is brought to the `level` of
    training pictures, their typical mean and deviation (`oddgan.preprocessing.exposure`).
    """

    size: tuple[int, int]
    channels: int
    dtype: str
    value_range: tuple[float, float]
    native_size: tuple[int, int] | None
    native_channels: int | None
    convert: bool = False
    region: Region | None = None
    exposure: Exposure = "none"
    level: tuple[float, float] = (0.0, 1.0)

    kind: ClassVar[str] = "pictures"
    columns: ClassVar[None] = None  # pictures have none
    kinds: ClassVar[tuple[()]] = ()
    stored_as: ClassVar[str] = "pictures"
    """What a model file calls this kind of preprocessing."""
    own_facts: ClassVar[tuple[str, ...]] = ()
    """The whole numbers that a kind derived from this one adds to the facts above."""

    @classmethod
    def fit(
        cls,
        pictures: PictureRows,
        numbers: np.ndarray,
        *,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        value_range: tuple[float, float] | None = None,
        convert: bool = False,
        roi: tuple[int, int, int, int] | str | None = None,
        exposure: Exposure = "none",
    ) -> Self:
        """Infer what was not given: size and channels from all rows, for held-out ones must fit too; the value range,
        which may have to read them all, from the training rows `numbers` alone."""
        found = look_at(pictures, channels=channels, convert=convert)
        uniform = size is None and len({tuple(s) for s in found.sides}) == 1
        region, sides = Region.seen(roi, found.sides)
        result = cls(
            size=network_size(size, np.median(sides, axis=0)),
            channels=found.channels,
            dtype=found.dtype,
            value_range=value_range or (0.0, 255.0),
            native_size=(int(found.sides[0][0]), int(found.sides[0][1])) if uniform else None,
            native_channels=found.native_channels,
            convert=convert,
            region=region,
        )
        if size is None:
            warn_of_sizes(sides, result.size)
        return result._exposed(exposure, pictures, numbers)._ranged(value_range, pictures, numbers)

    def _exposed(self, exposure: Exposure, pictures: PictureRows, numbers: np.ndarray) -> Self:
        """The same with an exposure, whose level is that of some of the training rows `numbers`."""
        if exposure == "none":
            return self
        some = numbers[spread(len(numbers), LEVEL_OF)]
        checked = [self.checked(pictures[int(i)]) for i in some]
        if exposure == "gain" and min(float(one.min()) for one in checked) < 0:
            raise ParameterError(
                "exposure=gain: multiplies brightness, and these pictures have values below 0; use contrast"
            )
        inside = None if self.region is None else self.region.mask
        return replace(self, exposure=exposure, level=level_of(checked, inside))

    def at_level(self, picture: np.ndarray) -> np.ndarray:
        """A picture (H, W, channels) of the model's type at the level of training pictures."""
        inside = None if self.region is None else self.region.at(picture.shape[:2])
        return brought_to(picture, self.exposure, self.level, inside)

    def _ranged(self, value_range: tuple[float, float] | None, pictures: PictureRows, numbers: np.ndarray) -> Self:
        """The same with the value range that was given, or else that of the training rows."""
        result = replace(self, value_range=value_range or self._range_of(pictures, numbers))
        if not result.value_range[0] < result.value_range[1]:
            raise ParameterError(f"value_range={result.value_range}: the first value must be below the second")
        return result

    def _range_of(self, pictures: PictureRows, numbers: np.ndarray) -> tuple[float, float]:
        """The type's full range for uint8, that of the training rows for everything else."""
        if self.dtype == "uint8" and np.ptp(self.row(pictures, int(numbers[0]))[0]) > 0:
            return 0.0, 255.0  # contrast in the first picture settles it; no need to read the others
        low, high = np.inf, -np.inf
        for chunk in self._stored(pictures, numbers):
            low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
            if self.dtype == "uint8" and low < high:
                return 0.0, 255.0
        if low == high:
            raise DataError(
                f"every pixel of all {len(numbers)} training pictures is {low:g}: there is nothing to learn; "
                "check what was exported"
            )
        return low, high

    def _stored(self, pictures: PictureRows, numbers: np.ndarray) -> Iterator[np.ndarray]:
        """The training rows `numbers` as they are stored for the networks, some at a time."""
        store = self.prepare(pictures, numbers)
        for start in range(0, len(numbers), CHUNK):
            yield store.stored(np.arange(start, min(start + CHUNK, len(numbers))))

    @property
    def shape(self) -> tuple[int, ...]:
        """What the networks work on: (C, H, W)."""
        return (self.channels, *self.size)

    def parts(self, rows: PictureRows) -> Parts:
        """The pictures in blocks, read as they are asked for."""
        return _Read(self, rows)

    def heat(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """Where parts x differ from their reconstructions, (b, h, w): the mean absolute residual over channels."""
        return (x - x_hat).abs().mean(1)

    def counted(self, size: Sequence[int]) -> np.ndarray | None:
        """Which places of a map of the networks' size (h, w) count; None: all."""
        if self.region is None:
            return None
        return self.resized_map(self.region.cut_mask.astype(np.float32), size) >= LEAST_COUNTED

    def spread_map(self, heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A map (h, w) of the networks' size at the size (H, W) of its picture; outside the region the lowest value
        inside."""
        if self.region is None:
            return self.resized_map(heat, size)
        top, left, bottom, right = self.region.box(size)
        return self.region.spread(self.resized_map(heat, (bottom - top, right - left)), size)

    def resized_map(self, heat: np.ndarray, size: Sequence[int]) -> np.ndarray:
        """A map (h, w) float32 at another size, bilinear."""
        return resize_map(heat, size)

    def with_conversion(self, convert: bool) -> Self:
        """The same, accepting and converting pictures that differ from the training pictures, or not."""
        return replace(self, convert=convert)

    def row(self, pictures: PictureRows, i: int, *, seen: bool = False) -> tuple[np.ndarray, tuple[int, int]]:
        """Row i as it is stored for the networks, (h, w, channels), or only as it is `seen`, and the size (H, W) that
        it came in. Raises `DataError` that names the row."""
        picture = pictures[i]
        try:
            return (self.seen if seen else self.fit_in)(picture), picture.shape[:2]
        except DataError as error:
            raise DataError(f"{pictures.name(i)}: {error}") from error

    def fit_in(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, C) -> (h, w, channels) of the model's size and type. Raises `DataError` for one that must not be."""
        return resize(self.seen(picture), self.size)

    def seen(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, C) -> (H', W', channels) of the model's type: all of the picture that counts, not yet resized. Raises
        `DataError` for one that must not be."""
        checked = self.at_level(self.checked(picture))
        return checked if self.region is None else self.region.cut(checked)

    def checked(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, C) -> (H, W, channels) of the model's type. Raises `DataError` for one that must not be."""
        self.check(picture)
        return to_channels(picture, self.channels)

    def check(self, picture: np.ndarray) -> None:
        """Raise `DataError` for a picture (H, W, C) that the model does not take."""
        height, width, channels = picture.shape
        if min(height, width) < SMALLEST_SIDE:
            raise DataError(f"{height}x{width} pixels; the smallest side that can be used is {SMALLEST_SIDE}")
        dtype = "uint8" if picture.dtype == np.uint8 else "float32"
        if dtype != self.dtype:
            words = {"uint8": "8-bit", "float32": "deeper than 8-bit"}
            raise DataError(
                f"is {words[dtype]} but the training pictures were {words[self.dtype]}; convert it as they were"
            )
        if not self.convert and self.native_size not in (None, (height, width)):
            raise DataError(
                f"{height}x{width} pixels, but every training picture had {spell(self.native_size)}; "
                "use convert=True (--convert) to resize what differs"
            )
        if not self.convert and self.native_channels not in (None, channels):
            raise DataError(
                f"{channels} channel(s), but every training picture had {self.native_channels}; "
                "use convert=True (--convert) to convert what differs"
            )
        if self.region is not None and not self.convert and (height, width) != self.region.mask.shape:
            raise DataError(
                f"{height}x{width} pixels, and the region of interest is of pictures of "
                f"{spell(self.region.mask.shape)}; use convert=True (--convert) to scale it"
            )
        if self.region is not None and not self.region.at((height, width)).any():
            raise DataError(f"{height}x{width} pixels, at which nothing of the region of interest is left")
        if channels != self.channels and {channels, self.channels} != {1, 3}:
            raise DataError(f"{channels} channels cannot become {self.channels}; convert the picture first")

    def prepare(self, rows: PictureRows, numbers: np.ndarray) -> PreparedPictures:
        """The training rows `numbers` of `rows`: from the cache where the source has one, else from memory, else
        resized at every batch."""
        numbers = np.asarray(numbers)
        if hasattr(rows.source, "cached"):
            store, places = rows.source.cached(self._cache_key(), self._decoded, numbers)
            return PreparedPictures(self, store, np.asarray(places))
        if len(numbers) * int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize <= IN_MEMORY:
            store = np.stack([self.row(rows, int(i))[0] for i in numbers])
            return PreparedPictures(self, store, np.arange(len(numbers)))
        return PreparedPictures(self, rows, numbers)

    def _decoded(self, picture: np.ndarray) -> np.ndarray:
        """A picture as its file has it, (H, W) or (H, W, C), as it is cached."""
        return self.fit_in(as_stored_type(picture if picture.ndim == 3 else picture[..., None]))

    def _cached_facts(self) -> dict[str, Any]:
        """What cached pictures depend on."""
        return {k: v for k, v in self._facts().items() if k != "value_range"}

    def _facts(self) -> dict[str, Any]:
        """The fields as JSON has them: of the region its digest, where there is one."""
        facts = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in UNNAMED}
        if self.exposure != "none":  # unknown to older files
            facts |= {"exposure": self.exposure, "level": self.level}
        return facts if self.region is None else {**facts, "region": self.region.digest}

    def _cache_key(self) -> str:
        facts = self._cached_facts()
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def tensor(self, stored: np.ndarray) -> Tensor:
        """(b, h, w, C) as stored -> (b, C, h, w) float32, `value_range` mapped to [-1, 1]."""
        import torch

        low, high = self.value_range
        x = torch.from_numpy(np.ascontiguousarray(stored)).permute(0, 3, 1, 2).to(torch.float32)
        return x.sub_(low).mul_(2.0 / (high - low)).sub_(1.0)

    def restore(self, tensor: Tensor) -> np.ndarray:
        """The inverse of `tensor`: (b, h, w, C) float32 in the user's values; (b, h, w) for one channel."""
        low, high = self.value_range
        x = ((tensor.float() + 1) * ((high - low) / 2) + low).permute(0, 2, 3, 1).numpy()
        return x[..., 0] if self.channels == 1 else x

    def describe(self) -> str:
        """One line for a user."""
        colour = {1: "grey", 3: "colour"}.get(self.channels, f"{self.channels}-channel")
        low, high = self.value_range
        inside = "" if self.region is None else f"{self.region.describe()}, of "
        brought = "" if self.exposure == "none" else f", each brought to one {BROUGHT[self.exposure]}"
        sizes = f"{spell(self.native_size)} -> {spell(self.size)}"
        return f"{inside}pictures of {sizes} {colour}, values {low:g} to {high:g}{brought}"

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        arrays = {} if self.region is None else {"region": self.region.mask}
        return {"kind": self.stored_as, **self._facts()}, arrays

    @classmethod
    def from_manifest(cls, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """The inverse of `to_manifest`. Raises `ArtifactError` when a fact is missing or impossible."""
        try:
            native, low_high = facts["native_size"], [float(value) for value in facts["value_range"]]
            result = cls(
                **{name: _whole(facts[name]) for name in cls.own_facts},
                size=_side_by_side(facts["size"]),
                channels=_whole(facts["channels"]),
                dtype=facts["dtype"],
                value_range=(low_high[0], low_high[1]),
                native_size=None if native is None else _side_by_side(native),
                native_channels=None if facts["native_channels"] is None else _whole(facts["native_channels"]),
                convert=bool(facts["convert"]),
                region=Region.from_array(arrays["region"]) if facts.get("region") else None,
                exposure=facts.get("exposure", "none"),
                level=_level(facts.get("level", (0.0, 1.0))),
            )
        except (KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
            if isinstance(error, ArtifactError):
                raise
            raise ArtifactError(f"the preprocessing of pictures is incomplete ({error})") from error
        low, high = result.value_range
        largest = float(np.finfo(np.float32).max)
        if (
            result.dtype not in ("uint8", "float32")
            or result.exposure not in get_args(Exposure)
            or not -largest <= low < high <= largest
            or not 2 / (high - low) <= largest
            or math.prod(result.shape) > LARGEST
        ):
            raise ArtifactError("the preprocessing of pictures is inconsistent")
        if result.region is not None:
            top, left, bottom, right = result.region.box(result.region.mask.shape)
            if min(bottom - top, right - left) < SMALLEST_SIDE:
                raise ArtifactError("the region of interest is smaller than any that is trained on")
        return result


class _Read:
    """Pictures in blocks, each read once, when its block is asked for."""

    def __init__(self, preprocessor: PicturePreprocessor, pictures: PictureRows) -> None:
        self.preprocessor, self.pictures = preprocessor, pictures

    def blocks(self, size: int) -> Iterator[Block]:
        for start in range(0, len(self.pictures), size):
            numbers = np.arange(start, min(start + size, len(self.pictures)))
            stored, sizes = zip(*(self.preprocessor.row(self.pictures, int(i)) for i in numbers), strict=True)
            yield Block(self.preprocessor.tensor(np.stack(stored)), numbers, sizes)


@dataclass(frozen=True, eq=False)
class PreparedPictures(OnePartEach):
    """Training pictures in the model's size: an array of them (perhaps memory-mapped), or their lazy source."""

    preprocessor: PicturePreprocessor
    store: Any
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def stored(self, numbers: np.ndarray) -> np.ndarray:
        """Those rows as (b, h, w, C), before values are mapped."""
        places = self.places[numbers]
        if isinstance(self.store, PictureRows):
            return np.stack([self.preprocessor.row(self.store, int(i))[0] for i in places])
        return np.asarray(self.store[places])

    def batch(self, numbers: np.ndarray) -> Tensor:
        """Those rows as (b, C, h, w) float32 in [-1, 1]."""
        return self.preprocessor.tensor(self.stored(numbers))


def _whole(value: Any) -> int:
    """A whole number above 0 of a model file. Raises `ArtifactError` for anything else."""
    if type(value) is not int or value < 1:
        raise ArtifactError(f"the preprocessing of pictures holds {value!r:.40} in place of a whole number above 0")
    return value


def _level(value: Any) -> tuple[float, float]:
    """The typical mean and deviation of a model file."""
    mean, deviation = map(float, value)
    if not (math.isfinite(mean) and 0 <= deviation < math.inf):
        raise ArtifactError("the exposure of training pictures is no mean and deviation")
    return mean, deviation


def _side_by_side(value: Any) -> tuple[int, int]:
    """The (H, W) of a model file."""
    height, width = value
    return _whole(height), _whole(width)
