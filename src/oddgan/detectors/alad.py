"""ALAD. Zenati, Romain, Foo, Lecouat and Chandrasekhar, "Adversarially Learned Anomaly Detection", ICDM 2018,
arXiv:1812.02288.

    x --E--> z_hat --G--> x_hat             D_xz: (x, E(x)) against (G(z), z)
    z --G--> x_fake --E--> z_back           D_xx: (x, x) against (x, x_hat);  D_zz: (z, z) against (z, z_back)

BiGAN alone does not force G(E(x)) back to x. Two more discriminators do: one discriminates a row paired with itself
from a row paired with its reconstruction, the other does the same for latents. A row is anomalous if D_xx's features of
these two pairs differ.

Departures from the paper and the authors' code (github.com/houssamzenati/Adversarially-Learned-Anomaly-Detection),
pinned by tests where they concern losses and scores:

- Norms are sums over values and features, as in the code. The cycle losses of the generator and the encoder include
  D_xx(x, x) and D_zz(z, z) with labels flipped, as in the code; these have no gradient in G or E.
- D_xx concatenates two pictures along the channels. The code does so along the height, where only the convolutions
  across the seam see both.
- Spectral normalisation, an option of the code, is on by default and applies to all networks but G, also for tables;
  the code's networks for tables ignore it.
- D_xx and D_zz are always trained. `w_zz=0` removes D_zz's loss from G and E, which is the code's default (--enable_dzz
  adds it). No early stopping on validation scores: the code restores no weights after it, and has none for tables.
- Evaluation mode at test time, and no threshold from test scores. Batch normalisation's running statistics follow every
  pass in training; the code excludes passes for the updates of other networks.
- Any shape, by the rule in `oddgan.networks`; tables are scaled, which the code does not do.
- Our own defaults: half the width for pictures, and a latent that scales with the data.
  `oddgan.papers.detector("alad", ...)` has the paper's.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..detector import NeuralDetector
from ..kit.losses import bce, norm1, norm2
from ..kit.recipe import ALL, Batch, Losses, Names, PreparedRows, Stage, Terms, detector
from ..networks import alad
from ..networks.blocks import WIDTH
from ..networks.latent import Latent, latent_size
from ..parameters import Param


@detector
class ALAD(NeuralDetector):
    """ALAD (Zenati et al., 2018): a BiGAN with cycle consistency in both directions, scored by the features of D_xx.

    The terms that `score_by` can select: "fm" (the paper's: ||f_xx(x, x) - f_xx(x, x_hat)||_1), and those that the
    paper compares it with: "ch" (BCE(D_xx(x, x_hat), 1)), "l1" (||x - x_hat||_1), "l2" (||x - x_hat||_2).
    """

    latent_dim: Annotated[
        int | None,
        Param("size of z (paper: 100 for CIFAR-10, 32 for KDD99); none: an eighth of a row's values, 4 to 100", low=1),
    ] = None
    width: Annotated[
        int | None,
        Param("scale of every layer's channels or units (paper: 64); none: 64 for tables, 32 for pictures", low=2),
    ] = None
    spectral_norm: Annotated[
        bool, Param("spectral normalisation of E and the discriminators, in all layers but the last")
    ] = True
    w_xx: Annotated[float, Param("weight of D_xx in the losses of G and E", low=0)] = 1.0
    w_zz: Annotated[float, Param("weight of D_zz in the losses of G and E", low=0)] = 1.0
    score_by: Annotated[Literal["fm", "ch", "l1", "l2"], Param("the term that is the anomaly score")] = "fm"

    def build(self, shape: Sequence[int]) -> dict[str, nn.Module]:
        """G, E, the three discriminators and the prior Z."""
        latent_dim = latent_size(shape, self.latent_dim)
        width = self.width or (WIDTH if len(shape) == 1 else WIDTH // 2)
        sn = self.spectral_norm
        nets = {
            "G": alad.generator(shape, latent_dim, width=width),
            "E": alad.encoder(shape, latent_dim, width=width, spectral_norm=sn),
            "D_xz": alad.JointDiscriminator(shape, latent_dim, width=width, spectral_norm=sn),
            "D_xx": alad.PairDiscriminator(shape, width=width, spectral_norm=sn),
            "D_zz": alad.latent_discriminator(shape, latent_dim, width=width, spectral_norm=sn),
            "Z": Latent(latent_dim, "normal"),
        }
        for module in (module for net in nets.values() for module in net.modules()):
            if parametrize.is_parametrized(module):
                module.register_load_state_dict_pre_hook(_load_folded)  # type: ignore[no-untyped-call]
        return nets

    def stages(self) -> tuple[Stage, ...]:
        """One stage, of five players."""
        return (Stage("game", ("G", "E", "D_xz", "D_xx", "D_zz"), self.step),)

    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """The discriminators are updated; then, on another batch, G and E together, with all labels flipped."""
        x, z = batch.x(), batch.z(net.Z.latent_dim)
        with torch.no_grad():
            z_hat, x_fake = net.E(x), net.G(z)
            x_hat, z_back = net.G(z_hat), net.E(x_fake)
        yield {
            "D_xz": {"real": bce(net.D_xz(x, z_hat)[0], 1.0), "fake": bce(net.D_xz(x_fake, z)[0], 0.0)},
            "D_xx": {"real": bce(net.D_xx(x, x)[0], 1.0), "fake": bce(net.D_xx(x, x_hat)[0], 0.0)},
            "D_zz": {"real": bce(net.D_zz(z, z)[0], 1.0), "fake": bce(net.D_zz(z, z_back)[0], 0.0)},
        }
        x, z = batch.x(), batch.z(net.Z.latent_dim)
        z_hat, x_fake = net.E(x), net.G(z)
        x_hat, z_back = net.G(z_hat), net.E(x_fake)
        with torch.no_grad():  # neither depends on E or G
            same_x, same_z = bce(net.D_xx(x, x)[0], 0.0), bce(net.D_zz(z, z)[0], 0.0)
        cycles = {
            "xx": self.w_xx * (same_x + bce(net.D_xx(x, x_hat)[0], 1.0)),
            "zz": self.w_zz * (same_z + bce(net.D_zz(z, z_back)[0], 1.0)),
        }
        yield {
            "G": {"xz": bce(net.D_xz(x_fake, z)[0], 1.0), **cycles},
            "E": {"xz": bce(net.D_xz(x, z_hat)[0], 0.0), **cycles},
        }

    def finish(self, net: Any, rows: PreparedRows) -> None:
        """Fold spectral normalisation into the weights: they no longer change, and torch cannot pickle parametrised
        networks."""
        del rows
        for module in list(net.modules()):
            if parametrize.is_parametrized(module):
                parametrize.remove_parametrizations(module, "weight")

    def score_rows(self, net: Any, x: Tensor, names: Names = ALL) -> Terms:
        """The four scores that the paper and its code compare."""
        x_hat = net.G(net.E(x))
        _, f_same = net.D_xx(x, x)
        logit, f_hat = net.D_xx(x, x_hat)
        return {
            "x_hat": x_hat,
            "fm": norm1(f_same, f_hat),
            "ch": bce(logit, 1.0),
            "l1": norm1(x, x_hat),
            "l2": norm2(x, x_hat),
        }

    def embed(self, net: Any, x: Tensor) -> Tensor:
        """z_hat = E(x)."""
        return net.E(x)

    def latents(self, net: Any, n: int) -> Tensor:
        """z, n draws from N(0, 1)."""
        return net.Z.draw(n)

    def decode(self, net: Any, z: Tensor) -> Tensor:
        """G(z)."""
        return net.G(z)


def _load_folded(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Before `module` loads a state in which spectral normalisation is folded into the weights: remove it here too."""
    if f"{prefix}weight" in state and parametrize.is_parametrized(module):
        parametrize.remove_parametrizations(module, "weight")
