"""Pictures whose files are held in memory, as they come over a network: the same formats, limits and refusals."""

from . import decode
from .decode import Array, Unreadable

__all__ = ["Unreadable", "decode_bytes", "header_of_bytes"]


def decode_bytes(data: bytes) -> Array:
    """The picture in a PNG, JPEG, BMP, TIFF or WebP file of these bytes, as `oddgan.rows.picture_files.read_picture`
    has it: (H, W) or (H, W, C), uint8, uint16 or float32. Raises `Unreadable`."""
    return decode._decoded(data)


def header_of_bytes(data: bytes) -> tuple[int, int, int, str]:
    """(H, W, channels, dtype name) of what `decode_bytes` returns, without decoding pixels where possible. Raises
    `Unreadable`."""
    return decode._header(data)
