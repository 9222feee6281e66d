"""Skip-GANomaly against its paper (Akcay et al., 2019), without training: every term against a formula written here."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from oddgan import papers, testing
from oddgan.detectors.skipganomaly import SkipGANomaly
from oddgan.errors import ParameterError
from oddgan.kit.recipe import ALL
from oddgan.testing import FakeBatch

SHAPES = {"pictures": (1, 18, 12), "table": (7,)}
WEIGHTS = {"w_adv": 1.5, "w_con": 40.0, "w_lat": 3.0, "lam": 0.8}


def game(cls=SkipGANomaly, kind="pictures"):
    """A detector, fresh networks in training mode, and a batch."""
    torch.manual_seed(0)
    det = cls(latent_dim=5, width=4, **WEIGHTS)
    return det, nn.ModuleDict(det.build(SHAPES[kind])).train(), FakeBatch(torch.randn(6, *SHAPES[kind]))


@pytest.fixture(params=SHAPES)
def kind(request):
    return request.param


def mean(rows):
    return rows.reshape(len(rows), -1).mean(1)


def test_terms_are_the_papers(kind):
    det, net, batch = game(kind=kind)
    (losses,) = det.step(net, batch)
    x = batch.rows
    with torch.no_grad():
        x_hat = net.G(x)
        (real, f_real), (fake, f_fake) = net.D(x), net.D(x_hat)
    expected = {
        "G": {
            "adv": -1.5 * torch.log(torch.sigmoid(fake)),
            "con": 40 * mean((x - x_hat).abs()),
            "lat": 3 * mean((f_real - f_fake) ** 2),
        },
        "D": {"real": -torch.log(torch.sigmoid(real)), "fake": -torch.log(1 - torch.sigmoid(fake))},
    }
    assert {player: set(terms) for player, terms in losses.items()} == {k: set(v) for k, v in expected.items()}
    for player, terms in expected.items():
        for name, value in terms.items():
            torch.testing.assert_close(losses[player][name].detach(), value, rtol=1e-4, atol=1e-5)


def test_features_are_the_latent_and_not_the_verdict(kind):
    """Scaling D's head must change the adversarial terms and leave `lat` unchanged."""
    det, net, batch = game(kind=kind)
    (before,) = det.step(net, batch)
    with torch.no_grad():
        net.D.head.weight.mul_(5)
    (after,) = det.step(net, batch)
    assert before["G"]["lat"].shape == (6,)
    torch.testing.assert_close(before["G"]["lat"], after["G"]["lat"])
    assert not torch.allclose(before["G"]["adv"], after["G"]["adv"], rtol=1e-6)
    logit, f = net.D.eval()(batch.rows)
    assert f.shape == (6, 5)
    torch.testing.assert_close(logit, f @ net.D.head.weight[0])


def test_scores(kind):
    det, net, batch = game(kind=kind)
    net.eval()
    with torch.no_grad():
        x = batch.rows
        x_hat = net.G(x)
        scores = det.score_rows(net, x)
        latent = mean((net.D(x)[1] - net.D(x_hat)[1]) ** 2)
        absolute, square = mean((x - x_hat).abs()), mean((x - x_hat) ** 2)
    expected = {"residual": absolute, "residual_mse": square, "latent": latent}
    expected |= {"paper": 0.8 * absolute + 0.2 * latent, "code": 0.8 * square + 0.2 * latent}
    for name, value in expected.items():
        torch.testing.assert_close(scores[name], value, rtol=1e-4, atol=1e-6)
    assert torch.equal(scores["x_hat"], x_hat)


class AddsWhatLiesInMemory(SkipGANomaly):
    """A published bug: an uninitialised tensor is added to every input of G."""

    def step(self, net, batch):
        lies_there = torch.full_like(batch.x(), 0.3)  # torch.empty may well give zeros in a test
        hook = net.G.register_forward_pre_hook(lambda _, args: (args[0] + lies_there,))
        yield from super().step(net, batch)
        hook.remove()


