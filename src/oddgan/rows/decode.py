"""Decode one picture file into an array, or say in one line why it cannot be used.

The format is recognised by the file's first bytes, never by its name, and Pillow's reader of that format is called
directly: `Image.open` would report large pictures through Python's process-wide warning filters, which cannot be
changed safely while other threads decode.
"""

import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

from ..errors import ParameterError
from .places import files_of, page_of

Array = NDArray[Any]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp"})
"""Suffixes of picture files, in lower case."""

SMALLEST = 8
"""Smallest height and width of a picture, in pixels."""

MAX_PIXELS = 89_478_485
"""Pixels of the largest picture that is decoded unless ODDGAN_MAX_PIXELS is set: Pillow's own limit."""

_ORIENTATION = 0x0112  # the EXIF tag
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
        self.reason = reason


def decode(place: str) -> Array:
    """The picture at `place` (`oddgan.rows.places`) as (H, W) or (H, W, C), uint8, uint16 or float32; raises
    `Unreadable`."""
    files = files_of(place)
    if len(files) == 1:
        return _decoded(files[0])
    channels = [_decoded(file) for file in files]
    first = channels[0]
    for file, channel in zip(files, channels, strict=True):
        if channel.shape[:2] != first.shape[:2] or channel.dtype != first.dtype:
            raise Unreadable(
                f"its channels differ: {_size(first)} in {files[0]}, {_size(channel)} in {file}",
                "bring them to one size and one depth",
            )
    return np.dstack(channels)


def _size(picture: Array) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]} of {picture.dtype.name}"


def _decoded(path: str) -> Array:
    """The picture in one file or on one page."""
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


def header(place: str) -> tuple[int, int, int, str]:
    """(H, W, channels, dtype name) of what `decode` returns, without decoding pixels where possible."""
    heads = [_header(file) for file in files_of(place)]
    return heads[0][0], heads[0][1], sum(head[2] for head in heads), heads[0][3]


def pages(path: str) -> int:
    """How many pages a TIFF file holds; 1 where that cannot be found out."""
    try:
        with open(path, "rb") as stream:
            return int(getattr(TiffImagePlugin.TiffImageFile(stream), "n_frames", 1))
    except Exception:  # what is wrong with it is said when it is read
        return 1


def _header(path: str) -> tuple[int, int, int, str]:
    with _opened(path) as image:
        if image.mode == "I":  # only the pixels show whether the values fit 16 bits
            array = _decoded(path)
            return array.shape[0], array.shape[1], 1, array.dtype.name
        width, height = image.size
        if image.format != "TIFF" and _orientation(image, loaded=False) >= 5:
            width, height = height, width
        if image.mode.startswith("I;16"):
            return height, width, 1, "uint16"
        if image.mode == "F":
            return height, width, 1, "float32"
        return height, width, 1 if _is_grey(image) else 3, "uint8"


@contextmanager
def _opened(path: str) -> Iterator[ImageFile]:
    """The picture with its header read and checked, its pixels not yet decoded."""
    path, page = page_of(path)
    with _stream(path) as stream:
        reader = _reader(stream.read(16))
        stream.seek(0)
        try:
            image: ImageFile = reader(stream)
            frames = 2 if getattr(image, "is_animated", False) else 1
            if page is not None:
                image.seek(page)
                frames = 1
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
        if frames > 1:
            tiff = image.format == "TIFF"
            raise Unreadable(
                "it holds several pictures (pages or frames)",
                f"add #0 to its name for the first, or give the file or its folder as DATA: {os.path.basename(path)}#0"
                if tiff
                else "save each of them in its own file",
            )
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


def _stream(path: str) -> IO[bytes]:
    try:
        about = os.stat(path)
        if stat.S_ISDIR(about.st_mode):
            raise Unreadable("it is a folder, not a picture", "name a picture file")
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable("it is not a regular file", "name a picture file")
        if about.st_size == 0:
            raise Unreadable("the file is empty")
        return open(path, "rb")
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
    if start.startswith((b"II\x2a\x00", b"MM\x00\x2a", b"II\x2b\x00", b"MM\x00\x2b")):
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
    if palette is None:
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
