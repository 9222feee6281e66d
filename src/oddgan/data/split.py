"""A data set, divided into training and test rows."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

if TYPE_CHECKING:
    from ..rows.tables import TableRows


@runtime_checkable
class PictureSource(Protocol):
    """Pictures that are read on access: (H, W) or (H, W, 3), uint8, uint16 or float32."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> NDArray[Any]: ...


Held: TypeAlias = Union[NDArray[Any], "TableRows"]  # importing it would load torch
"""Rows that are held in memory and indexed by row numbers."""

Rows: TypeAlias = Held | PictureSource
"""Pictures, (n, H, W[, 3]) as an array or one by one, or a table: a 2-D array, or `TableRows`, whose columns have names
and kinds."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Split:
    """A data set, divided. Training, tuning and calibration rows are normal.

    train      normal rows, or None where there are none to train on
    tune       normal rows to tune on
    calibrate  normal rows to set the threshold with; where tune or calibrate is None, `fit` holds such rows out itself
    test       rows to evaluate on, normal and anomalous, or None
    labels     (n_test,) bool, True = anomaly, or None where they are not known
    kinds      per test row "good" or the kind of defect, or the class in a labelled set; or None
    masks      per test row an (H, W) bool array at the mask's own size (all False for normal rows), read on access, or
               None where an anomalous row has no mask; None where no row has a mask
    note       one line that says how the data set was interpreted
    skipped    (name, reason) of the pictures that were left out because they cannot be read
    groups     per training row what it belongs to, (n_train,) str, or None: `Detector.fit` holds out whole groups
    strata     per training row which sort of normal it is, (n_train,) str, or None: each gets a threshold of its own
    """

    name: str
    train: Rows | None
    tune: Rows | None = None
    calibrate: Rows | None = None
    test: Rows | None = None
    labels: NDArray[np.bool_] | None = None
    kinds: tuple[str, ...] | None = None
    masks: Sequence[NDArray[np.bool_] | None] | None = None
    note: str = ""
    skipped: tuple[tuple[str, str], ...] = ()
    groups: NDArray[np.str_] | None = None
    strata: NDArray[np.str_] | None = None

    def __repr__(self) -> str:
        return f"Split({self.name!r}, {self.note!r})"

    def __post_init__(self) -> None:
        rows = 0 if self.test is None else len(self.test)
        for what, given in (("labels", self.labels), ("kinds", self.kinds), ("masks", self.masks)):
            if given is not None and len(given) != rows:
                raise DataError(f"{self.name}: {len(given)} {what} for {rows} test rows; give one for each row")


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """All rows of a data set whose classes are known, before it is decided which of them are normal.

    classes    (n,) str, the class of each row
    trained    how many of the first rows were published as the training part; 0: the set has no parts
    masks      (n, H, W) bool, where each picture is anomalous, or None where that is not known
    """

    rows: Held
    classes: NDArray[np.str_]
    trained: int = 0
    masks: NDArray[np.bool_] | None = None


class EveryClass(frozenset[str]):
    """All classes of a set, where the user said that all of them are normal: then there is nothing to test on."""


def resolve(names: Collection[str], known: Collection[str]) -> list[str]:
    """The classes that `names` mean: each name is a class, or several separated by commas, which a class may hold too.

    What is no class is returned as it is, without blanks around it.
    """
    found: list[str] = []
    for name in [names] if isinstance(names, str) else map(str, names):
        parts = [name] if name in known else name.split(",")
        while parts:
            ends = range(len(parts), 0, -1)  # the longest class first
            end = next((end for end in ends if ",".join(parts[:end]).strip() in known), 1)
            found.append(",".join(parts[:end]) if name in known else ",".join(parts[:end]).strip())
            parts = parts[end:]
    return [name for name in found if name]


def normal_classes(
    where: str,
    classes: Collection[str],
    normal: Collection[str] | None,
    anomaly: Collection[str] | None,
    default: Collection[str] | None = None,
) -> frozenset[str]:
    """Which of `classes` are normal: as the user says with `normal` or `anomaly`, or else `default`.

    `normal="all"` means every class, unless one is called so; the result is an `EveryClass` where all are normal.
    """
    known = ", ".join(sorted(classes))
    if normal is not None and anomaly is not None:
        raise DataError(f"{where}: normal and anomaly are both given; give one of them, the other classes follow")
    given = normal if normal is not None else anomaly
    if given is None:
        if default is None:
            raise DataError(f"{where} has the classes {known}: say which are normal, or which are the anomaly")
        return frozenset(default)
    given = frozenset(resolve(given, classes))
    if normal is not None and given == {"all"} and "all" not in classes:
        return EveryClass(classes)
    if unknown := sorted(given - frozenset(classes)):
        raise DataError(f"{where} has no class {', '.join(unknown)}; its classes are {known}")
    normals = given if normal is not None else frozenset(classes) - given
    if not normals:
        raise DataError(f"{where}: no class is normal; its classes are {known}")
    if normals == frozenset(classes):
        if normal is None:
            raise DataError(f"{where}: every class is normal; its classes are {known}")
        return EveryClass(normals)
    return normals


def hold_out(rows: int, share: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row numbers (kept, held out), each sorted. They never change: NumPy freezes the raw stream."""
    order = np.argsort(np.random.PCG64(0).random_raw(rows), kind="stable")
    held = min(rows - 1, max(1, round(rows * share))) if rows > 1 else 0
    return np.sort(order[held:]), np.sort(order[:held])


