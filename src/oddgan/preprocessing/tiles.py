"""Pictures larger than the network: cut into square tiles at their own resolution, never shrunk until a defect is gone.

Training draws tiles at random places. Scoring looks at every tile of a regular grid whose last row and column are flush
with the picture's border, so that no pixel is left out; what was computed of tiles is pooled and put back together by
picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from ..errors import ArtifactError, DataError
from ..rows.pictures import PictureRows, look_at
from . import fingerprints
from .exposure import Exposure
from .parts import Block, Canvas, Laid, Parts, Values, by_row, joined, mean_of_largest
from .pictures import IN_MEMORY, PicturePreprocessor, PreparedPictures
from .region import Region
from .resizing import resize
from .sizes import LONGEST_SIDE, network_size

if TYPE_CHECKING:
    from torch import Tensor


class Tile(NamedTuple):
    """Where a tile was cut: `top` and `left` pixel, in which `picture` (H, W, C); `first`, `last`: whether it is the
    picture's first or last one."""

    top: int
    left: int
    picture: np.ndarray
    first: bool
    last: bool

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the picture."""
        height, width = self.picture.shape[:2]
        return height, width


@dataclass(frozen=True, kw_only=True)
class TilePreprocessor(PicturePreprocessor):
    """How pictures reach the networks in tiles.

    `tile`: side in pixels of the squares that are cut, `size`: what a tile is resized to, `stride`: pixels from one
    tile of the grid to the next. Pictures may have any size from one tile up.
    """

    tile: int
    stride: int

    stored_as = "tiles"
    own_facts = ("tile", "stride")

    @classmethod
    def fit(
        cls,
        pictures: PictureRows,
        numbers: np.ndarray,
        *,
        size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        value_range: tuple[float, float] | None = None,
        convert: bool = False,
        tile: int = LONGEST_SIDE,
        stride: int | None = None,
        roi: tuple[int, int, int, int] | str | None = None,
        exposure: Exposure = "none",
    ) -> Self:
        """As for whole pictures; without `size` a tile keeps its own, at most 64, and `stride` is half a tile."""
        found = look_at(pictures, channels=channels, convert=convert)
        for i, (height, width) in zip(found.numbers, found.sides, strict=True):
            if min(height, width) < tile:
                raise DataError(f"{pictures.name(int(i))}: {_too_small(height, width, tile)}")
        result = cls(
            size=network_size(size, np.array([tile, tile])),
            channels=found.channels,
            dtype=found.dtype,
            value_range=value_range or (0.0, 255.0),
            native_size=None,
            native_channels=found.native_channels,
            convert=convert,
            tile=int(tile),
            stride=int(stride or max(1, tile // 2)),
            region=Region.of(roi, found.sides),
        )
        return result._exposed(exposure, pictures, numbers)._ranged(value_range, pictures, numbers)

    def _stored(self, pictures: PictureRows, numbers: np.ndarray) -> Iterator[np.ndarray]:
        return (self.row(pictures, int(i))[0] for i in numbers)

    def fit_in(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, C) -> (H, W, channels) of the model's type, at its own size. Raises `DataError` for one that must not
        be, or that is smaller than a tile."""
        return self.seen(picture)

    def seen(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, C) -> (H, W, channels) of the model's type, filled outside the region. Raises what `fit_in` does."""
        checked = self.at_level(self.checked(picture))
        return checked if self.region is None else self.region.filled(checked)

    def check(self, picture: np.ndarray) -> None:
        """Raise `DataError` for a picture (H, W, C) that the model does not take, or that is smaller than a tile."""
        height, width = picture.shape[:2]
        if min(height, width) < self.tile:
            raise DataError(_too_small(height, width, self.tile))
        super().check(picture)

    def parts(self, rows: PictureRows) -> Parts:
        """The grid's tiles of all pictures, each picture read once."""
        return _Read(self, rows)

    def blocks_of(self, pictures: Iterable[np.ndarray], n: int) -> Iterator[Block]:
        """The grid's tiles of all `pictures` (H, W, channels), picture by picture and line by line, n at a time; a
        block may hold tiles of several. No more than n are held at once."""
        cut: list[np.ndarray] = []
        tiles: list[Tile] = []
        of: list[int] = []
        for row, picture in enumerate(pictures):
            corners = self.corners(picture.shape[:2])
            for k, (top, left) in enumerate(corners):
                cut.append(self.cut(picture, top, left))
                tiles.append(Tile(top, left, picture, k == 0, k == len(corners) - 1))
                of.append(row)
                if len(cut) == n:
                    yield Block(self.tensor(np.stack(cut)), np.array(of), tiles)
                    cut, tiles, of = [], [], []
        if cut:
            yield Block(self.tensor(np.stack(cut)), np.array(of), tiles)

    def corners(self, size: Sequence[int]) -> list[tuple[int, int]]:
        """Top and left of the grid's tiles in a picture of this size, line by line; only those that hold some of the
        region."""
        tops, lefts = (starts(length, self.tile, self.stride) for length in size)
        usable = None if self.region is None else self.region.corners(size, self.tile)
        return [(top, left) for top in tops for left in lefts if usable is None or usable[top, left]]

    def pooled(self, parts: Iterable[tuple[Block, Values]], top: int) -> dict[str, np.ndarray]:
        """The terms of pictures, (n,) by name: of each, the mean of its tiles' `top` largest."""
        found = by_row((block.row, values) for block, values in parts)
        return joined({n: np.array([mean_of_largest(v, top)]) for n, v in terms.items()} for terms in found)

    def averaged(self, parts: Iterable[tuple[Block, np.ndarray]]) -> np.ndarray:
        """Vectors of pictures (n, k): the means of their tiles'."""
        return np.stack([of["z"].mean(0) for of in by_row((block.row, {"z": z}) for block, z in parts)])

    def canvas(self) -> Canvas:
        """What lays tiles back where they were cut."""
        return Mosaic(self)

    def counted(self, size: Sequence[int]) -> np.ndarray | None:
        """Which places of a map of the picture's own size (H, W) count; None: all."""
        return None if self.region is None else self.region.at(size)

    def spread_map(self, heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A map of the picture's own size (H, W); outside the region the lowest value inside."""
        del size
        return heat if self.region is None else self.region.only(heat)

    def fingerprints(self, block: Block) -> np.ndarray:
        """Fingerprints (r,) uint64 of the pictures whose last tile is in the block."""
        return np.array([fingerprints.of_picture(tile.picture) for tile in block.place if tile.last], np.uint64)

    def trained_on(self, prepared: PreparedTiles) -> np.ndarray:
        """Sorted fingerprints (n,) uint64 of whole training pictures: a tile alone says little about where it was
        cut."""
        return np.sort(np.array([fingerprints.of_picture(picture) for picture in prepared.whole()], np.uint64))

    def cut(self, picture: np.ndarray, top: int, left: int) -> np.ndarray:
        """The tile at that place of a picture (H, W, C), as it is stored for the networks: (h, w, C)."""
        return resize(picture[top : top + self.tile, left : left + self.tile], self.size)

    def spread(self, x: Tensor) -> Tensor:
        """The inverse of the resizing in `cut`: values (b, C, h, w) float32 of tiles at (b, C, tile, tile)."""
        if x.shape[2:] == (self.tile, self.tile):
            return x
        from torch.nn import functional as F

        return F.interpolate(x, size=(self.tile, self.tile), mode="bilinear", antialias=True)

    def prepare(self, rows: PictureRows, numbers: np.ndarray) -> PreparedTiles:  # type: ignore[override]
        """The training pictures `numbers` of `rows`, whole: kept in memory up to its limit. Beyond it, pictures of
        one size are mapped from the cache where the source has one; others are read again at every draw."""
        chosen = [int(i) for i in numbers]
        if self._from_cache(rows, chosen):
            store, places = rows.source.cached(self._cache_key(), self._decoded, chosen)
            mapped = [store[place] for place in places]
            return PreparedTiles(self, rows, chosen, mapped, [picture.shape[:2] for picture in mapped])
        kept: list[np.ndarray | None] = []
        sizes, held = [], 0
        for i in chosen:
            picture = self.row(rows, i)[0]
            held += picture.nbytes
            kept.append(picture if held <= IN_MEMORY else None)
            sizes.append(picture.shape[:2])
        return PreparedTiles(self, rows, chosen, kept, sizes)

    def _from_cache(self, pictures: PictureRows, rows: Sequence[int]) -> bool:
        if not (hasattr(pictures.source, "cached") and hasattr(pictures.source, "header")):
            return False
        sizes = [pictures.header(i)[:2] for i in rows]
        pixels = sum(height * width for height, width in sizes)
        return (
            len(set(sizes)) == 1
            and min(sizes[0]) >= self.tile
            and pixels * self.channels * np.dtype(self.dtype).itemsize > IN_MEMORY
        )

    def _cached_facts(self) -> dict[str, Any]:
        """Pictures are cached whole: another tile needs no other cache."""
        names = ("dtype", "channels", "convert", "native_channels")
        facts = {"whole": True, **{name: getattr(self, name) for name in names}}
        if self.exposure != "none":
            facts |= {"exposure": self.exposure, "level": self.level}
        return facts if self.region is None else {**facts, "region": self.region.digest}

    def describe(self) -> str:
        """One line for a user."""
        return f"tiles of {self.tile}x{self.tile}, one every {self.stride}, of {super().describe()}"

    @classmethod
    def from_manifest(cls, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """The inverse of `to_manifest`. Raises `ArtifactError` when a fact is missing or impossible."""
        result = super().from_manifest(facts, arrays)
        if not 0 < result.stride <= result.tile:
            raise ArtifactError("the preprocessing of tiles is inconsistent")
        return result


class _Read:
    """Pictures in blocks of tiles, each read once, when its tiles are asked for."""

    def __init__(self, preprocessor: TilePreprocessor, pictures: PictureRows) -> None:
        self.preprocessor, self.pictures = preprocessor, pictures

    def blocks(self, size: int) -> Iterator[Block]:
        whole = (self.preprocessor.row(self.pictures, i)[0] for i in range(len(self.pictures)))
        return self.preprocessor.blocks_of(whole, size)


class PreparedTiles:
    """Training pictures whole, as a source of tiles.

    Its length, an epoch, is the number of tiles that cover each picture once, ceil(H / tile) * ceil(W / tile): draws
    that overlap more would teach little more. The places that a tile can have in a picture are dealt out among that
    picture's numbers, as evenly as they go, and a draw takes one of its share at random: an epoch looks at every part
    of every picture, and over many of them a tile may lie anywhere.
    """

    def __init__(
        self,
        preprocessor: TilePreprocessor,
        source: PictureRows,
        rows: Sequence[int],
        kept: Sequence[np.ndarray | None],
        sizes: Sequence[tuple[int, ...]],
    ) -> None:
        self.preprocessor, self.source, self.rows, self.kept = preprocessor, source, rows, kept
        sides = np.array(sizes, dtype=int).reshape(-1, 2)
        self.shares = -(-sides // preprocessor.tile)  # of each picture, by height and by width
        self.places = sides - preprocessor.tile + 1
        self.ends = np.cumsum(self.shares.prod(1))

    def __len__(self) -> int:
        return int(self.ends[-1])

    def picture(self, k: int) -> np.ndarray:
        """Training picture k, (H, W, channels)."""
        kept = self.kept[k]
        return self.preprocessor.row(self.source, self.rows[k])[0] if kept is None else kept

    def whole(self) -> Iterator[np.ndarray]:
        """Every training picture, one after the other."""
        return (self.picture(k) for k in range(len(self.rows)))

    def blocks(self, size: int) -> Iterator[Block]:
        """The grid's tiles of every training picture, `size` at a time."""
        return self.preprocessor.blocks_of(self.whole(), size)

    def batch(self, numbers: np.ndarray) -> Tensor:
        """A tile for each of `numbers`, (b, C, h, w) float32 in [-1, 1]; where in its share it lies is drawn with
        torch's global generator, which the training loop seeds for every update."""
        import torch

        return self.preprocessor.tensor(self._drawn(numbers, torch.rand(len(numbers), 2).double().numpy()))

    def sample(self, most: int, seed: int) -> PreparedPictures:
        """`most` tiles, or as many as there are, each as a row of its own; drawn by the seed alone."""
        random = np.random.default_rng([seed, len(self)])
        numbers = np.sort(random.permutation(len(self))[:most])
        return PreparedPictures(
            self.preprocessor, self._drawn(numbers, random.random((len(numbers), 2))), np.arange(len(numbers))
        )

    def _drawn(self, numbers: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Tiles (b, h, w, C), each at the place that u (b, 2) in [0, 1) picks from its number's share."""
        of = np.searchsorted(self.ends, numbers, side="right")
        inside = numbers - (self.ends - self.shares.prod(1))[of]
        share = np.stack(np.divmod(inside, self.shares[of, 1]), axis=1)
        corners = np.floor((share + u) * self.places[of] / self.shares[of]).astype(int)
        corners = np.minimum(corners, self.places[of] - 1)  # u may be so near 1 that the sum is rounded up
        cut = np.empty((len(numbers), *self.preprocessor.size, self.preprocessor.channels), self.preprocessor.dtype)
        region = self.preprocessor.region
        for k in np.unique(of):
            picture = self.picture(int(k))  # once, however many tiles are drawn of it
            for j in np.flatnonzero(of == k):
                top, left = map(int, corners[j])
                if region is not None:
                    top, left = region.nearest_corner(picture.shape[:2], self.preprocessor.tile, top, left)
                cut[j] = self.preprocessor.cut(picture, top, left)
        return cut


class Mosaic:
    """Tiles' values laid back where the tiles were cut, in the order of `blocks_of`; where tiles overlap, their
    mean."""

    def __init__(self, preprocessor: TilePreprocessor) -> None:
        self.preprocessor, self.tile, self.stride = preprocessor, preprocessor.tile, preprocessor.stride
        self._canvas = np.empty(0, np.float32)

    def add(self, block: Block, values: Tensor) -> list[Laid]:
        """Lay down values (b, C, h, w) of tiles. Returns the pictures whose last tile has come, at their own size."""
        complete = []
        for tile, value in zip(block.place, np.asarray(self.preprocessor.spread(values)), strict=True):
            if tile.first:
                self._canvas = np.zeros((len(value), *tile.size), np.float32)
            self._canvas[:, tile.top : tile.top + self.tile, tile.left : tile.left + self.tile] += value
            if tile.last:
                self._canvas /= self._covered(tile.size)
                complete.append(Laid(self._canvas[None], [tile.size]))
        return complete

    def _covered(self, size: tuple[int, int]) -> np.ndarray:
        """How many of the grid's tiles cover each pixel (H, W), 1 where none does."""
        if self.preprocessor.region is None:
            return np.outer(*(self._overlaps(length) for length in size))
        over = np.zeros(size, np.float32)
        for top, left in self.preprocessor.corners(size):
            over[top : top + self.tile, left : left + self.tile] += 1
        return np.maximum(over, 1)

    def _overlaps(self, length: int) -> np.ndarray:
        """How many of the grid's tiles cover each pixel of one axis, (length,) float32."""
        over = np.zeros(length, np.float32)
        for start in starts(length, self.tile, self.stride):
            over[start : start + self.tile] += 1
        return over


def starts(length: int, tile: int, stride: int) -> list[int]:
    """Where the grid's tiles begin along an axis of `length` pixels: every `stride`, the last flush with the end."""
    return [*range(0, length - tile, stride), length - tile]


def _too_small(height: int, width: int, tile: int) -> str:
    return f"{height}x{width} pixels, which is smaller than a tile of {tile}x{tile}: leave it out or use a smaller tile"
