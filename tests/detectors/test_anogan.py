"""AnoGAN against its paper (Schlegl et al., 2017), with little training, and planted bugs of published code."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from oddgan import papers, testing
from oddgan.detectors.anogan import AnoGAN
from oddgan.errors import ParameterError
from oddgan.kit import search
from oddgan.testing import FakeBatch


@pytest.fixture(params=[(1, 11, 9), (7,)], ids=["pictures", "table"])
def scene(request):
    """A detector, networks in evaluation mode that depend on their input, and rows."""
    torch.manual_seed(0)
    det = AnoGAN(latent_dim=5, width=4, steps=12, search_lr=0.05, patience=0, w_dis=0.3)
    net = nn.ModuleDict(det.build(request.param)).eval().requires_grad_(False)
    for p in [*net.G.parameters(), *net.D.parameters()]:
        p.mul_(3.0)
    return det, net, torch.rand(4, *request.param) * 2 - 1


def scored(scene, **changes):
    det, net, x = scene
    with torch.no_grad():
        return copy.copy(det).set_params(**changes).score_rows(net, x)


def loss_by_hand(net, x, z, w, discrimination):
    """(1 - lambda) R + lambda D, with R and D as in the paper."""
    x_hat = net.G(z)
    residual = torch.sum(torch.abs(x - x_hat).reshape(len(x), -1), 1)
    if discrimination == "feature":
        loss = torch.sum(torch.abs(net.D(x)[1] - net.D(x_hat)[1]), 1)
    else:
        loss = -torch.log(torch.sigmoid(net.D(x_hat)[0]))
    return (1 - w) * residual + w * loss


@pytest.mark.parametrize("discrimination", ["feature", "sigmoid"])
def test_search_and_score_are_the_papers(scene, discrimination):
    """The same search by hand, with torch's optimiser and each row alone; the score is the lowest sum of the search."""
    _, net, x = scene
    terms = scored(scene, discrimination=discrimination)
    for i, row in enumerate(x):
        z = net.Z.starts[[0]].clone().requires_grad_()
        adam = torch.optim.Adam([z], lr=0.05)
        met = []
        for _ in range(13):
            loss = loss_by_hand(net, row[None], z, 0.3, discrimination)
            met.append((loss.item(), net.G(z.detach())))
            (z.grad,) = torch.autograd.grad(loss.sum(), z)
            adam.step()
        value, x_hat = min(met, key=lambda pair: pair[0])
        assert terms["paper"][i].item() == pytest.approx(value, rel=1e-3)
        torch.testing.assert_close(terms["x_hat"][i], x_hat[0], rtol=1e-2, atol=1e-3)
        assert value < met[0][0]


def test_terms_are_those_of_the_z_that_was_found(scene):
    _, net, x = scene
    terms = scored(scene)
    x_hat = terms["x_hat"]
    with torch.no_grad():
        (_, f), (logit, f_hat) = net.D(x), net.D(x_hat)
    np.testing.assert_allclose(terms["residual"], (x - x_hat).abs().reshape(4, -1).sum(1), rtol=1e-5)
    np.testing.assert_allclose(terms["feature"], (f - f_hat).abs().sum(1), rtol=1e-4)
    np.testing.assert_allclose(terms["sigmoid"], F.softplus(-logit), rtol=1e-4)
    np.testing.assert_allclose(terms["paper"], 0.7 * terms["residual"] + 0.3 * terms["feature"], rtol=1e-5)


def test_lambda_weights_the_discrimination_loss():
    """A published bug swaps the weights."""
    assert AnoGAN().w_dis == 0.1
    torch.manual_seed(0)
    x, z = torch.rand(3, 1, 8, 8), torch.randn(3, 5)
    for w, name in ((0.0, "residual"), (1.0, "feature")):
        det = AnoGAN(latent_dim=5, width=4, w_dis=w)
        net = nn.ModuleDict(det.build((1, 8, 8))).eval()
        terms = det.losses(net, x, net.D(x)[1], z)
        assert torch.equal(terms["paper"], terms[name])
        assert not torch.allclose(terms["residual"], terms["feature"])


def test_every_row_is_searched_for(scene):
    """A published bug searches for nothing: every row is compared with the same fake."""
    there, found = scored(scene, steps=0), scored(scene)
    assert torch.equal(there["x_hat"][0], there["x_hat"][1])
    assert not torch.equal(found["x_hat"][0], found["x_hat"][1])
    assert (found["paper"] < there["paper"]).all()


