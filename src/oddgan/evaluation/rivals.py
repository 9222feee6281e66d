"""What needs no detector: mean, deviation and file size of a picture as scores. A set on which one of them separates
anomalies measures the lamp or the compression, and a detector's figure there says little."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import metrics

RIVALS = ("mean grey", "deviation", "file size")
FAIR = 0.8  # AUROC from which on a rival deserves a warning


def of_pictures(rows: Any, sizes: list[int | None], region: Any = None) -> dict[str, list[float]]:
    """The value of every rival, by name, for pictures that are `sizes` bytes large as files; of the `region` alone."""
    pictures = [rows[i] for i in range(len(rows))]
    if region is not None:
        pictures = [picture[region.at(picture.shape[:2])] for picture in pictures]
    found = {
        "mean grey": [float(np.mean(picture)) for picture in pictures],
        "deviation": [float(np.std(picture)) for picture in pictures],
    }
    known = [float(size) for size in sizes if size is not None]
    return {**found, "file size": known} if len(known) == len(pictures) else found


def areas(values: Mapping[str, list[float]], labels: np.ndarray | None) -> dict[str, float]:
    """AUROC of each rival in its better direction, by name; empty unless there are normal and anomalous rows."""
    if labels is None or labels.all() or not labels.any():
        return {}
    found = {}
    for name, column in values.items():
        if len(column) == len(labels):
            area = metrics.auroc(labels, np.array(column))
            found[name] = max(area, 1 - area)
    return found
