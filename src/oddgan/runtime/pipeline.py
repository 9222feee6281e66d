"""From rows to score terms, with an engine in place of torch: the counterpart of `oddgan.model.terms`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..model.maps import RowMaps
from ..preprocessing import Preprocessor
from ..preprocessing.parts import Block
from ..rows import Rows
from ..verdict import Combination
from ..verdict.patches import PatchMemory, patch_vectors, resized
from . import intake
from .engines import Engine

TERM, EMBEDDING, MAP, X_HAT, SHARES = "term_", "embedding_", "map", "x_hat", "shares"
"""What a graph's outputs are called: terms by their names, embeddings by number."""


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """What was computed of b parts: `terms` (b,) float64 by name, `embeddings` to compare with reference rows, and,
    where they were asked for and there are any, the raw `maps` (b, 1, h, w), `x_hat` (b, ...) and of tables the
    `shares` (b, k)."""

    terms: dict[str, np.ndarray]
    embeddings: list[np.ndarray]
    maps: np.ndarray | None
    x_hat: np.ndarray | None
    shares: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Pipeline:
    """`memory`: patches that feature maps are compared with; `own`: whether they are the detector's own, so that its
    terms are distances to them. `top_tiles`: as the detector's parameter; `block_size`: parts that are computed
    together at most."""

    engine: Engine
    preprocessor: Preprocessor
    memory: PatchMemory | None = None
    own: bool = False
    top_tiles: int = 1
    block_size: int = 64

    @property
    def maps(self) -> bool:
        """Whether there are maps of parts."""
        return self.memory is not None or MAP in self.engine.outputs

    def each(
        self, rows: Rows, asked: Sequence[str], *, maps: bool, more: Sequence[str] = ()
    ) -> Iterator[tuple[Block, Found]]:
        """All parts of the rows, block by block: the terms `asked` for, raw maps if wanted, and `more` outputs."""
        for block in intake.blocks(self.preprocessor, rows, self.block_size):
            yield block, self.found(block, asked, maps=maps, more=more)

    def found(self, block: Block, asked: Sequence[str], *, maps: bool, more: Sequence[str] = ()) -> Found:
        """The same of one block."""
        outputs = self.engine.outputs
        wanted = [name for name in outputs if name.startswith(EMBEDDING)]
        embeddings = list(wanted)
        wanted += [TERM + name for name in asked if TERM + name in outputs]
        wanted += [name for name in (MAP, *more) if name in outputs and (name != MAP or maps)]
        got = self.engine.run(np.asarray(block.x), wanted)
        terms = {name: got[TERM + name].astype(np.float64) for name in asked if TERM + name in got}
        compared, raw = [np.asarray(got[name], np.float32) for name in embeddings], got.get(MAP)
        if self.memory is not None:
            near = np.stack([self.memory.distances(patches) for patches in patch_vectors(compared)])
            if self.own:
                flat = near.reshape(len(near), -1)
                own = {"max": flat.max(1).astype(np.float64), "mean": flat.mean(1, dtype=np.float64)}
                terms |= {name: own[name] for name in asked}
            raw, compared = (resized(near, self.preprocessor.shape[1:])[:, None] if maps else None), []
        return Found(terms, compared, raw, got.get(X_HAT), got.get(SHARES))

    def pooled(self, rows: Rows, combination: Combination, maps: RowMaps | None = None) -> dict[str, np.ndarray]:
        """The terms that the score is made of, (n,) float64 by name. `maps` as `TermComputer.pooled` has them."""

        def terms() -> Iterator[tuple[Block, dict[str, np.ndarray]]]:
            for block, found in self.each(rows, combination.asked, maps=maps is not None):
                if maps is not None and found.maps is not None:
                    maps.add(block, found.maps)  # type: ignore[arg-type]  # an array in place of a tensor
                yield block, combination.terms(found.terms, found.embeddings)

        pooled = self.preprocessor.pooled(terms(), self.top_tiles)
        return {**pooled, **maps.terms} if maps is not None and combination.by_map else pooled
