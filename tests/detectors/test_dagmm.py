"""DAGMM against its paper (Zong et al., 2018), without training: every formula written here."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn

from oddgan import papers, testing
from oddgan.detectors.dagmm import DAGMM, RIDGE, Mixture
from oddgan.errors import ParameterError
from oddgan.kit.recipe import ALL
from oddgan.rows import open_rows


@pytest.fixture(params=["pictures", "table"])
def game(request):
    """A detector, fresh networks in evaluation mode (no dropout), and a batch that always gives the same rows."""
    torch.manual_seed(0)
    shape = (1, 16, 12) if request.param == "pictures" else (7,)
    det = DAGMM(latent_dim=3, width=4, components=2, w_energy=0.2, w_cov=0.03)
    net = nn.ModuleDict(det.build(shape)).eval()
    if len(shape) == 3:
        with torch.no_grad():
            for p in net.C.parameters():
                p.mul_(5.0)  # fresh convolutions reconstruct next to nothing
    rows = torch.randn(20, *shape)
    return det, net, testing.FakeBatch(rows)


def features(net, x):
    """z by hand: the code, the relative Euclidean distance, the cosine similarity (section 4.3)."""
    with torch.no_grad():
        z_c = net.C.h(x)
        x_hat = net.C.g(z_c)
    a, b = (value.flatten(1).double().numpy() for value in (x, x_hat))
    distance = np.sqrt(((a - b) ** 2).sum(1)) / np.sqrt((a**2).sum(1))
    cosine = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return a, b, np.column_stack([z_c.double().numpy(), distance, cosine])


def memberships(net, z):
    """gamma by hand: one tanh layer, then softmax."""
    first, second = (m for m in net.M.layers if isinstance(m, nn.Linear))
    hidden = np.tanh(z @ first.weight.detach().double().numpy().T + first.bias.detach().double().numpy())
    p = np.exp(hidden @ second.weight.detach().double().numpy().T + second.bias.detach().double().numpy())
    return p / p.sum(1, keepdims=True)


def mixture(z, gamma):
    """Equation 5, as printed, and the ridge."""
    phi, mu, sigma = gamma.mean(0), [], []
    for k in range(gamma.shape[1]):
        weights = gamma[:, k] / gamma[:, k].sum()
        mu.append((weights[:, None] * z).sum(0))
        sigma.append(sum(w * np.outer(row - mu[k], row - mu[k]) for w, row in zip(weights, z, strict=True)))
        sigma[k] = sigma[k] + RIDGE * max(1.0, np.diag(sigma[k]).mean()) * np.eye(z.shape[1])
    return phi, mu, sigma


def energy(z, phi, mu, sigma):
    """Equation 6 with SciPy's normal density."""
    return -np.log(sum(p * multivariate_normal(m, s).pdf(z) for p, m, s in zip(phi, mu, sigma, strict=True)))


def expected(net, x):
    """Rows, reconstructions, z, gamma, mixture and energies of x, all by hand."""
    a, b, z = features(net, x)
    gamma = memberships(net, z)
    fitted = mixture(z, gamma)
    return a, b, z, gamma, fitted, energy(z, *fitted)


