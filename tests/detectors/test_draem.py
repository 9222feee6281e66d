"""DRAEM against its paper (Zavrtanik et al., 2021): every term against a formula written here, its simulated defects,
and a small training that finds planted defects."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F

from oddgan import testing
from oddgan.detectors import draem
from oddgan.detectors.draem import DRAEM
from oddgan.errors import ParameterError
from oddgan.networks.draem import Discriminative, Reconstructive, focal, interpolated, ssim
from oddgan.testing import FakeBatch

SHAPE = (3, 18, 12)


def rows(n=6, shape=SHAPE):
    """Smooth pictures from -1 to 1, no two alike."""
    coarse = torch.rand(n, shape[0], 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return F.interpolate(coarse, shape[1:], mode="bilinear", align_corners=True)


def game(cls=DRAEM, shape=SHAPE, **changes):
    """A detector, fresh networks in training mode, and a batch."""
    torch.manual_seed(0)
    det = cls(**{"width": 4, "seg_width": 4, "w_ssim": 1.5, "gamma": 1.7, **changes})
    return det, nn.ModuleDict(det.build(shape)).train(), FakeBatch(rows(shape=shape))


def losses_of(det, net, batch, seed=5):
    torch.manual_seed(seed)
    (losses,) = det.step(net, batch)
    return losses["N"]


@pytest.fixture
def known(monkeypatch):
    """Defects that are known: squares of 0.9."""
    mask = torch.zeros(6, *SHAPE[1:], dtype=torch.bool)
    mask[::2, 3:8, 2:9] = True
    monkeypatch.setattr(DRAEM, "with_defects", lambda self, x, *_: (torch.where(mask[:, None], 0.9, x), mask))
    return mask


def test_terms_are_the_papers(known):
    """R restores x, without the defect, from x_a; S sees x_hat and x_a; values are compared as if from 0 to 1."""
    det, net, batch = game()
    losses = losses_of(det, net, batch)
    x = batch.rows
    x_a = torch.where(known[:, None], 0.9, x)
    with torch.no_grad():
        x_hat = net.N.R(x_a)
        p = net.N.S(torch.cat([x_hat, x_a], 1)).softmax(1)
    true = torch.where(known, p[:, 1], p[:, 0])
    expected = {
        "l2": (((x + 1) / 2 - (x_hat + 1) / 2) ** 2).reshape(6, -1).mean(1),
        "ssim": 1.5 * (1 - ssim((x + 1) / 2, (x_hat + 1) / 2)),
        "focal": (-((1 - true) ** 1.7) * true.log()).reshape(6, -1).mean(1),
    }
    assert set(losses) == set(expected)
    for name, value in expected.items():
        assert value.shape == (6,)
        torch.testing.assert_close(losses[name].detach(), value, rtol=1e-4, atol=1e-6)


def test_each_network_moves_its_own_terms(known):
    """A change of S is seen by the focal loss alone, a change of R by all three."""
    det, net, batch = game()
    before = losses_of(det, net, batch)
    with torch.no_grad():
        net.N.S.last.weight.mul_(5)
    after = losses_of(det, net, batch)
    assert torch.equal(before["l2"], after["l2"])
    assert torch.equal(before["ssim"], after["ssim"])
    assert not torch.allclose(before["focal"], after["focal"], rtol=1e-6)
    with torch.no_grad():
        net.N.R.last.bias.add_(0.1)
    moved = losses_of(det, net, batch)
    assert all(not torch.allclose(after[name], moved[name], rtol=1e-6) for name in moved)


class RestoresTheDefect(DRAEM):
    """A planted bug: R is trained to restore what it is given."""

    def step(self, net, batch):
        x_a, _ = self.with_defects(batch.x(), None)
        for losses in super().step(net, batch):
            yield {"N": {**losses["N"], "l2": ((x_a - net.N.R(x_a)) ** 2).flatten(1).mean(1) / 4}}


class DetachesTheReconstruction(DRAEM):
    """A planted bug: S's loss does not reach R."""

    def step(self, net, batch):
        hook = net.N.R.register_forward_hook(lambda *args: args[2].detach())
        yield from super().step(net, batch)
        hook.remove()