def class_names(labels: NDArray[Any]) -> NDArray[np.str_]:
    """Labels as text: 3 and 3.0 are "3", true is "1"."""
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == np.rint(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind == "b":
        labels = labels.astype(np.uint8)
    return labels.astype(np.str_)


def official_split(
    name: str,
    train: Held,
    train_classes: NDArray[np.str_],
    test: Held,
    test_classes: NDArray[np.str_],
    normals: Collection[str],
    masks: NDArray[np.bool_] | None = None,
) -> Split:
    """Train on the normal classes' training rows, test on all test rows, unless all classes are normal. `masks`: of the
    test rows; those of normal rows count as empty."""
    if isinstance(normals, EveryClass):
        return Split(name=name, train=train, note=all_normal(name, len(train), len(test)))
    chosen = np.isin(train_classes, list(normals))
    if not chosen.any():
        raise DataError(f"{name}: no training row is of class {', '.join(sorted(normals))}; name another class")
    anomalous = ~np.isin(test_classes, list(normals))
    return Split(
        name=name,
        train=train if chosen.all() else train[chosen],
        test=test,
        labels=anomalous,
        kinds=tuple(test_classes.tolist()),
        masks=None if masks is None else list(masks & anomalous[:, None, None]),
        note=f"{name}: {counts(int(chosen.sum()), anomalous)}; normal: {', '.join(sorted(normals))}",
    )


def held_out_split(
    name: str,
    rows: Held,
    classes: NDArray[np.str_],
    normals: Collection[str],
    share: float,
    masks: Sequence[NDArray[np.bool_] | None] | None = None,
) -> Split:
    """For sets without a test part: `share` of the normal rows and every anomaly are held out for the test.

    Where all classes are normal, all rows are for training.
    """
    if isinstance(normals, EveryClass):
        return Split(name=name, train=rows, note=all_normal(name, len(rows)))
    good = np.flatnonzero(np.isin(classes, list(normals)))
    if len(good) < 2:
        raise DataError(
            f"{name}: too few normal rows ({len(good)}); at least 2 are needed, one to train on, one to test"
        )
    kept, held = hold_out(len(good), share)
    anomalous = np.ones(len(rows), bool)
    anomalous[good] = False
    chosen = anomalous.copy()
    chosen[good[held]] = True
    test = np.flatnonzero(chosen)
    return Split(
        name=name,
        train=rows[good[kept]],
        test=rows[test],
        labels=anomalous[test],
        kinds=tuple(classes[test].tolist()),
        masks=None if masks is None else [masks[i] for i in test.tolist()],
        note=f"{name}: {counts(len(kept), anomalous[test])}; normal: {', '.join(sorted(normals))}; a fixed "
        f"{share:.0%} of the normals is held out for the test",
    )


def whole_split(
    name: str,
    rows: Held,
    classes: NDArray[np.str_],
    normals: Collection[str],
    masks: Sequence[NDArray[np.bool_] | None] | None = None,
) -> Split:
    """All rows for the test, as of data that was not used in training."""
    anomalous = ~np.isin(classes, list(normals))
    note = f"{name}: {counts(0, anomalous)}; normal: {', '.join(sorted(normals))}"
    kinds = tuple(classes.tolist())
    return Split(name=name, train=None, test=rows, labels=anomalous, kinds=kinds, masks=masks, note=note)


def all_normal(name: str, train: int, unused: int = 0) -> str:
    """ "days: 50 normal for training, no test part, since every class is normal"."""
    left = f"; test part not used: {unused:,}" if unused else ""
    return f"{name}: {train:,} normal for training, no test part, since every class is normal{left}"


def for_calibration(note: str) -> str:
    """A split's note where its normal rows set a threshold: nothing is trained on, and there is no test."""
    said, unused = "normal for the calibration", r"([\d,]+) for test \([\d,]+ anomalous\)"
    note = re.sub(f"normal for training, {unused}", rf"{said}, test part not used: \1", note)
    return note.replace("normal for training, no test part", said).replace("normal for training", said)


def counts(train: int, anomalous: NDArray[np.bool_]) -> str:
    """ "50 normal for training, 20 for test (10 anomalous)". `anomalous`: (n_test,)."""
    return f"{train:,} normal for training, {len(anomalous):,} for test ({int(anomalous.sum()):,} anomalous)"
