"""Losses and distances: pure functions of tensors with one float32 value per row.

Every function takes tensors of shape (b, ...) and returns (b,). Only the training loop averages over rows, so a score
built from the same functions cannot depend on the other rows of its batch. Reduced precision (bfloat16 under autocast)
ends here: inputs are converted to float32 before they are compared.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of each row: (b, ...) -> (b,)."""
    return (a.float() - b.float()).abs().flatten(1).mean(1)


def l2(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of each row: (b, ...) -> (b,)."""
    return (a.float() - b.float()).square().flatten(1).mean(1)


def norm1(a: Tensor, b: Tensor) -> Tensor:
    """L1 norm of the difference of each row (a sum, not a mean): (b, ...) -> (b,)."""
    return (a.float() - b.float()).abs().flatten(1).sum(1)


def norm2(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean norm of the difference of each row: (b, ...) -> (b,)."""
    return torch.linalg.vector_norm((a.float() - b.float()).flatten(1), dim=1)


def bce(logit: Tensor, target: float) -> Tensor:
    """Binary cross-entropy of each row's logit (b,) with one target in [0, 1] -> (b,)."""
    logit = logit.float()
    return F.binary_cross_entropy_with_logits(logit, torch.full_like(logit, target), reduction="none")
