"""ALAD against its paper and code (Zenati et al., 2018), without training: every term against a formula."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import softplus
from torch.nn.utils import parametrize

from oddgan import papers, testing
from oddgan.detectors.alad import ALAD
from oddgan.kit.recipe import ALL
from oddgan.testing import FakeBatch

SHAPES = {"pictures": (1, 16, 12), "table": (7,)}
PLAYERS = ("D_xz", "D_xx", "D_zz")


def game(cls, kind, **parameters):
    """A detector, fresh networks in training mode with dropout off, and batches."""
    torch.manual_seed(0)
    det = cls(latent_dim=3, width=4, **{"spectral_norm": False, **parameters})
    net = nn.ModuleDict(det.build(SHAPES[kind])).train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)  # away from the start, at which all verdicts are nearly equal
    return det, net, FakeBatch(SHAPES[kind])


def near(actual, expected):
    torch.testing.assert_close(actual.detach().float(), expected.detach(), rtol=1e-3, atol=1e-4)


def check_losses(cls, kind, **weights):
    """Three discriminators, each -log D(real) - log(1 - D(fake)); then G and E on the flipped labels of all."""
    det, net, batch = game(cls, kind, **weights)
    first, second = det.step(net, batch)
    assert tuple(first) == PLAYERS
    assert set(second) == {"G", "E"}, "G and E move together"
    assert len(batch.given) == len(batch.drawn) == 2, "G and E have a batch of their own"
    assert set(batch.priors) == {"normal"}

    def verdicts(i):
        x, z = batch.given[i], batch.drawn[i]
        z_hat, x_fake = net.E(x), net.G(z)
        pairs = {
            "D_xz": ((x, z_hat), (x_fake, z)),
            "D_xx": ((x, x), (x, net.G(z_hat))),
            "D_zz": ((z, z), (z, net.E(x_fake))),
        }
        return {name: [net[name](*pair)[0] for pair in both] for name, both in pairs.items()}

    with torch.no_grad():
        before, after = verdicts(0), verdicts(1)
    for name in PLAYERS:
        assert set(first[name]) == {"real", "fake"}
        near(first[name]["real"], softplus(-before[name][0]))
        near(first[name]["fake"], softplus(before[name][1]))
    for player in ("G", "E"):
        assert set(second[player]) == {"xz", "xx", "zz"}
        for cycle, weight in (("xx", det.w_xx), ("zz", det.w_zz)):
            real, fake = after[f"D_{cycle}"]
            near(second[player][cycle], weight * (softplus(real) + softplus(-fake)))
    near(second["G"]["xz"], softplus(-after["D_xz"][1]))
    near(second["E"]["xz"], softplus(after["D_xz"][0]))


def check_scores(cls, kind):
    """Sums over D_xx's features or the residual, and D_xx's cross-entropy; D_xz and D_zz have no part."""
    det, net, batch = game(cls, kind)
    net.eval()
    x = batch.x()
    with torch.no_grad():
        x_hat = net.G(net.E(x))
        f_same, (logit, f_hat) = net.D_xx(x, x)[1], net.D_xx(x, x_hat)
        scores = det.score_rows(net, x)
    gap = (x - x_hat).reshape(6, -1).numpy().astype(np.float64)
    expected = {
        "fm": np.abs((f_same - f_hat).numpy()).sum(1),
        "ch": np.log1p(np.exp(-logit.double().numpy())),
        "l1": np.abs(gap).sum(1),
        "l2": np.sqrt((gap**2).sum(1)),
    }
    assert set(scores) == {*expected, "x_hat"}
    for name, value in expected.items():
        np.testing.assert_allclose(scores[name], value, rtol=1e-3, atol=1e-6, err_msg=name)
    assert torch.equal(scores["x_hat"], x_hat)


@pytest.mark.parametrize("kind", SHAPES)
def test_losses_are_the_papers(kind):
    check_losses(ALAD, kind)
    check_losses(ALAD, kind, w_xx=0.5, w_zz=2.0)


@pytest.mark.parametrize("kind", SHAPES)
def test_scores_are_the_papers(kind):
    check_scores(ALAD, kind)


@pytest.mark.parametrize("kind", SHAPES)
def test_every_cycle_trains_generator_and_encoder(kind):
    det, net, batch = game(ALAD, kind)
    _, second = det.step(net, batch)
    for player in ("G", "E"):
        for cycle in ("xx", "zz"):
            total = second[player][cycle].mean()
            gradients = torch.autograd.grad(total, list(net[player].parameters()), retain_graph=True)
            assert all(g.abs().max() > 0 for g in gradients), f"{cycle} does not reach {player}"


def test_without_its_weight_d_zz_trains_no_other_network():
    """The authors' code without --enable_dzz: D_zz is still trained."""
    det, net, batch = game(ALAD, "table", w_zz=0.0)
    first, second = det.step(net, batch)
    assert float(first["D_zz"]["fake"].detach().mean()) > 0
    for player in ("G", "E"):
        assert not second[player]["zz"].any()


