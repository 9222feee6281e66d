"""`evaluate`: one pass over the test rows, in chunks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import metrics
from ..errors import DataError, ParameterError
from ..rows import PictureRows, Rows, open_rows
from . import rivals
from .examples import Gallery
from .findings import by_kind, operating_points, plain_rivals, unlike_calibration, warnings
from .latent import Mapper
from .results import Evaluation

if TYPE_CHECKING:
    from ..data import Split
    from ..detector import Detector, Explanation
    from ..preprocessing.region import Region

AREAS = ("auroc", "average_precision", "auprc_trapezoid")
CHUNK_PIXELS = 8_000_000  # of the pictures in a chunk, unless one block already has more
CHUNK_ROWS = 1024


def evaluate(
    detector: Detector,
    split: Split,
    *,
    examples: int = 12,
    bootstrap: int = 1000,
    random_state: int = 0,
    mapped: int = 400,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Score `split.test` with a fitted `detector` and compare the verdicts with `split.labels`, if it has labels.

    Memory does not grow with the number of pictures, except for the pixels under masks (see `PixelScores`). Maps are
    resized to the mask's size.

    Parameters
    ----------
    detector : Detector
        Fitted.
    split : Split
        Its test rows, and their labels, kinds and masks as far as there are any.
    examples : int
        How many of the most anomalous rows to keep as examples, and half as many each of the misses with the lowest
        scores, of the false alarms with the highest, of the most normal rows, and of rows drawn from each kind.
    bootstrap : int
        Resamples for the interval of each area.
    random_state : int
        Seed of the resamples, and of the rows that are drawn.
    mapped : int
        How many rows the map of the detector's features shows (`Evaluation.latent`); 0: there is none.
    progress : callable, optional
        Called with (done, total) after each chunk.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError
        The split has no test rows, or a score is not a finite number.
    ParameterError
        A negative number of examples, or of rows on the map.
    """
    from ..cautions import kept  # scikit-learn comes with it
    from ..preprocessing.profile import Watch  # and torch with this

    for name, count in (("examples", examples), ("mapped", mapped)):
        if count < 0:
            raise ParameterError(f"evaluate: {name}={count} must be 0 or more")
    if split.test is None or len(split.test) == 0:
        raise DataError(f"{split.name}: there are no test rows to evaluate on; give data with a test part")
    labels = None if split.labels is None else np.asarray(split.labels).astype(bool)
    kinds = None if split.kinds is None else tuple(split.kinds)
    facts = detector.info()
    rows = open_rows(split.test)
    names = tuple(rows.name(i) for i in range(len(rows)))
    region = getattr(detector.model_.preprocessor, "region", None)
    inputs = Watch(getattr(detector.model_, "profile", None))  # of normal rows, where it is known which they are
    gallery = Gallery(examples, labels=labels, kinds=kinds, facts=facts, random_state=random_state)
    seen, latent = _Seen(rows, names, split, labels, gallery, facts, region), Mapper(detector, mapped)
    block = 1 if _tiled(facts) else facts["parameters"].get("block_size", detector.block_size)  # tiles fill blocks
    with kept() as warned:
        for start, part in in_chunks(rows, block):
            seen.add(start, part, detector.explain(part))
            latent.add(start, part)
            inputs.add(part, None if labels is None else np.flatnonzero(~labels[start : start + len(part)]))
            if progress is not None:
                progress(start + len(part), len(seen.names))
    scores, flagged = np.concatenate(seen.scores), np.concatenate(seen.flagged)

    estimates = {}
    if labels is not None and labels.any() and not labels.all():
        for name in AREAS:
            estimates[name] = metrics.bootstrap(name, labels, scores, bootstrap, random_state=random_state)
    rates = None if labels is None else metrics.rates(labels, flagged)
    of_kinds = by_kind(scores, flagged, labels, kinds, bootstrap, random_state)
    promised = detector.guarantee_
    requested, n_calibrate = float(detector.false_alarm_rate_), int(detector.n_calibrate_)
    pixel, missing = seen.pixel_figures()
    plain = rivals.areas(seen.plain, labels)
    normal = scores[~labels] if labels is not None else scores[:0]
    return Evaluation(
        data=split.name,
        note=split.note,
        detector=facts,
        names=seen.names,
        scores=scores,
        p_values=np.concatenate(seen.p_values),
        is_anomaly=flagged,
        labels=labels,
        kinds=kinds,
        terms={name: np.concatenate(parts) for name, parts in seen.terms.items()},
        estimates=estimates,
        rates=rates,
        by_kind=of_kinds,
        pixel=pixel,
        n_masks=seen.pixels.n_pictures,
        threshold=float(detector.threshold_),
        false_alarm_rate=requested,
        false_alarm_range=(promised.low, promised.high),
        guarantee=promised.paragraphs,
        n_calibrate=n_calibrate,
        history={name: list(column) for name, column in detector.history_.items()},
        warnings=(
            *(f"of the training: {one['message']}" for one in facts["training"].get("warnings", ())),
            *_trained_on(seen),
            *_left_out(split),
            *warnings(scores, estimates, rates, of_kinds, requested, detector.model_.calibration),
            *unlike_calibration(normal, detector.model_.calibration),
            *(one.message for one in inputs.findings()),
            *plain_rivals(plain, estimates),
            *missing,
            *seen.unseen_marks(),
            *(one["message"] for one in warned),
        ),
        examples=seen.gallery.examples(),
        map_scale=seen.map_scale(flagged),
        map_threshold=seen.map_threshold,
        operating_points=operating_points(np.concatenate(seen.p_values), labels, n_calibrate),
        rivals=plain,
        skipped=split.skipped,
        latent=latent.found(),
        calibration=np.asarray(detector.model_.calibration.scores, np.float64),
    )


