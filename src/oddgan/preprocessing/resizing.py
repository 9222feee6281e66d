"""Pictures and maps at another size: antialiased bilinear, one at a time."""

from collections.abc import Sequence

import numpy as np


def resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) -> (*size, C), antialiased bilinear, in the picture's own type."""
    if picture.shape[:2] == size:
        return np.ascontiguousarray(picture)
    import torch
    from torch.nn import functional as F

    x = torch.tensor(picture).permute(2, 0, 1)[None]  # a copy: memory-mapped rows are read-only
    x = F.interpolate(x, size=size, mode="bilinear", antialias=True)
    return np.ascontiguousarray(x[0].permute(1, 2, 0).numpy())


def resize_map(anomaly_map: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """An anomaly map (h, w) float32 at another size, bilinear."""
    if anomaly_map.shape == tuple(size):
        return anomaly_map
    import torch
    from torch.nn import functional as F

    x = torch.from_numpy(np.ascontiguousarray(anomaly_map))[None, None]
    return F.interpolate(x, size=tuple(size), mode="bilinear", antialias=True)[0, 0].numpy()
