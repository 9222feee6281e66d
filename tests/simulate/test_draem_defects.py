"""The simulated defects that DRAEM is trained on."""

import numpy as np
import torch
from torch.nn import functional as F

from oddgan.detectors import draem
from oddgan.detectors.draem import DRAEM
from oddgan.simulate.noise import SCALES, _scales


def rows(n, shape):
    """Smooth pictures from -1 to 1, no two alike."""
    coarse = torch.rand(n, shape[0], 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return F.interpolate(coarse, shape[1:], mode="bilinear", align_corners=True)


def defects_of(det, x, seed=5):
    torch.manual_seed(seed)
    return det.with_defects(x, np.random.default_rng(int(torch.randint(2**62, ()))))


def test_half_of_the_pictures_have_no_defect():
    x = rows(400, (1, 24, 24))
    for share in (0.5, 1.0):
        x_a, mask = defects_of(DRAEM(defects="paper", anomaly_share=share), x)
        # some masks of noise are empty
        assert share * 0.65 < mask.flatten(1).any(1).float().mean() < min(1.0, share * 1.15)
        assert torch.equal((x_a != x).any(1), mask), "the mask is where the picture has changed"
        assert ((x_a - x).abs().amax(1)[mask] > 0.02 * 2 * 0.99).all()
        assert x_a.min() >= -1
        assert x_a.max() <= 1
        assert torch.isfinite(x_a).all()


def test_defects_are_blended(monkeypatch):
    """Textures of 1 on pictures of 0 (from 0 to 1) leave a share beta, uniform on [0, blend)."""
    monkeypatch.setattr(draem, "foreign", lambda content, random: np.ones_like(content))
    monkeypatch.setattr(draem, "procedural", lambda shape, random: np.ones(shape, np.float32))
    x = torch.full((500, 1, 16, 16), -1.0)
    x_a, mask = defects_of(DRAEM(defects="paper", anomaly_share=1.0, blend=0.8), x)
    beta = 1 - (x_a.flatten(1).amax(1)[mask.flatten(1).any(1)] + 1) / 2
    assert beta.min() >= 0
    assert 0.77 < beta.max() < 0.8
    assert abs(beta.mean() - 0.4) < 0.03
    assert defects_of(DRAEM(defects="paper", anomaly_share=1.0, blend=0.0), x)[0].max() == 1


def test_textures_are_of_the_whole_batch(monkeypatch):
    monkeypatch.setattr(draem, "foreign", lambda content, random: content)
    monkeypatch.setattr(draem, "PROCEDURAL", 0.0)
    every = torch.linspace(-1, 1, 3)[:, None, None, None].expand(3, 1, 16, 16).contiguous()
    det, seen = DRAEM(defects="paper", anomaly_share=1.0, blend=0.0), set()
    for seed in range(20):
        x_a, mask = det.with_defects(every[1:2], np.random.default_rng(seed), every, 1)
        seen |= {round(float(v), 4) for v in x_a[0, 0][mask[0]]}
    assert seen == {-1.0, 1.0}


def test_textures_are_of_other_rows_or_of_noise(monkeypatch):
    monkeypatch.setattr(draem, "foreign", lambda content, random: content)
    monkeypatch.setattr(draem, "PROCEDURAL", 0.0)
    levels = torch.linspace(-1, 1, 5)
    x = levels[:, None, None, None].expand(5, 1, 16, 16).contiguous()
    seen = set()
    for seed in range(20):
        x_a, mask = defects_of(DRAEM(defects="paper", anomaly_share=1.0, blend=0.0), x, seed)
        for i in range(5):
            found = {round(float(v), 4) for v in x_a[i, 0][mask[i]]}
            assert len(found) <= 1
            assert round(float(levels[i]), 4) not in found
            seen |= found
    assert seen == {round(float(v), 4) for v in levels}
    monkeypatch.setattr(draem, "PROCEDURAL", 1.0)
    x_a, mask = defects_of(DRAEM(defects="paper", anomaly_share=1.0, blend=0.0), x)
    assert len(x_a[:, 0][mask].unique()) > 5


def test_what_equals_the_texture_is_no_defect(monkeypatch):
    monkeypatch.setattr(draem, "PROCEDURAL", 0.0)
    monkeypatch.setattr(draem, "foreign", lambda content, random: content)
    x = torch.zeros(8, 1, 16, 16)
    x_a, mask = defects_of(DRAEM(defects="paper", anomaly_share=1.0), x)
    assert not mask.any()
    assert torch.equal(x_a, x)


def test_noise_has_the_papers_scales_where_there_is_room():
    assert [_scales(side) for side in (256, 128, 64, 32, 8, 2)] == [SCALES, SCALES, 5, 4, 2, 1]


def test_pictures_are_rotated_if_requested():
    x, random = rows(200, (1, 24, 24)), np.random.default_rng(0)
    assert DRAEM()._turned(x, random) is x
    turned = DRAEM(rotated=0.3)._turned(x, random)
    same = (turned == x).flatten(1).all(1)
    assert 0.2 < 1 - same.float().mean() < 0.4
    assert turned.abs().max() <= 1


def test_a_picture_is_rotated_without_being_stretched(monkeypatch):
    monkeypatch.setattr(draem, "LARGEST_TURN", np.pi / 4)
    for height, width in ((61, 31), (31, 61)):
        x = torch.zeros(300, 1, height, width)
        x[:, :, :, width // 2 - 1 : width // 2 + 2] = 1.0
        middle = slice(height // 2 - 8, height // 2 + 9)
        ink = DRAEM(rotated=1.0)._turned(x, np.random.default_rng(0)).squeeze(1)[:, middle]
        columns = (ink * torch.arange(width)).sum(2) / ink.sum(2)
        lean = torch.atan((columns[:, -1] - columns[:, 0]) / 16).rad2deg().abs()
        assert 40 < lean.max() < 46


def test_varied_defects_are_the_papers_and_others():
    """Some of them keep to values that are in the pictures, which texture blended over them does not."""
    x = torch.where(torch.rand(64, 1, 32, 32, generator=torch.Generator().manual_seed(1)) < 0.5, -1.0, 1.0)
    x_a, mask = defects_of(DRAEM(anomaly_share=1.0), x)
    assert (x_a == x)[~mask[:, None]].all()
    assert mask.flatten(1).any(1).float().mean() > 0.9
    pasted = [bool((one.abs() == 1).all()) for one in x_a[mask.flatten(1).any(1)]]
    assert 0.1 < np.mean(pasted) < 0.6
    only, mask = defects_of(DRAEM(defects="paper", anomaly_share=1.0, blend=0.5), x)
    assert np.mean([bool((one.abs() == 1).all()) for one in only[mask.flatten(1).any(1)]]) < 0.1
