"""Pictures: one size, one number of channels, values in [-1, 1].

Resizing is one torch operation (antialiased bilinear; on uint8 within one level of Pillow's), applied to one picture
at a time, at training, scoring and evaluation alike. Values are mapped linearly from `value_range` to [-1, 1] and never
clipped: a picture brighter than any in training should look it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ArtifactError, DataError, ParameterError

SMALLEST_SIDE = 8
LONGEST_SIDE = 64  # of the networks' pictures unless `size` says otherwise: what a CPU trains in minutes
LOOKED_AT = 5_000  # headers that size and channels are inferred from; the rest are held to it as they are read
DECODED = 200  # pictures, where a source has no headers
IN_MEMORY = 1 << 30  # bytes of resized pictures that are kept in memory; beyond, they are resized at every batch
CHUNK = 256  # pictures at a time in a pass over all of them


class PictureList:
    """Arrays, tensors, lists and map-style datasets behind one face: row i as (H, W, C)."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> np.ndarray:
        """Row i, (H, W, C) of uint8 or float32. Raises `DataError` that names the row."""
        picture = self._raw(i)
        try:
            return _as_stored_type(picture)
        except DataError as error:
            raise DataError(f"{self.name(i)}: {error}") from error

    def _raw(self, i: int) -> np.ndarray:
        row = self.source[i]
        if isinstance(row, tuple | list) and len(row) and not np.isscalar(row[0]):
            row = row[0]  # a data set that yields (picture, label)
        channels_first = isinstance(row, Tensor) and row.ndim == 3
        picture = row.detach().cpu().numpy() if isinstance(row, Tensor) else np.asarray(row)
        if picture.ndim == 2:
            picture = picture[..., None]
        elif channels_first:
            picture = picture.transpose(1, 2, 0)
        if picture.ndim != 3:
            raise DataError(f"{self.name(i)}: not a picture, its shape is {picture.shape}; give (H, W) or (H, W, C)")
        return picture

    def name(self, i: int) -> str:
        """What to call row i in a message: its file, or its number."""
        named = getattr(self.source, "name", None)
        return str(named(i)) if callable(named) else f"row {i}"

    def header(self, i: int) -> tuple[int, int, int, str]:
        """(H, W, channels, dtype as it came) of row i, without decoding a file where its source can tell."""
        if hasattr(self.source, "header"):
            height, width, channels, dtype = self.source.header(i)
            return height, width, channels, str(dtype)
        picture = self._raw(i)
        return *picture.shape, str(picture.dtype)


def is_pictures(X: Any) -> bool:
    """Whether X holds pictures: an array or tensor of 3 or 4 axes, a list of arrays, or a map-style data set."""
    if isinstance(X, np.ndarray | Tensor):
        return X.ndim > 2
    if isinstance(X, list | tuple):
        return len(X) > 0 and (getattr(X[0], "ndim", 0) >= 2 or hasattr(X[0], "getbands"))  # arrays, Pillow's images
    return hasattr(X, "__getitem__") and hasattr(X, "__len__") and not hasattr(X, "columns") and not hasattr(X, "shape")


def as_pictures(X: Any) -> PictureList:
    """X as picture rows. Raises `DataError` for arrays of another shape than (n, H, W) or (n, H, W, C)."""
    if isinstance(X, PictureList):
        return X
    if isinstance(X, np.ndarray):
        if X.ndim not in (3, 4):
            raise DataError(f"pictures of shape {X.shape}: give (n, H, W) or (n, H, W, C)")
        if X.ndim == 4 and X.shape[1] in (1, 3, 4) and X.shape[3] not in (1, 3, 4):
            raise DataError(
                f"pictures of shape {X.shape} look as if channels came first: give (n, H, W, C), for instance "
                "X.transpose(0, 2, 3, 1), or a torch tensor (n, C, H, W)"
            )
    if isinstance(X, Tensor) and X.ndim not in (3, 4):
        raise DataError(f"pictures of shape {tuple(X.shape)}: give a tensor (n, H, W) or (n, C, H, W)")
    return PictureList(X)


def _as_stored_type(picture: np.ndarray) -> np.ndarray:
    """uint8 stays, true/false becomes 0/255, every other real number becomes float32."""
    if picture.dtype == np.uint8:
        return picture
    if picture.dtype == bool:
        return picture.astype(np.uint8) * 255
    if picture.dtype.kind not in "uif":
        raise DataError(f"pictures of type {picture.dtype} cannot be used; give numbers")
    picture = picture.astype(np.float32)
    if not np.isfinite(picture).all():
        raise DataError("holds NaN or infinite pixels; leave the picture out or mend its pixels")
    return picture


