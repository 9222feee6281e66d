"""Resizing in a graph: antialiased bilinear, as `oddgan.preprocessing.resizing` has it, for pictures of any size.

Pictures of 8 bits are resized in whole numbers, and so to the same bits: first along a line, then along a column, with
weights of 16 bits, each result rounded to 8 bits. A weight times a pixel needs more digits than a float32 has once many
are summed, so weights are split into two halves, whose products are summed apart and are exact.
"""

import torch
from torch import Tensor, nn

HALF = 256.0  # what the upper half of a weight counts
MOST_BITS = 22  # of a weight behind the point
LARGEST_WEIGHT = 2.0**15


class Resizing(nn.Module):
    """(b, H, W, C) uint8 or float32 -> (b, C, *size) float32. `source`: (H, W) of all pictures, None: any."""

    def __init__(self, size: tuple[int, int], source: tuple[int, int] | None, whole: bool) -> None:
        super().__init__()
        self.size, self.same, self.whole = size, source == size, whole
        self.fixed = source is not None and not self.same
        if source is not None and not self.same:
            for name, n, m in (("down", source[0], size[0]), ("across", source[1], size[1])):
                for part, value in zip(("weights", "bits"), self._weights(n, m), strict=True):
                    self.register_buffer(f"{name}_{part}", value)

    def forward(self, x: Tensor) -> Tensor:
        y = x.permute(0, 3, 1, 2).to(torch.float32)
        if self.same:
            return y
        height, width = x.shape[1:3]
        y = self._along(y, *self._given("across", width, self.size[1]), self.size[1])
        y = y.transpose(2, 3)
        return self._along(y, *self._given("down", height, self.size[0]), self.size[0]).transpose(2, 3)

    def _given(self, name: str, n: int, m: int) -> tuple[Tensor, Tensor]:
        if self.fixed:
            return getattr(self, f"{name}_weights"), getattr(self, f"{name}_bits")
        return self._weights(n, m)

    def _weights(self, n: int, m: int) -> tuple[Tensor, Tensor]:
        """The weights as `_along` takes them, and how many bits they have behind the point."""
        w = weights(n, m)
        if not self.whole:
            return w.to(torch.float32), torch.zeros((), dtype=torch.float64)
        powers = torch.arange(1, MOST_BITS + 1, dtype=torch.float64)
        fit = torch.floor(0.5 + w.max() * torch.exp2(powers)) < LARGEST_WEIGHT
        bits = fit.to(torch.float64).sum()
        w = torch.floor(0.5 + w * torch.exp2(bits))
        upper = torch.floor(w / HALF)
        return torch.cat([upper, w - HALF * upper], 1).to(torch.float32), bits

    def _along(self, x: Tensor, w: Tensor, bits: Tensor, m: int) -> Tensor:
        """(..., n) -> (..., m)."""
        y = x @ w
        if not self.whole:
            return y
        total = y[..., :m].to(torch.int32) * int(HALF) + y[..., m:].to(torch.int32)
        rounded = torch.floor((total.to(torch.float64) + torch.exp2(bits - 1)) / torch.exp2(bits))
        return rounded.clamp(0, 255).to(torch.float32)


def weights(n: int, m: int) -> Tensor:
    """How much each of n pixels counts for each of the m that they become, (n, m) float64, as
    `oddgan.runtime.intake.weights`."""
    length = torch.scalar_tensor(n, dtype=torch.float64)
    scale = length / m
    reach = scale.clamp_min(1.0)
    centre = scale * (torch.arange(m, dtype=torch.float64) + 0.5)
    low = torch.floor(centre - reach + 0.5).clamp_min(0.0)
    high = torch.minimum(torch.floor(centre + reach + 0.5), length)
    place = torch.arange(n, dtype=torch.float64)[:, None]
    found = (1 - (place - centre + 0.5).abs() / reach).clamp_min(0.0)
    found = torch.where((place >= low) & (place < high), found, 0.0)
    return found / found.sum(0)
