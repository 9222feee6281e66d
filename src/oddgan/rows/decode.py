"""Decode one picture file into an array, or say in one line why it cannot be used.

The format is recognised by the file's first bytes, never by its name, and Pillow's reader of that format is called
directly: `Image.open` would report large pictures through Python's process-wide warning filters, which cannot be
changed safely while other threads decode.
"""

import io
import itertools
import os
import stat
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

from ..errors import DataError, ParameterError
from .places import PAGED, files_of, inside_of, page_of, read

Array = NDArray[Any]
T = TypeVar("T")

SMALLEST = 8
"""Smallest height and width of a picture, in pixels."""

MAX_PIXELS = 89_478_485
"""Pixels of the largest picture that is decoded unless ODDGAN_MAX_PIXELS is set: Pillow's own limit."""

_TIFF = frozenset({b"II\x2a\0", b"MM\0\x2a", b"II\x2b\0", b"MM\0\x2b"})  # how files begin, BigTIFF among them
_ORIENTATION = 0x0112  # the EXIF tag
_LYING = frozenset({5, 6, 7, 8})  # the values that exchange height and width
_TURNS: dict[int, Callable[[Array], Array]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


class Unreadable(Exception):
    """Why a picture cannot be used, and what to do; the caller adds the file's name."""

    def __init__(self, reason: str, fix: str = "copy it again or leave it out (--skip-bad)") -> None:
        super().__init__(f"{reason}; {fix}")
        self.reason, self.fix = reason, fix


def decode(place: str | bytes) -> Array:
    """The picture at `place` (`oddgan.rows.places`), or in a file of these bytes, as (H, W) or (H, W, C), uint8, uint16
    or float32; raises `Unreadable`."""
    if isinstance(place, bytes):
        return _decoded(place)
    files = files_of(place)
    if len(files) == 1:
        return _decoded(files[0])
    channels = _of_each(files, _decoded)
    _check_alike(files, [(*channel.shape[:2], channel.dtype.name) for channel in channels])
    return np.dstack(channels)


def _of_each(files: Sequence[str], read: Callable[[str], T]) -> list[T]:
    """What `read` makes of each file of one picture; `Unreadable` names the file."""
    found = []
    for file in files:
        try:
            found.append(read(file))
        except Unreadable as bad:
            raise Unreadable(f"of its channels, {os.path.basename(file)}: {bad.reason}", bad.fix) from bad
    return found


def _check_alike(files: Sequence[str], heads: Sequence[tuple[int, int, str]]) -> None:
    """Raise `Unreadable` where channels of one picture differ in (H, W, dtype name)."""
    for file, head in zip(files, heads, strict=True):
        if head != heads[0]:
            (h, w, dtype), (height, width, other) = heads[0], head
            raise Unreadable(
                f"its channels differ: {w} x {h} of {dtype} in {files[0]}, {width} x {height} of {other} in {file}",
                "bring them to one size and one depth",
            )


def _decoded(path: str | bytes) -> Array:
    """The picture in one file or on one page, or whose file has these bytes."""
    with _opened(path) as image:
        rawmode = _rawmode(image)
        try:
            image.load()
        except Exception as error:  # Pillow's readers raise many types on damaged files
            raise _damaged(error) from error
        array = _pixels(image, rawmode)
        # Pillow turns TIFF upright while it loads, and then drops the tag.
        turn = _TURNS.get(_orientation(image))
    if array.dtype == np.float32 and not np.isfinite(array).all():
        bad = int(array.size - np.isfinite(array).sum())
        raise Unreadable(f"{bad} of its values are NaN or infinite")
    return np.ascontiguousarray(turn(array) if turn else array)


def header(place: str | bytes) -> tuple[int, int, int, str]:
    """(H, W, channels, dtype name) of what `decode` returns, without decoding pixels where possible."""
    if isinstance(place, bytes):
        return _header(place)
    files = files_of(place)
    if len(files) == 1:
        return _header(files[0])
    heads = _of_each(files, _header)
    _check_alike(files, [(height, width, dtype) for height, width, _, dtype in heads])
    return heads[0][0], heads[0][1], sum(head[2] for head in heads), heads[0][3]


def pages(path: str) -> int:
    """How many pages a TIFF file holds; 1 where that cannot be found out, which is said when it is read."""
    try:
        with _stream(path) as stream:
            return max(1, sum(1 for _ in _page_starts(stream)))
    except (Unreadable, OSError):
        return 1


def places(path: str) -> list[str]:
    """The picture in a file, or every page of a TIFF file that holds several: a.tif#0, a.tif#1. Raises `DataError`
    where a file beside it has the name of a page."""
    count = pages(path) if os.path.splitext(path)[1].lower() in PAGED else 1
    if count < 2:
        return [path]
    listed = [f"{path}#{page}" for page in range(count)]
    if taken := next(filter(os.path.lexists, listed), None):
        raise DataError(f"{taken}: is a file, and a page of the file beside it has the same name; rename one of them")
    return listed


def _page_starts(stream: io.BufferedReader) -> Iterator[int]:
    """Where the pages of a TIFF file begin, none for another file. Pillow takes time that grows with the square of the
    number of pages to find out."""
    head = stream.read(16)
    if head[:4] not in _TIFF:
        return
    order = "<" if head.startswith(b"II") else ">"
    big = b"\x2b" in head[2:4]
    count, link, entry = (f"{order}Q", f"{order}Q", 20) if big else (f"{order}H", f"{order}I", 12)
    at, seen = 4 + 4 * big, set[int]()
    held = stream.seek(0, os.SEEK_END)
    stream.seek(at)
    while len(raw := stream.read(struct.calcsize(link))) == struct.calcsize(link):
        start: int = struct.unpack(link, raw)[0]
        if not start or start in seen:  # the last page, or back to one that was there
            return
        yield start  # a page that is cut off is one that cannot be read, not one that is not there
        seen.add(start)
        if start > held:
            return
        stream.seek(start)
        raw = stream.read(struct.calcsize(count))
        tags = struct.unpack(count, raw)[0] if len(raw) == struct.calcsize(count) else held
        if tags * entry > held:
            return
        stream.seek(tags * entry, os.SEEK_CUR)


class _File(io.BufferedReader):
    """A file that is read. `head` is read instead of its first bytes."""

    head = b""

    def begin_at(self, page: int) -> None:
        """Have the header of a TIFF file name `page`, counted from 0, as the first, so that no other one is looked at.
        Raises `Unreadable` where there is none."""
        start = next(itertools.islice(_page_starts(self), page, None), None)
        if start is None:
            raise Unreadable(f"it has no page {page}, counted from 0", "check the number after #")
        self.seek(0)
        head = self.read(16)
        big, order = b"\x2b" in head[2:4], "<" if head.startswith(b"II") else ">"
        self.head = head[:8] + struct.pack(f"{order}Q", start) if big else head[:4] + struct.pack(f"{order}I", start)
        self.seek(0)

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.head:
            return super().read(size)
        at = self.tell()
        found = super().read(size)
        changed = self.head[at : at + len(found)]
        return changed + found[len(changed) :]


def _header(path: str | bytes) -> tuple[int, int, int, str]:
    with _opened(path) as image:
        if image.mode == "I":  # only the pixels show whether the values fit 16 bits
            array = _decoded(path)
            return array.shape[0], array.shape[1], 1, array.dtype.name
        width, height = image.size
        if image.format != "TIFF" and _orientation(image, loaded=False) in _LYING:
            width, height = height, width
        if image.mode.startswith("I;16"):
            return height, width, 1, "uint16"
        if image.mode == "F":
            return height, width, 1, "float32"
        return height, width, 1 if _is_grey(image) else 3, "uint8"


@contextmanager
def _opened(path: str | bytes) -> Iterator[ImageFile]:
    """The picture with its header read and checked, its pixels not yet decoded."""
    path, page = (path, None) if isinstance(path, bytes) else page_of(path)
    with _stream(path) as stream:
        if page is not None:
            stream.begin_at(page)
        reader = _reader(stream.read(16))
        stream.seek(0)
        try:
            image: ImageFile = reader(stream)
            several = page is None and getattr(image, "is_animated", False)
        except Exception as error:  # as in `decode`
            raise _damaged(error) from error
        width, height = image.size
        limit = _max_pixels()
        if width * height > limit:
            raise Unreadable(
                f"it is {width} x {height} = {width * height:,} pixels, more than the limit of {limit:,}",
                f"if it is not a decompression bomb, set ODDGAN_MAX_PIXELS={width * height}",
            )
        if min(width, height) < SMALLEST:
            raise Unreadable(
                f"it is {width} wide and {height} high, and pictures must be at least {SMALLEST} x {SMALLEST}",
                "leave it out (--skip-bad)",
            )
        if several:
            raise Unreadable("it holds several pictures (pages or frames)", _how_to_read_one(path, image.format))
        if ";16" in _rawmode(image) and image.format != "BMP" and not image.mode.startswith("I"):
            raise Unreadable(
                "it is 16-bit colour, or 16-bit grey with transparency, which would be cut to 8 bits",
                "save it as 8-bit colour or as 16-bit grey without transparency",
            )
        try:
            yield image
        except Unreadable:
            raise
        except Exception as error:  # a palette, a profile or a tag that is not what its reader expects
            raise _damaged(error) from error


def _how_to_read_one(path: str | bytes, form: str | None) -> str:
    if form != "TIFF" or isinstance(path, bytes):
        return "save each of them in its own file"
    name = os.path.basename(path)
    if os.path.splitext(path)[1].lower() not in PAGED:
        return "call the file .tif to read its pages"
    return f"add #0 to its name for the first, or give the file or its folder as DATA: {name}#0"


def _stream(path: str | bytes) -> _File:
    if isinstance(path, bytes):
        return _File(io.BytesIO(path))
    try:
        if inside_of(path) is not None:
            return _File(io.BytesIO(read(path)))
        about = os.stat(path)
        if stat.S_ISDIR(about.st_mode):
            raise Unreadable("it is a folder, not a picture", "name a picture file")
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable("it is not a regular file", "name a picture file")
        if about.st_size == 0:
            raise Unreadable("the file is empty")
        return _File(open(path, "rb", buffering=0))
    except FileNotFoundError:
        raise Unreadable("there is no such file", "check the path") from None
    except PermissionError:
        raise Unreadable("it may not be read (permission denied)", "give read permission") from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"it cannot be opened ({_one_line(error)})", "check the path and the disk") from None


