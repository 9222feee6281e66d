"""GANomaly's training as its authors' code orders it, in plain PyTorch: float32, NCHW, `torch.optim.Adam`.

Forward through G; through D on the rows, and on their reconstructions cut off from G; then G's turn: D once more on
both, the three losses, gradients of everything that they depend on, a step; then D's turn. Each loss is read every
update, and D starts anew when its own falls below 1e-5, as there.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oddgan.networks import convolution

D_IS_DEAD = 1e-5


class Peer:
    """The loop's state: `step(x)` is one update on rows x (b, C, H, W) or (b, d)."""

    def __init__(
        self, G: nn.Module, D: nn.Module, *, weights: tuple[float, float, float] = (1.0, 50.0, 1.0), lr: float = 2e-4
    ) -> None:
        self.G, self.D = plain(G).train(), plain(D).train()
        self.first_D = copy.deepcopy(self.D.state_dict())
        self.weights = weights
        self.adam_G = torch.optim.Adam(self.G.parameters(), lr=lr, betas=(0.5, 0.999))
        self.adam_D = torch.optim.Adam(self.D.parameters(), lr=lr, betas=(0.5, 0.999))

    def step(self, x: Tensor) -> dict[str, float]:
        """One update; the losses before it, by the names that oddgan has for them, D's halved as there."""
        w_adv, w_con, w_enc = self.weights
        z, x_hat, z_hat = self.G(x)
        real, _ = self.D(x)
        fake, _ = self.D(x_hat.detach())

        self.adam_G.zero_grad()
        adv = F.mse_loss(self.D(x_hat)[1], self.D(x)[1])
        con = F.l1_loss(x_hat, x)
        enc = F.mse_loss(z_hat, z)
        (w_adv * adv + w_con * con + w_enc * enc).backward(retain_graph=True)
        self.adam_G.step()

        self.adam_D.zero_grad()
        of_real = F.binary_cross_entropy(torch.sigmoid(real), torch.ones_like(real))
        of_fake = F.binary_cross_entropy(torch.sigmoid(fake), torch.zeros_like(fake))
        loss_D = 0.5 * (of_real + of_fake)
        loss_D.backward()
        self.adam_D.step()
        if loss_D.item() < D_IS_DEAD:
            self.D.load_state_dict(self.first_D)
        losses = {"G.adv": w_adv * adv, "G.con": w_con * con, "G.enc": w_enc * enc}
        losses |= {"D.real": 0.5 * of_real, "D.fake": 0.5 * of_fake}
        return {name: loss.item() for name, loss in losses.items()}


@torch.no_grad()
def scores(G: Any, x: Tensor, size: int) -> Tensor:
    """The paper's score ||z - z_hat||_1 (n,) of rows x (n, ...), `size` at a time; G in evaluation mode."""
    found = []
    for some in x.split(size):
        z, _, z_hat = G(some)
        found.append((z - z_hat).abs().sum(1))
    return torch.cat(found)


def plain(net: nn.Module) -> nn.Module:
    """A trainable copy of a network with the same weights, in PyTorch's own layers and memory order."""
    copied = copy.deepcopy(net).to(memory_format=torch.contiguous_format).requires_grad_()  # type: ignore[call-overload]
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, convolution.Enlarging):
                setattr(module, name, nn.Sequential(nn.Upsample(child.large), child))
        for kind in (nn.Conv2d, nn.ConvTranspose2d):
            if isinstance(module, kind) and type(module).__module__ == convolution.__name__:
                module.__class__ = kind
        if isinstance(module, nn.LeakyReLU | nn.ReLU):
            module.inplace = False
    return copied
