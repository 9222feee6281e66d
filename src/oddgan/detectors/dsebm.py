"""DSEBM. Zhai, Cheng, Lu and Zhang, "Deep Structured Energy Based Models for Anomaly Detection", ICML 2016,
arXiv:1605.07717.

    E(x) = 1/2 ||x - b'||^2 - sum_j softplus(a_j(x))          x_hat = x - dE/dx = b' + sum_j sigmoid(a_j(x)) da_j/dx

An energy that is low at normal rows: a parabola around b', lowered by the units a_j of the last layer. It is learned by
score matching: a step down the energy from a noisy row must lead back to the row, so the energy's gradient defines a
denoising autoencoder whose decoder is the transposed encoder. A row is anomalous if its energy is high (DSEBM-e), or if
the energy is steep there, so that x_hat differs from x (DSEBM-r).

The paper's text was not available, only two public implementations that compare with it, and these differ. Choices and
departures, each pinned by a test:

- Softplus in every layer, as in ALAD's code (Zenati et al., 2018). That of Golan and El-Yaniv (2018, GeoTrans) has
  ReLU, whose energy is piecewise linear in the last biases: they get no gradient.
- No batch normalisation, which that code has: the gradient of a row's energy would depend on its batch.
- b' is one vector. ALAD's code has a different one for every position in a batch, on which a score then depends.
- The networks end at their last hidden layer. ALAD's code appends a separate decoder, though x - dE/dx is one.
- DSEBM-r is the mean square of x - x_hat; the norm, as in ALAD's code, gives the same ranking.
- DSEBM-r is the default: training fits the slope near normal rows, which is DSEBM-r, and the energy of a distant row
  only as the sum of all slopes on the way there.
- Pictures: strided convolutions, as in GeoTrans; ALAD's code has one convolution and max pooling.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..detector import NeuralDetector
from ..kit.losses import l2
from ..kit.recipe import ALL, Batch, Losses, Names, Stage, Terms, detector
from ..networks import blocks
from ..networks.tables import mlp
from ..parameters import Param


class Energy(nn.Module):
    """x (b, ...) -> E(x), (b,). `units`: x -> a(x), (b, experts), the inputs of the last softplus.

    Pictures: strided 3x3 convolutions until a side is 4 to 7, then a linear layer. Tables: one hidden layer.
    """

    def __init__(self, shape: Sequence[int], width: int, experts: int) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(*shape))  # b'
        if len(shape) == 1:
            self.units = mlp((shape[0], width, experts), activation="softplus", last=True, xavier=True)
            return
        plan = blocks.sizes(*shape[1:])
        widths = [shape[0], *blocks.channels(width, len(plan) - 1)]
        layers: list[nn.Module] = []
        for i in range(len(plan) - 1):
            layers += [blocks.conv(widths[i], widths[i + 1], plan[i], plan[i + 1], 3), nn.Softplus()]
        last = blocks.RowLinear(blocks.volume(widths[-1], plan[-1]), experts)
        self.units = blocks.xavier(nn.Sequential(*layers, nn.Flatten(), last))

    def forward(self, x: Tensor) -> Tensor:
        bowl = 0.5 * (x - self.centre).square().flatten(1).sum(1)
        return bowl - F.softplus(self.units(x)).contiguous().sum(1)  # a sum over a transposed tensor rounds by position


def descend(energy: nn.Module, x: Tensor, *, training: bool = False) -> tuple[Tensor, Tensor]:
    """E(x) (b,) and x - dE/dx (b, ...); with `training`, the latter can be differentiated again.

    Always in float32, whatever the run's precision: training differentiates a gradient.
    """
    with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
        here = x.detach().requires_grad_()
        e = energy(here)
        (slope,) = torch.autograd.grad(e.sum(), here, create_graph=training)
        return e.detach(), x - slope


def slope(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    """E(x) (b,) and x - dE/dx (b, ...), as `descend` has them, with the chain rule written out: dE/dx is
    (x - b') less the product of sigmoid(a(x)) and the Jacobian of a."""
    layers = [layer for layer in energy.units.modules() if not isinstance(layer, nn.Sequential)]
    inputs, a = [], x
    for layer in layers:
        inputs.append(a)
        a = layer(a)
    back = torch.sigmoid(a)
    for layer, at in zip(reversed(layers), reversed(inputs), strict=True):
        if isinstance(layer, nn.Softplus):
            back = back * torch.sigmoid(at)
        elif isinstance(layer, nn.Linear):
            back = back @ layer.weight
        elif isinstance(layer, nn.Flatten):
            back = back.reshape(-1, *at.shape[1:])
        elif isinstance(layer, nn.Conv2d):
            padding: Any = layer.padding
            sides = zip(at.shape[2:], back.shape[2:], layer.kernel_size, layer.stride, padding, strict=True)
            left = [n - ((m - 1) * step - 2 * pad + kernel) for n, m, kernel, step, pad in sides]
            back = F.conv_transpose2d(back, layer.weight, None, layer.stride, padding, left)
    return energy(x), x - ((x - energy.centre) - back)


@detector
class DSEBM(NeuralDetector):
    """Deep structured energy-based model (Zhai et al., 2016), fully connected for tables, convolutional for pictures.

    The terms that `score_by` can select: "energy" (DSEBM-e: E(x), which may be negative) and "reconstruction"
    (DSEBM-r: mean (x - x_hat)^2, the slope of the energy).
    """

    width: Annotated[
        int | None,
        Param("channels of the first convolution, or units of the hidden layer; none: 64 (tables: 128)", low=2),
    ] = None
    experts: Annotated[int | None, Param("units of the last layer; none: four times the width", low=1)] = None
    noise: Annotated[
        float, Param("standard deviation of the noise in training (GeoTrans: 0.5, ALAD's code: 1)", low=1e-6)
    ] = 0.5
    score_by: Annotated[Literal["energy", "reconstruction"], Param("the anomaly score: DSEBM-e or DSEBM-r")] = (
        "reconstruction"
    )

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """E, the only network."""
        width = self.width or (64 if len(shape) == 3 else 128)
        return {"E": Energy(shape, width, self.experts or 4 * width)}

    def stages(self) -> tuple[Stage, ...]:
        """One stage."""
        return (Stage("score matching", ("E",), self.step),)

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """Denoising score matching: ||x - (x_noisy - dE/dx_noisy)||^2, a mean over values as in GeoTrans' code."""
        x = batch.x()
        _, x_hat = descend(net.E, x + self.noise * torch.randn_like(x), training=True)
        yield {"E": {"denoising": l2(x, x_hat)}}

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """Both scores, without noise."""
        e, x_hat = descend(net.E, x)
        return {"x_hat": x_hat, "energy": e, "reconstruction": l2(x, x_hat)}

    def graph_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """Both scores; the gradient is written out."""
        e, x_hat = slope(net.E, x)
        return {"x_hat": x_hat, "energy": e, "reconstruction": l2(x, x_hat)}

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """softplus(a(x)): how much each unit lowers the energy."""
        return F.softplus(net.E.units(x))
