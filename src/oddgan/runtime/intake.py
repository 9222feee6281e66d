"""Rows as the graph takes them: what `oddgan.preprocessing` does up to where it would need torch, with its own code.

The graph resizes, maps values and encodes columns. Before it, pictures are checked, brought to the model's channels,
exposure and region, and cut into tiles; a table's texts become codes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from ..errors import ArtifactError
from ..preprocessing import PicturePreprocessor, Preprocessor, TablePreprocessor, TilePreprocessor
from ..preprocessing.parts import Block
from ..rows import PictureRows, Rows
from ..rows.tables import BOOLEANS, TableRows

LARGEST_POWER = 600.0  # beyond, float64 overflows
MOST_VALUES = 2**24  # of pictures that are resized together


class WholePictures(PicturePreprocessor):
    """Pictures as they are: the graph resizes them."""

    def resized_map(self, heat: np.ndarray, size: Sequence[int]) -> np.ndarray:
        """A map (h, w) float32 at another size, bilinear."""
        return resized(heat, size)

    def restore(self, tensor: Any) -> np.ndarray:
        """From the networks' values (b, C, h, w) float32 to the user's, (b, h, w[, C]) float32."""
        return _restored(self, tensor)


class PicturesInTiles(TilePreprocessor):
    """Pictures in tiles at their own resolution: the graph resizes each tile."""

    def resized_map(self, heat: np.ndarray, size: Sequence[int]) -> np.ndarray:
        """A map (h, w) float32 at another size, bilinear."""
        return resized(heat, size)

    def restore(self, tensor: Any) -> np.ndarray:
        """From the networks' values (b, C, h, w) float32 to the user's, (b, h, w[, C]) float32."""
        return _restored(self, tensor)

    def cut(self, picture: np.ndarray, top: int, left: int) -> np.ndarray:
        """The tile at that place of a picture (H, W, C), (tile, tile, C)."""
        return picture[top : top + self.tile, left : left + self.tile]

    def tensor(self, stored: np.ndarray) -> Any:
        """Tiles as they are."""
        return stored

    def spread(self, x: Any) -> Any:
        """Values (b, C, h, w) float32 of tiles at (b, C, tile, tile)."""
        return resized(x, (self.tile, self.tile))


def _restored(preprocessor: PicturePreprocessor, made: np.ndarray) -> np.ndarray:
    low, high = preprocessor.value_range
    x = ((np.asarray(made, np.float32) + 1) * np.float32((high - low) / 2) + np.float32(low)).transpose(0, 2, 3, 1)
    return x[..., 0] if preprocessor.channels == 1 else x


_KINDS: dict[str, Any] = {"pictures": WholePictures, "tiles": PicturesInTiles, "table": TablePreprocessor}


def from_manifest(facts: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Preprocessor:
    """The preprocessing that an export describes. Raises `ArtifactError`."""
    if facts.get("kind") not in _KINDS:
        raise ArtifactError(f"unknown kind of preprocessing {facts.get('kind')!r:.40}")
    return cast(Preprocessor, _KINDS[facts["kind"]].from_manifest(facts, dict(arrays)))


def blocks(preprocessor: Preprocessor, rows: Rows, size: int) -> Iterator[Block]:
    """All rows as blocks of at most `size` parts: `x` is an array as the graph takes it, of pictures (b, H, W, C) of
    one size, of tables (b, k) float64."""
    if isinstance(preprocessor, TablePreprocessor):
        matched = preprocessor.matched(cast(TableRows, rows))
        for start in range(0, len(matched), size):
            values = np.ascontiguousarray(matched[start : start + size].values, np.float64)
            yield _block(values, np.arange(start, start + len(values)))
    elif isinstance(preprocessor, PicturesInTiles):
        pictures = cast(PictureRows, rows)
        yield from preprocessor.blocks_of((preprocessor.row(pictures, i)[0] for i in range(len(pictures))), size)
    else:
        yield from _whole(cast(WholePictures, preprocessor), cast(PictureRows, rows), size)


def _whole(preprocessor: WholePictures, pictures: PictureRows, size: int) -> Iterator[Block]:
    """Pictures of one size together, as many as memory allows."""
    held: list[np.ndarray] = []
    places: list[tuple[int, int]] = []
    start = 0
    for i in range(len(pictures)):
        seen, place = preprocessor.row(pictures, i, seen=True)
        full = len(held) == size or (len(held) + 1) * seen.size > MOST_VALUES
        if held and (full or seen.shape != held[0].shape):
            yield _block(np.stack(held), np.arange(start, i), places)
            held, places, start = [], [], i
        held.append(seen)
        places.append(place)
    if held:
        yield _block(np.stack(held), np.arange(start, len(pictures)), places)


def restored(preprocessor: TablePreprocessor, made: np.ndarray) -> np.ndarray:
    """From the networks' values (b, d) float32 to the user's, as `TablePreprocessor.restore` does: (b, k) float64 for a
    table of numbers, objects where a column holds text or booleans."""
    numbers = preprocessor.numbers
    number = [i for i, kind in enumerate(preprocessor.kinds) if kind == "number"]
    x = np.array(made[:, : len(number)], np.float64)
    if numbers.knots is None or numbers.ranks is None:
        x = x * numbers.scale + numbers.center
    else:
        x = np.stack([_along(*one) for one in zip(x.T, numbers.ranks, numbers.knots, strict=True)], axis=1)
    if numbers.log_center is not None and numbers.log_scale is not None:
        far = np.sign(x) * np.expm1(np.minimum(np.abs(x), LARGEST_POWER)) * numbers.log_scale + numbers.log_center
        x = np.where(numbers.log_scale > 0, far, x)
    missed = np.flatnonzero(numbers.missed)
    first = len(number) + len(missed)
    x[:, missed] = np.where(made[:, len(number) : first] > 0.5, np.nan, x[:, missed])
    if preprocessor.all_numbers:
        return x
    result = np.empty((len(made), len(preprocessor.kinds)), dtype=object)
    result[:, number] = x
    for i, one in enumerate(preprocessor.categories):
        if one is None:
            continue
        boolean = preprocessor.kinds[i] == "boolean"
        known = [value == "True" if boolean and value in BOOLEANS else value for value in one.values]
        columns = made[:, first : first + one.size]
        largest = columns.argmax(axis=1) if one.size else np.zeros(len(made), int)
        result[:, i] = np.array([*known, None], dtype=object)[largest]
        first += one.size
    return result


def _along(x: np.ndarray, knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where x (b,) lies on the straight lines from knot to knot; beyond the ends, on the outermost ones."""
    low = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, int(np.isfinite(knots).sum()) - 2)
    share = (x - knots[low]) / (knots[low + 1] - knots[low])
    return np.asarray(values[low] + share * (values[low + 1] - values[low]))


