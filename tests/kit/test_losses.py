"""Losses against hand-written formulas."""

import math

import pytest
import torch

from oddgan.kit import losses

A = torch.tensor([[1.0, -2.0, 3.0], [0.0, 0.0, 0.0]])
B = torch.tensor([[0.0, 0.0, 1.0], [0.0, 3.0, -4.0]])


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (losses.l1, [5 / 3, 7 / 3]),
        (losses.l2, [9 / 3, 25 / 3]),
        (losses.norm1, [5.0, 7.0]),
        (losses.norm2, [3.0, 5.0]),
    ],
)
def test_distances(loss, expected):
    torch.testing.assert_close(loss(A, B), torch.tensor(expected))
    torch.testing.assert_close(loss(A, B), loss(B, A))
    assert loss(A, A).tolist() == [0.0, 0.0]
    torch.testing.assert_close(loss(A.reshape(2, 3, 1, 1), B.reshape(2, 3, 1, 1)), torch.tensor(expected))


def test_cross_entropy():
    logits = torch.tensor([0.0, 2.0, -100.0])
    torch.testing.assert_close(
        losses.bce(logits, 1.0), torch.tensor([math.log(2), math.log(1 + math.exp(-2)), 100.0]), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(losses.bce(logits, 0.0), losses.bce(-logits, 1.0))


def test_reduced_precision_ends_in_the_losses():
    for loss in (losses.l1, losses.l2, losses.norm1, losses.norm2):
        assert loss(A.bfloat16(), B.bfloat16()).dtype == torch.float32
    assert losses.bce(torch.zeros(2, dtype=torch.bfloat16), 1.0).dtype == torch.float32
