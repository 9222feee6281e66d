"""OCGAN against its paper (Perera et al., 2019), without training: every term against a formula written here."""

import pytest
import torch
from torch import nn

from oddgan import papers, testing
from oddgan.detectors.ocgan import OCGAN
from oddgan.kit.recipe import ALL
from oddgan.testing import FakeBatch

SHAPES = {"pictures": (1, 18, 12), "table": (7,)}
SETTINGS = {"w_con": 20.0, "w_lat": 3.0, "w_vis": 1.5, "noise": 0.5, "mining_rate": 0.3, "mining_after": 0}


def game(cls=OCGAN, kind="pictures", **changes):
    """A detector, fresh networks in training mode, and a batch. Weights are large, so that outputs depend on rows."""
    torch.manual_seed(0)
    det = cls(latent_dim=5, width=8, **{**SETTINGS, **changes})
    net = nn.ModuleDict(det.build(SHAPES[kind])).train()
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(3)
    return det, net, FakeBatch(torch.randn(6, *SHAPES[kind]), 2 * torch.rand(6, 5) - 1)


@pytest.fixture(params=SHAPES)
def kind(request):
    return request.param


def log(logit):
    return torch.log(torch.sigmoid(logit))


def test_terms_are_algorithm_1(kind):
    det, net, batch = game(kind=kind, mining_steps=0)
    torch.manual_seed(1)
    first, second = det.step(net, batch)
    torch.manual_seed(1)
    with torch.no_grad():
        x, s = batch.rows, batch.noise
        z = net.En(x + 0.5 * torch.randn_like(x))
        x_hat, x_fake = net.De(z), net.De(s)
        con = 20 * ((x - x_hat) ** 2).reshape(6, -1).mean(1)
        expected = [
            {
                "C": {"real": -log(net.C(x_hat)[0]), "fake": -log(-net.C(x_fake)[0])},
                "D_l": {"real": -log(net.D_l(s)[0]), "fake": -log(-net.D_l(z)[0])},
                "D_v": {"real": -log(net.D_v(x)[0]), "fake": -log(-net.D_v(x_fake)[0])},
            },
            {
                "En": {"con": con, "lat": -3 * log(net.D_l(z)[0])},
                "De": {"con": con, "vis": -1.5 * log(net.D_v(x_fake)[0])},
            },
        ]
    for losses, theirs in zip((first, second), expected, strict=True):
        assert {player: set(terms) for player, terms in losses.items()} == {k: set(v) for k, v in theirs.items()}
        for player, terms in theirs.items():
            for name, value in terms.items():
                torch.testing.assert_close(losses[player][name].detach(), value, rtol=1e-4, atol=1e-5)


def test_the_encoder_learns_from_the_latent_and_the_decoder_from_the_visual_discriminator():
    det, net, batch = game()
    *_, losses = det.step(net, batch)
    for term, reached, spared in ((losses["En"]["lat"], net.En, net.De), (losses["De"]["vis"], net.De, net.En)):
        gradients = torch.autograd.grad(term.mean(), reached.parameters(), retain_graph=True, allow_unused=True)
        assert any(g is not None and g.abs().max() > 0 for g in gradients)
        others = torch.autograd.grad(term.mean(), spared.parameters(), retain_graph=True, allow_unused=True)
        assert all(g is None for g in others)


# --- informative-negative mining -------------------------------------------------------------------------------------


def doubt(net, s):
    """C's loss on De(s) as if it were a reconstruction, in evaluation mode: what mining ascends."""
    was = net.De.training
    net.eval()
    value = -log(net.C(net.De(s))[0])
    net.train(was)
    return value


def test_mining_takes_the_papers_steps():
    det, net, batch = game(mining_steps=3)
    s = batch.noise.clone()
    for _ in range(3):
        s.requires_grad_()
        (uphill,) = torch.autograd.grad(doubt(net, s).sum(), s)
        s = (s + 0.3 * uphill).detach().clamp(-1, 1)
    assert not torch.equal(s, batch.noise)
    torch.testing.assert_close(det.mine(net, batch.noise), s)
    with torch.no_grad():  # as in a finished detector
        torch.testing.assert_close(det.mine(net, batch.noise), s)


