"""ContraD against its paper (Jeong and Shin, 2021), without training."""

import numpy as np
import pytest
import torch
from torch import nn

import oddgan
from oddgan import testing
from oddgan.detectors import contrad
from oddgan.detectors.contrad import ContraD, fakes_apart, pairs_apart
from oddgan.errors import ParameterError
from oddgan.kit import augmentation
from oddgan.kit.augmentation import augment
from oddgan.testing import FakeBatch


def fake_batch(shape):
    noise = torch.ones(6, 5) * torch.linspace(-1, 1, 6)[:, None]
    return FakeBatch(torch.rand(6, *shape) * 2 - 1, noise)


@pytest.fixture(params=[(1, 16, 12), (7,)], ids=["pictures", "table"])
def game(request):
    torch.manual_seed(0)
    det = ContraD(latent_dim=5, width=4)
    return det, nn.ModuleDict(det.build(request.param)).eval(), fake_batch(request.param)


def unit(*shape):
    return nn.functional.normalize(torch.randn(*shape, dtype=torch.float64))


def test_the_contrastive_loss_of_augmentations_is_simclrs():
    """With loops: the softmax of every augmentation's similarities to all others, at its partner."""
    v, tau = unit(8, 5), 0.3
    for i in range(8):
        partner = (i + 4) % 8
        every = [float(v[i] @ v[j]) / tau for j in range(8) if j != i]
        expected = np.log(np.exp(every).sum()) - float(v[i] @ v[partner]) / tau
        assert float(pairs_apart(v, tau)[i]) == pytest.approx(expected)


def test_the_contrastive_loss_of_fakes_is_supcons():
    """With loops: SupCon's outer sum, with the generated rows as the only class."""
    real, fake, tau = unit(6, 5), unit(4, 5), 0.3
    for i in range(4):
        others = [float(fake[i] @ fake[j]) / tau for j in range(4) if j != i]
        whole = np.log(np.exp(others).sum() + np.exp([float(fake[i] @ r) / tau for r in real]).sum())
        assert float(fakes_apart(real, fake, tau)[i]) == pytest.approx(whole - np.mean(others))


def test_a_single_fake_has_no_contrastive_loss():
    assert fakes_apart(unit(6, 5), unit(1, 5), 0.3).tolist() == [0.0]


def test_losses_fall_where_they_should():
    """Similar augmentations of a row cost less than shuffled ones; fakes in one place less than among real rows."""
    a, b = unit(6, 9), unit(6, 9)
    assert pairs_apart(torch.cat([a, a]), 0.2).mean() < pairs_apart(torch.cat([a, a.roll(1, 0)]), 0.2).mean()
    assert fakes_apart(a, a[:1].expand(6, -1) * -1, 0.2).mean() < fakes_apart(a, b, 0.2).mean()


def test_the_verdicts_loss_does_not_reach_the_trunk(game):
    """The paper's stop-gradient: the trunk is trained by contrast alone. The planted bug, a verdict without it, would
    give the trunk a gradient."""
    det, net, batch = game
    first, _ = det.step(net, batch)
    trunk = list(net.D.trunk.parameters())
    for term in ("real", "fake"):
        moved = torch.autograd.grad(first["D"][term].sum(), trunk, allow_unused=True, retain_graph=True)
        assert all(g is None for g in moved)
    for term, heads in (("contrast", "of_real"), ("contrast_fake", "of_fake")):
        for module in (net.D.trunk, getattr(net.D, heads)):
            grads = torch.autograd.grad(first["D"][term].sum(), list(module.parameters()), retain_graph=True)
            assert all(g.abs().max() > 0 for g in grads[:1])
        other = net.D.of_fake if heads == "of_real" else net.D.of_real
        assert all(
            g is None
            for g in torch.autograd.grad(
                first["D"][term].sum(), list(other.parameters()), allow_unused=True, retain_graph=True
            )
        )


