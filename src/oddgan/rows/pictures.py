"""Rows of pictures, whatever they came in: one face, and what they have in common."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import DataError

SMALLEST_SIDE = 8
LOOKED_AT = 5_000  # headers that size and channels are inferred from; the rest are held to it as they are read
DECODED = 200  # pictures, where a source has no headers


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
            return as_stored_type(picture)
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


def as_stored_type(picture: np.ndarray) -> np.ndarray:
    """uint8 stays, true/false becomes 0/255, every other real number becomes float32. Raises `DataError` for what is no
    number, NaN and infinity included."""
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


@dataclass(frozen=True, eq=False)
class Common:
    """What pictures have in common, by the headers of those that were looked at: `numbers` (m,) says which, `sides`
    (m, 2) their heights and widths. `dtype`: "uint8", or "float32" for every deeper type; `channels` that the networks
    get; `native_channels` that every picture has, None where they are converted."""

    numbers: np.ndarray
    sides: np.ndarray
    dtype: str
    channels: int
    native_channels: int | None


def look_at(pictures: PictureList, *, channels: int | None, convert: bool) -> Common:
    """What these pictures have in common. Raises `DataError` that names a picture: too small, or of another type or
    (unless `channels` or `convert` say what to do) another number of channels than the first."""
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
    return Common(
        numbers=looked_at,
        sides=sides,
        dtype="uint8" if dtypes <= {"uint8", "bool"} else "float32",
        channels=channels or counts.pop(),
        native_channels=None if channels else headers[0][2],
    )
