"""Rows of pictures, whatever they came in: one type, and what its pictures have in common."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError
from .places import files_of, page_of, read, size_of

SMALLEST_SIDE = 8
LOOKED_AT = 5_000  # headers that size and channels are inferred from; the rest are held to it as they are read
DECODED = 200  # pictures, where a source has no headers


class PictureRows:
    """n pictures, whatever they came in: row i as (H, W, C), read when it is asked for.

    `source`: an array (n, H, W) or (n, H, W, C), a torch tensor (n, H, W) or (n, C, H, W), or a sequence of pictures
    (arrays, tensors, Pillow images), which may come as (picture, label). A source may have `name(i)`, what to call row
    i, `header(i)`, its shape and type without decoding it, and `cached(...)` (see `oddgan.rows.picture_files`).
    Raises `DataError` for an array of another shape.
    """

    kind = "pictures"

    def __init__(self, source: Any) -> None:
        shape = tuple(getattr(source, "shape", ()))
        if shape and len(shape) not in (3, 4):
            axes = "(n, H, W) or (n, C, H, W)" if is_tensor(source) else "(n, H, W) or (n, H, W, C)"
            raise DataError(f"pictures of shape {shape}: give {axes}")
        if len(shape) == 4 and not is_tensor(source) and shape[1] in (1, 3, 4) and shape[3] not in (1, 3, 4):
            raise DataError(
                f"pictures of shape {shape} look as if channels came first: give (n, H, W, C), for instance "
                "X.transpose(0, 2, 3, 1), or a torch tensor (n, C, H, W)"
            )
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
        tensor = is_tensor(row)
        picture = np.asarray(row.detach().cpu() if tensor else row)
        if picture.ndim == 2:
            picture = picture[..., None]
        elif tensor and picture.ndim == 3:
            picture = picture.transpose(1, 2, 0)
        if picture.ndim != 3:
            raise DataError(f"{self.name(i)}: not a picture, its shape is {picture.shape}; give (H, W) or (H, W, C)")
        return picture

    @property
    def named(self) -> bool:
        """Whether rows have names of their own, as files have."""
        return callable(getattr(self.source, "name", None))

    def name(self, i: int) -> str:
        """What to call row i in a message: its file, or its number."""
        return str(self.source.name(i)) if self.named else f"row {i}"

    def file_size(self, i: int) -> int | None:
        """Bytes of row i's file; None where rows are no files."""
        try:
            return sum(size_of(page_of(file)[0]) for file in files_of(self.source.paths[i]))
        except (AttributeError, OSError):
            return None

    def header(self, i: int) -> tuple[int, int, int, str]:
        """(H, W, channels, dtype as it came) of row i, without decoding a file where its source can tell."""
        if hasattr(self.source, "header"):
            height, width, channels, dtype = self.source.header(i)
            return height, width, channels, str(dtype)
        picture = self._raw(i)
        return *picture.shape, str(picture.dtype)

    def taken(self, start: int, stop: int) -> "PictureRows":
        """Rows `start` to `stop` - 1, read now, under their own names. Raises `DataError` that names a row."""
        return PictureRows(NamedPictures(range(start, stop), self.name, (self[i] for i in range(start, stop))))

    def some(self, numbers: np.ndarray) -> "PictureRows":
        """The rows with these numbers (m,), in that order and under their own names."""
        if hasattr(self.source, "subset"):
            return PictureRows(self.source.subset(numbers))
        return PictureRows(_Some(self, numbers))

    def content(self) -> Iterator[bytes]:
        """What rows hold, piece by piece, to compare two data sets: of files their bytes' SHA-256."""
        for i, path in enumerate(getattr(self.source, "paths", ())):
            del i
            for file in files_of(path):
                name, page = page_of(file)
                yield hashlib.sha256(read(name)).digest()
                if page is not None:
                    yield str(page).encode()
        if not hasattr(self.source, "paths"):
            for i in range(len(self)):
                picture = self._raw(i)
                yield repr((picture.shape, picture.dtype.str)).encode()
                yield np.ascontiguousarray(picture).tobytes()

    def describe(self) -> str:
        """ "12 pictures"."""
        return f"{len(self):,} picture{'s' * (len(self) != 1)}"


class _Some:
    """Some rows of others, as a source of pictures."""

    def __init__(self, rows: PictureRows, numbers: np.ndarray) -> None:
        self.rows, self.numbers = rows, [int(i) for i in numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int) -> Any:
        return self.rows.source[self.numbers[i]]

    def name(self, i: int) -> str:
        return self.rows.name(self.numbers[i])


class NamedPictures(list[np.ndarray]):
    """Pictures in memory that keep the names of their rows, so that an error can name one."""

    def __init__(self, numbers: Iterable[int], name: Callable[[int], str], pictures: Iterable[np.ndarray] = ()) -> None:
        super().__init__(pictures)
        self.names = [name(i) for i in numbers]

    def name(self, i: int) -> str:
        """What to call picture i."""
        return self.names[i]


def is_tensor(X: Any) -> bool:
    """Whether X is a torch tensor, without importing torch to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(X, torch.Tensor)


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
        raise DataError("holds NaN or infinite pixels; leave the picture out or repair its pixels")
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


def look_at(pictures: PictureRows, *, channels: int | None, convert: bool) -> Common:
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
        differing = next(int(i) for i, h in zip(looked_at, headers, strict=True) if h[3] != headers[0][3])
        raise DataError(
            f"{pictures.name(differing)}: has another type than {pictures.name(int(looked_at[0]))} "
            f"({' and '.join(sorted(dtypes))} are mixed); convert all to one"
        )
    counts = {h[2] for h in headers}
    if channels is None and counts == {1, 3}:
        channels = 3 if convert else 1
        if not convert:
            from ..cautions import DataWarning, warn  # scikit-learn comes with it

            grey = sum(h[2] == 1 for h in headers)
            warn(
                DataWarning,
                "mixed-channels",
                f"{grey} of {len(headers)} pictures are grey and the others are in colour: all become grey; give "
                "channels=3 (--channels 3) to keep the colours of those that have any",
            )
    if channels is None and len(counts) > 1:
        differing = next(int(i) for i, h in zip(looked_at, headers, strict=True) if h[2] != headers[0][2])
        raise DataError(
            f"{pictures.name(differing)}: has {headers[list(looked_at).index(differing)][2]} channel(s) where "
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
