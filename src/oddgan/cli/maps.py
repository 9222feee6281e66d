"""Anomaly maps of scored pictures as files: to look at, or to compute with."""

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from ..errors import OutputError, ParameterError
from ..files import whole_file
from ..rows.places import SUFFIXES

if TYPE_CHECKING:
    from ..colours import Shades
    from ..detector import Detector
    from ..model import Explanation

MARK = ("Description", "oddgan heat map")
"""What a map says of itself in its file, so that nothing but a map is ever replaced by one."""

KINDS = {"overlay": ".png", "panel": "_panel.png", "mask": "_mask.png", "npy": ".npy", "tiff": ".tiff"}
"""What may be written of each picture, and how its file's name ends."""

_DESCRIPTION = 270  # the tag of TIFF files
_NPY_MARK = MARK[1].encode()  # behind the array, where readers of .npy files do not look
_TAKEN = ("_panel", "_mask")  # how the names of other kinds than the overlay end, before .png


def kinds_of(text: str) -> tuple[str, ...]:
    """The kinds of files that an option names, "overlay,mask". Raises `ParameterError`."""
    kinds = tuple(dict.fromkeys(kind.strip() for kind in text.split(",")))
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise ParameterError(f"--map-as {unknown[0]}: choose among {', '.join(KINDS)}, several separated by commas")
    return kinds


def scale_of(times: float | None) -> float | None:
    """How many times the threshold is shown at full strength; None: as usual. Raises `ParameterError`."""
    if times is None:
        return None
    from ..colours import FAINTEST

    if not FAINTEST < times < math.inf:
        raise ParameterError(f"--map-scale {times:g}: must be a number above {FAINTEST:g}, where colours begin")
    return times


def map_path(name: str | int, kind: str = "overlay") -> Path:
    """Where, below the folder of maps, what is written of the picture called `name` goes.

    Its own path with the kind's ending, in place of .png or added to any other one: one picture, one file, whatever the
    others are called. To names that the files of another picture may have, such as a.jpg.png and a_mask.png, it is
    added, too. Nothing is written outside the folder of maps: there "_up" stands for .. and "_root" for the root, so
    that ../x/a.png, /x/a.png and x/a.png keep files of their own; a folder that is called so gets one more underscore.
    """
    ending = KINDS[kind]
    if isinstance(name, int):
        return Path(f"{name}{ending}")
    path = PurePosixPath(name)
    folders = [_inside(part) for part in path.parts[:-1]]
    own = path.suffix == ".png" and not path.stem.endswith(_TAKEN)
    own = own and PurePosixPath(path.stem).suffix.lower() not in SUFFIXES
    return Path(*folders, (path.stem if own else path.name) + ending)


def _inside(folder: str) -> str:
    """What a part of a path is called below the folder of maps, another one for every part."""
    if not folder.strip("/"):  # of an absolute path the first part
        return "_root"
    if folder == "..":
        return "_up"
    return f"_{folder}" if re.fullmatch("_+(root|up)", folder) else folder


@dataclass(frozen=True)
class MapFiles:
    """Writes the maps of pictures into `folder`, which becomes `final` when all are there. `fullest`: how many times
    the threshold is shown at full strength, None: as usual."""

    folder: Path
    final: Path
    detector: "Detector"
    kinds: Sequence[str]
    fullest: float | None

    def write(self, name: str | int, picture: np.ndarray, found: "Explanation", i: int) -> None:
        """Write those of picture (H, W, C), row i of what was found. Raises `OutputError`."""
        assert found.anomaly_map is not None
        heat = np.asarray(found.anomaly_map[i], np.float32)
        mask = found.mask(i) if found.map_threshold is not None else np.zeros(heat.shape, bool)
        for kind in self.kinds:
            place = map_path(name, kind)
            check_replaceable(self.final / place)
            with whole_file(self.folder / place) as file:
                if kind == "npy":
                    np.save(file, heat)
                    file.write(_NPY_MARK)
                elif kind == "tiff":
                    file.write(_tiff(heat))
                elif kind == "mask":
                    file.write(_png(mask.astype(np.uint8) * 255))
                else:
                    file.write(_png(self._seen(kind, picture, found, i, heat, mask)))

    def _seen(
        self, kind: str, picture: np.ndarray, found: "Explanation", i: int, heat: np.ndarray, mask: np.ndarray
    ) -> np.ndarray:
        from ..report import located, panel

        shown, shades = self._as_seen(picture), self._shades(found)
        if found.is_anomaly[i]:
            shades = shades.shown_in(heat)
        if kind == "overlay":
            return located(shown, heat, shades, mask if found.map_threshold is not None else None)
        made = None if found.reconstruction is None else found.reconstruction[i]
        if made is not None:
            made = self._as_seen(made if made.ndim == 3 else made[..., None])
            made = made if found.roi is None else found.roi.placed(made, shown.shape[:2])
        return panel(shown, made, heat, shades, mask)

    def _shades(self, found: "Explanation") -> "Shades":
        from ..colours import FULLEST, Shades

        if found.map_threshold is None:  # a model from before maps had a scale: half of black to white is full strength
            return Shades(1.0)
        return Shades.of(found.map_threshold, self.fullest or FULLEST)

    def _as_seen(self, picture: np.ndarray) -> np.ndarray:
        """A picture (H, W, C) as uint8, (H, W) or (H, W, 3); of several channels that are no colours, their mean."""
        if picture.shape[-1] != 3:
            picture = picture[..., 0] if picture.shape[-1] == 1 else picture.mean(axis=-1).astype(picture.dtype)
        return as_seen(picture, self.detector.preprocessor_.value_range)


def check_replaceable(path: Path) -> None:
    """Raise `OutputError` where a map would replace a file that is no map: a picture of the same name."""
    if path.exists() and not _is_marked(path):
        raise OutputError(f"{path}: is no heat map, and a map would replace it; give --maps another folder")


def _is_marked(path: Path) -> bool:
    from PIL import Image

    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:
                file.seek(-len(_NPY_MARK), io.SEEK_END)
                return file.read() == _NPY_MARK
        with Image.open(path) as there:
            tags = getattr(there, "tag_v2", {})
            return MARK[1] in (there.info.get(MARK[0]), tags.get(_DESCRIPTION))
    except Exception:  # whatever a file that is no map makes its reader raise
        return False


def _png(picture: np.ndarray) -> bytes:
    from PIL import Image, PngImagePlugin

    about, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    about.add_text(*MARK)
    Image.fromarray(picture).save(buffer, "PNG", pnginfo=about)
    return buffer.getvalue()


def _tiff(heat: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(heat).save(buffer, "TIFF", tiffinfo={_DESCRIPTION: MARK[1]})
    return buffer.getvalue()


def as_seen(picture: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """A picture as uint8: 8 bits as they are, deeper ones by the model's value range, which is black to white."""
    if picture.dtype == np.uint8:
        return picture
    low, high = value_range
    levels = np.rint((picture.astype(np.float32) - low) * (255 / (high - low)))
    return np.asarray(np.clip(levels, 0, 255), np.uint8)