# --- planted bugs of published code -----------------------------------------------------------------------------------


class Rewired(ALAD):
    """The step with other pairs for D_xx and D_zz: those that `pairs(net, x, z)` of the class returns."""

    def step(self, net, batch):
        first, second = super().step(net, batch)
        losses = []
        for x, z in zip(batch.given, batch.drawn, strict=True):
            a, b = self.pairs(net, x, z)
            losses.append({"D_xx": [net.D_xx(x, p)[0] for p in (x, a)], "D_zz": [net.D_zz(z, p)[0] for p in (z, b)]})
        for name, (real, fake) in losses[0].items():
            first = {**first, name: {"real": softplus(-real), "fake": softplus(fake)}}
        cycles = {name[2:]: softplus(real) + softplus(-fake) for name, (real, fake) in losses[1].items()}
        yield from (first, {player: {**terms, **cycles} for player, terms in second.items()})


class StrangersForReconstructions(Rewired):
    """PyOD: D_xx sees G(z) of a random z."""

    def pairs(self, net, x, z):
        return net.G(z), net.E(net.G(z))


class EncodingsOfOthers(Rewired):
    """PyOD: D_zz sees E(x)."""

    def pairs(self, net, x, z):
        return net.G(net.E(x)), net.E(x)


class RightPairs(Rewired):
    """No bug: the correct pairs, in the form of the two above."""

    def pairs(self, net, x, z):
        return net.G(net.E(x)), net.E(net.G(z))


class LabelsNotFlipped(ALAD):
    """G and E help D_xx."""

    def step(self, net, batch):
        first, second = super().step(net, batch)
        x = batch.given[-1]
        real, fake = net.D_xx(x, x)[0], net.D_xx(x, net.G(net.E(x)))[0]
        yield from (first, {player: {**t, "xx": softplus(-real) + softplus(fake)} for player, t in second.items()})


class NoLatentCycle(ALAD):
    """The authors' code without --enable_dzz, which its README requires."""

    def step(self, net, batch):
        first, second = super().step(net, batch)
        yield from (first, {player: {"xz": t["xz"], "xx": t["xx"]} for player, t in second.items()})


class SquaredVerdicts(ALAD):
    """PyOD: the squared difference of D_xx's sigmoids for its features."""

    def score_rows(self, net, x, names=ALL):
        same, hat = torch.sigmoid(net.D_xx(x, x)[0]), torch.sigmoid(net.D_xx(x, net.G(net.E(x)))[0])
        return {**super().score_rows(net, x, names), "fm": (same - hat) ** 2}


class FeaturesOfTheJoint(ALAD):
    """EGBAD's score under ALAD's name: D_xz's features."""

    def score_rows(self, net, x, names=ALL):
        z = net.E(x)
        gap = (net.D_xz(x, z)[1] - net.D_xz(net.G(z), z)[1]).abs().sum(1)
        return {**super().score_rows(net, x, names), "fm": gap}


class Means(ALAD):
    """Means where the authors' code has sums."""

    def score_rows(self, net, x, names=ALL):
        terms = super().score_rows(net, x, names)
        return {**terms, "l1": terms["l1"] / x[0].numel()}


BUGS = [
    (StrangersForReconstructions, check_losses, "not close"),
    (EncodingsOfOthers, check_losses, "not close"),
    (LabelsNotFlipped, check_losses, "not close"),
    (NoLatentCycle, check_losses, "zz"),
    (SquaredVerdicts, check_scores, "fm"),
    (FeaturesOfTheJoint, check_scores, "fm"),
    (Means, check_scores, "l1"),
]


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize(("cls", "check", "message"), BUGS, ids=lambda v: getattr(v, "__name__", ""))
def test_planted_bugs_are_caught(cls, check, message, kind):
    with pytest.raises(AssertionError, match=message):
        check(cls, kind)


def test_the_check_accepts_a_correct_step():
    check_losses(RightPairs, "pictures")


class DropsOutWhenScoring(ALAD):
    """PyOD: no evaluation mode, so that dropout makes scores random."""

    adapts_weights = True  # networks as they were trained: those for scoring have no dropout left

    def score_rows(self, net, x, names=ALL):
        net.train()
        terms = super().score_rows(net, x, names)
        net.eval()
        return terms


@pytest.mark.parametrize("kind", ["pictures", "table"])
def test_random_scores_are_caught(kind, request):
    with pytest.raises(AssertionError, match="row"):
        testing.rows_are_independent(testing.small(DropsOutWhenScoring, updates=3), request.getfixturevalue(kind))


