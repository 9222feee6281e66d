"""AnoGAN's search as its published descriptions have it, in plain PyTorch: one picture at a time, 500 steps of Adam on
z, float32, NCHW. The score is the loss where the search ends.

The networks' weights ask for no gradients here, as a careful programmer would have it; much published code computes
them at every step and throws them away.
"""

from typing import Any

import torch
from torch import Tensor


def search(G: Any, D: Any, x: Tensor, start: Tensor, *, steps: int, lr: float, w_dis: float = 0.1) -> Tensor:
    """The scores (n,) of rows x (n, ...), each searched for separately from `start` (latent_dim,); G and D frozen, in
    evaluation mode."""
    return torch.stack([_one(G, D, row[None], start, steps, lr, w_dis) for row in x])


def _one(G: Any, D: Any, x: Tensor, start: Tensor, steps: int, lr: float, w_dis: float) -> Tensor:
    with torch.no_grad():
        _, f = D(x)
    z = start[None].clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=lr)
    for _ in range(steps):
        adam.zero_grad()
        _loss(G, D, x, f, z, w_dis).backward()
        adam.step()
    with torch.no_grad():
        return _loss(G, D, x, f, z, w_dis)


def _loss(G: Any, D: Any, x: Tensor, f: Tensor, z: Tensor, w_dis: float) -> Tensor:
    """(1 - lambda) sum |x - G(z)| + lambda sum |f(x) - f(G(z))| of the one row."""
    x_hat = G(z)
    _, f_hat = D(x_hat)
    return (1 - w_dis) * (x - x_hat).abs().sum() + w_dis * (f - f_hat).abs().sum()