def test_features(game):
    det, net, batch = game
    _, b, z = features(net, batch.x())
    x_hat, found = net.C(batch.x())
    np.testing.assert_allclose(found.detach(), z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(x_hat.flatten(1).detach(), b, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(det.embed(net, batch.x()).detach(), z, rtol=1e-4, atol=1e-5)


def test_objective(game):
    """Equation 7: a sum of squares, lambda_1 times the batch's energies, lambda_2 times the inverse variances."""
    det, net, batch = game
    (losses,) = det.step(net, batch)
    a, b, _, _, (_, _, sigma), energies = expected(net, batch.x())
    assert {player: set(terms) for player, terms in losses.items()} == {
        "C": {"rec", "energy", "cov"},
        "M": {"energy", "cov"},
    }
    np.testing.assert_allclose(losses["C"]["rec"].detach(), ((a - b) ** 2).sum(1), rtol=1e-4)
    np.testing.assert_allclose(losses["C"]["energy"].detach(), 0.2 * energies, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        float(losses["C"]["cov"].detach()), 0.03 * sum((1 / np.diag(s)).sum() for s in sigma), rtol=1e-3
    )
    assert losses["M"]["energy"] is losses["C"]["energy"]
    assert losses["M"]["cov"] is losses["C"]["cov"]


def test_gradients_flow_through_the_mixture(game):
    """The mixture depends on z and gamma: with a fixed mixture, M would get no gradient."""
    det, net, batch = game
    terms = next(det.step(net, batch))["M"]
    for name, term in terms.items():
        gradients = torch.autograd.grad(term.mean(), list(net.M.layers.parameters()), retain_graph=True)
        assert all(g.abs().max() > 0 for g in gradients), name
    gradients = torch.autograd.grad(terms["energy"].mean(), list(net.C.g.parameters()))
    assert all(g.abs().max() > 0 for g in gradients), "the decoder learns from the energy, through the two features"


def test_dropout_is_for_training_only(game):
    _, net, _ = game
    z = torch.randn(50, 5)
    with torch.no_grad():
        assert torch.equal(net.M(z), net.M(z))
        assert not torch.equal(net.M.train()(z), net.M(z))
    assert [m.p for m in net.M.layers if isinstance(m, nn.Dropout)] == [0.5]


class Rows:
    """Training rows, as a detector's `finish` gets them."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def batch(self, numbers):
        return self.rows[numbers]


def test_scores_are_energies_under_the_mixture_of_all_training_rows(game):
    det, net, batch = game
    train = torch.randn(300, *batch.x().shape[1:])  # more than finish reads at once
    with torch.no_grad():
        det.finish(net, Rows(train))
        scores = det.score_rows(net, batch.x())
    _, _, z, gamma, fitted, _ = expected(net, train)
    np.testing.assert_allclose(net.M.phi, gamma.mean(0), rtol=1e-5)
    np.testing.assert_allclose(net.M.mu, fitted[1], rtol=1e-3, atol=1e-5)
    for whiten, sigma in zip(net.M.whiten.double().numpy(), fitted[2], strict=True):
        np.testing.assert_allclose(whiten @ sigma @ whiten.T, np.eye(z.shape[1]), atol=1e-2)
    a, b, z = features(net, batch.x())
    np.testing.assert_allclose(scores["energy"], energy(z, *fitted), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(scores["residual"], ((a - b) ** 2).sum(1), rtol=1e-4)
    np.testing.assert_allclose(scores["x_hat"].flatten(1), b, rtol=1e-4, atol=1e-6)


def blobs(n=400):
    """z in two clusters of 3 correlated numbers, with their memberships."""
    random = np.random.default_rng(0)
    z = random.normal(size=(n, 3)) @ random.normal(size=(3, 3))
    z[: n // 2] += 8
    gamma = np.where(np.arange(n) < n // 2, 0.9, 0.2)
    return torch.from_numpy(z), torch.from_numpy(np.column_stack([gamma, 1 - gamma]))


def test_mixture_and_energy_are_equations_5_and_6():
    """Other implementations take sqrt(2 pi det) for sqrt(det(2 pi Sigma)), or the root of a root."""
    z, gamma = blobs()
    found, variances = Mixture.of(z, gamma)
    by_hand = mixture(z.numpy(), gamma.numpy())
    np.testing.assert_allclose(found.energy(z), energy(z.numpy(), *by_hand), rtol=1e-9)
    np.testing.assert_allclose(variances, [np.diag(s) for s in by_hand[2]], rtol=1e-9)


def test_far_rows_do_not_tie():
    """A published bug: 1e-12 is added to the density, so that no energy exceeds 27.6."""
    z, gamma = blobs()
    found, _ = Mixture.of(z, gamma)
    far = found.energy(z.mean(0) + torch.tensor([[100.0], [200], [1000], [1e6]]) * torch.ones(3))
    assert far.isfinite().all()
    assert (far.diff() > 0).all()
    assert far[0] > 27.6
    faulty = -torch.log(torch.exp(-far) + 1e-12)
    assert len(set(faulty.tolist())) == 1


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_singular_covariances_have_energies(scale):
    """Equal columns, and a component without rows; with the usual ridge of 1e-12 factorisation fails at this scale."""
    z, gamma = blobs()
    z = scale * torch.cat([z, z], dim=1)
    gamma = torch.cat([gamma, torch.zeros(len(z), 1)], dim=1).requires_grad_()
    found, variances = Mixture.of(z.requires_grad_(), gamma)
    energies = found.energy(z)
    assert energies.isfinite().all()
    for gradient in torch.autograd.grad(energies.mean() + variances.reciprocal().sum(), (z, gamma)):
        assert gradient.isfinite().all()


def test_rows_of_zeros_and_perfect_reconstructions_have_features():
    det = DAGMM(latent_dim=2, width=4)
    net = nn.ModuleDict(det.build((3,)))
    net.C.h, net.C.g = nn.Identity(), nn.Identity()
    rows = torch.tensor([[0.0, 0, 0], [1, 2, 3]], requires_grad=True)
    _, z = net.C(rows)
    torch.testing.assert_close(z[:, 3:], torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    assert torch.autograd.grad(z.sum(), rows)[0].isfinite().all()


def test_a_breakdown_reaches_the_training_loop_as_nan():
    z, gamma = blobs()
    z[0] = torch.nan
    assert Mixture.of(z, gamma)[0].energy(z).isnan().any()


class MixtureOfTheBlock(DAGMM):
    """A bug: the mixture is estimated from the rows that are scored."""

    def score_rows(self, net, x, names=ALL):
        z = net.C(x)[1]
        found, _ = Mixture.of(z.double(), net.M(z))
        return {**super().score_rows(net, x, names), "energy": found.energy(z.double())}


class StaysInTraining(DAGMM):
    """A bug: dropout at test time, and batch statistics for pictures."""

    adapts_weights = True  # networks as they were trained: those for scoring have no dropout left

    def score_rows(self, net, x, names=ALL):
        return {**super().score_rows(net.train(), x), "energy": net.M(net.C(x)[1])[:, 0]}


@pytest.mark.parametrize("cls", [MixtureOfTheBlock, StaysInTraining])
def test_scores_that_depend_on_other_rows_are_caught(cls, table):
    with pytest.raises(AssertionError, match="row"):
        testing.rows_are_independent(testing.small(cls), table)


def test_the_fit_ends_with_the_mixture_of_its_training_rows(table):
    """ALAD's code keeps that of the last batch."""
    det = testing.small(DAGMM, components=2, score_by="energy").fit(table[:60], calibrate=table[60:])
    rows = det.preprocessor_.prepare(open_rows(table[:60]), np.arange(60)).batch(np.arange(60))
    _, _, _, gamma, fitted, _ = expected(det.net_, rows)
    np.testing.assert_allclose(det.net_.M.phi, gamma.mean(0), rtol=1e-4)
    np.testing.assert_allclose(det.net_.M.mu, fitted[1], rtol=1e-3, atol=1e-4)
    last = mixture(*(value[-16:] for value in (features(det.net_, rows)[2], gamma)))
    assert np.abs(np.array(last[1]) - det.net_.M.mu.numpy()).max() > 1e-2


def test_the_two_error_features_ignore_size():
    """Why the default score adds the residual to the paper's energy: if a row is reconstructed in proportion, z does
    not depend on its size beyond the code."""
    det = DAGMM(latent_dim=3, width=4)
    net = nn.ModuleDict(det.build((3,))).eval()
    net.C.h, net.C.g = nn.Identity(), nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        rows = torch.tensor([[1.0, 2, 3], [100, 200, 300]])
        z, scores = net.C(rows)[1], det.score_rows(net, rows)
    torch.testing.assert_close(z[0, 3:], z[1, 3:])
    assert float(scores["residual"][1] / scores["residual"][0]) == pytest.approx(1e4, rel=1e-3)
    assert det.own_score == "combined"
    assert det.combined_terms == ("energy", "residual")


def test_generated_codes_follow_the_mixture():
    det = DAGMM(latent_dim=2, width=4, components=2)
    net = nn.ModuleDict(det.build((2,)))
    net.C.g = nn.Identity()
    random = np.random.default_rng(0)
    z = torch.from_numpy(random.normal(size=(500, 4)) @ random.normal(size=(4, 4)))
    gamma = torch.tensor([[0.25, 0.75]], dtype=torch.float64).repeat(500, 1)
    gamma[:100] = torch.tensor([1.0, 0.0])
    found, _ = Mixture.of(z, gamma)
    for name in ("phi", "mu", "whiten"):
        getattr(net.M, name).copy_(getattr(found, name))
    torch.manual_seed(0)
    codes = det.sample(net, 40_000).double()
    # Equation 5 keeps the rows' own first two moments.
    torch.testing.assert_close(codes.mean(0), z[:, :2].mean(0), rtol=0.05, atol=0.05)
    torch.testing.assert_close(codes.T.cov(), z[:, :2].T.cov(correction=0), rtol=0.05, atol=0.1)


PRINTED = {  # section 4.3: the compression network, the estimation network, batch, epochs
    "kdd99": ([121, 60, 30, 10, 1, 10, 30, 60, 121], [3, 10, 4], 1024, 200),
    "thyroid": ([6, 12, 4, 1, 4, 12, 6], [3, 10, 2], 1024, 20_000),
    "arrhythmia": ([274, 10, 2, 10, 274], [4, 10, 2], 128, 10_000),
}


@pytest.mark.parametrize("dataset", PRINTED)
def test_the_papers_configurations(dataset):
    compression, estimation, batch, epochs = PRINTED[dataset]
    det = papers.detector("dagmm", dataset)
    assert (det.batch_size, det.epochs, det.lr, det.w_energy, det.w_cov) == (batch, epochs, 1e-4, 0.1, 0.005)
    assert det.score_by == "energy"
    net = det.build((compression[0],))
    for module, units in ((net["C"], compression), (net["M"], estimation)):
        linear = [m for m in module.modules() if isinstance(m, nn.Linear)]
        assert [linear[0].in_features, *(m.out_features for m in linear)] == units
    names = [[type(m).__name__ for m in part] for part in (net["C"].h, net["C"].g, net["M"].layers)]
    depth = len(compression) // 2 - 1
    assert names[0] == names[1] == ["RowLinear", "Tanh"] * depth + ["RowLinear"]
    assert names[2] == ["RowLinear", "Tanh", "Dropout", "RowLinear"]


@pytest.mark.parametrize("units", ["60-", "60,30", "a", "0", "10--3"])
def test_units_that_cannot_be_read_are_named(units, table):
    with pytest.raises(ParameterError, match=f"units='{units}'"):
        testing.small(DAGMM, units=units).fit(table)


def test_default_networks():
    """Two hidden layers for tables; a small code for pictures, which the paper does not have."""
    net = DAGMM(width=8).build((6,))["C"]
    linear = [m for m in net.modules() if isinstance(m, nn.Linear)]
    assert [linear[0].in_features, *(m.out_features for m in linear)] == [6, 8, 4, 2, 4, 8, 6]
    assert DAGMM().build((3, 32, 32))["M"].mu.shape == (4, 8 + 2)
