"""ContraD's discriminator (Jeong and Shin, 2021, arXiv:2103.09742): one trunk, and a head for each of its three tasks.

The authors' trunk for 32x32 pictures is SNDCGAN's, with seven convolutions; ours halves pictures by the rule of
`oddgan.networks` down to sides of 2 or 3 pixels, spectrally normalised like theirs. For tables: two hidden layers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import channels, down, sizes, spectral, volume
from .tables import mlp

SLOPE = 0.1


class ContrastiveDiscriminator(nn.Module):
    """D: (b, *shape) -> logit (b,) and the trunk's features (b, k), k = 4 width.

    `of_real` and `of_fake` are the paper's h_r and h_f, (b, k) -> (b, k / 2), for the two contrastive losses; `judge`
    has two layers and gives the logit, and its loss does not reach the trunk.
    """

    def __init__(self, shape: Sequence[int], width: int) -> None:
        super().__init__()
        k = 4 * width
        if len(shape) == 1:
            self.trunk: nn.Module = mlp((shape[0], k, k), slope=SLOPE)
        else:
            plan = sizes(*shape[1:], smallest=2)
            widths = [shape[0], *channels(width, len(plan) - 1)]
            layers = down(plan, widths, norm="none", slope=SLOPE)
            self.trunk = nn.Sequential(*layers, nn.Flatten(), *mlp((volume(widths[-1], plan[-1]), k), slope=SLOPE))
        self.of_real, self.of_fake = (mlp((k, k, k // 2), slope=SLOPE, last=True) for _ in range(2))
        self.judge = mlp((k, k, 1), slope=SLOPE, last=True)
        spectral(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        f = self.trunk(x)
        return torch.flatten(self.judge(f)), f
