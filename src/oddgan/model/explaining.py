"""From blocks of parts to an `Explanation` of their rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..preprocessing import PicturePreprocessor, TablePreprocessor
from ..preprocessing.parts import Block
from .explanation import Explanation
from .maps import RowMaps

if TYPE_CHECKING:
    from .model import Model
    from .terms import Found


class Explainer:
    """Gathers what a model finds in rows, block by block. `everything`: terms that the score is not made of,
    reconstructions, and whether a row was trained on, too."""

    def __init__(self, model: Model, *, everything: bool) -> None:
        self.model, self.everything = model, everything
        self.preprocessor = model.preprocessor
        self.maps: RowMaps | None = None
        if isinstance(self.preprocessor, PicturePreprocessor) and model.map_scale is not None:
            self.maps = RowMaps(self.preprocessor, model.map_scale)
        self._raw, self._restored = self.preprocessor.canvas(), self.preprocessor.canvas()
        self._terms: list[tuple[Block, dict[str, np.ndarray]]] = []
        self._shown: list[np.ndarray] = []
        self._shares: list[np.ndarray] = []
        self._reconstructions: list[np.ndarray] = []
        self._prints: list[np.ndarray] = []

    def add(self, block: Block, found: Found) -> None:
        """Add what was found in a block's parts."""
        self._terms.append((block, self.model.combination.terms(found.terms, found.embeddings)))
        if isinstance(self.preprocessor, PicturePreprocessor):
            self._locate(self.preprocessor, block, found.raw_maps(block.x, self.preprocessor))
        elif isinstance(self.preprocessor, TablePreprocessor) and found.x_hat is not None:
            self._shares.append(self.preprocessor.shares(self.preprocessor.heat(block.x, found.x_hat)))
        if not self.everything:
            return
        if found.x_hat is not None:
            for laid in self._restored.add(block, found.x_hat):
                self._reconstructions.append(self.preprocessor.restore(torch.from_numpy(laid.values)))
        self._prints.append(self.preprocessor.fingerprints(block))

    def _locate(self, preprocessor: PicturePreprocessor, block: Block, raw: Tensor | None) -> None:
        if raw is None:
            return
        if self.maps is not None:
            laid = [(one.z, one.sizes) for one in self.maps.add(block, raw)]
        else:  # a model from before maps had a scale
            laid = [(one.values[:, 0], list(one.sizes)) for one in self._raw.add(block, raw)]
        for maps, sizes in laid:
            self._shown.extend(map(preprocessor.spread_map, maps, sizes))

    def explanation(self) -> Explanation:
        """Of all rows so far."""
        model = self.model
        terms = self.preprocessor.pooled(self._terms, model.recipe.top_tiles)
        if self.maps is not None and self._shown:
            terms |= self.maps.terms
        score = model.combination.score(terms)
        prints = self._prints
        return Explanation(
            score=score,
            p_value=model.calibration.p_value(score),
            is_anomaly=score > model.calibration.threshold,
            terms=terms,
            reconstruction=self._reconstruction(),
            anomaly_map=self._shown or (np.concatenate(self._shares) if self._shares else None),
            trained_on=np.isin(np.concatenate(prints), model.trained_on) if prints else np.zeros(len(score), bool),
            columns=getattr(self.preprocessor, "names", ()),
            map_threshold=model.map_threshold,
            roi=None if model.recipe.tile is not None else getattr(self.preprocessor, "region", None),
        )

    def _reconstruction(self) -> np.ndarray | list[np.ndarray] | None:
        if not self._reconstructions:
            return None
        if self.preprocessor.kind == "pictures" and self.model.recipe.tile is not None:
            return [one for some in self._reconstructions for one in some]
        return np.concatenate(self._reconstructions)
