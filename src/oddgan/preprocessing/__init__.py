"""From the user's pictures and table rows to the networks' tensors, and back.

What is fitted here is fitted on training rows alone, belongs to the model and is saved with it. How rows come in blocks
of parts: `oddgan.preprocessing.parts`.
"""

from typing import Any, cast

import numpy as np

from ..errors import ArtifactError, ParameterError
from ..rows import PictureRows, Rows
from ..rows.pictures import DECODED
from ..rows.tables import TableRows
from .parts import Preprocessor
from .pictures import PicturePreprocessor
from .prepared import spread
from .region import Region
from .sizes import longest_of, network_size
from .tables import TablePreprocessor
from .tiles import TilePreprocessor

_KINDS: dict[str, type[PicturePreprocessor] | type[TablePreprocessor]] = {
    "pictures": PicturePreprocessor,
    "tiles": TilePreprocessor,
    "table": TablePreprocessor,
}


def fit(rows: Rows, train: np.ndarray, recipe: Any) -> Preprocessor:
    """The preprocessor for these rows, learnt from the training rows with the numbers `train` (m,) alone, as the
    parameters of `recipe` say. Raises `DataError`, `ParameterError`."""
    if isinstance(rows, TableRows):
        if recipe.tile is not None:
            raise ParameterError(f"tile={recipe.tile}: pictures are cut into tiles, and this is a table; leave it out")
        if recipe.roi is not None:
            raise ParameterError(f"roi={recipe.roi}: is a part of pictures, and this is a table; leave it out")
        for name, unset in (("exposure", "none"), ("map_blur", None), ("augment", "none")):
            value = getattr(recipe, name, unset)  # not every detector has every parameter
            if value != unset:
                raise ParameterError(f"{name}={value}: is for pictures, and this is a table; leave it out")
        return TablePreprocessor.fit(rows, train, scaling=recipe.scaling, log_tails=recipe.log_tails, rare=recipe.rare)
    given: dict[str, Any] = {
        name: getattr(recipe, name) for name in ("size", "channels", "value_range", "convert", "roi", "exposure")
    }
    if recipe.tile is not None:
        return TilePreprocessor.fit(rows, train, tile=recipe.tile, stride=recipe.stride, **given)
    return PicturePreprocessor.fit(rows, train, **given)


def longest_side(rows: Rows, recipe: Any) -> int | None:
    """The longer side in pixels of what the networks would get of typical pictures of `rows`, not cut into tiles, with
    the `size` and `roi` of `recipe`; None of a table. Raises `ParameterError` for a region that does not fit."""
    if rows.kind == "table":
        return None
    return longest_of(recipe.size, Region.seen(recipe.roi, sides_of(cast(PictureRows, rows)))[1])


def sides_of(pictures: PictureRows) -> np.ndarray:
    """Heights and widths (m, 2) of all pictures, or of some that lie evenly among many."""
    return np.array([pictures.header(int(i))[:2] for i in spread(len(pictures), DECODED)])


def from_manifest(facts: dict[str, Any], arrays: dict[str, Any]) -> Preprocessor:
    """The preprocessor that a model file describes. Raises `ArtifactError`."""
    if facts.get("kind") not in _KINDS:
        raise ArtifactError(f"unknown kind of preprocessing {facts.get('kind')!r}")
    return _KINDS[facts["kind"]].from_manifest(facts, arrays)


__all__ = [
    "PicturePreprocessor",
    "Preprocessor",
    "Region",
    "TablePreprocessor",
    "TilePreprocessor",
    "fit",
    "from_manifest",
    "longest_of",
    "longest_side",
    "network_size",
    "sides_of",
]
