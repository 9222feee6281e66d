"""VAE against its paper (Kingma and Welling, 2014), without training: every term against a formula written here."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from oddgan import papers, testing
from oddgan.detectors.vae import VAE, Fixed
from oddgan.kit.recipe import ALL


@pytest.fixture(params=["pictures", "table"])
def game(request):
    """A detector, fresh networks in training mode, and a batch that always gives the same rows."""
    torch.manual_seed(0)
    shape = (1, 16, 12) if request.param == "pictures" else (7,)
    det = VAE(latent_dim=5, width=4, draws=3)
    net = torch.nn.ModuleDict(det.build(shape)).train()
    rows = torch.randn(6, *shape)
    return det, net, SimpleNamespace(x=lambda: rows)


def posterior(net, x):
    """q(z|x) by hand: the first half of E's outputs is the mean, softplus of the second the standard deviation."""
    out = net.E.encoder(x)
    return Normal(out[:, :5], torch.log1p(torch.exp(out[:, 5:])))


class Rows:
    """Training rows, as a detector's `finish` gets them."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def batch(self, numbers):
        return self.rows[numbers]


def losses(game):
    torch.manual_seed(1)
    (yielded,) = game[0].step(*game[1:])
    return yielded


def test_loss_is_the_negative_elbo_at_one_draw(game):
    det, net, batch = game
    det.variance, net.Q.v[...] = 0.3, 0.3
    found = losses(game)
    assert {player: set(terms) for player, terms in found.items()} == {"E": {"nll", "kl"}, "G": {"nll"}}
    x, q = batch.x(), posterior(net, batch.x())
    torch.manual_seed(1)
    x_hat = net.G(q.loc + q.scale * torch.randn(6, 5))
    nll = -Normal(x_hat, math.sqrt(0.3)).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(found["E"]["nll"], nll, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["G"]["nll"], nll, rtol=1e-4, atol=1e-4)
    divergence = kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(found["E"]["kl"], divergence, rtol=1e-4, atol=1e-4)


def test_each_row_has_its_own_draw(game):
    det, net, batch = game
    alike = SimpleNamespace(x=lambda: torch.ones_like(batch.x()))
    with torch.no_grad():
        nll = losses((det, net.eval(), alike))["E"]["nll"]
    assert len(set(nll.tolist())) == 6


def test_reconstruction_trains_the_standard_deviation_too(game):
    """A bug: decoding the mean code, so that s depends on the divergence alone and never shrinks."""
    _, net, batch = game
    mu, s = net.E(batch.x())
    net.E.forward = lambda x: (mu, s)
    nll = losses(game)["E"]["nll"].mean()
    for part in torch.autograd.grad(nll, (mu, s)):
        assert (part.abs().amax(1) > 0).all()


def test_the_fitted_variance_is_the_best_of_the_batch(game):
    """Rybkin et al., 2021: with v at its optimum, the reconstruction loss is d/2 log MSE, gradients included."""
    _, net, batch = game
    x, params = batch.x(), [*net.E.parameters(), *net.G.parameters()]
    found = losses(game)["E"]["nll"].mean()
    torch.manual_seed(1)
    mu, s = net.E(x)
    mse = (x - net.G(mu + s * torch.randn_like(s))).square().mean()
    best = 0.5 * x[0].numel() * (1 + torch.log(2 * torch.pi * mse))
    torch.testing.assert_close(found, best, rtol=1e-5, atol=1e-4)
    mine, expected = (torch.autograd.grad(loss, params, allow_unused=True) for loss in (found, best))
    for a, b in zip(mine, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_the_stored_variance_is_that_of_drawn_codes(game):
    """Over training rows in evaluation mode; mean codes would reconstruct these much better."""
    det, net, batch = game
    net.eval()
    rows = torch.randn(3000, *batch.x().shape[1:])
    with torch.no_grad():
        for p in net.G.parameters():
            p.mul_(5.0 if rows.ndim > 2 else 2.0)
        det.finish(net, Rows(rows))
        q = posterior(net, rows)
        drawn = torch.stack([(rows - net.G(q.sample())).square().mean() for _ in range(10)]).mean()
        of_means = (rows - net.G(q.loc)).square().mean()
    assert float(net.Q.v) == pytest.approx(float(drawn), rel=0.05)
    assert drawn > 1.05 * of_means


def test_a_given_variance_stays(table):
    assert testing.small(VAE, variance=0.25).fit(table).net_.Q.v == 0.25


def test_distant_rows_do_not_overflow(game):
    """An exponential would: exp of a log variance of 100 is beyond float32."""
    det, net, batch = game
    with torch.no_grad():
        for p in net.E.encoder.head.parameters():
            p.mul_(1e4)
        for side in (1.0, -1.0):
            scores = det.score_rows(net.eval(), 100 * side * batch.x())
            assert all(value.isfinite().all() for value in scores.values())


def test_scores_are_the_elbo_and_its_parts(game):
    det, net, batch = game
    net.eval()
    net.Q.v[...] = 0.2
    x = batch.x()
    with torch.no_grad():
        q, scores = posterior(net, x), det.score_rows(net, x)
        x_hat = net.G(q.loc)
        likelihoods = [
            Normal(net.G(q.loc + q.scale * eps), math.sqrt(0.2)).log_prob(x).flatten(1).sum(1) for eps in net.Q.eps
        ]
    divergence = kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    assert len(likelihoods) == 3
    torch.testing.assert_close(scores["elbo"], divergence - sum(likelihoods) / 3, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(scores["kl"], divergence, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scores["residual"], (x - x_hat).square().flatten(1).mean(1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(scores["x_hat"], x_hat, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(det.embed(net, x), q.loc, rtol=1e-4, atol=1e-6)


def test_the_bound_is_tight_where_the_posterior_is_exact():
    """x = A z + noise, A's columns orthogonal: q can be the true posterior, and then the ELBO is log p(x) itself."""
    torch.manual_seed(0)
    A, v = torch.tensor([[1.0, 0.5], [2.0, -0.25], [0.0, 1.0]]), 0.4
    assert A[:, 0] @ A[:, 1] == 0
    precision = 1 + A.square().sum(0) / v
    fixed = Fixed(4, 2, v)
    fixed.eps = math.sqrt(2) * torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]])  # mean 0, covariance 1, as N(0, 1)
    net = SimpleNamespace(
        E=lambda x: (x @ A / v / precision, precision.rsqrt().expand(len(x), 2)), G=lambda z: z @ A.T, Q=fixed
    )
    x = 3 * torch.randn(5, 3)
    evidence = MultivariateNormal(torch.zeros(3), A @ A.T + v * torch.eye(3)).log_prob(x)
    torch.testing.assert_close(VAE().score_rows(net, x)["elbo"], -evidence, rtol=1e-4, atol=1e-4)