# --- networks, configurations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SHAPES)
def test_spectral_norm_is_on_all_layers_but_the_last_and_not_on_the_generator(kind):
    _, net, batch = game(ALAD, kind, spectral_norm=True)
    plain = game(ALAD, kind)[1]
    for name in ("G", "E", *PLAYERS):
        layers = [m for m in net[name].modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
        bounded = [m for m in layers if parametrize.is_parametrized(m)]
        assert len(bounded) == (0 if name == "G" else len(layers) - 1)
        assert not any(parametrize.is_parametrized(m) for m in plain[name].modules())
    x = batch.x()
    with torch.no_grad():
        for _ in range(50):
            net.D_xx(x, x)
    first = next(m for m in net.D_xx.modules() if parametrize.is_parametrized(m))
    assert float(torch.linalg.matrix_norm(first.weight.detach().flatten(1), 2)) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("kind", ["pictures", "table"])
def test_a_finished_model_holds_the_normalised_weights(kind, request):
    """The same scores, and a network that can be pickled."""
    X = request.getfixturevalue(kind)
    det = testing.small(ALAD, updates=3).fit(X)
    assert not any(parametrize.is_parametrized(m) for m in det.net_.modules())
    assert np.array_equal(pickle.loads(pickle.dumps(det)).anomaly_score(X), det.anomaly_score(X))
    _, net, batch = game(ALAD, kind, spectral_norm=True)
    x = batch.x()
    with torch.no_grad():
        for _ in range(3):
            net.D_xx(x, x), net.E(x)
        before = det.score_rows(net.eval(), x)
        det.finish(net, None)
        after = det.score_rows(net, x)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value)


@pytest.mark.parametrize("spectral_norm", [True, False])
def test_laws_with_and_without_spectral_norm(spectral_norm, table):
    """Not with the general check of gradients, which uses a finished model's networks, without spectral norms."""
    det, net, batch = game(ALAD, "table", spectral_norm=spectral_norm)
    for losses in det.step(net, batch):
        for player, terms in losses.items():
            total = torch.stack([term.mean() for term in terms.values()]).sum()
            gradients = torch.autograd.grad(total, list(net[player].parameters()), retain_graph=True)
            assert all(g.abs().max() > 0 for g in gradients), player
    det = testing.small(ALAD, spectral_norm=spectral_norm, updates=8)
    for law in (testing.rows_are_independent, testing.resumed_runs_are_identical):
        law(det, table)


def test_generated_rows_come_from_normal_latents():
    det, net, _ = game(ALAD, "pictures")
    seen = []
    net.G.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    assert det.sample(net.eval(), 400).shape == (400, 1, 16, 12)
    assert seen[0].shape == (400, 3)
    assert float(seen[0].mean()) == pytest.approx(0, abs=0.1)
    assert float(seen[0].std()) == pytest.approx(1, abs=0.1)


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("dataset", "d", "latent_dim", "batch_size", "epochs"),
    [("kdd99", 121, 32, 50, 200), ("arrhythmia", 274, 64, 32, 2000)],
)
@pytest.mark.parametrize(("variant", "spectral_norm"), [("paper", True), ("code", False)])
def test_configurations_for_tables(dataset, d, latent_dim, batch_size, epochs, variant, spectral_norm):
    det = papers.detector("alad", dataset, variant=variant, random_state=3)
    assert isinstance(det, ALAD)
    assert (det.latent_dim, det.batch_size, det.epochs, det.lr) == (latent_dim, batch_size, epochs, 1e-5)
    assert (det.beta1, det.ema, det.score_by, det.random_state) == (0.5, 0.999, "fm", 3)
    assert (det.w_xx, det.w_zz, det.spectral_norm) == (1.0, 1.0, spectral_norm)
    net = det.build((d,))
    units = {"kdd99": ([121, 64, 32], [32, 64, 128, 121]), "arrhythmia": ([274, 256, 128, 64], [64, 128, 256, 274])}
    for name, layers in zip("EG", units[dataset], strict=True):  # every layer of the source has a bias
        assert count(net[name]) == sum(a * b + b for a, b in pairwise(layers))
    f = net["D_xx"].eval()(torch.zeros(2, d), torch.zeros(2, d))[1]
    assert f.shape[1] == 128


@pytest.mark.parametrize("dataset", ["cifar10", "svhn"])
def test_configurations_for_pictures(dataset):
    det = papers.detector("alad", dataset)
    assert (det.latent_dim, det.batch_size, det.lr, det.ema, det.beta1) == (100, 32, 2e-4, 0.999, 0.5)
    assert (det.spectral_norm, det.score_by, det.size, det.channels) == (True, "fm", 32, 3)
    net = det.build((3, 32, 32))
    stack = [(100, 512), (512, 256), (256, 128)]
    assert count(net["G"]) == sum(16 * a * b + 2 * b for a, b in stack) + 16 * 128 * 3 + 3
    assert count(net["D_xx"]) == 25 * 6 * 64 + 64 + 25 * 64 * 128 + 128 + 8192 + 1
    assert net["D_xx"].eval()(*torch.zeros(2, 2, 3, 32, 32))[1].shape[1] == 128 * 8 * 8