def _block(x: np.ndarray, row: np.ndarray, place: Sequence[Any] = ()) -> Block:
    return Block(cast(Any, x), row, place)


def resized(maps: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Maps (..., h, w) float32 at another size (H, W), bilinear and antialiased."""
    height, width = int(size[0]), int(size[1])
    if maps.shape[-2:] == (height, width):
        return maps
    down, across = (weights(n, m).astype(np.float32) for n, m in zip(maps.shape[-2:], (height, width), strict=True))
    return np.ascontiguousarray(down.T @ (np.ascontiguousarray(maps, np.float32) @ across))


def weights(n: int, m: int) -> np.ndarray:
    """How much each of n pixels counts for each of the m that they become, (n, m) float64: a triangle that reaches
    over two of the larger pixels, cut at the border, of sum 1."""
    scale = n / m
    reach = max(scale, 1.0)
    centre = scale * (np.arange(m) + 0.5)
    low = np.maximum(np.floor(centre - reach + 0.5), 0)
    high = np.minimum(np.floor(centre + reach + 0.5), n)
    place = np.arange(n)[:, None]
    found = np.maximum(1 - np.abs(place - centre + 0.5) / reach, 0)
    found = np.where((place >= low) & (place < high), found, 0)
    return np.asarray(found / found.sum(axis=0))
