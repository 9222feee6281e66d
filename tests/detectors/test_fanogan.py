"""f-AnoGAN against its paper (Schlegl et al., 2019), without training: every term against a formula written here."""

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from oddgan import papers, testing, training
from oddgan.detectors.fanogan import FAnoGAN
from oddgan.kit.recipe import ALL
from oddgan.testing import FakeBatch

KAPPA, W_GP = 3.0, 7.0
FORMS = {"pictures": ((1, 16, 12), "resnet"), "table": ((7,), "resnet"), "flat": ((1, 9, 8), "mlp")}


def game(cls=FAnoGAN, form="pictures", **changes):
    """A detector, fresh networks in training mode, and a batch."""
    torch.manual_seed(0)
    shape, networks = FORMS[form]
    small = {"latent_dim": 5, "width": 4, "kappa": KAPPA, "w_gp": W_GP, "critic_steps": 2, "networks": networks}
    det = cls(**{**small, **changes})
    return det, nn.ModuleDict(det.build(shape)).train(), FakeBatch(torch.randn(6, *shape), torch.randn(6, 5))


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


def mean_square(a, b):
    return ((a - b) ** 2).reshape(len(a), -1).mean(1)


# --- stage 1 ---------------------------------------------------------------------------------------------------------


def test_the_critic_is_updated_on_wasserstein_and_penalty_then_the_generator(form):
    det, net, batch = game(form=form)
    torch.manual_seed(1)
    moves = list(det.step(net, batch))
    assert [list(move) for move in moves] == [["D"], ["D"], ["G"]]  # critic_steps = 2
    assert len(batch.given) == 2, "each of the critic's moves sees fresh rows"
    with torch.no_grad():
        fake, _ = net.D(net.G(batch.noise))
        real, _ = net.D(batch.rows)
    torch.testing.assert_close(moves[0]["D"]["wasserstein"].detach(), fake - real, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(moves[2]["G"]["adv"].detach(), -fake, rtol=1e-4, atol=1e-5)
    torch.manual_seed(1)
    share = torch.rand(6, *[1] * (batch.rows.ndim - 1))
    between = (share * batch.rows + (1 - share) * net.G(batch.noise)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(net.D(between)[0].sum(), between)
    expected = W_GP * (slope.flatten(1).norm(dim=1) - 1) ** 2
    torch.testing.assert_close(moves[0]["D"]["gp"].detach(), expected, rtol=1e-3, atol=1e-4)


class NormalisesTheCriticByBatch(FAnoGAN):
    """A published bug: batch normalisation in the critic, whose penalty is on each row's gradient."""

    def build(self, shape):
        nets = super().build(shape)
        nets["D"].trunk.insert(1, nn.BatchNorm2d(nets["D"].trunk[0].out_channels))
        return nets


def check_the_penalty_is_a_rows_own(cls):
    _, net, batch = game(cls)
    x = batch.rows.clone().requires_grad_()
    (together,) = torch.autograd.grad(net.D(x)[0][0], x)
    assert together[1:].abs().max() == 0, "a row's value depends on other rows"


class WideEps(FAnoGAN):
    """A published bug: 0.8, meant as momentum, is batch normalisation's eps."""

    def build(self, shape):
        nets = super().build(shape)
        for module in nets["G"].modules():
            if isinstance(module, _BatchNorm):
                module.eps = 0.8
        return nets


def check_the_generator_is_normalised(cls):
    _, net, batch = game(cls, "flat")
    deviations = []
    for module in net.G.modules():
        if isinstance(module, _BatchNorm):
            module.register_forward_hook(lambda m, _, y: deviations.append((y - m.bias).std(0, False) / m.weight))
    net.G(batch.noise)
    assert torch.cat(deviations).min() > 0.9, "batch normalisation leaves a deviation far from 1"


# --- stage 2 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["ziz", "izi", "izi_f"])
def test_encoder_losses(form, loss):
    det, net, batch = game(form=form, encoder_loss=loss)
    net.G.eval(), net.D.eval()
    (losses,) = det.encode(net, batch)
    with torch.no_grad():
        x, z = batch.rows, batch.noise
        x_hat = net.G(net.E(x))
        expected = {"ziz": mean_square(z, net.E(net.G(z)))} if loss == "ziz" else {"izi": mean_square(x, x_hat)}
        if loss == "izi_f":
            expected["feature"] = KAPPA * mean_square(net.D(x)[1], net.D(x_hat)[1])
    assert losses.keys() == {"E"}
    assert losses["E"].keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses["E"][name].detach(), value, rtol=1e-4, atol=1e-6)


def test_ziz_ends_with_its_epochs_although_it_needs_no_rows(pictures):
    det = testing.small(FAnoGAN, encoder_loss="ziz", updates=None, epochs=2, ema=0.9).fit(pictures)
    assert det.training_["updates"]["encoder"] > 0


class MovesTheGenerator(FAnoGAN):
    """A bug: the generator is still trained while the encoder learns to invert it."""

    def stages(self):
        gan, encoder = super().stages()
        return gan, replace(encoder, players=("E", "G"))

    def encode(self, net, batch):
        for losses in super().encode(net, batch):
            yield {**losses, "G": losses["E"]}


class LeavesEvaluationMode(FAnoGAN):
    """A bug: batch normalisation of the frozen generator follows the encoder's batches."""

    def encode(self, net, batch):
        net.G.train()
        yield from super().encode(net, batch)
        net.G.eval()


class SwapsTheStages(FAnoGAN):
    """A bug: the encoder is trained on a generator that is not trained yet."""

    def stages(self):
        return super().stages()[::-1]


def check_the_encoder_is_trained_last_and_alone(cls, pictures):
    """However long E is trained, G and D are as after the game."""
    short, long = (testing.small(cls, updates=3, encoder_updates=n, random_state=1).fit(pictures) for n in (2, 6))
    assert list(short.training_["updates"].items()) == [("gan", 3), ("encoder", 2)]
    theirs = long.net_.state_dict()
    for name, value in short.net_.state_dict().items():
        assert name.startswith("E.") or torch.equal(value, theirs[name]), f"{name} moved in stage 2"
    assert not all(torch.equal(a, b) for a, b in zip(short.net_.E.parameters(), long.net_.E.parameters(), strict=True))


class TrainsTheEncoderByAdam(FAnoGAN):
    """A published deviation: Adam where the paper has RMSprop."""

    def stages(self):
        gan, encoder = super().stages()
        return gan, replace(encoder, optimiser="adam")


def check_the_encoder_moves_by_rmsprop(cls, table):
    """Its first step is lr g / sqrt((1 - .99) g^2), ten times Adam's. (A memory of .9, as in TensorFlow, makes 3.2.)"""
    det = testing.small(cls, encoder_lr=1e-3, ema=0.0)
    _, (stage, net, batch) = testing._stages(det, table)
    before = copy.deepcopy(net.E)
    training.run(net, [replace(stage, updates=1)], batch.rows, replace(batch.settings, ema=0.0))
    steps = torch.cat([(a - b).flatten() for a, b in zip(net.E.parameters(), before.parameters(), strict=True)])
    assert float(steps.detach().abs().median()) == pytest.approx(1e-2, rel=0.01), "not RMSprop's first step"


class EndsInTanh(FAnoGAN):
    """The paper's encoder, which cannot reach much of the space that its generator was trained on."""

    def build(self, shape):
        nets = super().build(shape)
        nets["E"] = nn.Sequential(nets["E"], nn.Tanh())
        return nets


def check_the_encoder_reaches_the_prior(cls):
    _, net, batch = game(cls)
    with torch.no_grad():
        assert net.E.eval()(1e3 * batch.rows).abs().max() > 3, "E cannot reach values that N(0, 1) draws"


def test_what_a_tanh_costs():
    """A third of N(0, 1) is outside (-1, 1): the minimum of ziz is .151 per component of z."""
    assert game(tanh=True)[1].E(1e6 * torch.randn(3, 1, 16, 12)).abs().max() <= 1
    z = torch.randn(10**6)
    assert float((z.abs() > 1).float().mean()) == pytest.approx(0.317, abs=0.01)
    assert float((z - z.clamp(-1, 1)).square().mean()) == pytest.approx(0.151, abs=0.01)


# --- score -----------------------------------------------------------------------------------------------------------


def test_score_and_its_parts(form):
    det, net, batch = game(form=form)
    net.eval()
    with torch.no_grad():
        x, z = batch.rows, net.E(batch.rows)
        x_hat = net.G(z)
        scores = det.score_rows(net, x)
        residual, feature = mean_square(x, x_hat), mean_square(net.D(x)[1], net.D(x_hat)[1])
        torch.testing.assert_close(scores["residual"], residual)
        torch.testing.assert_close(scores["feature"], feature)
        torch.testing.assert_close(scores["paper"], residual + KAPPA * feature)
        torch.testing.assert_close(scores["z_distance"], mean_square(z, net.E(x_hat)))
        assert torch.equal(scores["x_hat"], x_hat)
        assert torch.equal(det.embed(net, x), z)


def test_the_critics_features_are_compared_and_not_its_value():
    det, net, batch = game()
    net.eval()
    before = det.score_rows(net, batch.rows)["feature"]
    nn.init.zeros_(net.D.head.weight)
    assert torch.equal(det.score_rows(net, batch.rows)["feature"], before)


class FlipsAtTest(FAnoGAN):
    """A published bug: random flips of the rows that are scored."""

    def score_rows(self, net, x, names=ALL):
        return super().score_rows(net, torch.where(torch.rand(len(x), 1, 1, 1) < 0.5, x.flip(-1), x))


class DropsTheRemainder(FAnoGAN):
    """A published bug: the rows of an incomplete last batch are not scored."""

    def anomaly_score(self, X):
        return super().anomaly_score(X[: len(X) // self.block_size * self.block_size])


def check_every_row_is_scored_alike(cls, pictures):
    det = testing.small(cls, updates=1, encoder_updates=1).fit(pictures)
    whole = det.anomaly_score(pictures[:37])
    assert len(whole) == 37, "rows are left out"
    assert np.array_equal(whole[::-1], det.anomaly_score(pictures[:37][::-1])), "a row scores differently elsewhere"


BUGS = [
    (NormalisesTheCriticByBatch, check_the_penalty_is_a_rows_own, None, "depends on other rows"),
    (WideEps, check_the_generator_is_normalised, None, "deviation far from 1"),
    (MovesTheGenerator, check_the_encoder_is_trained_last_and_alone, "pictures", "G.* moved in stage 2"),
    (LeavesEvaluationMode, check_the_encoder_is_trained_last_and_alone, "pictures", "running_mean moved"),
    (SwapsTheStages, check_the_encoder_is_trained_last_and_alone, "pictures", "encoder"),
    (TrainsTheEncoderByAdam, check_the_encoder_moves_by_rmsprop, "table", "RMSprop"),
    (EndsInTanh, check_the_encoder_reaches_the_prior, None, "cannot reach"),
    (FlipsAtTest, check_every_row_is_scored_alike, "pictures", "differently"),
    (DropsTheRemainder, check_every_row_is_scored_alike, "pictures", "left out"),
]


@pytest.mark.parametrize(("check", "needs"), {(check, needs): 0 for _, check, needs, _ in BUGS})
def test_the_checks_accept_the_detector(check, needs, request):
    check(FAnoGAN, *[request.getfixturevalue(name) for name in [needs] if name])


@pytest.mark.parametrize(("bug", "check", "needs", "message"), BUGS)
def test_planted_bugs_are_caught(bug, check, needs, message, request):
    with pytest.raises(AssertionError, match=message):
        check(bug, *[request.getfixturevalue(name) for name in [needs] if name])


# --- the rest --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_rows_are_generated_from_the_prior(prior):
    det, net, _ = game(form="table", prior=prior)
    seen = []
    net.G.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    assert det.sample(net, 1000).shape == (1000, 7)
    assert seen[0].shape == (1000, 5)
    assert (seen[0].abs().max() <= 1) == (prior == "uniform")
    assert float(seen[0].std()) == pytest.approx(1.0 if prior == "normal" else 3**-0.5, rel=0.1)


def test_latent_scales_with_the_data():
    for shape, expected in {(6,): 8, (1, 11, 9): 12, (3, 32, 32): 64}.items():
        net = nn.ModuleDict(FAnoGAN(width=2).build(shape)).eval()
        assert net.E(torch.zeros(1, *shape)).shape == (1, expected)


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_oct_is_the_authors_code():
    det = papers.detector("fanogan", "oct", variant="code", random_state=3)
    assert (det.size, det.latent_dim, det.width, det.batch_size, det.critic_steps, det.w_gp) == (64, 128, 64, 64, 5, 10)
    assert (det.lr, det.beta1, det.beta2, det.epochs, det.ema, det.score_by) == (1e-4, 0.0, 0.9, 7, 0.0, "paper")
    assert (det.encoder_loss, det.kappa, det.tanh, det.encoder_updates) == ("izi_f", 1.0, True, 50_000)
    assert (det.encoder_lr, det.encoder_optimiser, det.prior) == (5e-5, "rmsprop", "normal")
    nets = det.build((1, 64, 64))
    ups = ((512, 512), (512, 256), (256, 128), (128, 64))
    downs = ((64, 128), (128, 256), (256, 512), (512, 512))
    # conv 3x3, conv 3x3 with bias, 1x1 shortcut with bias, two norms of two numbers a channel; as in the authors' code
    up = sum(9 * i * o + 9 * o * o + o + i * o + o + 2 * i + 2 * o for i, o in ups)
    down = sum(9 * i * i + 9 * i * o + o + i * o + o + 4 * i for i, o in downs)
    generator = 128 * 8192 + 8192 + up + 2 * 64 + 9 * 64 + 1
    trunk = 9 * 64 + 64 + down
    assert count(nets["G"]) == generator - 2 * sum(o for _, o in ups)  # biases that batch normalisation takes away
    assert count(nets["D"]) == trunk + 8192 + 1 - 1 - 2 * 512  # biases that no loss sees
    assert count(nets["E"]) == trunk + 8192 * 128 + 128
    assert nets["D"].eval()(torch.zeros(1, 1, 64, 64))[1].shape == (1, 8192)


def test_mnist_is_the_reimplementation_by_a03ki():
    det = papers.detector("fanogan", "mnist", variant="a03ki")
    assert (det.networks, det.latent_dim, det.batch_size, det.epochs, det.tanh) == ("mlp", 100, 64, 20, True)
    assert (det.lr, det.beta1, det.encoder_lr, det.encoder_optimiser) == (2e-4, 0.5, 2e-4, "adam")
    nets = det.build((1, 28, 28))
    units = {"G": (100, 128, 256, 512, 1024, 784), "D": (784, 512, 256, 1), "E": (784, 512, 256, 100)}
    for name, sizes in units.items():
        published = sum(a * b + b for a, b in pairwise(sizes))
        # G: two numbers of batch normalisation for a bias before it, three layers; D: no last bias
        assert count(nets[name]) == published + {"G": 256 + 512 + 1024, "D": -1, "E": 0}[name]
    assert nets["G"].eval()(torch.randn(2, 100)).shape == (2, 1, 28, 28)
    assert nets["G"](100 * torch.randn(9, 100)).abs().max() <= 1
