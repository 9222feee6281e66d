"""DSEBM against its paper (Zhai et al., 2016), without training: every formula written here."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from oddgan import papers, testing
from oddgan.detectors.dsebm import DSEBM, Energy, descend
from oddgan.errors import ParameterError
from oddgan.networks.tables import mlp


@pytest.fixture(params=["pictures", "table"])
def game(request):
    """A detector, fresh networks in training mode whose b' is not 0, and a batch that always gives the same rows."""
    torch.manual_seed(0)
    shape = (2, 16, 12) if request.param == "pictures" else (7,)
    det = DSEBM(width=4, experts=5, noise=0.7)
    net = nn.ModuleDict(det.build(shape)).train()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if p.ndim < 2 or name == "E.centre":
                p.normal_()
    rows = torch.randn(6, *shape)
    return det, net, SimpleNamespace(x=lambda: rows)


def softplus(a):
    return np.log1p(np.exp(-np.abs(a))) + np.maximum(a, 0)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


@pytest.fixture
def layers():
    """A fully connected energy with its weights as arrays: b', W1, c1, W2, c2."""
    torch.manual_seed(0)
    energy = Energy((7,), 4, 5)
    with torch.no_grad():
        for p in energy.parameters():
            p.normal_()
    first, second = energy.units[0], energy.units[2]
    weights = (energy.centre, first.weight, first.bias, second.weight, second.bias)
    return energy, [w.detach().double().numpy() for w in weights]


def test_fully_connected_energy(layers):
    energy, (b, W1, c1, W2, c2) = layers
    x = torch.randn(6, 7)
    X = x.double().numpy()
    expected = 0.5 * np.square(X - b).sum(1) - softplus(softplus(X @ W1.T + c1) @ W2.T + c2).sum(1)
    np.testing.assert_allclose(energy(x).detach(), expected, rtol=1e-4, atol=1e-4)


def test_one_step_down_the_energy_is_an_autoencoder_with_tied_weights(layers):
    """x - dE/dx = b' + W1^T (sigmoid(a1) * W2^T sigmoid(a2)): the decoder is the transposed encoder. ALAD's code adds a
    decoder before taking the gradient, which is a different function."""
    energy, (b, W1, c1, W2, c2) = layers
    x = torch.randn(6, 7)
    a1 = x.double().numpy() @ W1.T + c1
    a2 = softplus(a1) @ W2.T + c2
    expected = b + (sigmoid(a1) * (sigmoid(a2) @ W2)) @ W1
    _, x_hat = descend(energy, x)
    np.testing.assert_allclose(x_hat, expected, rtol=1e-4, atol=1e-4)


def test_convolutional_energy():
    """Strided 3x3 convolutions, each followed by softplus, and a linear layer's softplus, minus the parabola."""
    torch.manual_seed(0)
    energy, x = Energy((1, 16, 8), 4, 5), torch.randn(3, 1, 16, 8)
    assert [type(m).__name__ for m in energy.units] == [
        "Conv2d",
        "Softplus",
        "Conv2d",
        "Softplus",
        "Flatten",
        "RowLinear",
    ]
    f = x
    for i in (0, 2):
        f = torch.log1p(energy.units[i](f).exp())
    a = f.flatten(1) @ energy.units[5].weight.T + energy.units[5].bias
    expected = 0.5 * (x - energy.centre).square().sum((1, 2, 3)) - torch.log1p(a.exp()).sum(1)
    torch.testing.assert_close(energy(x), expected, rtol=1e-4, atol=1e-4)


def test_the_step_follows_the_slope(game):
    """Against finite differences of the energy, in float64."""
    _, net, batch = game
    energy, x = net.E.double(), batch.x().double()
    e, x_hat = descend(energy, x)
    torch.testing.assert_close(e, energy(x))
    for i in np.random.default_rng(0).integers(0, x[0].numel(), 8):
        h = torch.zeros_like(x[0]).flatten()
        h[i] = 1e-5
        slope = (energy(x + h.view_as(x[0])) - energy(x - h.view_as(x[0]))) / 2e-5
        torch.testing.assert_close((x - x_hat).flatten(1)[:, i], slope, rtol=1e-5, atol=1e-6)


def test_training_leads_noisy_rows_back(game):
    det, net, batch = game
    torch.manual_seed(1)
    ((player, terms),) = (item for losses in det.step(net, batch) for item in losses.items())
    torch.manual_seed(1)
    noisy = batch.x() + 0.7 * torch.randn_like(batch.x())
    _, x_hat = descend(net.E, noisy)
    assert (player, set(terms)) == ("E", {"denoising"})
    expected = (batch.x() - x_hat).square().flatten(1).mean(1)
    torch.testing.assert_close(terms["denoising"], expected, rtol=1e-4, atol=1e-5)


def test_the_losss_gradient_is_that_of_a_gradient(game):
    """Against finite differences of the loss in one weight of every parameter: the graph of dE/dx must be kept."""
    det, net, batch = game

    def loss():
        torch.manual_seed(1)
        return next(det.step(net, batch))["E"]["denoising"].mean()

    params = list(net.E.parameters())
    for p, gradient in zip(params, torch.autograd.grad(loss(), params), strict=True):
        place = int(gradient.abs().argmax())
        values = []
        for h in (1e-2, -2e-2):
            with torch.no_grad():
                p.view(-1)[place] += h
            values.append(float(loss().detach()))
        with torch.no_grad():
            p.view(-1)[place] += 1e-2
        assert float(gradient.reshape(-1)[place]) == pytest.approx((values[0] - values[1]) / 2e-2, rel=1e-2, abs=1e-4)