def check_the_generator_sees_the_rows(cls, _):
    det, net, batch = game(cls)
    seen = []
    net.G.downs[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    list(det.step(net, batch))
    assert len(seen) == 1
    assert torch.equal(seen[0], batch.rows), "G sees something else"


class PullsTheWrongWay(SkipGANomaly):
    """A published bug: D is also trained on G's latent loss."""

    def step(self, net, batch):
        for losses in super().step(net, batch):
            yield {**losses, "D": {**losses["D"], "lat": losses["G"]["lat"]}}


def check_the_discriminator_moves_on_its_cross_entropies(cls, _):
    det, net, batch = game(cls)
    (losses,) = det.step(net, batch)
    params = list(net.D.parameters())
    mine = torch.autograd.grad(sum(term.mean() for term in losses["D"].values()), params)
    with torch.no_grad():
        x_hat = net.G(batch.rows)
    real, fake = net.D(batch.rows)[0], net.D(x_hat)[0]
    expected = torch.autograd.grad((F.softplus(-real) + F.softplus(fake)).mean(), params)
    gap = max(float((a - b).abs().max()) for a, b in zip(mine, expected, strict=True))
    assert gap < 1e-5, "D moves on something else"


class ThreeChannels(SkipGANomaly):
    """A published bug: the number of channels is fixed."""

    def build(self, shape):
        return super().build((3, *shape[1:]))


class NeverEvaluates(SkipGANomaly):
    """A published bug: batch statistics at test time."""

    adapts_weights = True  # networks as they were trained: those for scoring have no statistics left to go wrong

    def score_rows(self, net, x, names=ALL):
        net.train()
        result = super().score_rows(net, x, names)
        net.eval()
        return result


class ScalesByTheTestSet(SkipGANomaly):
    """A published bug: scores are rescaled to 0 to 1 over the rows that are scored."""

    def anomaly_score(self, X):
        scores = super().anomaly_score(X)
        return (scores - scores.min()) / (scores.max() - scores.min())


def check_rows_are_independent(cls, pictures):
    testing.rows_are_independent(testing.small(cls, updates=3), pictures)


def check_grey_pictures_are_taken(cls, pictures):
    try:
        testing.small(cls, updates=3).fit(pictures)
    except RuntimeError as error:
        raise AssertionError(f"grey pictures: {error}") from error


class ReinitialisesTheDiscriminator(SkipGANomaly):
    """What the authors' code intends to do when D's loss falls below 1e-5."""

    def step(self, net, batch):
        for losses in super().step(net, batch):
            yield {**losses, "D": {name: 1e-9 * term for name, term in losses["D"].items()}}
            net.D.load_state_dict(self.build((1, 11, 9))["D"].state_dict())


def check_the_discriminator_is_not_reinitialised(cls, pictures):
    """D has won and does not change: at a learning rate of 0 it keeps its initial weights."""
    models = [testing.small(cls, lr={"G": 1e-3, "D": 0.0}, ema=0.0, updates=n).fit(pictures) for n in (1, 4)]
    weights = [list(model.net_.D.parameters()) for model in models]
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True)), "D was re-initialised"


BUGS = [
    (AddsWhatLiesInMemory, check_the_generator_sees_the_rows, "sees something else"),
    (PullsTheWrongWay, check_the_discriminator_moves_on_its_cross_entropies, "moves on something else"),
    (ThreeChannels, check_grey_pictures_are_taken, "channels"),
    (NeverEvaluates, check_rows_are_independent, "row"),
    (ScalesByTheTestSet, check_rows_are_independent, "row"),
    (ReinitialisesTheDiscriminator, check_the_discriminator_is_not_reinitialised, "re-initialised"),
]


@pytest.mark.parametrize("check", {check: 0 for _, check, _ in BUGS})
def test_the_checks_accept_the_detector(check, pictures):
    check(SkipGANomaly, pictures)


@pytest.mark.parametrize(("bug", "check", "message"), BUGS)
@pytest.mark.filterwarnings("ignore:invalid value")  # one row, scaled by its own range
def test_planted_bugs_are_caught(bug, check, message, pictures):
    with pytest.raises(AssertionError, match=message):
        check(bug, pictures)


def test_skip_connections_carry_detail():
    """G's output depends on the first layer down even if everything below is silenced; x itself has no skip."""
    _, net, batch = game()
    G = net.G.eval()
    hook = G.downs[1].register_forward_hook(lambda *args: torch.zeros_like(args[2]))
    quiet = G(batch.rows) - G(batch.rows.flip(0))
    hook.remove()
    assert quiet.abs().max() > 0
    first = G.downs[0].register_forward_hook(lambda *args: torch.zeros_like(args[2]))
    assert torch.equal(G(batch.rows), G(batch.rows.flip(0)))
    first.remove()


def test_there_is_nothing_to_generate_from(table):
    det = testing.small(SkipGANomaly, updates=3).fit(table)
    with pytest.raises(ParameterError, match="SkipGANomaly cannot generate"):
        det.generate(2)
    assert np.isfinite(det.features(table)).all()


def test_latent_is_smaller_for_small_rows():
    for shape, expected in {(6,): 4, (1, 11, 9): 12, (3, 32, 32): 100}.items():
        net = SkipGANomaly(width=4).build(shape)["D"].eval()
        assert net(torch.zeros(1, *shape))[1].shape == (1, expected)


@pytest.mark.parametrize(
    ("variant", "w_con", "score", "epochs"), [("paper", 40.0, "paper", 15), ("code", 50.0, "code", 25)]
)
def test_cifar10_is_the_papers(variant, w_con, score, epochs):
    det = papers.detector("skipganomaly", "cifar10", variant=variant, random_state=3)
    assert (det.w_adv, det.w_con, det.w_lat, det.lam, det.score_by) == (1.0, w_con, 1.0, 0.9, score)
    assert (det.lr, det.beta1, det.batch_size, det.epochs, det.ema) == (2e-4, 0.5, 64, epochs, 0.0)
    assert (det.size, det.channels, det.latent_dim, det.width) == (32, 3, 100, 64)
    nets = det.build((3, 32, 32))
    downs, ups = (3, 64, 128, 256, 512, 512), ((512, 512), (1024, 256), (512, 128), (256, 64), (128, 3))
    convolutions = [16 * a * b for a, b in [*pairwise(downs), *ups]]
    norms = 2 * (128 + 256 + 512) + 2 * (512 + 256 + 128 + 64)
    assert sum(p.numel() for p in nets["G"].parameters()) == sum(convolutions) + norms + 3
    judge = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 100) + 2 * (128 + 256)
    # of the authors' last layer, 3x3 on one pixel, only the middle of nine weights counts
    assert sum(p.numel() for p in nets["D"].parameters()) == judge + 9 * 100 - 8 * 100