class _Seen:
    """What the pass collects: scores and verdicts of every row, pixels under masks, and a few examples."""

    def __init__(
        self,
        rows: Any,
        names: tuple[str, ...],
        split: Split,
        labels: np.ndarray | None,
        gallery: Gallery,
        facts: Mapping[str, Any],
        region: Region | None,
    ) -> None:
        self.rows = rows
        self.names, self.masks, self.labels, self.gallery = names, split.masks, labels, gallery
        self.scores: list[np.ndarray] = []
        self.p_values: list[np.ndarray] = []
        self.flagged: list[np.ndarray] = []
        self.terms: dict[str, list[np.ndarray]] = {}
        self.map_threshold: float | None = None
        self.heats: list[float] = []  # of each picture: the 0.99 quantile of its map
        self.pixels = metrics.PixelScores()
        self.known: list[np.ndarray] = []  # whether each row was trained on
        self.unmasked = 0  # anomalous pictures without a mask
        self.plain: dict[str, list[float]] = {}  # what needs no detector, of each picture
        self.network = None if _tiled(facts) else facts["preprocessing"].get("size")
        self.region = region
        self.outside = 0  # pictures whose mask is outside the region of interest
        self.tiny: list[str] = []  # pictures whose mask is smaller than a pixel of the networks' pictures

    def add(self, start: int, rows: Rows, found: Explanation) -> None:
        """Add the detector's explanation `found` of `rows`, which are the test rows from `start` on."""
        scores = np.asarray(found.score, dtype=np.float64)
        broken = np.flatnonzero(~np.isfinite(scores))
        if broken.size:
            name = self.names[start + int(broken[0])]
            raise DataError(f"{name}: its score is {scores[broken[0]]}, not a finite number; train the model again")
        self.scores.append(scores)
        self.p_values.append(np.asarray(found.p_value, dtype=np.float64))
        self.flagged.append(np.asarray(found.is_anomaly, dtype=bool))
        known = np.zeros(len(scores), bool) if found.trained_on is None else found.trained_on
        self.known.append(np.asarray(known, dtype=bool))
        for name, values in found.terms.items():
            self.terms.setdefault(name, []).append(np.asarray(values, dtype=np.float64))
        if rows.kind == "pictures":
            sizes = [self.rows.file_size(start + j) for j in range(len(rows))]
            for name, column in rivals.of_pictures(rows, sizes, self.region).items():
                self.plain.setdefault(name, []).extend(column)
        masks: list[np.ndarray | None] = [None] * len(scores)
        if rows.kind == "pictures" and found.anomaly_map is not None:
            self.map_threshold = found.map_threshold
            for j, anomaly_map in enumerate(found.anomaly_map):
                self.heats.append(float(np.quantile(anomaly_map, 0.99)))
                masks[j] = self._under_mask(start + j, anomaly_map)
        self.gallery.add(start, rows, found, self.names[start : start + len(scores)], masks)

    def _under_mask(self, i: int, anomaly_map: np.ndarray) -> np.ndarray | None:
        if self.masks is None:
            return None
        mask = self.masks[i]
        if mask is None:
            self.unmasked += self.labels is None or bool(self.labels[i])
            return None
        from ..preprocessing.resizing import resize_map  # resizes as the maps themselves were resized

        mask = np.asarray(mask)
        if self.network is not None and 0 < mask.sum() * math.prod(self.network) < mask.size:
            self.tiny.append(self.names[i])
        counted = None if self.region is None else self.region.at(mask.shape)
        self.outside += counted is not None and bool(mask.any()) and not (mask & counted).any()
        self.pixels.add(mask, resize_map(anomaly_map, mask.shape), counted)
        return mask

    def pixel_figures(self) -> tuple[dict[str, float], list[str]]:
        """Pixel AUROC and AUPRO, and a warning about missing masks."""
        pixels = self.pixels
        if not pixels.n_pictures:
            return {}, []
        if not pixels.n_regions:
            return {}, ["no mask marks an anomalous pixel, so there are no pixel figures"]
        figures = {
            "pixel_auroc": pixels.auroc(),
            "aupro_0.3": pixels.aupro(0.3),
            "aupro_0.05": pixels.aupro(0.05),
        }
        return figures, [f"anomalous pictures without a mask, not in the pixel figures: {self.unmasked}"] * (
            self.unmasked > 0
        )

    def unseen_marks(self) -> list[str]:
        """A warning about masks that are smaller than what the networks see."""
        found = []
        if self.outside:
            found.append(f"defects wholly outside the region of interest, which cannot be found: {self.outside}")
        if not self.tiny or self.network is None:
            return found
        h, w = self.network
        return [
            *found,
            f"in {len(self.tiny)} pictures the mask covers less than one pixel of the networks' {h}x{w}, the first is "
            f"{self.tiny[0]}: such marks are lost when pictures shrink; train with tile (--tile 64) or a larger size",
        ]

    def map_scale(self, flagged: np.ndarray) -> float:
        """The median heat of the flagged pictures, or the highest heat of all where none is flagged."""
        if not self.heats:
            return 1.0
        heats = np.array(self.heats)
        return float(np.median(heats[flagged]) if flagged.any() else heats.max()) or 1.0


