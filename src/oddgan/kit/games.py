"""Games that several papers share, as steps of the training loop: a step does `yield from gan(net, batch, ...)`.

`net` holds G, z (b, latent_dim) -> x, and D, x -> (logit (b,), features (b, k)).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..networks.latent import Prior
from ..training import Batch, Losses
from .losses import bce


def gan(net: Any, batch: Batch, latent_dim: int, prior: Prior) -> Iterator[Losses]:
    """The GAN game in its non-saturating form (Goodfellow et al. 2014, algorithm 1 and section 3; Radford et al. 2015).

    D is updated on BCE(D(x), 1) + BCE(D(G(z)), 0), then G on BCE(D(G(z)), 1) with a new z.
    """
    x = batch.x()
    with torch.no_grad():
        x_fake = net.G(batch.z(latent_dim, prior))
    real, _ = net.D(x)
    fake, _ = net.D(x_fake)
    yield {"D": {"real": bce(real, 1.0), "fake": bce(fake, 0.0)}}
    fake, _ = net.D(net.G(batch.z(latent_dim, prior)))
    yield {"G": {"adv": bce(fake, 1.0)}}


def wgan_gp(
    net: Any, batch: Batch, latent_dim: int, prior: Prior, *, critic_steps: int, w_gp: float
) -> Iterator[Losses]:
    """The Wasserstein game with gradient penalty (Gulrajani et al. 2017, algorithm 1).

    `critic_steps` times, on new rows, D is updated on D(G(z)) - D(x) + w_gp (||grad D|| - 1)^2, then G on -D(G(z)).
    """
    for _ in range(critic_steps):
        x = batch.x()
        with torch.no_grad():
            x_fake = net.G(batch.z(latent_dim, prior))
        real, _ = net.D(x)
        fake, _ = net.D(x_fake)
        yield {"D": {"wasserstein": fake.float() - real.float(), "gp": w_gp * gradient_penalty(net.D, x, x_fake)}}
    fake, _ = net.D(net.G(batch.z(latent_dim, prior)))
    yield {"G": {"adv": -fake.float()}}


def gradient_penalty(D: nn.Module, x: Tensor, x_fake: Tensor) -> Tensor:
    """(||gradient of D at a random point between x and x_fake||_2 - 1)^2 of each row, (b,).

    Always in float32, whatever the run's precision: a gradient penalty is differentiated twice.
    """
    with torch.autocast(x.device.type, enabled=False):
        share = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device)
        between = (share * x.float() + (1 - share) * x_fake.float()).detach().requires_grad_()
        value, _ = D(between)
        (gradient,) = torch.autograd.grad(value.sum(), between, create_graph=True)
        # The derivative of the norm is infinite at 0, the gradient of a critic that ignores its input.
        return ((gradient.flatten(1).square().sum(1) + 1e-12).sqrt() - 1).square()
