"""OCR-GAN's networks and its decoupling (Liang et al., 2023): pyramids against NumPy, layers against the authors'."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from oddgan.networks import ocrgan
from oddgan.networks.blocks import RowLinear

KERNEL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])  # of the Gaussian pyramid; its sum is 256


def blurred(pixels):
    """The sums of a picture's (H, W) pixels times the kernel, whole numbers, with mirrored borders."""
    h, w = pixels.shape
    wide = np.pad(pixels.astype(np.int64), 2, mode="reflect")
    return sum(KERNEL[i, j] * wide[i : i + h, j : j + w] for i in range(5) for j in range(5))


def pyramid(pixels):
    """pyrUp(pyrDown(pixels)) in OpenCV's whole numbers, for sides that are even."""
    small = (blurred(pixels)[::2, ::2] + 128) >> 8
    large = np.zeros_like(pixels, dtype=np.int64)
    large[::2, ::2] = small
    return (blurred(large) + 32) >> 6


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (2, 11, 9), (1, 8, 33)])
def test_detail_and_the_rest_add_up_to_the_picture(shape):
    torch.manual_seed(0)
    x = torch.rand(4, *shape) * 2 - 1
    lap, res = ocrgan.decouple(x)
    assert lap.shape == res.shape == x.shape
    torch.testing.assert_close(lap + res, x, rtol=0, atol=1e-6)
    assert lap.min() < -0.1
    assert lap.max() > 0.1
    flat, rest = ocrgan.decouple(torch.full((1, *shape), 0.3))
    torch.testing.assert_close(flat, torch.zeros_like(flat), rtol=0, atol=1e-6)
    torch.testing.assert_close(rest, torch.full_like(rest, 0.3))


def test_one_bright_pixel_is_spread_as_the_pyramid_says():
    """1 / 256 of the kernel twice: at even places the centre of both is 36 / 256, one place in five of each side."""
    x = torch.zeros(1, 1, 16, 16)
    x[0, 0, 8, 8] = 1.0
    small = ocrgan.pyramid_down(x)
    assert small.shape == (1, 1, 8, 8)
    expected = torch.zeros(8)
    expected[3:6] = torch.tensor([1.0, 6.0, 1.0]) / 16
    torch.testing.assert_close(small[0, 0], torch.outer(expected, expected))
    large = ocrgan.pyramid_up(small, (16, 16))
    assert float(large.sum()) == pytest.approx(4 * float(small.sum()))
    torch.testing.assert_close(large[0, 0, 8, 8], torch.tensor(((1 + 6 * 6 + 1) / (8 * 16)) ** 2))


def test_decoupling_treats_pictures_and_channels_alike_and_alone():
    torch.manual_seed(0)
    x = torch.rand(3, 2, 12, 10)
    for decouple in (ocrgan.decouple, ocrgan.decouple_saturated):
        whole = decouple(x)
        for i in range(3):
            for c in range(2):
                alone = decouple(x[i : i + 1, c : c + 1])
                assert all(torch.equal(a[0, 0], b[i, c]) for a, b in zip(alone, whole, strict=True))


@pytest.mark.parametrize("size", [(32, 32), (8, 14)])
def test_saturated_detail_is_that_of_8_bits(size):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, *size), dtype=np.uint8)
    lap, res = ocrgan.decouple_saturated(torch.from_numpy(pixels).float() / 127.5 - 1)
    rest = np.stack([[pyramid(channel) for channel in picture] for picture in pixels])
    detail = np.maximum(pixels.astype(np.int64) - rest, 0)  # cv2.subtract
    for found, expected in ((lap, detail), (res, rest)):
        theirs = (expected / 255 - 0.5) / 0.5
        np.testing.assert_allclose(found.numpy(), theirs, rtol=0, atol=1e-6)
    assert (lap >= -1).all()


def test_signed_detail_keeps_what_saturation_loses():
    x = torch.full((1, 1, 16, 16), 0.4)
    x[0, 0, 8, 8] = -0.6  # a dark spot
    signed, saturated = ocrgan.decouple(x)[0], ocrgan.decouple_saturated(x)[0]
    assert signed[0, 0, 8, 8] < -0.5
    assert saturated[0, 0, 8, 8] == -1  # as where there is no detail at all


# --- channel selection ------------------------------------------------------------------------------------------------


def selections(selection, width=8):
    torch.manual_seed(0)
    return ocrgan.generator((1, 16, 16), width=width, selection=selection).selections


@pytest.mark.parametrize("selection", ["learned", "random"])
@pytest.mark.parametrize("training", [True, False])
def test_weights_of_the_two_add_up_to_one(selection, training):
    module = selections(selection)[1].train(training)
    lap, res = torch.randn(5, 16, 4, 4), torch.randn(5, 16, 4, 4)
    weights = module.weights(lap, res)
    assert weights.shape == (2, 5, 16)
    torch.testing.assert_close(weights.sum(0), torch.ones(5, 16))
    assert weights.std() > 0