def _tiled(facts: Mapping[str, Any]) -> bool:
    """Whether pictures are scored in tiles; of an ensemble the first member's."""
    first = facts["members"][0] if "members" in facts else facts
    return bool(first["parameters"]["tile"])


def _trained_on(seen: _Seen) -> list[str]:
    known = np.flatnonzero(np.concatenate(seen.known))
    if not known.size:
        return []
    total, first = len(seen.names), seen.names[known[0]]
    return [
        f"{known.size} of {total} test rows equal rows that the model was trained on, the first {first}: "
        "they do not test the model"
    ]


def _left_out(split: Split) -> list[str]:
    if not split.skipped:
        return []
    (name, reason), n = split.skipped[0], len(split.skipped)
    return [f"pictures skipped because they cannot be read: {n}, the first is {name} ({reason})"]


def in_chunks(rows: Rows, block: int) -> Iterator[tuple[int, Rows]]:
    """The rows in chunks of whole scoring blocks, each read when needed: the number of its first row, and its rows."""
    pixels = math.prod(rows.header(0)[:2]) if isinstance(rows, PictureRows) else 1
    step = block * max(1, min(CHUNK_PIXELS // (block * pixels), CHUNK_ROWS // block))
    for start in range(0, len(rows), step):
        yield start, rows.taken(start, min(start + step, len(rows)))
