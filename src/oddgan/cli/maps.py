"""Heat maps over pictures, one PNG each."""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from ..errors import OutputError
from ..files import whole_file
from ..rows.decode import SUFFIXES

if TYPE_CHECKING:
    from ..detector import Detector

MARK = ("Description", "oddgan heat map")
"""What a map says of itself in its file, so that nothing but a map is ever replaced by one."""


def map_path(name: str | int) -> Path:
    """Where, below the folder of maps, the heat map of the picture called `name` goes.

    Its own path; with .png added unless it ends so: one picture, one map, whatever the others are called. A name such
    as a.jpg.png, which the map of a.jpg has, gets another .png.
    """
    if isinstance(name, int):
        return Path(f"{name}.png")
    path = PurePosixPath(name)
    parts = [part for part in path.parts if part not in ("/", "..")]
    own = path.suffix == ".png" and PurePosixPath(path.stem).suffix.lower() not in SUFFIXES
    return Path(*parts[:-1], parts[-1] if own else f"{parts[-1]}.png")


def write_map(path: Path, picture: np.ndarray, anomaly_map: np.ndarray, scale: float, detector: "Detector") -> None:
    """Write the heat map of one picture, at the picture's own size."""
    from PIL import Image, PngImagePlugin

    from ..report import overlay

    if picture.shape[-1] != 3:  # of several channels that are no colours, their mean
        picture = picture[..., 0] if picture.shape[-1] == 1 else picture.mean(axis=-1).astype(picture.dtype)
    seen = as_seen(picture, detector.preprocessor_.value_range)
    about = PngImagePlugin.PngInfo()
    about.add_text(*MARK)
    with whole_file(path) as file:
        Image.fromarray(overlay(seen, anomaly_map, scale)).save(file, "PNG", pnginfo=about)


def check_replaceable(path: Path) -> None:
    """Raise `OutputError` where a map would replace a file that is no map: a picture of the same name."""
    from PIL import Image

    if not path.exists():
        return
    try:
        with Image.open(path) as there:
            ours = there.info.get(MARK[0]) == MARK[1]
    except OSError:
        ours = False
    if not ours:
        raise OutputError(f"{path}: is no heat map, and a map would replace it; give --maps another folder")


def as_seen(picture: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """A picture as uint8: 8 bits as they are, deeper ones by the model's value range, which is black to white."""
    if picture.dtype == np.uint8:
        return picture
    low, high = value_range
    levels = np.rint((picture.astype(np.float32) - low) * (255 / (high - low)))
    return np.asarray(np.clip(levels, 0, 255), np.uint8)
