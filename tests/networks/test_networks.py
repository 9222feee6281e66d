"""Networks for every shape."""

import pytest
import torch

from oddgan import networks
from oddgan.networks import pictures
from oddgan.networks.blocks import RowLinear
from oddgan.networks.memory import Memory

SHAPES = [(1, 8, 8), (1, 9, 15), (3, 28, 28), (3, 80, 80), (1, 8, 100), (5, 33, 12), (1, 61, 47), (7,), (1,)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_encoder_and_decoder_invert_each_others_shape(shape):
    x = torch.randn(2, *shape)
    z = networks.encoder(shape, 6, 4)(x)
    assert z.shape == (2, 6)
    assert networks.decoder(shape, 6, 4)(z).shape == x.shape


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_discriminator_returns_logit_and_features(shape):
    logit, features = networks.discriminator(shape, 4)(torch.randn(2, *shape))
    assert logit.shape == (2,)
    assert features.ndim == 2
    assert len(features) == 2


def test_sides_are_halved_until_4_to_7():
    assert pictures.sizes(32, 32) == [(32, 32), (16, 16), (8, 8), (4, 4)]
    assert pictures.sizes(80, 80)[-1] == (5, 5)
    assert pictures.sizes(8, 100) == [(8, 100), (4, 50), (4, 25), (4, 12), (4, 6)]
    for side in range(8, 300):
        assert 4 <= pictures.sizes(side, side)[-1][0] <= 7


def test_width_doubles_up_to_eight_times():
    channels = [m.out_channels for m in networks.encoder((1, 256, 256), 3, 4).modules() if hasattr(m, "out_channels")]
    assert channels == [4, 8, 16, 32, 32, 32, 3]


def test_decoder_of_pictures_is_bounded_and_of_tables_is_not():
    assert networks.decoder((1, 8, 8), 2, 4)(100 * torch.randn(4, 2)).abs().max() <= 1
    assert networks.decoder((3,), 2, 4)(1e4 * torch.randn(4, 2)).abs().max() > 1


@pytest.mark.parametrize("units", [(1, 1), (5, 31), (64, 2), (121, 100)])
def test_row_linear_is_a_linear_layer_at_any_position(units):
    torch.manual_seed(0)
    layer, x, order = RowLinear(*units), torch.randn(64, units[0]), torch.randperm(64)
    with torch.no_grad():
        trained = layer.train()(x)
        y = layer.eval()(x)
        torch.testing.assert_close(y, trained, rtol=1e-5, atol=1e-5)
        assert torch.equal(layer(x[order]), y[order])


def test_what_a_memory_keeps_has_the_strides_of_a_loaded_one():
    """Products of one row with (1, d) of strides (1, 1) round otherwise than with (d, 1)."""
    kept, loaded = Memory(3), Memory(3)
    kept.keep(torch.arange(3.0).as_strided((1, 3), (1, 1)))
    loaded.load_state_dict(kept.state_dict())
    assert kept.rows.stride() == loaded.rows.stride() == (3, 1)