class SeesTheCleanPicture(DRAEM):
    """A planted bug: S compares x_hat with itself, and never sees x_a."""

    def step(self, net, batch):
        hook = net.N.S.register_forward_pre_hook(lambda _, args: torch.cat([args[0][:, :3]] * 2, 1))
        yield from super().step(net, batch)
        hook.remove()


def check_the_target(cls):
    det, net, batch = game(cls)
    with torch.no_grad():
        x_a, _ = det.with_defects(batch.rows, None)
        expected = (((batch.rows - net.N.R(x_a)) / 2) ** 2).flatten(1).mean(1)
    assert torch.allclose(losses_of(det, net, batch)["l2"], expected, rtol=1e-4), "R restores something else"


def check_the_focal_loss_reaches_both(cls):
    det, net, batch = game(cls)
    loss = losses_of(det, net, batch)["focal"].sum()
    for module in (net.N.R, net.N.S):
        grads = torch.autograd.grad(loss, module.parameters(), allow_unused=True, retain_graph=True)
        assert all(g is not None and g.abs().max() > 0 for g in grads), "the focal loss misses a network"


def check_s_sees_both_pictures(cls):
    det, net, batch = game(cls)
    seen = []
    net.N.S.downs[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    losses_of(det, net, batch)
    x_a, _ = det.with_defects(batch.rows, None)
    with torch.no_grad():
        assert torch.equal(seen[0], torch.cat([net.N.R(x_a), x_a], 1)), "S sees something else"


BUGS = [
    (RestoresTheDefect, check_the_target, "restores something else"),
    (DetachesTheReconstruction, check_the_focal_loss_reaches_both, "misses a network"),
    (SeesTheCleanPicture, check_s_sees_both_pictures, "sees something else"),
]


@pytest.mark.parametrize("check", [check for _, check, _ in BUGS])
def test_the_checks_accept_the_detector(check, known):
    check(DRAEM)


@pytest.mark.parametrize(("bug", "check", "message"), BUGS)
def test_planted_bugs_are_caught(bug, check, message, known):
    with pytest.raises(AssertionError, match=message):
        check(bug)


def test_the_focal_loss_by_hand():
    logits = torch.zeros(2, 2, 1, 1)
    logits[:, 1] = float(np.log(3))  # p = 0.75 of an anomalous pixel
    mask = torch.tensor([True, False])[:, None, None]
    expected = torch.tensor([-(0.25**2) * np.log(0.75), -(0.75**2) * np.log(0.25)], dtype=torch.float32)
    torch.testing.assert_close(focal(logits, mask, 2.0), expected)
    random, masks = torch.randn(3, 2, 5, 4), torch.rand(3, 5, 4) > 0.5
    plain = F.cross_entropy(random, masks.long(), reduction="none").flatten(1).mean(1)
    torch.testing.assert_close(focal(random, masks, 0.0), plain)
    assert (focal(random, masks, 2.0) < plain).all()
    sure = torch.tensor([-200.0, 200.0])[None, :, None, None]  # neither smoothed nor infinite
    assert focal(sure, torch.zeros(1, 1, 1, dtype=torch.bool), 2.0).item() == pytest.approx(400)
    assert focal(sure, torch.ones(1, 1, 1, dtype=torch.bool), 2.0).item() == 0


def plain_ssim(a, b):
    """With loops: one channel, zeros beyond the border."""
    g = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(g, g) / g.sum() ** 2
    pa, pb = np.pad(a, 5), np.pad(b, 5)
    found = []
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            u, v = pa[i : i + 11, j : j + 11], pb[i : i + 11, j : j + 11]
            mu, mv = (window * u).sum(), (window * v).sum()
            vu, vv, uv = (
                (window * u * u).sum() - mu**2,
                (window * v * v).sum() - mv**2,
                (window * u * v).sum() - mu * mv,
            )
            top = (2 * mu * mv + 1e-4) * (2 * uv + 9e-4)
            found.append(top / ((mu**2 + mv**2 + 1e-4) * (vu + vv + 9e-4)))
    return np.mean(found)


@pytest.mark.parametrize("size", [(13, 20), (8, 8), (3, 30)])
def test_ssim_is_the_formula(size):
    random = np.random.default_rng(0)
    a, b = random.random((2, 2, 3, *size))
    expected = [np.mean([plain_ssim(a[i, c], b[i, c]) for c in range(3)]) for i in range(2)]
    found = ssim(torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_ssim_by_hand():
    x = torch.rand(3, 1, 16, 16)
    torch.testing.assert_close(ssim(x, x), torch.ones(3))
    assert (ssim(x, 1 - x) < ssim(x, (x + 0.1).clamp(0, 1))).all()
    # of one pixel: the window's weight w in its middle makes mean w v and variance w v^2 - (w v)^2
    w = 1 / np.exp(-(np.arange(-5, 6) ** 2) / 4.5).sum() ** 2
    mean, variance, c1, c2 = w * 0.5, w * 0.25 - (w * 0.5) ** 2, 1e-4, 9e-4
    expected = c1 / (mean**2 + c1) * c2 / (variance + c2)
    assert ssim(torch.full((1, 1, 1, 1), 0.5), torch.zeros(1, 1, 1, 1)).item() == pytest.approx(expected, rel=1e-4)
    # differentiable, in both
    a, b = torch.rand(1, 1, 6, 6, requires_grad=True), torch.rand(1, 1, 6, 6, requires_grad=True)
    assert all(g.abs().max() > 0 for g in torch.autograd.grad(ssim(a, b).sum(), (a, b)))


def test_randomness_is_torchs_global_generator():
    det, net, batch = game()
    first, again, other = (losses_of(det, net, batch, seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["focal"], other["focal"])


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 40), (5, 64, 33), (1, 11, 9)])
def test_networks_fit_any_shape(shape):
    det, net, _ = game(shape=shape)
    x_hat, logits = net.N(torch.rand(2, *shape))
    assert x_hat.shape == (2, *shape)
    assert logits.shape == (2, 2, *shape[1:])
    found = det.score_rows(net.eval(), torch.rand(2, *shape))
    assert found["map"].shape == (2, *shape[1:])
    assert det.embed(net, torch.rand(2, *shape)).shape == (2, 32)


