"""A test without a label: held-out normal rows, and simulated anomalies of them.

    split = unlabelled.yardstick(oddgan.data.Split(name="parts", train=pictures))
    oddgan.compare(split.train, ["knn", "pca"])                 # does so itself

How well a figure of simulated anomalies predicts that of true ones was measured: docs/results/choosing_measured.md.
Whatever labelled test rows there are, they are not looked at.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .. import metrics
from ..errors import DataError
from ..model.scored_by import SMALL_PICTURES
from ..preprocessing import sides_of
from ..preprocessing.prepared import spread
from ..preprocessing.region import Region
from ..rows import PictureRows, Rows, TableRows, open_rows
from ..simulate import pictures as pictures_of
from ..simulate import tables as tables_of
from .run import in_chunks

if TYPE_CHECKING:
    from ..data import Split
    from ..detector import Detector

HELD = 0.2  # share of the normal rows that is held out
MOST_HELD = 200
SIMULATED = 240  # anomalies, in all, as far as `EACH` goes
EACH = (4, 16)  # of each held-out row, at least and at most
LEAST_ROWS = 10
DRAWN_FROM = 2_000  # rows of a table whose values simulated rows take
LOOKED_AT = 100  # pictures that the range of real numbers is inferred from
TRIES = 8  # until a simulated anomaly changes a pixel of the region of interest
GOOD = "good"
CRITERION, TIES = "of_kinds", "detected"
"""The figure by which detectors are ranked, and the one that breaks ties. Others were measured, and are no better on
sets that did not choose them: docs/results/choosing_measured.md."""
SIZE_OF_SMALL = (0.05, 0.4)
"""The area of simulated anomalies of pictures of at most 32 pixels a side, as a share: such a picture shows one thing,
and a mark of a pixel is not what its anomalies are."""
NAME = ", simulated anomalies"
"""What follows the name of the data wherever figures are of simulated anomalies."""


def yardstick(
    split: Split,
    *,
    roi: Any = None,
    seed: int = 0,
    most: int = MOST_HELD,
    simulated: int = SIMULATED,
    size: float | tuple[float, float] | None = None,
) -> Split:
    """`split` with another test: normal rows that are held out of its training rows, and simulated anomalies of them.

    Parameters
    ----------
    split : Split
        With at least ten normal rows for training. Its own test rows and labels are not looked at.
    roi : as the parameter of detectors
        The region of interest of pictures: what is simulated changes pixels inside.
    seed : int
        Draws the rows and the anomalies.
    most : int
        Rows that are held out at most.
    simulated : int
        Simulated anomalies in all, about: 4 to 16 of each row.
    size : float or (float, float), optional
        Of the simulated anomalies of pictures (`oddgan.simulate.pictures.anomalous`). By default `SIZE_OF_SMALL` for
        pictures of at most 32 pixels a side, and the simulator's for larger ones.

    Returns
    -------
    Split
        A fifth of the training rows, `most` at most, is held out: together with rows that equal one of them, in tables.
        The test has each of these once, and 4 to 16 simulated anomalies of each: of pictures at their own size, made
        when they are read, all of `oddgan.simulate.pictures.KINDS` in turn; of tables of the kinds that the table
        permits, without those that equal a normal row. `kinds` says which.

    Raises
    ------
    DataError
        There are fewer than ten normal rows, or fewer than ten different ones.
    ParameterError
        `roi` does not fit the pictures.
    """
    if split.train is None or len(split.train) < LEAST_ROWS:
        n = 0 if split.train is None else len(split.train)
        raise DataError(
            f"{split.name}: {n} normal rows; simulated anomalies need {LEAST_ROWS} at least, better some 100"
        )
    rows = open_rows(split.train)
    random = np.random.default_rng([seed, len(rows)])
    test: Rows
    if rows.kind == "table":
        kept, test, kinds = _of_table(split.name, cast(TableRows, rows), random, most, simulated)
    else:
        order = random.permutation(len(rows))
        count = min(most, max(1, round(HELD * len(rows))))
        held, kept = np.sort(order[:count]), np.sort(order[count:])
        made = SimulatedPictures(cast(PictureRows, rows), held, each_of(count, simulated), roi, size, seed)
        test, kinds = PictureRows(made), made.kinds
    labels = np.array([kind != GOOD for kind in kinds])
    n = len(labels)
    return replace(
        split,
        name=f"{split.name}{NAME}",
        train=rows.some(kept),
        test=test,
        labels=labels,
        kinds=tuple(kinds),
        masks=None,
        note=f"{split.name}: {len(kept):,} normal for training; {n - int(labels.sum()):,} normal held out and "
        f"{int(labels.sum()):,} simulated anomalies made of them: no figure is of a true anomaly",
    )


def each_of(held: int, simulated: int = SIMULATED) -> int:
    """How many anomalies are simulated of each of so many held-out rows."""
    return min(EACH[1], max(EACH[0], math.ceil(simulated / held)))


def _of_table(
    name: str, rows: TableRows, random: np.random.Generator, most: int, simulated: int
) -> tuple[np.ndarray, TableRows, tuple[str, ...]]:
    """The numbers of rows to train on, the test, and its kinds."""
    same = _groups(rows)
    order = random.permutation(int(same.max()) + 1)
    if len(order) < LEAST_ROWS:
        raise DataError(
            f"{name}: only {len(order)} normal rows differ from each other; nothing can be simulated of them"
        )
    count = min(most, max(2, round(HELD * len(order))))
    chosen_groups = np.isin(same, order[:count])
    if chosen_groups.sum() > 2 * HELD * len(rows):  # a row that is copied very often must not leave training
        sizes = np.bincount(same)
        order = order[np.argsort(sizes[order] > np.median(sizes), kind="stable")]
        chosen_groups = np.isin(same, order[:count])
    kept = np.flatnonzero(~chosen_groups)
    _, first = np.unique(same, return_index=True)
    held = np.sort(first[order[:count]])
    beside = random.permutation(kept)[:DRAWN_FROM]
    around = rows[np.concatenate([held, beside])]
    made, kinds = [], []
    for _ in range(each_of(count, simulated)):
        anomalous, of_rows = tables_of.anomalous(around, random)
        made.append(anomalous.values[:count])
        kinds.append(of_rows[:count])
    values, of_made = np.concatenate(made), np.concatenate(kinds)
    known = {row.tobytes() for row in np.asarray(rows.values, values.dtype)}
    new = np.array([row.tobytes() not in known for row in np.ascontiguousarray(values)])
    if not new.any():
        raise DataError(f"{name}: its columns permit no simulated anomaly that differs from all normal rows")
    normal = rows.values[held].astype(values.dtype)
    test = TableRows(np.concatenate([normal, values[new]]), rows.columns, rows.kinds, rows.texts, None, rows.plain)
    return kept, test, (*[GOOD] * count, *of_made[new].tolist())


def _groups(rows: TableRows) -> np.ndarray:
    """Of each row (n,) the number of its group: rows that are equal are one."""
    values = np.ascontiguousarray(rows.values)
    words = values.view(np.dtype((np.void, values.dtype.itemsize * values.shape[1]))).ravel()
    return np.asarray(np.unique(words, return_inverse=True)[1]).ravel()


class SimulatedPictures:
    """Held-out pictures, then `each` simulated anomalies of every one: a sequence that makes pictures as they are read.

    Picture i depends on the seed, on i and on the picture that it is made of alone.
    """

    def __init__(self, rows: PictureRows, held: np.ndarray, each: int, roi: Any, size: Any, seed: int) -> None:
        sides = sides_of(rows)
        if size is None and float(np.median(sides.max(axis=1))) <= SMALL_PICTURES:
            size = SIZE_OF_SMALL
        self.rows, self.held, self.each, self.size, self.seed = rows, held, each, size, seed
        self.region = None if roi is None else Region.of(roi, sides)
        made = [pictures_of.KINDS[i % len(pictures_of.KINDS)] for i in range(each * len(held))]
        self.kinds = (*[GOOD] * len(held), *made)
        self.value_range = _range(rows)

    def __len__(self) -> int:
        return len(self.kinds)

    def _place(self, i: int) -> int:
        return int(self.held[i if i < len(self.held) else (i - len(self.held)) // self.each])

    def __getitem__(self, i: int) -> np.ndarray:
        picture = self.rows[self._place(i)]
        if i < len(self.held):
            return picture
        random = np.random.default_rng([self.seed, i])
        kind, how = cast(pictures_of.Kind, self.kinds[i]), {"size": self.size, "value_range": self.value_range}
        if self.region is None:
            return pictures_of.anomalous(picture, random, kind, **how)[0]
        top, left, bottom, right = self.region.box(picture.shape[:2])
        inside = self.region.at(picture.shape[:2])[top:bottom, left:right]
        for _ in range(TRIES):
            made, mask = pictures_of.anomalous(picture[top:bottom, left:right], random, kind, **how)
            if (mask & inside).any():
                break
        picture = picture.copy()
        picture[top:bottom, left:right][inside] = made[inside]
        return picture

    def name(self, i: int) -> str:
        """ "part_07.png", or "part_07.png (simulated scar)"."""
        name = self.rows.name(self._place(i))
        return name if i < len(self.held) else f"{name} (simulated {self.kinds[i]})"

    def header(self, i: int) -> tuple[int, int, int, str]:
        """(H, W, channels, dtype) of picture i."""
        return self.rows.header(self._place(i))


def _range(rows: PictureRows) -> tuple[float, float]:
    """The values of pixels: 0 to 255 of 8-bit pictures, else from the lowest to the highest of some pictures."""
    first = rows[0]
    if first.dtype == np.uint8:
        return 0.0, 255.0
    some = [rows[int(i)] for i in spread(len(rows), LOOKED_AT)]
    low, high = float(min(map(np.min, some))), float(max(map(np.max, some)))
    return (low, high) if high > low else (low, low + 1.0)


def figures(detector: Detector, split: Split) -> tuple[dict[str, float | None], dict[str, float]]:
    """The figures of a fitted detector on what `yardstick` made, and the AUROC of each kind of simulated anomaly.

    "of_kinds" is the mean over kinds of the AUROC of each against the held-out normals, "least_kind" the lowest.
    """
    rows, labels = open_rows(split.test), np.asarray(split.labels, dtype=bool)
    block = 1 if detector.tile else detector.block_size
    scores = np.concatenate([detector.anomaly_score(part) for _, part in in_chunks(rows, block)])
    broken = np.flatnonzero(~np.isfinite(scores))
    if broken.size:
        raise DataError(f"{rows.name(int(broken[0]))}: its score is not a finite number")
    flagged, kinds = scores > detector.threshold_, np.array(split.kinds)
    by_kind = {}
    for kind in np.unique(kinds[labels]):
        beside = ~labels | (kinds == kind)
        by_kind[str(kind)] = metrics.auroc(labels[beside], scores[beside])
    areas = list(by_kind.values())
    return {
        "auroc": metrics.auroc(labels, scores),
        "auprc": metrics.average_precision(labels, scores),
        "of_kinds": float(np.mean(areas)),
        "least_kind": float(np.min(areas)),
        "detected": float(flagged[labels].mean()),
        "false_alarms": float(flagged[~labels].mean()),
        "asked": float(detector.false_alarm_rate_),
    }, by_kind
