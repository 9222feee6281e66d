"""Rows and settings for tests of the training loop's parts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from oddgan.training import Settings


class Numbers:
    """n rows of one column, which holds each row's number."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def batch(self, numbers: np.ndarray) -> Tensor:
        return torch.from_numpy(numbers.astype(np.float32))[:, None]


@pytest.fixture
def rows() -> Callable[[int], Numbers]:
    return Numbers


@pytest.fixture
def settings() -> Callable[..., Settings]:
    def make(**given: Any) -> Settings:
        usual = {
            "batch_size": 4,
            "updates": 10,
            "epochs": None,
            "minutes": None,
            "lr": 0.1,
            "betas": (0.5, 0.999),
            "ema": 0.9,
            "precision": torch.float32,
            "device": torch.device("cpu"),
            "seed": 3,
        }
        return Settings(**{**usual, **given})

    return make