def _reader(start: bytes) -> Callable[[IO[bytes]], ImageFile]:
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImagePlugin.PngImageFile
    if start.startswith(b"\xff\xd8\xff"):
        # Phones store a preview or gain map after the picture (MPO); the base reader reads the picture.
        return JpegImagePlugin.JpegImageFile
    if start.startswith(b"BM"):
        return BmpImagePlugin.BmpImageFile
    if start[:4] in _TIFF:
        return TiffImagePlugin.TiffImageFile
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return WebPImagePlugin.WebPImageFile
    raise Unreadable(
        "it is not a picture in PNG, JPEG, BMP, TIFF or WebP format",
        "save it in one of these or leave it out (--skip-bad)",
    )


def _max_pixels() -> int:
    """ODDGAN_MAX_PIXELS, read at every call; Pillow's own limit is raised with it, never lowered."""
    value = os.environ.get("ODDGAN_MAX_PIXELS", "").strip()
    if not value:
        return MAX_PIXELS
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise ParameterError(f"ODDGAN_MAX_PIXELS must be a number of pixels such as 200000000, not {value!r}")
    if Image.MAX_IMAGE_PIXELS is not None and int(value) > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = int(value)
    return int(value)


def _rawmode(image: ImageFile) -> str:
    """The layout of the pixels in the file, such as "RGB;16B"; empty where the reader does not report it."""
    arguments: Any = image.tile[0][3] if image.tile else ""
    first = arguments if isinstance(arguments, str) else next(iter(arguments or ()), "")
    return first if isinstance(first, str) else ""


