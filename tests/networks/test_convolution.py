"""Faster forms of PyTorch's convolutions: the same results, gradients and second derivatives."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from oddgan.networks.convolution import Enlarging, Shrinking, Span, Spread

CASES = {
    "span": (Span, nn.Conv2d, (6, 5, (4, 3)), {}, (2, 6, 4, 3)),
    "span with bias": (Span, nn.Conv2d, (6, 5, 4), {"bias": True}, (2, 6, 4, 4)),
    "not its span": (Span, nn.Conv2d, (6, 5, 3), {}, (2, 6, 5, 4)),
    "spread": (Spread, nn.ConvTranspose2d, (6, 5, (4, 3)), {}, (2, 6, 1, 1)),
    "spread with bias": (Spread, nn.ConvTranspose2d, (6, 5, 4), {"bias": True}, (2, 6, 1, 1)),
    "of more than a pixel": (Spread, nn.ConvTranspose2d, (6, 5, 4), {}, (2, 6, 2, 1)),
}


@pytest.fixture(params=CASES)
def layers(request):
    """The layer, PyTorch's with the same weights, and an input."""
    ours, theirs, sizes, options, shape = CASES[request.param]
    torch.manual_seed(0)
    layer = ours(*sizes, **{"bias": False, **options}).to(memory_format=torch.channels_last)
    plain = theirs(*sizes, **{"bias": False, **options})
    plain.load_state_dict(layer.state_dict())
    return layer, plain, torch.randn(shape)


@pytest.mark.parametrize("autocast", [False, True])
def test_the_same_results_and_gradients(layers, autocast):
    layer, plain, x = layers
    found = []
    for one in (layer, plain):
        x = x.detach().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            y = one(x)
        y.float().square().sum().backward()
        found.append([y.float(), x.grad, *(p.grad for p in one.parameters())])
    for ours, theirs in zip(*found, strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=0.05 if autocast else 1e-4, atol=0.3 if autocast else 1e-4)


def test_gradients_of_gradients(layers):
    found = []
    for one in layers[:2]:
        x = layers[2].clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            (gradient,) = torch.autograd.grad(one(x).float().square().sum(), x, create_graph=True)
        gradient.float().square().sum().sqrt().backward()
        found.append([p.grad for p in one.parameters()])
    for ours, theirs in zip(*found, strict=True):
        if theirs is not None:  # a bias does not bend
            torch.testing.assert_close(ours, theirs, rtol=0.1, atol=0.1 * float(theirs.abs().max()))


STEPS = {
    "both sides": ((4, 5), (8, 10)),
    "one side": ((4, 5), (8, 5)),
    "not the double": ((4, 5), (9, 10)),
}


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("small", "large"), STEPS.values(), ids=STEPS)
def test_repeat_and_convolve(small, large, kernel):
    torch.manual_seed(0)
    layer, x = Enlarging(3, 6, small, large, kernel).double(), torch.randn(2, 3, *small, dtype=torch.float64)
    expected = F.conv2d(F.interpolate(x, large), layer.weight, layer.bias, padding=kernel // 2)
    torch.testing.assert_close(layer(x), expected)
    merged = layer.merged_layer()
    assert (merged is None) == (large == (9, 10))
    if merged is not None:
        assert type(merged) is nn.ConvTranspose2d
        assert merged.training
        assert not layer.eval().merged_layer().training
        torch.testing.assert_close(merged(x), expected)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize(("small", "large"), STEPS.values(), ids=STEPS)
def test_convolve_and_average(small, large, kernel):
    torch.manual_seed(0)
    layer, x = Shrinking(3, 6, large, small, kernel).double(), torch.randn(2, 3, *large, dtype=torch.float64)
    pool = tuple(a // b for a, b in zip(large, small, strict=True))
    expected = F.avg_pool2d(F.conv2d(x, layer.weight, layer.bias, padding=kernel // 2), pool)
    torch.testing.assert_close(layer(x), expected)
    merged = layer.merged_layer()
    assert type(merged) is nn.Conv2d
    torch.testing.assert_close(merged(x), expected)


def test_unusual_layers_use_pytorchs_convolution():
    x = torch.randn(2, 3, 4, 4)
    for layer in (
        Span(3, 4, 4, padding=1),
        Span(3, 4, 4, padding=1, padding_mode="reflect"),
        Span(3, 3, 4, groups=3),
    ):
        plain = nn.Conv2d.forward(layer, x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(layer(x).float(), plain, rtol=0.05, atol=0.1)
