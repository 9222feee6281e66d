"""The rows that both sides get, and how networks see them."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import Skip

KDD_ROWS, TEST_ROWS = 10_000, 1_000
DEVELOPMENT_DIGITS = (1, 4, 9)  # of MNIST: nothing that is reported elsewhere is measured on them


def pictures(n: int, shape: tuple[int, int, int]) -> np.ndarray:
    """n smooth pictures (n, H, W, C) uint8: waves in all directions, and some noise."""
    channels, height, width = shape
    random = np.random.default_rng(0)
    down, across = np.mgrid[0:height, 0:width] / height
    waves = random.normal(size=(n, 2, 1, 1, channels)) * 6
    phase = random.uniform(0, 6.3, size=(n, 1, 1, channels))
    value = np.sin(waves[:, 0] * down[..., None] + waves[:, 1] * across[..., None] + phase)
    return np.clip(127 + 90 * value + random.normal(0, 12, size=value.shape), 0, 255).astype(np.uint8)


def data_folder(name: str) -> Path:
    """A data set's folder under ODDGAN_DATA; without it, the work is skipped."""
    folder = Path(os.environ.get("ODDGAN_DATA", ".")) / name
    if "ODDGAN_DATA" not in os.environ or not folder.is_dir():
        raise Skip(f"set ODDGAN_DATA to a folder that holds {name} (docs/howto/data.md says where to get it)")
    return folder


def digits_as_vectors(anomaly: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """scikit-learn's digits as vectors (n, 64) in [-1, 1]: training rows without the digit `anomaly`; test rows;
    which of these are anomalous."""
    from sklearn.datasets import load_digits

    held = load_digits()
    values = held.data / 8 - 1
    order = np.random.default_rng(0).permutation(np.flatnonzero(held.target != anomaly))
    normal, anomalous = order[: len(order) // 5], np.flatnonzero(held.target == anomaly)
    test = np.concatenate([normal, anomalous])
    return values[order[len(order) // 5 :]], values[test], np.isin(test, anomalous)


def mnist(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, 28, 28) and labels (n,) of MNIST's part "train" or "t10k"."""
    import gzip

    folder = data_folder("mnist")
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        found = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        return found, np.frombuffer(file.read(), np.uint8, offset=8)


def digit(normal: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """MNIST: all training pictures of one digit; n test pictures of it and n of others; which of them are others."""
    held, labels = mnist("train")
    tests, kinds = mnist("t10k")
    random = np.random.default_rng(normal)
    parts = [random.permutation(np.flatnonzero(kind))[:n] for kind in (kinds == normal, kinds != normal)]
    return held[labels == normal], tests[np.concatenate(parts)], np.repeat([False, True], list(map(len, parts)))


@cache
def kdd99(development: bool = False) -> dict[str, np.ndarray]:
    """KDD Cup 1999 (10 percent) as the literature's 121 columns and halves; as there, attacks are normal. By name:

    "train" rows (10,000); of the other half "normal" rows, "new" rows (normal rows that equal no attack of the
    training half, which is one in eight) and "anomalous" rows. `development`: all are from the half that the literature
    trains on, so that nothing chosen on them depends on the test half.
    """
    from oddgan.data.public_tables import read_kdd99
    from oddgan.data.split import hold_out

    held = read_kdd99(data_folder("kddcup99"))
    table, classes = held.rows, held.classes
    anomalous = classes == "normal."
    train, test = hold_out(len(table), 0.5)
    random = np.random.default_rng(0)
    if development:
        train, test = (np.sort(part) for part in np.array_split(random.permutation(train), 2))
    attacks, normal = train[~anomalous[train]], test[~anomalous[test]]
    seen = {row.tobytes() for row in table[attacks].values}
    new = normal[[row.tobytes() not in seen for row in table[normal].values]]
    parts = {"train": (attacks, KDD_ROWS), "normal": (normal, TEST_ROWS), "new": (new, TEST_ROWS)}
    parts["anomalous"] = test[anomalous[test]], TEST_ROWS
    values = _columns(table)
    return {name: values[random.permutation(numbers)[:n]] for name, (numbers, n) in parts.items()}


def _columns(table: Any) -> np.ndarray:
    """All rows as numbers (n, 121): one column for each value that a category has in the whole file."""
    parts = []
    for values, kind in zip(table.values.T, table.kinds, strict=True):
        if kind == "number":
            parts.append(values[:, None])
        else:
            parts.append(values[:, None] == np.unique(values))
    return np.concatenate(parts, 1).astype(np.float64)


def as_networks_see(det: Any, rows: Any) -> torch.Tensor:
    """Rows (n, ...) float32 as a fitted detector's networks see them."""
    from oddgan.rows import open_rows

    model = det.model_
    blocks = model.preprocessor.parts(open_rows(rows)).blocks(model.recipe.block_size)
    return torch.cat([block.x for block in blocks]).contiguous()
