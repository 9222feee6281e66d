"""The few test rows that are kept as examples, as pictures ready for display."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..rows import PictureRows, Rows
from .results import Example

if TYPE_CHECKING:
    from ..detector import Explanation

LONGEST_SIDE = 768  # of an example: enough to look at
COLUMNS = 5  # of a table row: those with the largest share in its residual


class Gallery:
    """The rows that are worth a look, among all rows added so far: the most anomalous, the worst misses, the worst
    false alarms, the most normal, and some of each kind at random. `size`: how many of the most anomalous, and half as
    many each of the others; `labels` (n,) and `kinds` of all rows, where they are known."""

    def __init__(
        self,
        size: int,
        *,
        labels: np.ndarray | None = None,
        kinds: Sequence[str] | None = None,
        facts: Mapping[str, Any],
        random_state: int = 0,
    ) -> None:
        self.labels, self.kinds = labels, kinds
        preprocessing = facts.get("preprocessing")
        self.value_range = preprocessing.get("value_range") if isinstance(preprocessing, Mapping) else None
        half = size // 2
        self.sizes: dict[str, int] = {"most anomalous": size, "miss": half, "false alarm": half, "most normal": half}
        for kind in sorted(set(kinds))[:half] if kinds else [""] * bool(half):
            self.sizes[f"random {kind}"] = max(1, half // len(set(kinds or [""])))
        self.best: dict[str, list[tuple[float, int, Example]]] = {place: [] for place in self.sizes}
        self._random = np.random.default_rng(random_state)

    def add(
        self,
        start: int,
        rows: Rows,
        found: Explanation,
        names: Sequence[str],
        masks: Sequence[np.ndarray | None],
    ) -> None:
        """Offer `rows`, which are the rows from `start` on and have been explained, with their names and masks."""
        for j in self._wanted(start, np.asarray(found.score), np.asarray(found.is_anomaly, dtype=bool)):
            self._keep(start + j, rows, j, found, j, names[j], masks[j])

    def add_scored(
        self,
        start: int,
        rows: Rows,
        scored: tuple[np.ndarray, np.ndarray, np.ndarray],
        names: Sequence[str],
        explain: Callable[[Rows], Explanation],
    ) -> None:
        """Offer `rows`, which are the rows from `start` on: their scores, p-values and verdicts, each (m,), and their
        names. Those that are kept are explained now."""
        score, p_value, flagged = scored
        wanted = self._wanted(start, score, flagged)
        if wanted:
            at = np.array(wanted)
            found = explain(rows.some(at))
            found = replace(found, score=score[at], p_value=p_value[at], is_anomaly=flagged[at])
            for k, j in enumerate(wanted):
                self._keep(start + j, rows, j, found, k, names[j], None)

    def examples(self) -> tuple[Example, ...]:
        """All of them, group by group."""
        return tuple(example for best in self.best.values() for _, _, example in best)

    def _wanted(self, start: int, scores: np.ndarray, flagged: np.ndarray) -> list[int]:
        """Which of these rows are now among the best of a group. What they are there for is noted in `_places`."""
        n = len(scores)
        offers = {"most anomalous": (scores, np.ones(n, bool)), "most normal": (-scores, ~flagged)}
        if self.labels is not None:
            anomalous = self.labels[start : start + n]
            offers["miss"] = -scores, anomalous & ~flagged
            offers["false alarm"] = scores, ~anomalous & flagged
            offers["most normal"] = -scores, ~anomalous & ~flagged
        keys = self._random.random(n)
        kinds = None if self.kinds is None else np.array(self.kinds[start : start + n])
        for place in self.sizes:
            if place.startswith("random "):
                offers[place] = keys, np.ones(n, bool) if kinds is None else kinds == place.removeprefix("random ")
        self._places: dict[int, list[tuple[str, float]]] = {}
        for place, (values, fits) in offers.items():
            held = [(key, i) for key, i, _ in self.best[place]]
            numbers = np.flatnonzero(fits)
            numbers = numbers[np.argsort(-values[numbers], kind="stable")[: self.sizes[place]]]
            new = [(float(values[j]), start + int(j)) for j in numbers]
            kept = sorted([*held, *new], key=lambda offer: (-offer[0], offer[1]))[: self.sizes[place]]
            left = {i for _, i in kept}
            self.best[place] = [one for one in self.best[place] if one[1] in left]
            for key, i in kept:
                if i >= start:
                    self._places.setdefault(i - start, []).append((place, key))
        return sorted(self._places)

    def _keep(self, i: int, rows: Rows, j: int, found: Explanation, k: int, name: str, mask: np.ndarray | None) -> None:
        """Row i, which is `rows[j]` and entry k of `found`, into the groups that want it."""
        example = self._example(i, rows, j, found, k, name, mask)
        for place, key in self._places[j]:
            group: Any = "random" if place.startswith("random ") else place
            self.best[place].append((key, i, replace(example, group=group)))
            self.best[place].sort(key=lambda one: (-one[0], one[1]))

    def _example(
        self, i: int, rows: Rows, j: int, found: Explanation, k: int, name: str, mask: np.ndarray | None
    ) -> Example:
        views: dict[str, Any] = {}
        if isinstance(rows, PictureRows):
            from ..preprocessing.resizing import resize_map  # torch comes with it

            original = rows[j]
            low, high = _shown_range(original, self.value_range)
            views["picture"] = picture = _shown(original, low, high)
            if found.reconstruction is not None:
                made = _shown(found.reconstruction[k], low, high)
                if found.roi is not None:
                    made = _shown(found.roi.placed(made, original.shape[:2]), low, high)
                views["reconstruction"] = made
            if found.anomaly_map is not None:
                views["anomaly_map"] = resize_map(np.asarray(found.anomaly_map[k], np.float32), picture.shape[:2])
            if mask is not None:
                views["mask"] = resize_map(np.asarray(mask, np.float32), picture.shape[:2]) >= 0.5
        elif found.anomaly_map is not None:
            shares = np.asarray(found.anomaly_map[k], dtype=np.float64)
            largest = np.argsort(-shares, kind="stable")[:COLUMNS]
            views["columns"] = tuple((found.columns[c], float(shares[c])) for c in largest)
        return Example(
            group="most anomalous",
            row=i,
            name=name,
            score=float(found.score[k]),
            p_value=float(found.p_value[k]),
            is_anomaly=bool(found.is_anomaly[k]),
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


def shown_pictures(pictures: np.ndarray, preprocessing: Any) -> np.ndarray:
    """Pictures (n, H, W[, C]) in the user's units as uint8 for display, by a model's facts about its preprocessing."""
    value_range = preprocessing.get("value_range") if isinstance(preprocessing, Mapping) else None
    return np.stack([_shown(one, *_shown_range(one, value_range)) for one in pictures])