def test_the_search_changes_z_and_nothing_else(scene):
    """A published bug lets the search's optimiser update G and D."""
    _, net, _ = scene
    net.requires_grad_(True)
    before = copy.deepcopy(net.state_dict())
    scored(scene)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in net.parameters())


def test_feature_matching_ignores_the_discriminators_verdict(scene):
    """A published bug compares D's outputs in place of its features."""
    _, net, _ = scene
    by_features, by_verdict = scored(scene), scored(scene, discrimination="sigmoid")
    with torch.no_grad():
        net.D.head.weight.mul_(-50.0)
    assert torch.equal(scored(scene)["paper"], by_features["paper"])
    assert not torch.allclose(scored(scene, discrimination="sigmoid")["paper"], by_verdict["paper"])


@pytest.mark.parametrize("networks", ["dcgan", "egbad", "keras"])
def test_scores_are_those_of_evaluation_mode(networks, pictures, table):
    """A published bug leaves dropout on in the search."""
    for X in (pictures, table):
        det = testing.small(AnoGAN, networks=networks, updates=2).fit(X)
        assert not any(module.training for module in det.net_.modules())
        assert np.array_equal(det.anomaly_score(X[:5]), det.anomaly_score(X)[:5])


class CarriesOver(search.Adam):
    """A published bug: the optimiser's state of one row is carried over to the next."""

    kept: tuple | None = None

    def __init__(self, values, *betas):
        super().__init__(values, *betas)
        if self.kept is not None and self.kept[0][0].shape == self.m[0].shape:
            self.m, self.v, self.t = self.kept
        type(self).kept = (self.m, self.v, self.t)


def test_nothing_is_carried_over_from_row_to_row(pictures, monkeypatch):
    monkeypatch.setattr(search, "Adam", CarriesOver)
    with pytest.raises(AssertionError, match="row"):
        testing.rows_are_independent(testing.small(AnoGAN), pictures)


class Watched(AnoGAN):
    """Records the weights of G and D before every update."""

    seen: list = []  # noqa: RUF012

    def step(self, net, batch):
        now = {name: p.detach().clone() for name, p in net.named_parameters()}
        if not self.seen or any(not torch.equal(now[name], value) for name, value in self.seen[-1].items()):
            self.seen.append(now)  # steps are also played without an update, on held-out rows
        yield from super().step(net, batch)


def test_generator_and_discriminator_both_end_with_averaged_weights(table):
    """A published bug averages G alone, and searches with the last D."""
    settings = {"updates": 12, "random_state": 3}
    Watched.seen.clear()
    last = dict(testing.small(Watched, ema=0.0, **settings).fit(table).net_.named_parameters())
    weights = [*Watched.seen[:12], last]
    averaged = dict(testing.small(AnoGAN, ema=0.7, **settings).fit(table).net_.named_parameters())
    for name, value in averaged.items():
        expected = weights[0][name]
        for t, now in enumerate(weights[1:]):
            decay = min(0.7, (1 + t) / (10 + t))
            expected = decay * expected + (1 - decay) * now[name]
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(value, last[name], rtol=1e-4, atol=1e-6), f"{name} is not averaged"
    assert {name.split(".")[0] for name in averaged} == {"G", "D"}


def test_more_starts_never_score_higher(scene):
    _, net, _ = scene
    net.Z.starts = 3 * torch.randn(6, 5)
    best = scored(scene)["paper"]
    several = []
    for start in net.Z.starts.clone():
        net.Z.starts = start[None]
        several.append(scored(scene)["paper"])
    assert torch.equal(best, torch.stack(several).min(0).values)
    assert len({int(i) for i in torch.stack(several).argmin(0)}) > 1


def test_starts_are_stored_with_the_model(pictures):
    det = testing.small(AnoGAN, starts=3, latent_dim=4).fit(pictures)
    assert det.net_.Z.starts.shape == (3, 4)
    other = testing.small(AnoGAN, starts=3, latent_dim=4, random_state=1).fit(pictures)
    assert not torch.equal(det.net_.Z.starts, other.net_.Z.starts)


# --- the encoder's start (no part of the paper) ---