@pytest.mark.parametrize(("size", "wanted"), [((4, 5), (8, 11)), ((1, 3), (2, 6)), ((2, 2), (5, 4)), ((3, 1), (3, 1))])
def test_interpolation_on_a_gpu_is_the_same(size, wanted):
    x = torch.randn(2, 3, *size)
    expected = F.interpolate(x, wanted, mode="bilinear", align_corners=True)
    torch.testing.assert_close(interpolated(x, wanted), expected, atol=1e-5, rtol=1e-5)


def parameters_of(convolutions, last):
    """3x3 convolutions without bias, each with batch normalisation, and a last one with a bias."""
    return sum(9 * a * b + 2 * b for a, b in convolutions) + 9 * last[0] * last[1] + last[1]


def test_at_the_papers_widths_the_networks_are_the_papers():
    w = 128
    down = [(3, w), (w, w), (w, 2 * w), (2 * w, 2 * w), (2 * w, 4 * w), (4 * w, 4 * w), (4 * w, 8 * w), (8 * w, 8 * w)]
    down += [(8 * w, 8 * w)] * 2
    up = [(8 * w, 8 * w), (8 * w, 8 * w), (8 * w, 4 * w), (4 * w, 4 * w), (4 * w, 4 * w), (4 * w, 2 * w)]
    up += [(2 * w, 2 * w), (2 * w, 2 * w), (2 * w, w), (w, w), (w, w), (w, w)]
    with torch.device("meta"):
        r, s = Reconstructive(3, 128), Discriminative(3, 64)
    assert sum(p.numel() for p in r.parameters()) == parameters_of(down + up, (w, 3))
    w = 64
    down = [(6, w), (w, w), (w, 2 * w), (2 * w, 2 * w), (2 * w, 4 * w), (4 * w, 4 * w), (4 * w, 8 * w)]
    down += [(8 * w, 8 * w)] * 5
    up = [(8 * w, 8 * w), (16 * w, 8 * w), (8 * w, 8 * w), (8 * w, 4 * w), (12 * w, 4 * w), (4 * w, 4 * w)]
    up += [(4 * w, 2 * w), (6 * w, 2 * w), (2 * w, 2 * w), (2 * w, w), (3 * w, w), (w, w), (w, w), (2 * w, w), (w, w)]
    assert sum(p.numel() for p in s.parameters()) == parameters_of(down + up, (w, 2))