def test_mined_points_train_the_decoder_alone():
    """Discriminators and classifier get random points: "weaker samples would hinder training of discriminators"."""
    det, net, batch = game(mining_steps=5)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # else its statistics, and with them the mined points, move on in this test
    seen = []
    net.De.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    game_ = det.step(net, batch)
    next(game_)
    assert len(seen) == 2
    assert torch.equal(seen[1], batch.noise)
    next(game_)
    torch.testing.assert_close(seen[-1], det.mine(net, batch.noise))
    assert not torch.equal(seen[-1], batch.noise)


def test_mining_waits():
    det, net, batch = game(mining_after=2)
    for mines in (False, False, True, True):
        asked = []
        hook = net.C.register_forward_hook(lambda *_: asked.append(1))  # noqa: B023
        list(det.step(net, batch))
        hook.remove()
        batch.update += 1
        assert len(asked) == 2 + 5 * mines


class GoesDownhill(OCGAN):
    """A published misreading of algorithm 1: points are led to the fakes that C takes for reconstructions."""

    def mine(self, net, s):
        self.mining_rate = -abs(self.mining_rate)
        return super().mine(net, s)


def check_mining_finds_bad_fakes(cls):
    det, net, batch = game(cls, mining_steps=5)
    with torch.no_grad():
        before, after = doubt(net, batch.noise), doubt(net, det.mine(net, batch.noise))
    assert (after >= before).all(), "a mined point is less informative"
    assert after.mean() > before.mean() + 1e-4


class LeavesTheCube(OCGAN):
    """A bug: mined points outside the range of En."""

    def mine(self, net, s):
        return 1.5 * super().mine(net, s)


def check_mined_points_stay_in_the_cube(cls):
    det, net, batch = game(cls, mining_rate=1e4)
    assert det.mine(net, batch.noise).abs().max() <= 1, "a mined point lies outside the cube"


class MovesStatistics(OCGAN):
    """A bug: batch normalisation follows the points that mining visits."""

    def mine(self, net, s):
        net.C(net.De(s))
        return super().mine(net, s)


def check_mining_moves_no_network(cls):
    det, net, batch = game(cls)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    det.mine(net, batch.noise)
    moved = [name for name, value in net.state_dict().items() if not torch.equal(value, before[name])]
    assert not moved, f"{moved[0]} moved"
    assert all(module.training for module in net.modules())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


# --- what the authors' code does otherwise ---------------------------------------------------------------------------


class HasNoTanh(OCGAN):
    """A published bug: without tanh, codes can be outside the latent cube."""

    def build(self, shape):
        nets = super().build(shape)
        nets["En"] = nets["En"][:-1]
        return nets


def check_codes_lie_in_the_cube(cls):
    det, net, batch = game(cls)
    assert det.embed(net.eval(), 1e3 * batch.rows).abs().max() <= 1, "a code lies outside the cube"


class SquashesTwice(OCGAN):
    """A published bug: D_l ends in sigmoids that the loss treats as logits, so no verdict is below .5 or above .73."""

    def build(self, shape):
        nets = super().build(shape)

        class Squashed(nn.Module):
            def __init__(self, judge):
                super().__init__()
                self.judge = judge

            def forward(self, z):
                return torch.sigmoid(self.judge(z)[0]), None

        nets["D_l"] = Squashed(nets["D_l"])
        return nets


def check_the_latent_discriminator_can_be_sure(cls):
    _, net, batch = game(cls)
    optimiser = torch.optim.Adam(net.D_l.parameters(), 1e-2)
    for _ in range(60):
        loss = -(log(net.D_l(0.3 * batch.noise)[0]) + log(-net.D_l(batch.noise.sign())[0])).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.4, "D_l cannot discriminate two clouds"


class DrawsNoiseOnce(OCGAN):
    """A published bug: a picture has the same noise in every epoch."""

    def step(self, net, batch):
        torch.manual_seed(0)
        yield from super().step(net, batch)


def check_noise_is_drawn_anew(cls):
    det, net, batch = game(cls)
    seen = []
    net.En.register_forward_pre_hook(lambda _, args: seen.append(args[0] - batch.rows))
    list(det.step(net, batch))
    list(det.step(net, batch))
    assert len(seen) == 4
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2]), "noise repeats"
    assert float(seen[0].std()) == pytest.approx(0.5, rel=0.1)


class ScoresNoisyRows(OCGAN):
    """A published bug: noise at test time."""

    def score_rows(self, net, x, names=ALL):
        return super().score_rows(net, x + self.noise * torch.randn_like(x))