def test_encoder_is_trained_to_invert_the_generator(scene):
    _, _, x = scene

    det = AnoGAN(latent_dim=5, width=4, start="encoder", encoder_updates=9)
    net = nn.ModuleDict(det.build(x.shape[1:])).eval()
    game, encoder = det.stages()
    assert (game.players, encoder.players, encoder.updates) == (("G", "D"), ("E",), 9)
    (losses,) = encoder.step(net, FakeBatch(x))
    expected = (x - net.G(net.E(x))).square().reshape(4, -1).mean(1)
    torch.testing.assert_close(losses["E"]["izi"], expected)
    assert all(g.abs().max() > 0 for g in torch.autograd.grad(expected.sum(), net.E.parameters()))
    assert "E" not in AnoGAN().build(x.shape[1:])
    assert len(AnoGAN().stages()) == 1


def test_the_search_starts_at_the_encoders_guess():
    torch.manual_seed(0)
    x = torch.rand(4, 6)
    det = AnoGAN(latent_dim=5, width=4, start="encoder", steps=0, starts=1)
    net = nn.ModuleDict(det.build((6,))).eval()
    with torch.no_grad():
        terms = det.score_rows(net, x)
        torch.testing.assert_close(terms["x_hat"], net.G(net.E(x)))
        more = det.set_params(starts=2)
        net.Z.starts = torch.stack([torch.zeros(5), torch.full((5,), 2.0)])  # the first gives way to E(x)
        both = torch.stack([more.losses(net, x, net.D(x)[1], z)["paper"] for z in (net.E(x), net.Z.starts[[1] * 4])])
        assert torch.equal(more.score_rows(net, x)["paper"], both.min(0).values)


@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_the_guess_stays_in_the_range_of_the_prior(prior):
    """Within a uniform prior's bounds, however large E's output; a normal prior has none."""
    det = AnoGAN(latent_dim=5, width=4, start="encoder", steps=0, starts=1, prior=prior)
    net = nn.ModuleDict(det.build((1, 8, 8))).eval()
    far = 100 * torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        z, guess = net.E(far), det.guess(net, far)
    assert z.abs().max() > 1
    assert torch.equal(guess, z.tanh() if prior == "uniform" else z)


def test_laws_with_an_encoder(pictures):
    for law in (testing.rows_are_independent, testing.resumed_runs_are_identical, testing.only_players_move):
        law(testing.small(AnoGAN, start="encoder"), pictures)


# --- configurations ---


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_the_keras_implementation_has_its_published_parameter_counts():
    net = papers.detector("anogan", "mnist", variant="keras").build((1, 28, 28))
    assert (count(net["G"]), count(net["D"])) == (839_937, 212_865)
    assert net["Z"].starts.abs().max() <= 1


SHAPES = {
    "oct": (1, 64, 64),
    "mnist": (1, 28, 28),
    "kdd99": (121,),
    "arrhythmia": (274,),
    "cifar10": (3, 32, 32),
    "svhn": (3, 32, 32),
}


@pytest.mark.parametrize(
    ("dataset", "variant", "lam", "rates"),
    [
        ("oct", "paper", 0.1, 0.01),
        ("mnist", "keras", 0.1, 1e-3),
        ("mnist", "egbad", 0.1, {"0": 0.01, "200": 0.001, "300": 0.0005}),
        ("mnist", "egbad_sigma", 0.1, {"0": 0.01, "200": 0.001, "300": 0.0005}),
        ("kdd99", "egbad", 0.1, {"0": 0.01, "300": 0.001, "400": 0.0005}),
        ("kdd99", "egbad_sigma", 0.1, {"0": 0.01, "300": 0.001, "400": 0.0005}),
        ("kdd99", "alad", 0.9, 0.001),
        ("arrhythmia", "alad", 0.9, 0.001),
        ("cifar10", "alad", 0.9, 0.001),
        ("svhn", "alad", 0.9, 0.001),
    ],
)
def test_configurations_build_and_search_as_published(dataset, variant, lam, rates):
    det = papers.detector("anogan", dataset, variant=variant)
    assert (det.steps, det.starts, det.patience, det.w_dis, det.search_lr) == (500, 1, 0, lam, rates)
    assert det.discrimination == ("sigmoid" if variant.endswith("sigma") else "feature")
    det.check_parameters()
    net = nn.ModuleDict(det.build(SHAPES[dataset])).eval()
    with torch.no_grad():
        x = det.sample(net, 2)
        assert x.shape == (2, *SHAPES[dataset])
        assert det.set_params(steps=1).score_rows(net, x)["paper"].shape == (2,)


def test_a_schedule_without_a_first_step_is_refused(table):
    with pytest.raises(ParameterError, match="name the steps at which they begin, the first is 0"):
        testing.small(AnoGAN, search_lr={"100": 0.01}).fit(table)