def test_only_the_discriminative_network_has_skip_connections():
    det, net, batch = game()
    net.eval()
    x = batch.rows
    for module, inputs, constant in ((net.N.R, x, True), (net.N.S, torch.cat([x, x.flip(1)], 1), False)):
        hook = module.downs[-1].register_forward_hook(lambda *args: torch.zeros_like(args[2]))
        found = module(inputs)
        hook.remove()
        assert torch.equal(found[0], found[1]) == constant
    assert det.stages()[0].players == ("N",)
    assert det.stages()[0].lr is None


def test_scores():
    det, net, batch = game(shape=(1, 40, 96), window=21)
    net.eval()
    x = batch.rows
    with torch.no_grad():
        found = det.score_rows(net, x)
        x_hat = net.N.R(x)
        p = net.N.S(torch.cat([x_hat, x], 1)).softmax(1)[:, 1].numpy()
    padded = np.pad(p, ((0, 0), (1, 1), (1, 1)))  # 21 pixels of 256 are 3 of 40
    smooth = sum(padded[:, i : i + 40, j : j + 96] for i in range(3) for j in range(3)) / 9
    np.testing.assert_allclose(found["map"], smooth, rtol=1e-4)
    np.testing.assert_allclose(found["max"], smooth.max((1, 2)), rtol=1e-4)
    torch.testing.assert_close(found["residual"], (x - x_hat).abs().flatten(1).mean(1))
    torch.testing.assert_close(found["x_hat"], x_hat)
    assert 0 <= found["map"].min() <= found["map"].max() <= 1
    with torch.no_grad():
        torch.testing.assert_close(det.embed(net, x), net.N.R.encoded(x)[-1].mean((2, 3)))


@pytest.mark.parametrize(("size", "side"), [(256, 21), (128, 11), (64, 5), (32, 3), (9, 1)])
def test_the_mean_filter_is_scaled_with_the_picture(size, side, monkeypatch):
    seen = []
    pool = F.avg_pool2d
    monkeypatch.setattr(draem.F, "avg_pool2d", lambda x, side, **how: seen.append(side) or pool(x, side, **how))
    det, net, _ = game(shape=(1, size, size + 7), width=2, seg_width=2)
    with torch.no_grad():
        det.score_rows(net.eval(), torch.zeros(1, 1, size, size + 7))
    assert seen == [side]


def test_what_is_not_requested_is_not_computed():
    det, net, batch = game()
    net.N.S = None
    assert set(det.score_rows(net, batch.rows, ("residual",))) == {"x_hat", "residual"}


def test_tables_are_refused(table):
    with pytest.raises(ParameterError, match="DRAEM is for pictures"):
        testing.small(DRAEM).fit(table)


def test_there_is_nothing_to_generate_from(pictures):
    det = testing.small(DRAEM, seg_width=4, updates=3).fit(pictures)
    with pytest.raises(ParameterError, match="DRAEM cannot generate"):
        det.generate(2)


def waves(n, random):
    """Pictures of 24x24: stripes of random phase, brighter towards the bottom, with noise."""
    y, x = np.mgrid[:24, :24] / 32
    phase, often = random.uniform(0, 6, (n, 1, 1)), random.uniform(12, 18, (n, 1, 1))
    return (120 + 50 * np.sin(often * x + phase) + 30 * y + random.normal(0, 6, (n, 24, 24))).clip(0, 255)


@pytest.mark.slow
def test_planted_squares_are_found_and_located():
    random = np.random.default_rng(0)
    train, test = waves(120, random).astype(np.uint8), waves(80, random)
    mask = np.zeros(test.shape, bool)
    for i in range(40):
        top, left = random.integers(2, 16, 2)
        mask[i, top : top + 5, left : left + 5] = True
    test = (test + 70 * mask * random.choice((-1, 1), (80, 1, 1))).clip(0, 255).astype(np.uint8)
    det = DRAEM(width=8, seg_width=8, updates=80, batch_size=16, ema=0.9, precision="float32", random_state=0)
    found = det.set_params(score_by="max").fit(train).explain(test)
    assert roc_auc_score(mask.any((1, 2)), found.score) > 0.9
    assert roc_auc_score(mask.ravel(), np.ravel(found.anomaly_map)) > 0.9
