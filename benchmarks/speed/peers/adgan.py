"""ADGAN's search as its algorithm 1 has it, in plain PyTorch: row by row and start by start, a copy of the generator,
five joint steps of `torch.optim.Adam` on z and its weights, float32, NCHW."""

import copy

import torch
from torch import Tensor, nn


def search(
    G: nn.Module, x: Tensor, starts: Tensor, *, steps: int, z_lr: float, weights_lr: float, beta1: float = 0.5
) -> Tensor:
    """The scores (n,) of rows x (n, ...): the mean norm of what is left from each of `starts` (k, d)."""
    left = [[_left(G, row[None], z[None], steps, (z_lr, weights_lr), beta1) for z in starts] for row in x]
    return torch.tensor(left).mean(1)


def _left(G: nn.Module, x: Tensor, start: Tensor, steps: int, rates: tuple[float, float], beta1: float) -> float:
    own, z = copy.deepcopy(G).requires_grad_(), start.clone().requires_grad_()
    parts = [{"params": [z], "lr": rates[0]}, {"params": list(own.parameters()), "lr": rates[1]}]
    adam = torch.optim.Adam(parts, betas=(beta1, 0.999))
    for _ in range(steps):
        adam.zero_grad()
        (own(z) - x).square().mean().backward()
        adam.step()
    with torch.no_grad():
        return (own(z) - x).square().sum().sqrt().item()
