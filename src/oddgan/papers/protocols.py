"""The papers' protocols: which rows are for training, which for the test, and where the threshold comes from.

"exact" is what the source's code does, leaks included; "clean" is the same question without them: no row in both
training and test, scaling from training rows, threshold from held-out rows. What a protocol leaks is measured and kept
in `Task.facts`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..data import Labelled, labelled
from . import adbench

Protocol = Literal["exact", "clean"]
PROTOCOLS: tuple[Protocol, ...] = ("exact", "clean")

CALIBRATION_ROWS = 1_000  # at most, of a clean protocol
SOURCES_SEED = 42  # for EGBAD's and ALAD's splits
DTE_LEAST, DTE_MOST = 1_000, 50_000  # rows of a table: DTE draws as many from smaller, and from larger ones
ADBENCH_TRAIN = 10_000  # rows at most, of the clean protocol


@dataclass(frozen=True, kw_only=True)
class Task:
    """Training rows, test rows, and which of these are anomalous.

    `calibrate`: normal rows held out of training, for the threshold; None where the protocol is exact. `percentile`:
    the percentile of the test rows' scores that is the source's threshold; None where it has none. `encode`: a function
    still to be applied to training and test rows. `facts`: numbers of rows, and what leaks.
    """

    train: Any
    test: Any
    labels: NDArray[np.bool_]
    calibrate: Any = None
    percentile: float | None = None
    encode: Callable[[Any], Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def task(
    kind: str,
    data: str,
    protocol: Protocol,
    group: str,
    seed: int,
    *,
    train: int | None = None,
    test: int | None = None,
) -> Task:
    """The rows of one cell.

    `kind`: a name in `TASKS`; `group`: the class that the cell is about, "" where there is none; `train` and `test`:
    limits on the numbers of training and test rows, which leave the share of anomalies as it is. Raises `DataError`
    where the data is not available.
    """
    held = adbench.read(group) if data == "adbench" else _all_rows(data)
    made = TASKS[kind](held, protocol, group, seed)
    if protocol == "clean" and made.calibrate is None:
        order = np.random.default_rng(seed).permutation(len(made.train))
        n = min(CALIBRATION_ROWS, len(made.train) // 10)
        made = replace(made, train=made.train[np.sort(order[n:])], calibrate=made.train[np.sort(order[:n])])
    made = replace(made, train=some(made.train, train))
    if made.calibrate is not None:
        made = replace(made, calibrate=some(made.calibrate, test))
    if test is not None and test < len(made.labels):
        kinds = [np.flatnonzero(made.labels == anomalous) for anomalous in (False, True)]
        share = made.labels.mean()
        kept = [some(kind, max(1, round(test * of))) for kind, of in zip(kinds, (1 - share, share), strict=True)]
        numbers = np.sort(np.concatenate(kept))
        made = replace(made, test=made.test[numbers], labels=made.labels[numbers])
    if made.encode is not None:
        made = replace(made, train=made.encode(made.train), test=made.encode(made.test))
    rows = {"train": len(made.train), "test": len(made.test), "anomalous": int(made.labels.sum())}
    rows |= {} if made.calibrate is None else {"calibrate": len(made.calibrate)}
    return replace(made, facts={"rows": rows, **made.facts})


def some(rows: Any, most: int | None) -> Any:
    """At most `most` of the rows, in their order; the same ones at every call."""
    if most is None or len(rows) <= most:
        return rows
    return rows[np.sort(np.random.default_rng(0).permutation(len(rows))[:most])]


@lru_cache(maxsize=1)
def _all_rows(data: str) -> Labelled:
    return labelled(data)


def egbad_pictures(held: Labelled, protocol: Protocol, group: str, seed: int) -> Task:
    """EGBAD's MNIST: one class is anomalous; 80 percent of all others are for training, 20 percent and every anomalous
    row for the test.

    Exact: the authors' random generator advances between drawing the training and the test rows, so the two are taken
    from different orders, and most normal test rows are training rows.
    """
    del seed
    normal, anomalous = (np.flatnonzero(mask) for mask in (held.classes != group, held.classes == group))
    random = np.random.RandomState(SOURCES_SEED)
    cut = int(0.8 * len(normal))
    first = random.permutation(len(normal))
    second = random.permutation(len(normal)) if protocol == "exact" else first
    train, test = normal[first[:cut]], normal[second[cut:]]
    facts = {"share of the test normals trained on": float(np.isin(test, train).mean())}
    return _of(held, train, test, anomalous, facts=facts)


def one_class(held: Labelled, protocol: Protocol, group: str, seed: int) -> Task:
    """One class is normal: its official training rows, and the whole official test set. Nothing leaks."""
    del protocol, seed
    numbers, normal = np.arange(len(held.classes)), held.classes == group
    tested = numbers >= held.trained
    return _of(held, numbers[normal & ~tested], numbers[normal & tested], numbers[~normal & tested])


def ganomaly_pictures(held: Labelled, protocol: Protocol, group: str, seed: int) -> Task:
    """GANomaly's: one class is anomalous; 80 percent of all others are for training; the rest and every anomalous row
    for the test.

    The authors' code draws the split with the run's seed. It also chooses the best epoch on the test rows and uses
    batch statistics at test time; oddgan does neither, in both protocols.
    """
    del protocol
    normal, anomalous = (np.flatnonzero(mask) for mask in (held.classes != group, held.classes == group))
    order = np.random.RandomState(seed).permutation(len(normal))
    cut = int(0.8 * len(normal))
    return _of(held, normal[order[:cut]], normal[order[cut:]], anomalous)


def alad_pictures(held: Labelled, protocol: Protocol, group: str, seed: int) -> Task:
    """ALAD's CIFAR-10 and SVHN: both parts merged and divided 80 to 20; one class is normal; a quarter of the training
    rows is held out for validation, which is not needed here."""
    del protocol, seed
    order = np.random.RandomState(SOURCES_SEED).permutation(len(held.classes))
    cut = int(0.8 * len(order))
    train, test = order[: int(0.75 * cut)], order[cut:]
    normal = held.classes == group
    return _of(held, train[normal[train]], test[normal[test]], test[~normal[test]])


def kdd99(held: Labelled, protocol: Protocol, group: str, seed: int) -> Task:
    """KDD Cup 1999, 10 percent: attacks are normal and `normal.` is anomalous; the attacks in one half of the rows are
    for training; in the test, from the other half, at most a fifth is anomalous; the threshold is the 80th percentile
    of the test's scores.

    Exact: most of the test's normal rows are copies of training rows. The categories become columns of 0 and 1 by all
    rows. Clean: no test row equals a training row, and no calibration row equals either; a fifth of what remains is
    anomalous; columns are made from training rows.
    """
    del group
    anomalous = held.classes == "normal."
    order = np.random.RandomState(SOURCES_SEED).permutation(len(anomalous))
    half = len(order) // 2
    train, test = order[:half], order[half:]
    train = train[~anomalous[train]]
    inliers, outliers = test[~anomalous[test]], test[anomalous[test]]
    names = _names(held)
    copies = [np.isin(names[part], names[train]) for part in (inliers, outliers)]
    facts: dict[str, Any] = {
        f"share of the test's {what} rows that equal a training row": float(mask.mean())
        for what, mask in zip(("normal", "anomalous"), copies, strict=True)
    }
    if protocol == "exact":
        made = _of(held, train, inliers, outliers[: int(len(inliers) * 0.2 / 0.8)], facts=facts)
        return replace(made, percentile=80.0, encode=one_hot)
    facts = {f"left out, {name}": value for name, value in facts.items()}
    inliers, outliers = inliers[~copies[0]], outliers[~copies[1]]
    # No test row equals a training row; nor must a calibration row, or they would not be exchangeable.
    alone = np.random.RandomState(seed).permutation(np.unique(names[train]))[:CALIBRATION_ROWS]
    mine = np.isin(names[train], alone)
    _, first = np.unique(names[train[mine]], return_index=True)
    made = _of(held, train[~mine], inliers, outliers[: int(len(inliers) * 0.2 / 0.8)], facts=facts)
    return replace(made, calibrate=held.rows[np.sort(train[mine][first])])


@lru_cache(maxsize=1)
def _names(held: Labelled) -> NDArray[np.intp]:
    """A number for each row of a table: equal rows, equal numbers."""
    values: Any = np.ascontiguousarray(getattr(held.rows, "values", held.rows))
    _, names = np.unique(values.view([("", values.dtype)] * values.shape[1]).ravel(), return_inverse=True)
    found: NDArray[np.intp] = names.ravel()
    return found


def arrhythmia(held: Labelled, protocol: Protocol, group: str, seed: int) -> Task:
    """ALAD's Arrhythmia. Exact: half of all rows, drawn once by scikit-learn's splitter, are for training, anomalous
    ones included; the threshold is the 85th percentile of the test's scores. Clean: half of the normal rows, drawn with
    the seed, are for training; the other half and every anomalous row for the test."""
    del group
    anomalous = held.classes == "anomaly"
    if protocol == "exact":
        from sklearn.model_selection import train_test_split

        train, test = train_test_split(np.arange(len(anomalous)), test_size=0.5, random_state=SOURCES_SEED)
        made = _of(held, train, test[~anomalous[test]], test[anomalous[test]])
        return replace(made, percentile=85.0, facts={"anomalous rows trained on": int(anomalous[train].sum())})
    normal = np.random.RandomState(seed).permutation(np.flatnonzero(~anomalous))
    cut = len(normal) // 2
    return _of(held, normal[:cut], normal[cut:], np.flatnonzero(anomalous))


def dte_adbench(held: Labelled, protocol: Protocol, group: str, seed: int) -> Task:
    """DTE's semi-supervised setting on a table of ADBench: half of the normal rows are for training; the other half and
    every anomalous row for the test. `group`, the table's name, has chosen `held`.

    Exact: of a table of fewer than 1,000 rows, 1,000 are drawn with replacement before the split, so that test rows are
    copies of training rows; of one of more than 50,000, as many without; both by the seed. The first half of the normal
    rows, in the order drawn or else in the file's, is for training. The source scales columns by the mean and deviation
    of the training rows, which is a detector's default. Clean: a row that occurs several times counts once, and not at
    all if it occurs as normal and as anomalous; the seed draws the half, of which at most 10,000 are used.
    """
    del group
    random, anomalous, names = np.random.RandomState(seed), held.classes == "anomaly", _names(held)
    facts: dict[str, Any] = {"rows of the table": len(anomalous)}
    if protocol == "exact":
        numbers = np.arange(len(anomalous))
        if len(numbers) < DTE_LEAST:
            numbers = random.choice(numbers, DTE_LEAST, replace=True)
        elif len(numbers) > DTE_MOST:
            numbers = random.choice(numbers, DTE_MOST, replace=False)
        normal, outliers = numbers[~anomalous[numbers]], numbers[anomalous[numbers]]
        train, inliers = np.split(normal, [round(len(normal) / 2)])
    else:
        _, first, counts = np.unique(names, return_index=True, return_counts=True)
        unclear = np.bincount(names, anomalous) % counts > 0
        numbers = np.sort(first[~unclear])
        facts["left out, share of the table's rows that are copies"] = 1 - len(numbers) / len(anomalous)
        normal, outliers = numbers[~anomalous[numbers]], numbers[anomalous[numbers]]
        train, inliers = np.split(random.permutation(normal), [len(normal) // 2])
        train = train[:ADBENCH_TRAIN]
    for what, test in (("normal", inliers), ("anomalous", outliers)):
        share = float(np.isin(names[test], names[train]).mean())
        facts[f"share of the test's {what} rows that equal a training row"] = share
    return _of(held, train, inliers, outliers, facts=facts)


def one_hot(rows: Any) -> NDArray[np.float64]:
    """The rows of a table as numbers, unscaled, with a column of 0 and 1 for every value of a category."""
    parts = []
    for i, kind in enumerate(rows.kinds):
        values = rows.values[:, i].astype(np.float64)
        parts.append(values[:, None] if kind == "number" else values[:, None] == np.arange(len(rows.texts[i])))
    return np.concatenate(parts, axis=1).astype(np.float64)


def _of(
    held: Labelled,
    train: NDArray[Any],
    normal: NDArray[Any],
    anomalous: NDArray[Any],
    facts: dict[str, Any] | None = None,
) -> Task:
    """The task with these rows. Test rows are shuffled, so that no score can depend on their order."""
    test = np.concatenate([normal, anomalous])
    labels = np.arange(len(test)) >= len(normal)
    order = np.random.default_rng(0).permutation(len(test))
    rows = held.rows
    return Task(train=rows[train], test=rows[test[order]], labels=labels[order], facts=facts or {})


TASKS: dict[str, Callable[[Labelled, Protocol, str, int], Task]] = {
    "egbad-pictures": egbad_pictures,
    "one-class": one_class,
    "ganomaly-pictures": ganomaly_pictures,
    "alad-pictures": alad_pictures,
    "kdd99": kdd99,
    "arrhythmia": arrhythmia,
    "dte-adbench": dte_adbench,
}
