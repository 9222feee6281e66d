"""CutPaste as OCR-GAN has it (Liang et al., 2023): sizes, places, colours, and that all else stays as it was."""

import numpy as np
import torch

from oddgan.simulate import cut_paste as simulated


def test_cut_paste_leaves_everything_else():
    torch.manual_seed(0)
    x = torch.rand(40, 3, 64, 48) * 2 - 1
    pasted, changed = simulated.cut_paste(x)
    assert pasted.shape == x.shape
    assert changed.shape == (40, 1, 64, 48)
    everywhere = changed.expand_as(x)
    assert torch.equal(pasted[~everywhere], x[~everywhere])
    assert (pasted != x).any(1)[changed[:, 0]].float().mean() > 0.99
    assert pasted.abs().max() <= 1
    black = (pasted == -1).all(1)
    assert (black.flatten(1).sum(1) >= 1).all()
    assert (black.flatten(1).sum(1) <= 16).all()  # 20 / 256 of 48 pixels: 4


def test_patches_have_the_papers_sizes_and_places():
    torch.manual_seed(0)
    _, changed = simulated.cut_paste(torch.zeros(2000, 1, 64, 64), cut_out=0)
    high, wide = changed[:, 0].any(2).sum(1), changed[:, 0].any(1).sum(1)
    area = changed.flatten(1).sum(1)
    assert torch.equal(area, high * wide)  # one whole rectangle each
    share, aspect = area / 64**2, wide / high
    assert 0.017 < float(share.min()) < 0.023
    assert 0.145 < float(share.max()) < 0.155
    assert 0.28 < float(aspect.min()) < 0.4
    assert 3 < float(aspect.max()) < 3.8
    reached = changed[:, 0].any(0)
    assert all(line.any() for line in (reached[0], reached[-1], reached[:, 0], reached[:, -1]))
    assert reached[2:-2, 2:-2].all()


def test_a_patch_comes_from_the_same_picture():
    """Without other colours every value of a patch is one of a rectangle of the picture, in its order."""
    torch.manual_seed(0)
    numbers = torch.arange(24 * 20.0).reshape(1, 1, 24, 20).repeat(8, 1, 1, 1) / 480
    pasted, changed = simulated.cut_paste(numbers, jitter=0, cut_out=0)
    for row in range(8):
        inside = changed[row, 0]
        moved = ((pasted - numbers)[row, 0] * 480)[inside]
        assert float(moved.max() - moved.min()) < 1e-3  # one and the same shift for all of it


def test_colours_change_a_little():
    torch.manual_seed(0)
    x = torch.full((500, 3, 16, 16), 0.2)
    x[:, 0] = 0.5
    pasted, changed = simulated.cut_paste(x, cut_out=0)
    change = (pasted - x)[changed.expand_as(x)].abs()
    assert 0.02 < float(change.mean()) < 0.25
    assert float(change.max()) < 0.6
    grey, _ = simulated.cut_paste(torch.full((500, 1, 16, 16), 0.2), cut_out=0)
    assert 0.49 < float((grey + 1).min()) * 0.5 < 0.6  # 0.6 times 0.9, and contrast has nothing to change
    assert float((grey + 1).max()) * 0.5 < 0.67


def test_hues_turn_about_the_grey_axis():
    red = torch.tensor([1.0, 0, 0])[None, :, None, None]
    green = simulated._turned(red, torch.tensor([2 * np.pi / 3]))
    torch.testing.assert_close(green.flatten(), torch.tensor([0.0, 1, 0]), rtol=0, atol=1e-6)
    grey = torch.full((1, 3, 1, 1), 0.4)
    torch.testing.assert_close(simulated._turned(grey, torch.tensor([1.0])), grey)


def test_draws_are_torchs_and_differ_by_row():
    x = torch.rand(2, 1, 16, 16).expand(2, 1, 16, 16)[:1].repeat(5, 1, 1, 1)
    torch.manual_seed(3)
    first = simulated.cut_paste(x)[0]
    torch.manual_seed(3)
    assert torch.equal(simulated.cut_paste(x)[0], first)
    assert len({tuple(row.flatten().tolist()) for row in first}) == 5
