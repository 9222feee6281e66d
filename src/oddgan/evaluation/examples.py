"""The few test rows that are kept as examples, as pictures ready for display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..rows import PictureRows, Rows
from .results import Example, Group

if TYPE_CHECKING:
    from ..data import Split
    from ..detector import Explanation

LONGEST_SIDE = 768  # of an example: enough to look at
COLUMNS = 5  # of a table row: those with the largest share in its residual


class Gallery:
    """The most anomalous rows, the worst misses and the worst false alarms among all rows added so far."""

    def __init__(self, size: int, split: Split, labels: np.ndarray | None, facts: Mapping[str, Any]) -> None:
        self.labels = labels
        self.kinds = split.kinds
        preprocessing = facts.get("preprocessing")
        self.value_range = preprocessing.get("value_range") if isinstance(preprocessing, Mapping) else None
        self.sizes: dict[Group, int] = {"most anomalous": size, "miss": size // 2, "false alarm": size // 2}
        self.best: dict[Group, list[tuple[float, int, Example]]] = {group: [] for group in self.sizes}

    def add(
        self,
        start: int,
        rows: Rows,
        found: Explanation,
        names: Sequence[str],
        masks: Sequence[np.ndarray | None],
    ) -> None:
        """Offer `rows`, which are the test rows from `start` on, with their masks."""
        scores, flagged = np.asarray(found.score), np.asarray(found.is_anomaly, dtype=bool)
        offers: dict[Group, tuple[np.ndarray, np.ndarray]] = {
            "most anomalous": (scores, np.ones(len(scores), dtype=bool))
        }
        if self.labels is not None:
            anomalous = self.labels[start : start + len(scores)]
            offers["miss"] = -scores, anomalous & ~flagged
            offers["false alarm"] = scores, ~anomalous & flagged
        for group, (keys, fits) in offers.items():
            new = [(float(keys[j]), start + int(j), None) for j in np.flatnonzero(fits)]
            ranked = sorted([*self.best[group], *new], key=lambda offer: (-offer[0], offer[1]))
            self.best[group] = [
                (key, i, kept or self._example(group, i, i - start, rows, found, names[i], masks[i - start]))
                for key, i, kept in ranked[: self.sizes[group]]
            ]

    def examples(self) -> tuple[Example, ...]:
        """All of them: the most anomalous rows first, then misses, then false alarms."""
        return tuple(example for best in self.best.values() for _, _, example in best)

    def _example(
        self, group: Group, i: int, j: int, rows: Rows, found: Explanation, name: str, mask: np.ndarray | None
    ) -> Example:
        views: dict[str, Any] = {}
        if isinstance(rows, PictureRows):
            from ..preprocessing.resizing import resize_map  # torch comes with it

            original = rows[j]
            low, high = _shown_range(original, self.value_range)
            views["picture"] = picture = _shown(original, low, high)
            if found.reconstruction is not None:
                made = _shown(found.reconstruction[j], low, high)
                if found.roi is not None:
                    made = _shown(found.roi.placed(made, original.shape[:2]), low, high)
                views["reconstruction"] = made
            if found.anomaly_map is not None:
                views["anomaly_map"] = resize_map(np.asarray(found.anomaly_map[j], np.float32), picture.shape[:2])
            if mask is not None:
                views["mask"] = resize_map(np.asarray(mask, np.float32), picture.shape[:2]) >= 0.5
        elif found.anomaly_map is not None:
            shares = np.asarray(found.anomaly_map[j], dtype=np.float64)
            largest = np.argsort(-shares, kind="stable")[:COLUMNS]
            views["columns"] = tuple((found.columns[c], float(shares[c])) for c in largest)
        return Example(
            group=group,
            row=i,
            name=name,
            score=float(found.score[j]),
            p_value=float(found.p_value[j]),
            is_anomaly=bool(found.is_anomaly[j]),
            label=None if self.labels is None else bool(self.labels[i]),
            kind=None if self.kinds is None else self.kinds[i],
            **views,
        )


def _shown_range(picture: np.ndarray, value_range: Sequence[float] | None) -> tuple[float, float]:
    """The values shown as black and white: those of the type, of the model, or of the picture."""
    if picture.dtype == np.uint8:
        return 0.0, 255.0
    low, high = value_range if value_range is not None else (np.min(picture), np.max(picture))
    return float(low), float(high)


def _shown(picture: np.ndarray, low: float, high: float) -> np.ndarray:
    """A picture as uint8 for display, (H, W) or (H, W, 3), no side longer than LONGEST_SIDE."""
    from PIL import Image

    if picture.ndim == 3:
        picture = picture[..., :3] if picture.shape[2] >= 3 else picture[..., 0]
    if picture.dtype != np.uint8:
        scale = 255 / (high - low) if high > low else 0.0
        picture = np.clip(np.rint((picture.astype(np.float64) - low) * scale), 0, 255).astype(np.uint8)
    h, w = picture.shape[:2]
    shrink = LONGEST_SIDE / max(h, w)
    if shrink >= 1:
        return np.ascontiguousarray(picture)
    shape = max(1, round(w * shrink)), max(1, round(h * shrink))
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize(shape, Image.Resampling.BILINEAR))
