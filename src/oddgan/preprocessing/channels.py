"""Grey pictures in colour, and pictures in colour grey."""

import numpy as np

from ..errors import DataError


def to_channels(picture: np.ndarray, channels: int) -> np.ndarray:
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