@dataclass(frozen=True)
class PicturePreprocessor:
    """How pictures reach the networks.

    `size`: (H, W) of the networks' pictures. `channels`: theirs. `dtype`: "uint8" or "float32" (every other type).
    `value_range`: what becomes -1 and 1. `native_size`, `native_channels`: those of every training picture, or None
    when they differed or when `size` or `channels` were given: then any picture is converted. Otherwise a picture that
    does not match is refused, because a camera that changed is a reason to stop, unless `convert` is true.
    """

    size: tuple[int, int]
    channels: int
    dtype: str
    value_range: tuple[float, float]
    native_size: tuple[int, int] | None
    native_channels: int | None
    convert: bool = False

    @classmethod
    def fit(
        cls,
        pictures: PictureList,
        numbers: np.ndarray,
        *,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        value_range: tuple[float, float] | None = None,
        convert: bool = False,
    ) -> "PicturePreprocessor":
        """Infer what was not given: size and channels from all rows, for held-out ones must fit too; the value range,
        which may have to read them all, from the training rows `numbers` alone."""
        most = LOOKED_AT if hasattr(pictures.source, "header") else DECODED
        looked_at = np.linspace(0, len(pictures) - 1, min(most, len(pictures))).astype(int)
        headers = [pictures.header(int(i)) for i in looked_at]
        sides = np.array([h[:2] for h in headers])
        for i, (h, w) in zip(looked_at, sides, strict=True):
            if min(h, w) < SMALLEST_SIDE:
                raise DataError(f"{pictures.name(int(i))}: {h}x{w} pixels; the smallest side that can be used is 8")
        dtypes = {h[3] for h in headers}
        if len(dtypes) > 1:
            odd = next(int(i) for i, h in zip(looked_at, headers, strict=True) if h[3] != headers[0][3])
            raise DataError(
                f"{pictures.name(odd)}: is of another type than {pictures.name(int(looked_at[0]))} "
                f"({' and '.join(sorted(dtypes))} are mixed); convert all to one"
            )
        counts = {h[2] for h in headers}
        if convert and channels is None and counts == {1, 3}:
            channels = 3
        if channels is None and len(counts) > 1:
            odd = next(int(i) for i, h in zip(looked_at, headers, strict=True) if h[2] != headers[0][2])
            raise DataError(
                f"{pictures.name(odd)}: has {headers[list(looked_at).index(odd)][2]} channel(s) where "
                f"{pictures.name(int(looked_at[0]))} has {headers[0][2]}: "
                "give channels=1 or channels=3 (--channels) to convert all"
            )
        uniform = size is None and len({tuple(s) for s in sides}) == 1
        result = cls(
            size=_network_size(size, np.median(sides, axis=0)),
            channels=channels or counts.pop(),
            dtype="uint8" if dtypes <= {"uint8", "bool"} else "float32",
            value_range=value_range or (0.0, 255.0),
            native_size=(int(sides[0][0]), int(sides[0][1])) if uniform else None,
            native_channels=None if channels else headers[0][2],
            convert=convert,
        )
        if value_range is None:
            result = replace(result, value_range=result._range_of(pictures, numbers))
        if not result.value_range[0] < result.value_range[1]:
            raise ParameterError(f"value_range={result.value_range}: the first value must be below the second")
        return result

    def _range_of(self, pictures: PictureList, numbers: np.ndarray) -> tuple[float, float]:
        """The type's full range for uint8, that of the training rows for everything else."""
        if self.dtype == "uint8" and np.ptp(self.row(pictures, int(numbers[0]))[0]) > 0:
            return 0.0, 255.0  # contrast in the first picture settles it; no need to read the others
        store = self.prepare(pictures, numbers)
        low, high = np.inf, -np.inf
        for start in range(0, len(numbers), CHUNK):
            chunk = store.stored(np.arange(start, min(start + CHUNK, len(numbers))))
            low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
            if self.dtype == "uint8" and low < high:
                return 0.0, 255.0
        if low == high:
            raise DataError(
                f"every pixel of all {len(numbers)} training pictures is {low:g}: there is nothing to learn; "
                "check what was exported"
            )
        return low, high

    @property
    def shape(self) -> tuple[int, ...]:
        """What the networks work on: (C, H, W)."""
        return (self.channels, *self.size)

    def read(self, pictures: PictureList, numbers: np.ndarray) -> tuple[Tensor, list[tuple[int, int]]]:
        """Those rows as the networks take them, and the size (H, W) that each came in. Every picture is read once."""
        stored, sizes = zip(*(self.row(pictures, int(i)) for i in numbers), strict=True)
        return self.tensor(np.stack(stored)), list(sizes)

    def row(self, pictures: PictureList, i: int) -> tuple[np.ndarray, tuple[int, int]]:
        """Row i as it is stored for the networks, (h, w, channels), and the size (H, W) that it came in. Raises
        `DataError` that names the row."""
        picture = pictures[i]
        try:
            return self.fit_in(picture), picture.shape[:2]
        except DataError as error:
            raise DataError(f"{pictures.name(i)}: {error}") from error

    def fit_in(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, C) -> (h, w, channels) of the model's size and type. Raises `DataError` for one that must not be."""
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
        return _resize(_to_channels(picture, self.channels), self.size)

    def prepare(self, pictures: PictureList, numbers: np.ndarray) -> "PreparedPictures":
        """The training rows `numbers` of `pictures`: from the cache where the source has one, else from memory, else
        resized at every batch."""
        numbers = np.asarray(numbers)
        if hasattr(pictures.source, "cached"):

            def transform(picture: np.ndarray) -> np.ndarray:
                return self.fit_in(_as_stored_type(picture if picture.ndim == 3 else picture[..., None]))

            store, places = pictures.source.cached(self._cache_key(), transform, [int(i) for i in numbers])
            return PreparedPictures(self, store, np.asarray(places))
        if len(numbers) * int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize <= IN_MEMORY:
            store = np.stack([self.row(pictures, int(i))[0] for i in numbers])
            return PreparedPictures(self, store, np.arange(len(numbers)))
        return PreparedPictures(self, pictures, numbers)

    def _cache_key(self) -> str:
        facts = {k: v for k, v in asdict(self).items() if k != "value_range"}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def tensor(self, stored: np.ndarray) -> Tensor:
        """(b, h, w, C) as stored -> (b, C, h, w) float32, `value_range` mapped to [-1, 1]."""
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
        return f"pictures of {spell(self.native_size)} -> {spell(self.size)} {colour}, values {low:g} to {high:g}"

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        return {"kind": "pictures", **asdict(self)}, {}

    @classmethod
    def from_manifest(cls, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> "PicturePreprocessor":
        """The inverse of `to_manifest`. Raises `ArtifactError` when a fact is missing or impossible."""
        try:
            native = facts["native_size"]
            result = cls(
                size=(int(facts["size"][0]), int(facts["size"][1])),
                channels=int(facts["channels"]),
                dtype=facts["dtype"],
                value_range=(float(facts["value_range"][0]), float(facts["value_range"][1])),
                native_size=None if native is None else (int(native[0]), int(native[1])),
                native_channels=facts["native_channels"],
                convert=bool(facts["convert"]),
            )
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ArtifactError(f"the preprocessing of pictures is incomplete ({error})") from error
        if result.dtype not in ("uint8", "float32") or not result.value_range[0] < result.value_range[1]:
            raise ArtifactError("the preprocessing of pictures is inconsistent")
        return result


@dataclass(frozen=True, eq=False)
class PreparedPictures:
    """Training pictures in the model's size: an array of them (perhaps memory-mapped), or their lazy source."""

    preprocessor: PicturePreprocessor
    store: Any
    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def stored(self, numbers: np.ndarray) -> np.ndarray:
        """Those rows as (b, h, w, C), before values are mapped."""
        places = self.places[numbers]
        if isinstance(self.store, PictureList):
            return np.stack([self.preprocessor.row(self.store, int(i))[0] for i in places])
        return np.asarray(self.store[places])

    def batch(self, numbers: np.ndarray) -> Tensor:
        """Those rows as (b, C, h, w) float32 in [-1, 1]."""
        return self.preprocessor.tensor(self.stored(numbers))


def resize_map(anomaly_map: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """An anomaly map (h, w) float32 at another size, bilinear."""
    if anomaly_map.shape == tuple(size):
        return anomaly_map
    x = torch.from_numpy(np.ascontiguousarray(anomaly_map))[None, None]
    return F.interpolate(x, size=tuple(size), mode="bilinear", antialias=True)[0, 0].numpy()


def spell(size: tuple[int, int] | None) -> str:
    """A size as messages have it: "256x256"."""
    return "any size" if size is None else "x".join(map(str, size))


def _network_size(size: int | tuple[int, int] | None, typical: np.ndarray) -> tuple[int, int]:
    """`size` as (H, W); without one, that of a typical picture, shrunk until its longest side is `LONGEST_SIDE`."""
    if isinstance(size, int | np.integer):
        return int(size), int(size)
    if size is not None:
        return int(size[0]), int(size[1])
    shrink = min(1.0, LONGEST_SIDE / float(typical.max()))
    return max(SMALLEST_SIDE, round(float(typical[0]) * shrink)), max(SMALLEST_SIDE, round(float(typical[1]) * shrink))


def _to_channels(picture: np.ndarray, channels: int) -> np.ndarray:
    """(H, W, C) -> (H, W, channels): grey repeated to colour, colour to grey by ITU-R 601 luma."""
    have = picture.shape[2]
    if have == channels:
        return picture
    if have == 1 and channels == 3:
        return np.repeat(picture, 3, axis=2)
    if have == 3 and channels == 1:
        grey = picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
        grey = np.rint(grey).astype(np.uint8) if picture.dtype == np.uint8 else grey
        return np.asarray(grey)[..., None]
    raise DataError(f"{have} channels cannot become {channels}; convert the picture first")


def _resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) -> (*size, C), antialiased bilinear, in the picture's own type."""
    if picture.shape[:2] == size:
        return np.ascontiguousarray(picture)
    x = torch.tensor(picture).permute(2, 0, 1)[None]  # a copy: memory-mapped rows are read-only
    x = F.interpolate(x, size=size, mode="bilinear", antialias=True)
    return np.ascontiguousarray(x[0].permute(1, 2, 0).numpy())
