"""EGBAD's training as its authors' code orders it, in plain PyTorch: float32, `torch.optim.Adam`, batches of 50.

The authors run a graph twice an update. First run, for D: E on the rows, G on noise, D on both pairs, gradients for D,
its step, its average. Second run, for G and E, on rows from another order and with new noise: the same passes,
gradients for G and for E, their steps, their averages. A graph computes the gradients of the variables that it is asked
for and no others, and so does this loop. Losses are read in every update, as there.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .ganomaly import plain


class Peer:
    """The loop's state: `step(x, x_other)` is one update on two batches (b, d)."""

    def __init__(
        self, G: nn.Module, E: nn.Module, D: nn.Module, latent_dim: int, *, lr: float = 1e-5, ema: float = 0.9999
    ) -> None:
        self.net = {"G": plain(G).train(), "E": plain(E).train(), "D": plain(D).train()}
        self.averages = {name: plain(net).eval().requires_grad_(False) for name, net in self.net.items()}
        self.adams = {name: torch.optim.Adam(n.parameters(), lr=lr, betas=(0.5, 0.999)) for name, n in self.net.items()}
        self.latent_dim, self.ema = latent_dim, ema

    def step(self, x: Tensor, x_other: Tensor) -> dict[str, float]:
        """One update; the losses before each move, by the names that oddgan has for them."""
        real, fake = self._pairs(x)
        of_D = {"D.real": _bce(real, 1.0), "D.fake": _bce(fake, 0.0)}
        self._move("D", self._gradients("D", of_D["D.real"] + of_D["D.fake"]))
        real, fake = self._pairs(x_other)
        of_G, of_E = _bce(fake, 1.0), _bce(real, 0.0)
        for_G, for_E = self._gradients("G", of_G), self._gradients("E", of_E)
        self._move("G", for_G)
        self._move("E", for_E)
        return {name: loss.item() for name, loss in {**of_D, "G.adv": of_G, "E.adv": of_E}.items()}

    def _pairs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """D's logits of (x, E(x)) and of (G(z), z)."""
        G, E, D = self.net.values()
        z = torch.randn(len(x), self.latent_dim)
        return D(x, E(x))[0], D(G(z), z)[0]

    def _gradients(self, name: str, loss: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(loss, list(self.net[name].parameters()))

    def _move(self, name: str, gradients: tuple[Tensor, ...]) -> None:
        weights = list(self.net[name].parameters())
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        self.adams[name].step()
        with torch.no_grad():
            for average, weight in zip(self.averages[name].parameters(), weights, strict=True):
                average.lerp_(weight, 1 - self.ema)


def _bce(logit: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logit, torch.full_like(logit, target))
