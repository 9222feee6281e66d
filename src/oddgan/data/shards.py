"""Pictures in tar archives, divided for training and evaluation (`oddgan.rows.tar_shards`)."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..rows.picture_files import Pictures
from ..rows.tar_shards import classes_of, members
from .split import Split, counts, hold_out, normal_classes

TEST_SHARE = 0.2  # of the normal pictures, where some classes are anomalous


def load_shards(
    path: Path, normal: Collection[str] | None, anomaly: Collection[str] | None, *, all_rows: bool = False
) -> Split:
    """What `load` returns for archives: all pictures normal, or by the class that KEY.cls holds beside KEY.png."""
    pictures = Pictures(members(path), root=path if path.is_dir() else path.parent)
    name = path.stem
    if normal is None and anomaly is None:
        found = f"{len(pictures):,} pictures in tar archives"
        if all_rows:
            return Split(name=name, train=None, test=pictures, note=f"{found} for the test, without labels")
        return Split(name=name, train=pictures, note=f"{found}, all taken as normal")
    names, classes = classes_of(path)
    normals = [i for i, one in enumerate(names) if one in normal_classes(str(path), set(names), normal, anomaly)]
    anomalous = ~np.isin(classes, normals)
    chosen = np.arange(len(pictures)) if all_rows else np.flatnonzero(anomalous)
    train: Pictures | None = None
    if not all_rows:
        good = np.flatnonzero(~anomalous)
        if len(good) < 2:
            raise DataError(f"{path}: too few normal pictures ({len(good)}); at least 2 are needed")
        kept, held = hold_out(len(good), TEST_SHARE if anomalous.any() else 0)
        train = pictures.subset(good[kept] if anomalous.any() else good)
        chosen = np.sort(np.concatenate([chosen, good[held]])) if anomalous.any() else chosen
    labels = anomalous[chosen]
    split = Split(name=name, train=train, note=f"{name}: {counts(0 if train is None else len(train), labels)}")
    if not len(chosen):
        return split
    kinds = tuple(names[i] for i in classes[chosen].tolist())
    return replace(split, test=pictures.subset(chosen), labels=labels, kinds=kinds)
