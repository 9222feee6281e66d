"""Arrays in files: .npy, .npz and IDX, as tables or pictures."""

import operator
import zipfile
from pathlib import Path
from typing import IO, Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .idx import MOST_INFLATED, MOST_UNPACKED, read_idx
from .stored import stored

Array = NDArray[Any]

SMALLEST = 8  # pixels, as for picture files
CHUNK_BYTES = 16 * 2**20

_KEYS = {
    "training rows": ("x_train", "train", "x"),
    "training labels": ("y_train", "train_labels"),
    "test rows": ("x_test", "test"),
    "labels": ("y_test", "test_labels", "labels", "y"),
    "masks": ("masks", "masks_test", "test_masks"),
}


class ConvertedPictures:
    """Pictures in an array, each converted to a type of pictures on access."""

    def __init__(self, array: Array, dtype: np.dtype[Any]) -> None:
        self.array, self.dtype = array, dtype

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: SupportsIndex, /) -> Array:
        row = np.asarray(self.array[operator.index(index)]).astype(self.dtype)
        return row * np.uint8(255) if self.array.dtype.kind == "b" else row

    def header(self, index: int) -> tuple[int, int, int, str]:
        """(H, W, channels, dtype name) of picture `index`."""
        height, width = self.array.shape[1:3]
        return height, width, 1 if self.array.ndim == 3 else 3, self.dtype.name


def array_rows(path: Path) -> Array | ConvertedPictures:
    """What `oddgan.data.rows` returns for a .npy, .npz or IDX file."""
    if path.suffix.lower() != ".npz":
        return converted(checked(read_array(path), str(path)))
    parts = read_npz(path)
    part = next(part for part in ("test rows", "training rows") if part in parts)
    key, array = parts[part]
    return converted(checked(array, f"{path}[{key}]"))


def checked(array: Array, where: str) -> Array:
    """A table (n, d), or pictures (n, H, W) or (n, H, W, 3); raises `DataError` for anything else and
    for values that are not finite."""
    if array.dtype.kind not in "buif":
        raise DataError(f"{where}: contains {array.dtype}, not numbers; save it as numbers")
    if array.ndim not in (2, 3, 4):
        raise DataError(f"{where}: has shape {array.shape}; give a table (n, d) or pictures (n, H, W) or (n, H, W, 3)")
    if not array.size:
        raise DataError(f"{where}: has shape {array.shape}, so no values; give at least one row")
    if array.ndim == 4:
        if array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
            raise DataError(
                f"{where}: shape {array.shape} seems to be (n, C, H, W); put channels last, array.transpose(0, 2, 3, 1)"
            )
        if array.shape[3] not in (1, 3):
            raise DataError(f"{where}: pictures with {array.shape[3]} channels (shape {array.shape}); give 1 or 3")
        if array.shape[3] == 1:
            array = array.reshape(array.shape[:3])  # a view: a large file stays where it is
    if array.ndim > 2 and min(array.shape[1:3]) < SMALLEST:
        raise DataError(
            f"{where}: pictures of {array.shape[1]} x {array.shape[2]} (shape {array.shape}), at least {SMALLEST} x "
            f"{SMALLEST} are needed; one picture alone needs a first axis of 1, a table two axes"
        )
    _check_finite(array, where)
    return array


def converted(array: Array) -> Array | ConvertedPictures:
    """Pictures as uint8, uint16 or float32; tables unchanged."""
    if array.ndim == 2 or array.dtype in (np.uint8, np.uint16, np.float32):
        return array
    if array.dtype.kind == "b":
        return ConvertedPictures(array, np.dtype(np.uint8))
    fits = array.dtype.kind in "ui" and array.min() >= 0 and array.max() <= np.iinfo(np.uint16).max
    return ConvertedPictures(array, np.dtype(np.uint16 if fits else np.float32))


