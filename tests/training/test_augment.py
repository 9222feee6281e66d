"""Training pictures varied: mild, by hand, keyed, and refused where there is nothing to vary."""

import numpy as np
import pytest
import torch

import oddgan
from oddgan.errors import ArtifactError, ParameterError
from oddgan.evaluation.cells import parameters_of
from oddgan.hooks import Hook
from oddgan.preprocessing import PicturePreprocessor
from oddgan.rows import open_rows
from oddgan.training.variation import NUMBERS, vary

MOVES = ("shift", "turn", "flip", "all")
HOWS = ("light", *MOVES)


def pictures(n=40, side=32, channels=3, seed=0):
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def numbers(n=40, seed=0):
    return np.random.default_rng(seed).random((n, NUMBERS))


def at(n=1, **given):
    """Numbers that change nothing, but for those given by their place."""
    u = np.full((n, NUMBERS), 0.5)
    for place, value in given.items():
        u[:, int(place[1:])] = value
    return u


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("shape", [(40, 3, 32, 32), (40, 1, 28, 40)])
def test_pictures_change_mildly_and_keep_shape_type_and_range(how, shape):
    smooth = torch.linspace(-0.8, 0.8, shape[3]).expand(shape)
    x = smooth if how != "flip" else pictures(shape[0])
    before = x.clone()
    y = vary(x, how, numbers())
    assert torch.equal(x, before)
    assert (y.shape, y.dtype) == (x.shape, torch.float32)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(y, x)
    assert y.abs().max() <= 1
    if how != "flip":
        assert (y - x).abs().mean(dim=(1, 2, 3)).max() < 0.15
    assert torch.equal(vary(x, how, numbers()), y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(vary(x, how, numbers()), y)


@pytest.mark.parametrize("how", HOWS)
def test_a_picture_depends_on_its_own_numbers_alone(how):
    x, u = pictures(8), numbers(8)
    whole = vary(x, how, u)
    for i in range(8):
        torch.testing.assert_close(vary(x[i : i + 1], how, u[i : i + 1])[0], whole[i], rtol=0, atol=1e-6)


@pytest.mark.parametrize("how", ["light", "shift", "turn", "all"])
def test_the_middle_of_every_range_changes_nothing(how):
    x = pictures(2)
    torch.testing.assert_close(vary(x, how, at(2)), x, rtol=0, atol=1e-5)


def test_light_by_hand():
    x = torch.tensor([-0.5, 0.0, 0.5, 1.0]).view(1, 1, 2, 2)
    brighter = vary(x, "light", at(_5=1.0))
    torch.testing.assert_close(brighter.ravel(), torch.tensor([-0.44, 0.06, 0.56, 1.0]))  # 3% of 2, cut at white
    flatter = vary(x, "light", at(_6=0.0))
    torch.testing.assert_close(flatter.ravel(), (x.ravel() - 0.25) * 0.95 + 0.25)
    beyond = 3 * x  # where the value range was given narrower than the pictures'
    assert vary(beyond, "light", at(_5=1.0)).max() == 3


def test_shifts_are_whole_pixels_up_to_three_percent_and_what_comes_in_is_a_reflection():
    x = torch.arange(64 * 64, dtype=torch.float32).view(1, 1, 64, 64)
    found = set()
    for row in (0.0, 0.3, 0.5, 0.7, 0.999):
        y = vary(x, "shift", at(_0=row))
        down = int(y[0, 0, 10, 0] - x[0, 0, 10, 0]) // 64
        found.add(down)
        assert torch.equal(y[0, 0, 5:-5], x[0, 0, 5 + down : 59 + down])
    assert found == {-2, -1, 0, 1, 2}
    y = vary(x, "shift", at(_0=0.0, _1=0.999))[0, 0]
    assert torch.equal(y[:4], vary(x, "shift", at(_1=0.999))[0, 0, [1, 0, 0, 1]])
    assert y[10, -4:].tolist() == x[0, 0, 8, [62, 63, 63, 62]].tolist()
    tiny = torch.arange(8.0).expand(1, 1, 8, 8)
    assert vary(tiny, "shift", at(_1=0.999))[0, 0, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 7]  # one pixel at least


def test_half_of_the_pictures_are_turned_by_up_to_three_degrees():
    x = pictures(200, side=16, channels=1)
    y = vary(x, "turn", numbers(200))
    alike = [torch.equal(a, b) for a, b in zip(x, y, strict=True)]
    assert 70 < sum(alike) < 130
    rows, columns = (v.float() - 31.5 for v in torch.meshgrid(torch.arange(64), torch.arange(48), indexing="ij"))
    columns = columns + 8
    bar = -1 + 2 * torch.exp(-((rows / 3) ** 2))[None, None]  # lies level
    for u, degrees in ((0.7499999, 3.0), (0.2500001, -3.0), (0.6, 1.2)):
        turned = vary(bar, "turn", at(_4=u))[0, 0] + 1
        middle = ((turned * rows).sum(0) / turned.sum(0))[4:-4]
        slope = np.polyfit(columns[0, 4:-4].numpy(), middle.numpy(), 1)[0]
        assert abs(np.degrees(np.arctan(slope))) == pytest.approx(abs(degrees), abs=0.2)
        assert np.sign(slope) == -np.sign(degrees)
        assert turned.max() <= bar.max() + 1


def test_flips_are_of_half_the_pictures_each_way():
    x = pictures(200, side=8)
    y = vary(x, "flip", numbers(200))
    kinds = [next(i for i, dims in enumerate([(), (1,), (2,), (1, 2)]) if torch.equal(a.flip(dims), b))
             for a, b in zip(x, y, strict=True)]  # fmt: skip
    assert np.bincount(kinds, minlength=4).min() > 30


def disc(side):
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    return np.hypot(rows, columns) < 0.45 * side


def test_outside_of_a_region_pictures_keep_one_value_which_is_their_median(tmp_path):
    from PIL import Image

    Image.fromarray(disc(32).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    X = np.random.default_rng(0).integers(0, 256, (6, 32, 32), dtype=np.uint8)
    rows = open_rows(X)
    pre = PicturePreprocessor.fit(rows, np.arange(6), roi=str(tmp_path / "mask.png"))
    x = pre.prepare(rows, np.arange(6)).batch(np.arange(6))
    y = vary(x, "light", numbers(6))
    counted = torch.from_numpy(pre.counted(pre.size))
    for one, varied in zip(x, y, strict=True):
        assert len(one[0][~counted].unique()) == 1
        assert len(varied[0][~counted].unique()) == 1
        inside = varied[0][counted]
        assert varied[0][~counted][0] == inside.sort().values[len(inside) // 2]


@pytest.mark.parametrize("how", MOVES)
@pytest.mark.parametrize(
    "given", [{"roi": "mask.png"}, {"roi": "mask.png", "tile": 16}, {"roi": (2, 2, 20, 20), "tile": 16}]
)
def test_what_would_cross_the_border_of_a_region_is_refused(how, given):
    with pytest.raises(ParameterError, match=f"augment={how}: would move pixels across the border of the region"):
        oddgan.GANomaly(augment=how, **given).check_parameters()
    oddgan.GANomaly(augment="light", **given).check_parameters()
    oddgan.GANomaly(augment=how, roi=(2, 2, 20, 20)).check_parameters()
    oddgan.GANomaly(augment=how, tile=16).check_parameters()


def test_only_what_is_trained_takes_it_and_results_from_before_keep_their_keys():
    assert "augment" not in parameters_of(oddgan.GANomaly())
    assert parameters_of(oddgan.GANomaly(augment="all"))["augment"] == "all"
    with pytest.raises(TypeError, match="augment"):
        oddgan.PCA(augment="all")
    with pytest.raises(ParameterError, match="augment='mirror'"):
        oddgan.GANomaly(augment="mirror").check_parameters()


# --- in a fit -------------------------------------------------------------------------------------------------------


def small(**given):
    return oddgan.testing.small(oddgan.GANomaly, random_state=0, **given)


def weights(det):
    return {name: value for name, value in det.model_.net.state_dict().items() if value.is_floating_point()}


def parts(n=24):
    return np.random.default_rng(0).integers(0, 256, (n, 16, 16), dtype=np.uint8)


@pytest.mark.parametrize("given", [{}, {"tile": 8}, {"precision": "bfloat16"}, {"roi": (2, 2, 12, 12)}], ids=str)
def test_a_fit_trains_on_varied_pictures_and_prepares_and_scores_them_as_they_are(given, tmp_path):
    plain, varied, again = (small(augment=how, **given).fit(parts()) for how in ("none", "all", "all"))
    assert any(not torch.equal(value, weights(varied)[name]) for name, value in weights(plain).items())
    assert all(torch.equal(value, weights(again)[name]) for name, value in weights(varied).items())
    assert np.array_equal(varied.model_.trained_on, plain.model_.trained_on)
    varied.save(tmp_path / "model")
    assert oddgan.load(tmp_path / "model").augment == "all"


def test_a_fit_that_is_resumed_ends_in_the_same_bits_and_with_another_variation_it_is_refused(tmp_path):
    class Stop(Hook):
        def on_update(self, moment):
            if moment.update == 3:
                raise KeyboardInterrupt

    whole = small(augment="all", updates=6).fit(parts())
    path = tmp_path / "run.ckpt"
    with pytest.raises(KeyboardInterrupt):
        small(augment="all", updates=6).fit(parts(), checkpoint=path, checkpoint_seconds=0.0, hooks=[Stop()])
    with pytest.raises(ArtifactError, match="augment was all, now light"):
        small(augment="light", updates=6).fit(parts(), checkpoint=path)
    resumed = small(augment="all", updates=6).fit(parts(), checkpoint=path)
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())


@pytest.mark.parametrize("how", HOWS)
def test_a_fit_on_a_table_is_refused(how):
    """Before training starts."""
    started = []

    class Started(Hook):
        def on_start(self, moment):
            started.append(moment)

    with pytest.raises(ParameterError, match=f"augment={how}: is for pictures, and this is a table; leave it out"):
        small(augment=how).fit(np.random.default_rng(0).normal(size=(40, 3)), hooks=[Started()])
    assert not started