def check_scores(cls):
    det, net, batch = game(cls)
    net.eval()
    with torch.no_grad():
        x = batch.rows
        x_hat = net.De(net.En(x))
        scores = det.score_rows(net, x)
        expected = {
            "residual": ((x - x_hat) ** 2).reshape(6, -1).mean(1),
            "visual": -log(net.D_v(x_hat)[0]),
            "visual_x": -log(net.D_v(x)[0]),
        }
        assert scores.keys() - {"x_hat"} == expected.keys()
        for name, value in expected.items():
            assert torch.allclose(scores[name], value, rtol=1e-4, atol=1e-6), f"{name} is another"


BUGS = [
    (GoesDownhill, check_mining_finds_bad_fakes, "less informative"),
    (LeavesTheCube, check_mined_points_stay_in_the_cube, "outside the cube"),
    (MovesStatistics, check_mining_moves_no_network, "running_mean moved"),
    (HasNoTanh, check_codes_lie_in_the_cube, "outside the cube"),
    (SquashesTwice, check_the_latent_discriminator_can_be_sure, "discriminate"),
    (DrawsNoiseOnce, check_noise_is_drawn_anew, "repeats"),
    (ScoresNoisyRows, check_scores, "residual is another"),
]


@pytest.mark.parametrize("check", [check for _, check, _ in BUGS])
def test_the_checks_accept_the_detector(check):
    check(OCGAN)


@pytest.mark.parametrize(("bug", "check", "message"), BUGS)
def test_planted_bugs_are_caught(bug, check, message):
    with pytest.raises(AssertionError, match=message):
        check(bug)


# --- the rest --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pictures", "table"])
def test_laws_while_it_mines(kind, request):
    """`small` ends before mining begins by default."""
    X, det = request.getfixturevalue(kind), testing.small(OCGAN, mining_after=5, mining_steps=2, ema=0.9)
    testing.resumed_runs_are_identical(det, X)
    testing.refits_are_identical(det, X)
    testing.gradients_reach_their_player(det.set_params(mining_after=0), X)


def test_every_random_point_decodes_to_a_row():
    det, net, _ = game()
    seen = []
    net.De.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    assert det.sample(net, 500).shape == (500, 1, 18, 12)
    assert seen[0].abs().max() <= 1
    assert float(seen[0].std()) == pytest.approx(3**-0.5, rel=0.05)


def test_no_epoch_is_selected_by_held_out_rows(pictures):
    """The paper selects the epoch of the lowest validation error; here such rows affect no weight."""
    models = [
        testing.small(OCGAN, updates=12).fit(pictures[:40], calibrate=rows) for rows in (pictures[40:], 255 - pictures)
    ]
    states = [model.net_.state_dict() for model in models]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert models[0].training_["updates"] == {"game": 12}


@pytest.mark.parametrize(
    ("variant", "noise", "w_con", "w_lat", "steps"), [("paper", 0.2**0.5, 10, 1, 5), ("code", 0.2, 5, 10, 1)]
)
def test_mnist_is_the_papers(variant, noise, w_con, w_lat, steps):
    det = papers.detector("ocgan", "mnist", variant=variant, random_state=3)
    assert det.noise == pytest.approx(noise)
    assert (det.w_con, det.w_lat, det.w_vis, det.mining_steps, det.score_by) == (w_con, w_lat, 1.0, steps, "residual")
    assert (det.latent_dim, det.width, det.lr, det.beta1, det.batch_size, det.epochs) == (16, 64, 2e-4, 0.5, 512, 201)
    nets = det.build((1, 28, 28))
    kernels = {
        name: [tuple(m.weight.shape) for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        for name, net in nets.items()
    }
    assert kernels["En"] == [(64, 1, 5, 5), (128, 64, 5, 5), (256, 128, 5, 5), (16, 256, 3, 3)]
    assert kernels["De"] == [(16, 256, 3, 3), (256, 128, 5, 5), (128, 64, 5, 5), (64, 1, 5, 5)]
    assert kernels["C"] == [(64, 1, 5, 5), (128, 64, 5, 5), (256, 128, 5, 5)]
    assert kernels["D_v"] == [(12, 1, 5, 5), (24, 12, 5, 5), (48, 24, 5, 5)]
    units = [m.out_features for m in nets["D_l"].modules() if isinstance(m, nn.Linear)]
    assert units == [128, 64, 32, 16, 1]
    assert not [m for m in nets["D_l"].modules() if isinstance(m, nn.BatchNorm1d)]