def _check_finite(array: Array, where: str) -> None:
    if array.dtype.kind != "f":
        return
    step = max(1, CHUNK_BYTES // array[:1].nbytes)
    for start in range(0, len(array), step):
        chunk = array[start : start + step]
        if array.ndim > 2 and array.dtype.itemsize > 4:
            with np.errstate(over="ignore"):  # pictures will be converted to float32
                chunk = chunk.astype(np.float32)
        if not np.isfinite(chunk).all():
            place = np.argwhere(~np.isfinite(chunk))[0]
            row = f"row {start + place[0]}" + (f", column {place[1]}" if array.ndim == 2 else "")
            raise DataError(f"{where}: {row} (counted from 0) is NaN or infinite; fill it in or leave the row out")


def read_array(path: Path) -> Array:
    """The array in a .npy file, as `stored` has it, or in an IDX file of pictures. Raises `DataError`."""
    if path.suffix.lower() != ".npy":
        array = read_idx(path)
        if array.ndim == 1:
            raise DataError(
                f"{path}: contains labels, not pictures; give the file of pictures or the folder of all four"
            )
        return array
    if _starts(path).startswith(b"PK"):
        raise DataError(f"{path}: is a .npz archive; rename it to .npz")
    try:
        with path.open("rb") as stream:
            shape, fortran, dtype = _header(stream)
            offset = stream.tell()
        return stored(path, dtype, shape, offset, fortran=fortran)
    except DataError:
        raise
    except Exception as error:  # NumPy evaluates the header, and raises whatever that raises
        raise _not_numpy(path, error) from error


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape, the order (whether columns come first) and the type that a .npy file states. Raises `ValueError` and
    whatever else a damaged header leads to."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):  # 3.0 is for fields with names
        raise ValueError(f"format version {version[0]}.{version[1]}")
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("Object arrays")
    return shape, fortran, dtype


def _starts(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(6)
    except OSError as error:
        raise _not_numpy(path, error) from error


def read_npz(path: Path) -> dict[str, tuple[str, Array]]:
    """{part: (its key in the file, array)}. Raises `DataError`."""
    parts: dict[str, tuple[str, Array]] = {}
    if _starts(path) == b"\x93NUMPY":
        raise DataError(f"{path}: is a .npy file; rename it to .npy")
    try:
        with path.open("rb") as stream, np.lib.npyio.NpzFile(stream, allow_pickle=False) as archive:
            keys = {key.lower(): key for key in archive.files}
            for part, names in _KEYS.items():
                if known := next((name for name in names if name in keys), None):
                    _check_member(archive.zip, keys[known], path)
                    parts[part] = keys[known], archive[keys[known]]
    except DataError:
        raise
    except Exception as error:  # zipfile, its codecs and NumPy raise many types on damaged files
        raise _not_numpy(path, error) from error
    if not parts.keys() & {"training rows", "test rows"}:
        held = ", ".join(sorted(keys.values())) or "nothing"
        raise DataError(f"{path}: contains {held}; name the rows X, or x_train, x_test and y_test")
    return parts


def _check_member(archive: Any, key: str, path: Path) -> None:
    """Raise `DataError` where an array of an .npz file takes more memory than the file can hold, or than
    `MOST_UNPACKED`, before any of it is allocated."""
    member = next(name for name in (f"{key}.npy", key) if name in archive.namelist())
    about = archive.getinfo(member)
    with archive.open(member) as stream:
        shape, _, dtype = _header(stream)
    count = 1
    for side in shape:
        count *= side
    needed = count * dtype.itemsize
    most = about.file_size
    if about.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others pack better, without a known bound
        most = min(most, MOST_INFLATED * max(about.compress_size, 1))
    if min(shape, default=0) < 0 or needed > most:
        raise DataError(f"{path}[{key}]: is damaged: it states {' x '.join(map(str, shape))} values and holds fewer")
    if needed > MOST_UNPACKED:
        raise DataError(f"{path}[{key}]: unpacks to {needed:,} bytes; save it as .npy, which need not fit in memory")


def _not_numpy(path: Path, error: Exception) -> DataError:
    if isinstance(error, PermissionError):
        return DataError(f"{path}: may not be read (permission denied); give read permission")
    text = " ".join(str(error).split())
    if "object" in text.lower():
        return DataError(f"{path}: contains Python objects, which are not loaded; save plain numbers")
    return DataError(f"{path}: is not a NumPy file, or is damaged or truncated ({text}); save it again")
