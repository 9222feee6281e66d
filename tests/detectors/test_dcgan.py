"""DCGAN against its paper (Radford et al., 2016) and its game (Goodfellow et al., 2014), without training."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from oddgan import papers, testing
from oddgan.detectors.dcgan import DCGAN
from oddgan.errors import ParameterError
from oddgan.testing import FakeBatch


@pytest.fixture(params=[(1, 16, 12), (7,)], ids=["pictures", "table"])
def game(request):
    """Networks in evaluation mode, so that passes can be repeated."""
    torch.manual_seed(0)
    det = DCGAN(latent_dim=5, width=4, prior="uniform")
    return det, nn.ModuleDict(det.build(request.param)).eval(), FakeBatch(torch.rand(6, *request.param) * 2 - 1)


def test_the_game_is_goodfellows_in_its_non_saturating_form(game):
    det, net, batch = game
    (first, second) = det.step(net, batch)
    real, fake = torch.sigmoid(net.D(batch.rows)[0]), torch.sigmoid(net.D(net.G(batch.drawn[0]))[0])
    torch.testing.assert_close(first["D"]["real"], -torch.log(real), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first["D"]["fake"], -torch.log(1 - fake), rtol=1e-4, atol=1e-5)
    fake = torch.sigmoid(net.D(net.G(batch.drawn[1]))[0])
    torch.testing.assert_close(second["G"]["adv"], -torch.log(fake), rtol=1e-4, atol=1e-5)  # not log(1 - D(G(z)))
    assert [set(first), set(second)] == [{"D"}, {"G"}]
    assert not torch.equal(batch.drawn[0], batch.drawn[1])
    assert set(batch.priors) == {"uniform"}


def test_the_discriminators_loss_does_not_reach_the_generator(game):
    """Its fakes are detached from G; G's loss reaches every weight of G through D."""
    det, net, batch = game
    first, second = det.step(net, batch)
    for term in first["D"].values():
        assert all(g is None for g in torch.autograd.grad(term.sum(), net.G.parameters(), allow_unused=True))
    assert all(g.abs().max() > 0 for g in torch.autograd.grad(second["G"]["adv"].sum(), net.G.parameters()))


def test_score_is_the_discriminators_verdict_the_right_way_round(game):
    """A published bug: D(x) itself, where 1 means real, as an anomaly score."""
    det, net, batch = game
    logit = net.D(batch.rows)[0].detach().numpy().astype(np.float64)
    with torch.no_grad():
        scores = det.score_rows(net, batch.rows)
    np.testing.assert_allclose(scores["probability"], 1 - 1 / (1 + np.exp(-logit)), rtol=1e-5)
    np.testing.assert_allclose(scores["sigmoid"], np.log1p(np.exp(-logit)), rtol=1e-5)
    assert (np.argsort(scores["sigmoid"].numpy()) == np.argsort(-logit)).all()


def test_certain_verdicts_still_rank():
    """1 - D(x) rounds to 0 for every row of which D is certain."""
    terms = DCGAN().score_rows(nn.ModuleDict({"D": _Sure()}), torch.tensor([[50.0], [60.0]]))
    assert terms["probability"][0] < 1e-20
    assert terms["sigmoid"][0] > terms["sigmoid"][1] > 0


class _Sure(nn.Module):
    def forward(self, x):
        return x[:, 0], x


def test_it_generates_rows_and_features_but_no_reconstructions(pictures, table):
    for X in (pictures, table):
        det = testing.small(DCGAN, prior="uniform").fit(X)
        made = det.generate(5)
        assert made.shape == (5, *X.shape[1:])
        assert np.array_equal(made, det.generate(5))
        assert not np.array_equal(made, det.generate(5, random_state=1))
        assert det.features(X[:3]).shape[0] == 3
        for ask in (det.reconstruct, det.anomaly_map):
            with pytest.raises(ParameterError, match="it only scores"):
                ask(X[:2])


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_rows_are_generated_from_the_prior(prior):
    det = DCGAN(latent_dim=3, prior=prior)
    net = nn.ModuleDict({**det.build((4,)), "G": nn.Identity()})
    z = det.sample(net, 500)
    assert float(z.abs().max() <= 1) == (prior == "uniform")


def test_features_are_the_inputs_of_the_last_layer():
    torch.manual_seed(0)
    det = DCGAN(width=4)
    net = nn.ModuleDict(det.build((1, 12, 20))).eval()
    x = torch.rand(3, 1, 12, 20)
    f = det.embed(net, x)
    kernel = net.D.head.weight
    torch.testing.assert_close(F.conv2d(f.reshape(3, *kernel.shape[1:]), kernel).flatten(), net.D(x)[0])


def test_networks_at_64_pixels_are_the_papers():
    net = DCGAN(latent_dim=100, width=128).build((3, 64, 64))
    up = [tuple(m.weight.shape) for m in net["G"].modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [shape[:2] for shape in up] == [(100, 1024), (1024, 512), (512, 256), (256, 128), (128, 3)]
    assert type(list(net["G"].modules())[-1]) is nn.Tanh
    assert {m.negative_slope for m in net["D"].modules() if isinstance(m, nn.LeakyReLU)} == {0.2}


@pytest.mark.parametrize(("dataset", "shape"), [("mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))])
def test_the_papers_configuration_builds(dataset, shape):
    det = papers.detector("dcgan", dataset, random_state=0)
    net = nn.ModuleDict(det.build(shape)).eval()
    assert det.sample(net, 2).shape == (2, *shape)
    assert (det.prior, det.ema, det.score_by, net.Z.latent_dim) == ("uniform", 0.0, "probability", 100)
