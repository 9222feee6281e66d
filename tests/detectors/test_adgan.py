"""ADGAN against its paper (Deecke et al., 2018), without training to speak of."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from oddgan import papers, testing
from oddgan.detectors.adgan import ADGAN
from oddgan.kit.recipe import ALL
from oddgan.testing import FakeBatch


@pytest.fixture(params=[(1, 11, 9), (7,)], ids=["pictures", "table"])
def scene(request):
    torch.manual_seed(0)
    det = ADGAN(latent_dim=5, width=4, starts=3, steps=4, z_lr=0.1, weights_lr=0.01, critic_steps=2, w_gp=7.0)
    net = nn.ModuleDict(det.build(request.param)).eval().requires_grad_(False)
    return det, net, torch.rand(4, *request.param) * 2 - 1


def scored(scene, **changes):
    det, net, x = scene
    with torch.no_grad():
        return copy.copy(det).set_params(**changes).score_rows(net, x)


def by_hand(net, x, start, steps, z_lr, weights_lr):
    """One row from one start: G is copied, z and the copy are optimised together, and the final residual counts."""
    G, z = copy.deepcopy(net.G).requires_grad_(), start[None].clone().requires_grad_()
    parts = [{"params": [z], "lr": z_lr}, {"params": list(G.parameters()), "lr": weights_lr}]
    adam = torch.optim.Adam(parts, betas=(0.5, 0.999))
    for _ in range(steps):
        adam.zero_grad()
        (G(z) - x[None]).square().mean().backward()
        adam.step()
    return G(z)[0].detach()


def test_score_is_the_mean_residual_over_starts(scene):
    _, net, x = scene
    terms = scored(scene)
    for i, row in enumerate(x):
        ends = [by_hand(net, row, start, 4, 0.1, 0.01) for start in net.Z.starts]
        norms = [float(torch.linalg.vector_norm(end - row)) for end in ends]
        assert terms["paper"][i].item() == pytest.approx(np.mean(norms), rel=1e-3)
        assert terms["mse"][i].item() == pytest.approx(
            np.mean([float((end - row).square().mean()) for end in ends]), rel=1e-3
        )
        assert terms["best"][i].item() == pytest.approx(min(norms), rel=1e-3)
        torch.testing.assert_close(terms["x_hat"][i], ends[int(np.argmin(norms))], rtol=1e-2, atol=1e-3)


def test_z_and_the_weights_both_move(scene):
    """Either alone leaves a larger residual."""
    neither, z, weights, both = (
        scored(scene, z_lr=a, weights_lr=b)["paper"] for a, b in ((0, 0), (0.1, 0), (0, 0.01), (0.1, 0.01))
    )
    assert (both < z).all()
    assert (both < weights).all()
    assert (z < neither).all()
    assert (weights < neither).all()


def test_without_steps_the_score_is_that_of_the_starts(scene):
    _, net, x = scene
    terms = scored(scene, steps=0)
    made = net.G(net.Z.starts)
    for i, row in enumerate(x):
        norms = (made - row).flatten(1).norm(dim=1)
        assert terms["paper"][i].item() == pytest.approx(float(norms.mean()), rel=1e-4)


def test_every_row_starts_from_the_trained_generator(scene):
    _, net, _ = scene
    before = copy.deepcopy(net.state_dict())
    first = scored(scene)
    assert torch.equal(scored(scene)["paper"], first["paper"])
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


class SharesItsWeights(ADGAN):
    """A bug: all rows of a block share one copy of the generator."""

    def score_rows(self, net, x, names=ALL):
        terms = super().score_rows(net, x, names)
        G = copy.deepcopy(net.G).requires_grad_()
        adam = torch.optim.Adam(G.parameters(), lr=0.01)
        with torch.enable_grad():
            (G(net.Z.starts[:1]) - x).square().mean().backward()
        adam.step()
        return {**terms, "paper": (G(net.Z.starts[:1]) - x).flatten(1).norm(dim=1)}


def test_weights_are_private(pictures):
    with pytest.raises(AssertionError, match="row"):
        testing.rows_are_independent(testing.small(SharesItsWeights), pictures)


def test_the_critic_is_updated_on_new_rows_and_then_the_generator(scene):
    det, net, x = scene
    net.requires_grad_(True)

    class Batch:
        calls = 0
        z_drawn: list = []  # noqa: RUF012

        def x(self):
            self.calls += 1
            return x + 0.01 * self.calls

        def z(self, latent_dim, prior="normal"):
            self.z_drawn.append(torch.randn(4, latent_dim))
            return self.z_drawn[-1]

    batch = Batch()
    moves = list(det.step(net, batch))
    assert [list(move) for move in moves] == [["D"], ["D"], ["G"]]
    assert batch.calls == 2
    for move, z, k in zip(moves, batch.z_drawn, (1, 2), strict=False):
        real, fake = net.D(x + 0.01 * k)[0], net.D(net.G(z))[0]
        torch.testing.assert_close(move["D"]["wasserstein"], fake - real)
        assert (move["D"]["gp"] >= 0).all()
        assert not torch.equal(move["D"]["gp"], torch.zeros(4))
    torch.testing.assert_close(moves[-1]["G"]["adv"], -net.D(net.G(batch.z_drawn[-1]))[0])


def test_the_penalty_is_weighted(scene):
    det, net, x = scene

    batch = FakeBatch(x, torch.ones(4, det.latent_dim))
    torch.manual_seed(0)
    first = next(iter(det.step(net, batch)))["D"]["gp"]
    torch.manual_seed(0)
    double = next(iter(copy.copy(det).set_params(w_gp=14.0).step(net, batch)))["D"]["gp"]
    torch.testing.assert_close(double, 2 * first)


def test_defaults_search_as_the_paper_does():
    det = ADGAN()
    assert (det.starts, det.steps, det.own_score, det.beta1, det.beta2) == (8, 5, "paper", 0.0, 0.9)


@pytest.mark.parametrize(
    ("dataset", "variant", "shape"),
    [
        ("mnist", "paper", (1, 32, 32)),
        ("cifar10", "paper", (3, 32, 32)),
        ("cifar10", "geotrans", (3, 32, 32)),
        ("fashion-mnist", "geotrans", (1, 32, 32)),
    ],
)
def test_configurations_build_and_search(dataset, variant, shape):
    det = papers.detector("adgan", dataset, variant=variant)
    assert (det.starts, det.steps, det.z_lr, det.weights_lr) == (8, 5, 0.25, 5e-5)
    assert (det.critic_steps, det.w_gp, det.score_by) == (
        (2, 20.0, "mse") if variant == "geotrans" else (5, 10.0, "paper")
    )
    net = nn.ModuleDict(det.build(shape)).eval().requires_grad_(False)
    with torch.no_grad():
        x = det.sample(net, 2)
        assert x.shape == (2, *shape)
        assert det.set_params(steps=1).score_rows(net, x)["mse"].shape == (2,)