def test_the_generator_learns_from_the_verdict_through_augmentations(game, monkeypatch):
    """Fakes are augmented too, or D would recognise them by that."""
    det, net, batch = game
    seen = []
    monkeypatch.setattr(contrad, "augment", lambda x, strength, groups=1: seen.append((len(x), strength, groups)) or x)
    first, second = det.step(net, batch)
    assert seen == [(18, 1.0, 3), (6, 1.0, 1)]  # every real row twice and every fake once; then G's
    logit, _ = net.D(batch.rows)
    torch.testing.assert_close(first["D"]["real"], -torch.log(torch.sigmoid(logit)), rtol=1e-4, atol=1e-5)
    fake, _ = net.D(net.G(batch.z(5)))
    torch.testing.assert_close(first["D"]["fake"], -torch.log(1 - torch.sigmoid(fake)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(second["G"]["adv"], -torch.log(torch.sigmoid(fake)), rtol=1e-4, atol=1e-5)
    assert all(g.abs().max() > 0 for g in torch.autograd.grad(second["G"]["adv"].sum(), net.G.parameters()))
    with torch.no_grad():
        f = net.D.trunk(batch.rows)
        v = nn.functional.normalize(net.D.of_real(torch.cat([f, f])))
        torch.testing.assert_close(first["D"]["contrast"], pairs_apart(v, 0.2))


def test_a_weight_scales_its_term(game, monkeypatch):
    det, net, batch = game
    monkeypatch.setattr(contrad, "augment", lambda x, strength, groups=1: x)
    (one, _), (two, _) = det.step(net, batch), ContraD(latent_dim=5, width=4, w_fake=3.0).step(net, batch)
    torch.testing.assert_close(two["D"]["contrast_fake"], 3 * one["D"]["contrast_fake"])


def test_features_of_pictures_have_length_one(game):
    det, net, batch = game
    f = det.embed(net, batch.rows)
    if batch.rows.ndim == 4:
        torch.testing.assert_close(f, nn.functional.normalize(net.D.of_real(net.D(batch.rows)[1])))
        torch.testing.assert_close(f.norm(dim=1), torch.ones(6))
    else:
        torch.testing.assert_close(f, net.D(batch.rows)[1])


def test_the_score_is_the_mean_distance_to_the_nearest_training_rows(pictures):
    det = testing.small(ContraD, neighbours=3).fit(pictures)
    rows = pictures[:5]
    kept, f = det.model_.combination.reference.embeddings[0].vectors, det.features(rows)
    distances = np.sort(np.linalg.norm(f[:, None].astype(np.float64) - kept, axis=2), axis=1)[:, :3]
    np.testing.assert_allclose(det.anomaly_score(rows), distances.mean(1), rtol=1e-6, atol=1e-7)
    assert set(det.explain(rows).terms) == {"verdict", "distance"}


def test_the_verdict_is_the_score_if_requested(table):
    det = testing.small(ContraD, local="off").fit(table)
    assert np.array_equal(det.anomaly_score(table[:4]), det.explain(table[:4]).terms["verdict"])


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 40), (6,)])
def test_networks_fit_any_shape(shape):
    net = nn.ModuleDict(ContraD(latent_dim=3, width=4).build(shape)).eval()
    logit, f = net.D(torch.rand(2, *shape))
    assert logit.shape == (2,)
    assert f.shape == (2, 16)
    assert net.G(torch.randn(2, 3)).shape == (2, *shape)
    assert all(hasattr(m, "parametrizations") for m in net.D.modules() if isinstance(m, nn.Conv2d | nn.Linear))


def test_augmentations_of_strength_zero_are_the_rows():
    for x in (torch.rand(4, 2, 9, 13) * 2 - 1, torch.randn(5, 6)):
        torch.testing.assert_close(augment(x, 0.0), x, atol=1e-5, rtol=1e-5)


def test_augmentations_differ_by_row_and_call_and_repeat_with_the_seed():
    x = torch.rand(1, 1, 12, 12).expand(3, -1, -1, -1)
    torch.manual_seed(0)
    first, second = augment(x), augment(x)
    torch.manual_seed(0)
    assert torch.equal(augment(x), first)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_augmentations_shift_pictures_by_the_documented_amount():
    """The centre of a dot in the middle is shifted by at most a tenth of the side, and the warp."""
    torch.manual_seed(0)
    x = torch.full((400, 1, 41, 41), -1.0)
    x[:, :, 19:22, 19:22] = 1.0
    ink = (augment(x) + 1).squeeze(1)
    rows = (ink.sum(2) * torch.arange(41)).sum(1) / ink.sum((1, 2))
    moved = (rows - 20).abs() / 41
    assert 0.05 < moved.max() < 0.1 * 1.4 + 3 * 0.03
    assert ink.sum((1, 2)).std() > 0  # scaled