def test_selection_is_selective_kernel_attention():
    module = selections("learned")[2].eval()
    lap, res = torch.randn(5, 32, 2, 2), torch.randn(5, 32, 2, 2)
    s = (lap + res).mean((2, 3))
    z = s @ module.squeeze.weight.t() + module.squeeze.bias
    a, b = (z @ fc.weight.t() + fc.bias for fc in (module.of_lap, module.of_res))
    share = a.exp() / (a.exp() + b.exp())
    of_lap, of_res = module(lap, res)
    torch.testing.assert_close(of_lap, lap * share[..., None, None])
    torch.testing.assert_close(of_res, res * (1 - share)[..., None, None])


def test_selection_is_as_wide_as_the_paper_says():
    found = [(m.squeeze.in_features, m.squeeze.out_features) for m in selections("learned", width=64)]
    assert found == [(64, 32), (128, 64), (256, 128), (512, 256)]
    assert all(
        isinstance(m.of_lap, RowLinear) and m.of_lap.out_features == m.squeeze.in_features
        for m in selections("learned")
    )
    assert len(selections("off")) == 0


def test_random_weights_differ_at_every_pass_of_training_and_never_in_scoring():
    module = selections("random")[0]
    assert not list(module.parameters())
    lap, res = torch.randn(5, 8, 8, 8), torch.randn(5, 8, 8, 8)
    assert not torch.equal(module.weights(lap, res), module.weights(lap, res))
    module.eval()
    torch.manual_seed(9)
    other = ocrgan.generator((1, 16, 16), width=8, selection="random").selections[0].eval()
    assert torch.equal(module.weights(lap, res), other.weights(lap, res))
    layers = [m.squeeze.weight for m in selections("random")]
    assert not torch.equal(layers[2], layers[3][:, :32])


def test_the_two_networks_meet_in_the_selection_alone():
    """lap_hat depends on res where channels are selected, and not where they are not."""
    lap, res = torch.randn(2, 4, 1, 16, 16).unbind(0)
    for selection, meets in (("learned", True), ("random", True), ("off", False)):
        net = ocrgan.generator((1, 16, 16), width=8, selection=selection).eval()
        assert torch.equal(net(lap, res)[0], net(lap, res.flip(0))[0]) != meets


# --- layers -----------------------------------------------------------------------------------------------------------


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_at_256_they_are_the_authors_networks():
    with torch.device("meta"):
        twins = ocrgan.generator((3, 256, 256))
        judge = ocrgan.discriminator((3, 256, 256))
    widths = [3, 64, 128, 256, 512, 512, 512, 512, 512]
    for net in (twins.lap, twins.res):
        downs = [m for m in net.downs.modules() if isinstance(m, nn.Conv2d)]
        assert [(m.in_channels, m.out_channels) for m in downs] == list(pairwise(widths))
        ups = [m for m in net.ups.modules() if isinstance(m, nn.ConvTranspose2d)]
        # every layer up but the innermost sees the skip connection, too
        assert [(m.in_channels, m.out_channels) for m in ups] == [
            (512, 512), (1024, 512), (1024, 512), (1024, 512), (1024, 256), (512, 128), (256, 64), (128, 3)
        ]  # fmt: skip
        assert {m.kernel_size + m.stride for m in downs + ups} == {(4, 4, 2, 2)}
    convolutions = [m for m in judge.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [64, 128, 256, 512, 1024, 2048, 100]
    theirs = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 1024 + 1024 * 2048 + 2048 * 100)
    assert count(judge) == theirs + 2 * (128 + 256 + 512 + 1024 + 2048) + 100
    sizes = [fc.out_features for fc in twins.selections[0].children()]
    assert sizes == [32, 64, 64]
    assert len(twins.selections) == 8


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 9, 40), (3, 33, 21)])
def test_any_picture_is_taken(shape):
    net = ocrgan.generator(shape, width=4)
    judge = ocrgan.discriminator(shape, latent_dim=7, width=4)
    lap, res = net(torch.randn(3, *shape), torch.randn(3, *shape))
    assert lap.shape == res.shape == (3, *shape)
    assert max(lap.abs().max(), res.abs().max()) <= 1
    logit, f = judge(lap)
    assert (logit.shape, f.shape) == ((3,), (3, 7))
    torch.testing.assert_close(logit, f @ judge.head.weight[0])


def test_very_long_pictures_do_not_make_very_wide_discriminators():
    with torch.device("meta"):
        judge = ocrgan.discriminator((1, 8, 4096), width=4)
    assert max(m.out_channels for m in judge.modules() if isinstance(m, nn.Conv2d)) == 128