def test_scores_are_the_papers_two_criteria(game):
    det, net, batch = game
    net.eval().requires_grad_(False)
    with torch.no_grad():
        scores = det.score_rows(net, batch.x())
        expected, x_hat = descend(net.E, batch.x())
    assert not any(value.requires_grad for value in scores.values())
    torch.testing.assert_close(scores["energy"], expected)
    torch.testing.assert_close(scores["x_hat"], x_hat)
    slope = (batch.x() - x_hat).flatten(1)
    torch.testing.assert_close(scores["reconstruction"], slope.square().mean(1))
    norms = slope.norm(dim=1)  # ALAD's code; the paper has its square
    assert torch.equal(scores["reconstruction"].argsort(), norms.argsort())
    torch.testing.assert_close(
        det.embed(net, batch.x()).sum(1),
        0.5 * (batch.x() - net.E.centre).flatten(1).square().sum(1) - scores["energy"],
        rtol=1e-4,
        atol=1e-3,
    )


def test_scores_do_not_depend_on_noise_or_random_state(pictures):
    det = testing.small(DSEBM).fit(pictures)
    torch.manual_seed(1)
    first = det.explain(pictures).terms
    torch.manual_seed(2)
    for name, value in det.explain(pictures).terms.items():
        assert np.array_equal(value, first[name])


def test_the_slope_is_taken_in_full_precision(game):
    det, net, batch = game
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = next(det.step(net, batch))["E"]["denoising"].mean()
        half = net.E(batch.x())
        e, _ = descend(net.E, batch.x())
    assert low.dtype == torch.float32
    full = net.E(batch.x())
    torch.testing.assert_close(e, full)
    assert (half - full).abs().max() > 1e-4


def test_a_rows_reconstruction_in_training_is_its_own(game):
    """With batch normalisation, which GeoTrans' code has, it would depend on the rest of the batch."""
    _, net, batch = game
    _, together = descend(net.E, batch.x())
    _, alone = descend(net.E, batch.x()[:1])
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)


class Relu(DSEBM):
    """GeoTrans' code: ReLU in place of softplus."""

    def build(self, shape):
        return {"E": ReluEnergy(shape, 8, 32)}


class ReluEnergy(Energy):
    def __init__(self, shape, width, experts):
        super().__init__(shape, width, experts)
        self.units = mlp((shape[0], width, experts), activation="relu", last=True)

    def forward(self, x):
        return 0.5 * (x - self.centre).square().sum(1) - self.units(x).relu().sum(1)


class CentreByPlace(DSEBM):
    """ALAD's code: a different b' for every position in the batch."""

    def build(self, shape):
        energy = Energy(shape, 8, 32)
        energy.centre = nn.Parameter(torch.randn(16, *shape))
        return {"E": energy}


@pytest.mark.parametrize(
    ("cls", "law", "message"),
    [
        (Relu, testing.gradients_reach_their_player, "no gradient reaches E.units"),
        (CentreByPlace, testing.rows_are_independent, "row"),
    ],
)
def test_published_bugs_are_caught(cls, law, message, table):
    with pytest.raises(AssertionError, match=message):
        law(testing.small(cls), table)


def test_distant_rows_are_anomalous_by_both_scores(table):
    for criterion in ("energy", "reconstruction"):
        det = testing.small(DSEBM, score_by=criterion).fit(table)
        assert (det.anomaly_score(table + 20 * table.std(0)) > det.threshold_).all()


def test_nothing_is_generated(table):
    with pytest.raises(ParameterError, match="DSEBM cannot generate rows"):
        testing.small(DSEBM).fit(table).generate(2)


SHAPES = {"cifar10": (3, 32, 32), "fashion-mnist": (1, 32, 32), "kdd99": (121,), "arrhythmia": (274,)}


@pytest.mark.parametrize("dataset", SHAPES)
def test_configurations_are_those_of_published_code(dataset):
    shape = SHAPES[dataset]
    det = papers.detector("dsebm", dataset, variant="code")
    energy = det.build(shape)["E"]
    sizes = [tuple(p.shape) for name, p in energy.units.named_parameters() if "weight" in name]
    if len(shape) == 3:
        assert sizes == [(64, shape[0], 3, 3), (128, 64, 3, 3), (256, 128, 3, 3), (256, 256 * 4 * 4)]
        assert (det.size, det.noise, det.batch_size, det.epochs, det.lr, det.beta1) == (32, 0.5, 128, 200, 1e-3, 0.9)
    else:
        assert sizes == {"kdd99": [(128, 121), (512, 128)], "arrhythmia": [(10, 274), (2, 10)]}[dataset]
        assert (det.noise, det.batch_size, det.lr) == (1.0, {"kdd99": 100, "arrhythmia": 26}[dataset], 1e-4)
    assert energy.centre.shape == shape
    assert det.score_by == "energy"
