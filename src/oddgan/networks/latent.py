"""The latent space of a generator: its size, its prior, and points of it that are stored with a model."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Prior = Literal["normal", "uniform"]
"""N(0, 1), or uniform on (-1, 1)."""


def draw(n: int, latent_dim: int, prior: Prior, device: torch.device) -> Tensor:
    """n new latents (n, latent_dim), drawn with torch's global generator."""
    shape = (n, latent_dim)
    return torch.randn(shape, device=device) if prior == "normal" else torch.rand(shape, device=device) * 2 - 1


def latent_size(shape: Sequence[int], asked: int | None, *, least: int = 4, most: int = 100) -> int:
    """The size of z: `asked` if given, else an eighth of a row's values, clamped to `least` and `most`."""
    return asked or min(most, max(least, torch.Size(shape).numel() // 8))


class Latent(nn.Module):
    """A generator's latent space: its size, its prior, and `starts` (k, latent_dim), draws that are stored with the
    model, so that every row's search begins at the same points in any process."""

    def __init__(self, latent_dim: int, prior: Prior, starts: int = 0) -> None:
        super().__init__()
        self.prior: Prior = prior
        self.register_buffer("starts", torch.empty(0, latent_dim))
        self.starts: Tensor = self.draw(starts)

    @property
    def latent_dim(self) -> int:
        """The size of z."""
        return self.starts.shape[1]

    def draw(self, n: int) -> Tensor:
        """n new latents (n, latent_dim), drawn with torch's global generator."""
        return draw(n, self.latent_dim, self.prior, self.starts.device)