def test_augmentations_rotate_oblong_pictures_no_further(monkeypatch):
    """A vertical line in a tall and in a wide picture is rotated by at most 15 degrees."""
    torch.manual_seed(0)
    for name in ("SHEAR", "SCALE", "SHIFT", "WARP"):
        monkeypatch.setattr(augmentation, name, 0.0)
    for height, width in ((61, 31), (31, 61)):
        x = torch.zeros(300, 1, height, width)
        x[:, :, :, width // 2 - 1 : width // 2 + 2] = 1.0
        ink = augment(x).squeeze(1)[:, 4:-4]
        columns = (ink * torch.arange(width)).sum(2) / ink.sum(2)
        lean = torch.atan((columns[:, -1] - columns[:, 0]) / (ink.shape[1] - 1)).rad2deg().abs()
        assert 12 < lean.max() < 16


@pytest.mark.parametrize("strength", [1.0, 2.0])
def test_augmentations_of_a_table_take_columns_from_rows_of_their_kind(strength):
    """Columns come from several rows, at any strength, and never from generated rows into real ones."""
    torch.manual_seed(0)
    x = torch.arange(400.0).reshape(100, 4)
    y = augment(x, strength, groups=2)
    for half in (slice(0, 50), slice(50, 100)):
        assert all(set(y[half, c].tolist()) <= set(x[half, c].tolist()) for c in range(4))
    share = float((x != y).float().mean())
    assert abs(share - (1 - 0.5**strength) * 0.98) < 0.08
    sources = (y[x[:, 0] != y[:, 0]] // 4).int()
    assert (sources[:, 0] != sources[:, 1]).any()


def test_turns_make_different_rows_and_all_are_scored(game, monkeypatch):
    """Each row of a batch is rotated by random multiples of 90 degrees, then augmented; scoring sees all four."""
    torch.manual_seed(0)
    det = ContraD(latent_dim=5, width=4, turns=True)
    net, batch, seen = nn.ModuleDict(det.build((1, 12, 12))).eval(), fake_batch((1, 12, 12)), []
    monkeypatch.setattr(contrad, "augment", lambda x, strength, groups=1: seen.append(x) or x)
    next(det.step(net, batch))
    turned = seen[0][:6]
    assert torch.equal(seen[0][6:12], turned)  # both augmentations are of the rotated row
    kinds = [[torch.equal(turned[i], batch.rows[i].rot90(k, (1, 2))) for k in range(4)] for i in range(6)]
    assert all(sum(kind) == 1 for kind in kinds)
    assert len({kind.index(True) for kind in kinds}) > 1
    f = det.embed(net, batch.rows)
    alone = ContraD(latent_dim=5, width=4)
    for k, part in enumerate(f.split(8, dim=1)):
        torch.testing.assert_close(part, alone.embed(net, batch.rows.rot90(k, (2, 3))))
    assert f.shape == (6, 32)


def test_pictures_can_be_compared_in_the_trunks_features():
    torch.manual_seed(0)
    net, x = nn.ModuleDict(ContraD(latent_dim=5, width=4).build((1, 12, 9))).eval(), torch.rand(3, 1, 12, 9)
    f = ContraD(latent_dim=5, width=4, compare="f").embed(net, x)
    torch.testing.assert_close(f, nn.functional.normalize(net.D(x)[1]))


def test_pictures_themselves_can_be_compared_beside_their_features(pictures, table, tmp_path):
    """By the geometric mean of the distances in both; the brightness of a picture has no effect."""
    torch.manual_seed(0)
    det = ContraD(latent_dim=5, width=4, compare="f+x")
    net, x = nn.ModuleDict(det.build((1, 12, 9))).eval(), torch.rand(3, 1, 12, 9)
    f, own = det.embeddings(net, x)
    torch.testing.assert_close(f, det.embed(net, x))
    torch.testing.assert_close(own, det.embeddings(net, (x + 1) / 2 - 1)[1])
    torch.testing.assert_close(own.norm(dim=1), torch.ones(3))

    fitted = testing.small(ContraD, compare="f+x").fit(pictures)
    widths = [one.vectors.shape[1] for one in fitted.model_.combination.reference.embeddings]
    assert widths == [fitted.features(pictures[:1]).shape[1], pictures[0].size]
    fitted.save(tmp_path / "model.oddgan")
    again = oddgan.load(tmp_path / "model.oddgan").anomaly_score(pictures[:5])
    assert np.array_equal(again, fitted.anomaly_score(pictures[:5]))
    assert len(testing.small(ContraD, compare="f+x").fit(table).model_.combination.reference.embeddings) == 1


def test_turns_are_for_square_pictures(pictures, table):
    for X in (pictures, table):
        with pytest.raises(ParameterError, match="turns: needs square pictures, and a row here is"):
            testing.small(ContraD, turns=True).fit(X)


def test_what_is_compared_can_be_changed_after_training(pictures, tmp_path):
    path = tmp_path / "run.ckpt"
    first = testing.small(ContraD).fit(pictures, checkpoint=path)
    other = testing.small(ContraD, compare="f").fit(pictures, checkpoint=path)
    for name, value in first.net_.state_dict().items():
        assert torch.equal(value, other.net_.state_dict()[name])
    assert not np.array_equal(first.anomaly_score(pictures[:3]), other.anomaly_score(pictures[:3]))