def _orientation(image: ImageFile, *, loaded: bool = True) -> int:
    """EXIF orientation, 1 to 8. A damaged EXIF block is ignored, since the pixels are still good."""
    try:
        found = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"} & image.info.keys()
        if image.format == "PNG" and not loaded and not found:
            # Some programs write EXIF after the pixels, and Pillow would decode them to get there.
            return _png_orientation(image)
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # as in `decode`
        return 1


def _png_orientation(image: ImageFile) -> int:
    stream = image.fp
    assert stream is not None
    stream.seek(8)
    while len(start := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", start)
        if kind == b"eXIf":
            exif = Image.Exif()
            exif.load(stream.read(length))
            return int(exif.get(_ORIENTATION, 1))
        stream.seek(length + 4, os.SEEK_CUR)
    return 1


def _is_grey(image: ImageFile) -> bool:
    if image.mode != "P":
        return image.mode in {"1", "L", "LA", "La"}
    palette = image.palette
    if palette is None or not palette.palette:
        raise Unreadable("it is damaged: its palette is missing")
    # Not `image.getpalette()`, which decodes. A TIFF palette is stored by channel, others by colour.
    mode = palette.rawmode or palette.mode
    values = np.frombuffer(bytes(palette.palette), np.uint8)
    colours = values.reshape(3, -1).T if mode.endswith(";L") else values.reshape(-1, len(mode))[:, :3]
    return bool((colours == colours[:, :1]).all())


def _pixels(image: ImageFile, rawmode: str) -> Array:
    mode = image.mode
    if mode.startswith("I;16"):
        deep = np.array(image).astype(np.uint16)
        if isinstance(key := image.info.get("transparency"), int):
            deep[deep == key] = 0
        return deep
    if mode == "I":
        whole = np.array(image)
        if rawmode == "I;32N":  # Pillow reads unsigned values as signed
            whole = whole.view(np.uint32)
        fits = whole.min() >= 0 and whole.max() <= np.iinfo(np.uint16).max
        return whole.astype(np.uint16 if fits else np.float32)
    if mode == "F":
        return np.array(image, dtype=np.float32)
    grey = _is_grey(image)
    try:
        if image.has_transparency_data:
            clear = image.convert("LA" if mode == "La" else "RGBA").convert("RGBA")
            flat = Image.new("RGB", image.size)
            flat.paste(clear.convert("RGB"), (0, 0), clear.getchannel("A"))
            return np.array(flat.getchannel(0) if grey else flat)
        return np.array(image.convert("L" if grey else "RGB"))
    except (ValueError, OSError) as error:
        raise Unreadable(f"its colour mode {mode} cannot be converted", "save it as RGB") from error


def _damaged(error: Exception) -> Unreadable:
    text = _one_line(error)
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return Unreadable("the file is truncated")
    return Unreadable(f"it is damaged and cannot be decoded ({text})")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