class DrawsAnew(VAE):
    """As An and Cho do: new draws for every score."""

    def score_rows(self, net, x, names=ALL):
        net.Q.eps.normal_()
        return super().score_rows(net, x, names)


class DrawsByPlace(VAE):
    """A draw for every position in a block."""

    def score_rows(self, net, x, names=ALL):
        torch.manual_seed(0)
        mu, s = net.E(x)
        nll = (x - net.G(mu + s * torch.randn_like(s))).square().flatten(1).sum(1)
        return {**super().score_rows(net, x, names), "elbo": nll}


@pytest.mark.parametrize(("cls", "same"), [(VAE, True), (DrawsAnew, False)])
def test_scores_do_not_depend_on_the_generator(cls, same, table):
    det, scores = testing.small(cls).fit(table), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        scores.append(det.anomaly_score(table))
    assert (scores[0] == scores[1]).all() == same


def test_scores_by_position_are_caught(table):
    with pytest.raises(AssertionError, match="row"):
        testing.rows_are_independent(testing.small(DrawsByPlace), table)


def test_generated_rows_are_decoded_from_the_prior(game):
    det, net, _ = game
    net.eval()
    with torch.no_grad():
        torch.manual_seed(3)
        rows = det.sample(net, 4)
        torch.manual_seed(3)
        torch.testing.assert_close(rows, net.G(torch.randn(4, 5)))


def test_default_latent_is_a_bottleneck():
    for shape, expected in {(1, 8, 8): 8, (1, 28, 28): 32, (6,): 4}.items():
        assert VAE().build(shape)["Q"].eps.shape[1] == expected


def test_configuration_of_egbads_paper():
    det = papers.detector("vae", "mnist")
    assert det.latent_dim == 200
    assert papers.configurations()["vae"]["mnist"]["paper"]["remembered"] == ["latent_dim"]
    nets = det.build((1, 28, 28))
    assert nets["G"](torch.randn(2, 200)).shape == (2, 1, 28, 28)
