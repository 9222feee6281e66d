"""Networks made for scoring give what the trained ones give."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from oddgan import detectors, testing
from oddgan.kit.neural import NeuralRecipe
from oddgan.model import inference
from oddgan.rows import open_rows

pytestmark = pytest.mark.skipif(not inference.AVAILABLE, reason="this processor's networks stay as they are")

PICTURES = [name for name in detectors.names() if issubclass(detectors.get(name), NeuralRecipe)]


def largest_difference(a, b):
    """Of two sets of results, relative to the largest value of each."""
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max() / a[name].abs().max()) for name in a)


def results(det, net, x):
    found = det.score_rows(net, x)
    return {name: value if isinstance(value, torch.Tensor) else value() for name, value in found.items()}


@pytest.mark.parametrize("shape", [(12, 12), (17, 13, 3)])
@pytest.mark.parametrize("name", [name for name in PICTURES if not detectors.get(name).adapts_weights])
def test_every_detector_scores_alike(name, shape):
    X = np.random.default_rng(0).integers(0, 256, (24, *shape), dtype=np.uint8)
    det = testing.small(detectors.get(name)).fit(X)
    rows = next(det.preprocessor_.parts(open_rows(X)).blocks(16)).x.contiguous(memory_format=torch.channels_last)
    made = inference.ready(det.net_)
    assert any(isinstance(module, inference.Packed) for module in made.modules())
    with torch.no_grad():
        plain, quick = results(det, det.net_, rows), results(det, made, rows)
    if "steps" in det.get_params():
        # Adam moves z by its gradient's sign at first: a component next to zero, rounded otherwise, goes the other way.
        assert largest_difference({"x_hat": plain.pop("x_hat")}, {"x_hat": quick.pop("x_hat")}) < 1e-2
    assert largest_difference(plain, quick) < 1e-5


def test_scores_are_taken_from_them_save_where_weights_move(monkeypatch):
    X = np.random.default_rng(0).integers(0, 256, (24, 12, 12), dtype=np.uint8)
    fitted = [testing.small(detectors.get(name)).fit(X) for name in ("ganomaly", "adgan")]
    asked = []
    ready = inference.ready
    monkeypatch.setattr(inference, "ready", lambda net, rows: asked.append(net) or ready(net, rows))
    for det in fitted:
        det.anomaly_score(X[:3])
    assert asked == [fitted[0].net_]


@pytest.mark.parametrize("activation", [nn.LeakyReLU(0.2), nn.ReLU(), nn.Tanh(), nn.Softplus(), None])
@pytest.mark.parametrize(
    ("conv", "side"),
    [
        (nn.Conv2d(3, 5, 4, 2, 1), 16),
        (nn.Conv2d(3, 5, 4, 2, 1, bias=False), 17),
        (nn.Conv2d(3, 5, (3, 5), (1, 2), (1, 2)), 11),
        (nn.ConvTranspose2d(3, 5, 4, 2, 1, bias=False), 7),
        (nn.ConvTranspose2d(3, 5, 5, 2, 2, output_padding=1), 7),
        (nn.ConvTranspose2d(3, 1, (1, 2), (2, 3), output_padding=(1, 2)), 7),
    ],
)
def test_gradients_reach_the_input(conv, side, activation):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(conv.out_channels)
    norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2), nn.init.normal_(norm.weight)
    layers = [layer for layer in (conv, norm, activation, nn.Flatten(), nn.LazyLinear(1)) if layer is not None]
    net = nn.ModuleDict({"D": nn.Sequential(*layers)}).eval()
    net.D(torch.zeros(1, 3, side, side))
    net.requires_grad_(False)
    made = inference.ready(net)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in made.modules())
    a, b = (torch.randn(8, 3, side, side, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    for x, judge in ((a.requires_grad_(), net.D), (b.requires_grad_(), made.D)):
        judge(x).square().sum().backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


def test_what_the_processor_gets_wrong_is_done_plainly():
    """torch 2.13 gets a packed convolution to one channel of one pixel wrong, in float32."""
    net = nn.ModuleDict({"D": nn.Conv2d(8, 1, 6, bias=False)}).eval().requires_grad_(False)
    x = torch.randn(16, 8, 6, 6)
    torch.testing.assert_close(inference.ready(net).D(x), net.D(x))


def test_a_picture_is_put_together_by_columns():
    for how in ({"padding": 1}, {"padding": (2, 0), "output_padding": (1, 0)}, {"dilation": 2, "bias": False}):
        conv = nn.ConvTranspose2d(64, 2, 4, 2, **how)
        net = nn.ModuleDict({"G": nn.Sequential(conv, nn.Tanh())}).eval().requires_grad_(False)
        x = torch.randn(4, 64, 5, 7)
        made = inference.ready(net)
        torch.testing.assert_close(made.G(x), net.G(x), rtol=1e-4, atol=1e-5)
        (run,) = made.G[0].layouts.values()
        assert "_by_columns" in run.__qualname__


def test_a_wrong_kernel_is_found_out(monkeypatch):
    net = nn.ModuleDict({"D": nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU())}).eval().requires_grad_(False)
    monkeypatch.setattr(torch.ops.mkldnn, "_convolution_pointwise", lambda x, w, *how: F.conv2d(x, w.to_dense()) + 1)
    x = torch.randn(4, 2, 6, 6)
    made = inference.ready(net)
    torch.testing.assert_close(made.D(x), net.D(x))


def test_changed_weights_are_noticed():
    net = nn.ModuleDict({"D": nn.Conv2d(2, 8, 3)}).eval().requires_grad_(False)
    x = torch.randn(4, 2, 6, 6)
    made = inference.ready(net)
    assert inference.ready(net) is made
    torch.testing.assert_close(made.D(x), net.D(x))
    net.D.weight.mul_(2)
    torch.testing.assert_close(inference.ready(net).D(x), net.D(x))
    net.D.bias.data = torch.zeros(8)
    torch.testing.assert_close(inference.ready(net).D(x), net.D(x))


def test_networks_without_convolutions_stay_as_they_are():
    net = nn.ModuleDict({"D": nn.Linear(3, 1)})
    assert inference.ready(net) is net


def test_reduced_precision_sets_its_own_threshold():
    X = np.random.default_rng(0).integers(0, 256, (60, 16, 16), dtype=np.uint8)
    cls = detectors.get("ganomaly")
    full, reduced = (
        testing.small(cls, scoring_precision=precision, ema=0.0).fit(X) for precision in ("float32", "bfloat16")
    )
    for a, b in zip(full.net_.parameters(), reduced.net_.parameters(), strict=True):
        assert torch.equal(a, b)  # training does not change
    a, b = full.anomaly_score(X), reduced.anomaly_score(X)
    assert 0 < np.abs(a - b).max() < 0.1 * np.abs(a).max()
    assert full.threshold_ != reduced.threshold_
    testing.rows_are_independent(reduced, X)
    testing.saved_models_are_identical(reduced, X)
