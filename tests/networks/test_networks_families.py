"""Properties of all families of networks at every shape: shapes, ranges, gradients, precision, independent rows."""

import copy

import pytest
import torch
from torch import nn

from oddgan.networks import adgan, alad, anogan, bigan, ocgan, resnet, unet

PICTURES = [(1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 9, 20), (1, 64, 64)]
TABLES = [(3,), (121,), (274,)]
SHAPES = PICTURES + TABLES
Z, W = 6, 4  # small, for speed

GENERATORS = {
    **{f"anogan-{k}": lambda s, k=k: anogan.generator(s, Z, kind=k, width=W) for k in ("dcgan", "egbad", "keras")},
    "bigan": lambda s: bigan.generator(s, Z, width=W),
    "alad": lambda s: alad.generator(s, Z, width=W),
    "resnet": lambda s: resnet.generator(s, Z, width=W),
    "adgan": lambda s: adgan.generator(s, Z, width=W),
    "ocgan": lambda s: ocgan.decoder(s, Z, width=W),
}
ENCODERS = {
    "bigan": lambda s: bigan.encoder(s, Z, width=W),
    "alad": lambda s: alad.encoder(s, Z, width=W),
    "alad-sn": lambda s: alad.encoder(s, Z, width=W, spectral_norm=True),
    "resnet": lambda s: resnet.encoder(s, Z, width=W),
    "resnet-tanh": lambda s: resnet.encoder(s, Z, width=W, tanh=True),
    "ocgan": lambda s: ocgan.encoder(s, Z, width=W),
}
CRITICS = {
    "resnet": lambda s: resnet.critic(s, width=W),
    "adgan": lambda s: adgan.critic(s, width=W),
}
JUDGES = {
    **{f"anogan-{k}": lambda s, k=k: anogan.discriminator(s, kind=k, width=W) for k in ("dcgan", "egbad", "keras")},
    **CRITICS,
    "unet": lambda s: unet.discriminator(s, latent_dim=Z, width=W),
    "ocgan-visual": lambda s: ocgan.visual_discriminator(s, width=W),
    "ocgan-classifier": lambda s: ocgan.classifier(s, width=W),
}
OTHERS = {
    "unet-generator": lambda s: unet.generator(s, width=W),
    "ocgan-latent": lambda s: ocgan.latent_discriminator(Z),
    "bigan-joint": lambda s: bigan.JointDiscriminator(s, Z, width=W),
    "alad-joint": lambda s: alad.JointDiscriminator(s, Z, width=W),
    "alad-joint-sn": lambda s: alad.JointDiscriminator(s, Z, width=W, spectral_norm=True),
    "alad-xx": lambda s: alad.PairDiscriminator(s, width=W),
    "alad-xx-sn": lambda s: alad.PairDiscriminator(s, width=W, spectral_norm=True),
    "alad-zz": lambda s: alad.latent_discriminator(s, Z, width=W),
}
ALL = {
    **{f"generator-{k}": v for k, v in GENERATORS.items()},
    **{f"encoder-{k}": v for k, v in ENCODERS.items()},
    **{f"judge-{k}": v for k, v in JUDGES.items()},
    **OTHERS,
}


def inputs(name, shape, rows):
    """Random inputs of the network called `name`."""
    x, z = torch.randn(rows, *shape), torch.randn(rows, Z)
    if name.startswith("generator") or name == "ocgan-latent":
        return (z,)
    if "joint" in name:
        return x, z
    if "-xx" in name:
        return x, torch.randn(rows, *shape)
    return (z, torch.randn(rows, Z)) if "-zz" in name else (x,)


def outputs(result):
    return result if isinstance(result, tuple) else (result,)


def built(name, shape):
    torch.manual_seed(0)
    return ALL[name](shape)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", GENERATORS)
def test_generators_return_rows_in_range(name, shape):
    net = GENERATORS[name](shape)
    x = net(100 * torch.randn(4, Z))
    assert x.shape == (4, *shape)
    assert len(shape) == 1 or x.abs().max() <= 1
    assert len(shape) == 3 or net.eval()(1e6 * torch.randn(4, Z)).abs().max() > 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_return_latents(name, shape):
    z = ENCODERS[name](shape).eval()(1e8 * torch.randn(4, *shape))
    assert z.shape == (4, Z)
    assert (z.abs().max() <= 1) == (name in ("resnet-tanh", "ocgan"))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", [name for name in ALL if name.startswith("judge") or name in OTHERS])
def test_discriminators_return_logit_and_features(name, shape):
    result = built(name, shape)(*inputs(name, shape, 5))
    if name == "unet-generator":
        assert result.shape == (5, *shape)
        assert len(shape) == 1 or result.abs().max() <= 1
        return
    logit, features = result
    assert logit.shape == (5,)
    assert features.shape[0] == 5
    assert features.ndim == 2


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ALL)
def test_gradients_reach_every_parameter(name, shape):
    net = built(name, shape)
    torch.stack([y.float().square().sum() for y in outputs(net(*inputs(name, shape, 8)))]).sum().backward()
    assert not [key for key, value in net.named_parameters() if value.grad is None or not value.grad.abs().max() > 0]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(3, 9, 20), (1, 16, 16), (7,)], ids=str)
def test_no_parameter_is_without_effect_in_training(name, shape):
    """Such as a bias before batch normalisation, whose gradient consists of rounding errors."""
    net = built(name, shape).double().train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    result = outputs(net(*(value.double() for value in inputs(name, shape, 8))))
    torch.manual_seed(1)
    total = torch.stack([(y * torch.randn_like(y)).sum() for y in result]).sum()
    gradients = torch.autograd.grad(total, list(net.parameters()))
    names = [key for key, _ in net.named_parameters()]
    largest = max(float(g.abs().max()) for g in gradients)
    assert not [key for key, g in zip(names, gradients, strict=True) if g.abs().max() < 1e-11 * largest]


@pytest.mark.parametrize("rows", [2, 16])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ALL)
def test_rows_are_independent_of_their_position(name, shape, rows):
    net = built(name, shape)
    for module in net.modules():  # as training leaves it, not as it starts
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    net = net.to(memory_format=torch.channels_last).eval()
    arrays = inputs(name, shape, rows)
    order = torch.randperm(rows).roll(1)
    with torch.no_grad():
        together = outputs(net(*arrays))
        shuffled = outputs(net(*(a[order] for a in arrays)))
        others = outputs(net(*(torch.cat([a[:1], torch.randn_like(a[1:])]) for a in arrays)))
    for a, b, c in zip(together, shuffled, others, strict=True):
        assert torch.equal(a[order], b)
        assert torch.equal(a[0], c[0])


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("shape", [(3, 9, 20), (1, 32, 32), (7,)], ids=str)
@pytest.mark.parametrize("name", ALL)
def test_bfloat16_and_channels_last(name, shape, training):
    net = built(name, shape).to(memory_format=torch.channels_last).train(training)
    arrays = [a.contiguous(memory_format=torch.channels_last) if a.ndim == 4 else a for a in inputs(name, shape, 8)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = outputs(net(*arrays))
        total = torch.stack([y.float().square().mean() for y in result]).sum()
    total.backward()
    assert all(y.isfinite().all() for y in result)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("shape", [(3, 9, 20), (7,)], ids=str)
@pytest.mark.parametrize("name", ALL)
def test_copies_and_states_give_the_same_bits(name, shape):
    net = built(name, shape).train()
    arrays = inputs(name, shape, 8)
    net(*arrays)  # moves statistics and spectral norms
    copied, loaded = copy.deepcopy(net).eval(), ALL[name](shape).eval()
    loaded.load_state_dict(net.state_dict())
    expected = outputs(net.eval()(*arrays))
    for other in (copied, loaded):
        assert all(torch.equal(a, b) for a, b in zip(outputs(other(*arrays)), expected, strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", CRITICS)
def test_critics_score_rows_independently_and_allow_a_gradient_penalty(name, shape):
    net = built(f"judge-{name}", shape).double().train()
    assert not [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    x = torch.randn(4, *shape, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(net(x)[0].sum(), x, create_graph=True)
    slope.flatten(1).norm(dim=1).sub(1).square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
    (alone,) = torch.autograd.grad(net(x[1:2])[0].sum(), x)
    torch.testing.assert_close(alone[1], slope[1].detach())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", CRITICS)
def test_wasserstein_loss_reaches_every_parameter_of_a_critic(name, shape):
    """The gradient of a bias that adds a constant to every value would consist of rounding errors."""
    net = built(f"judge-{name}", shape).double()
    real, fake = torch.randn(2, 8, *shape, dtype=torch.float64)
    (net(fake)[0].mean() - net(real)[0].mean()).backward()
    largest = max(float(p.grad.abs().max()) for p in net.parameters())
    assert not [key for key, p in net.named_parameters() if p.grad.abs().max() < 1e-11 * largest]


@pytest.mark.parametrize("shape", [(3, 32, 32), (121,)], ids=str)
@pytest.mark.parametrize("name", [name for name in ALL if name.endswith("-sn")])
def test_spectral_norm_bounds_all_layers_but_the_last(name, shape):
    net = built(name, shape).train()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear) and nn.utils.parametrize.is_parametrized(module):
                module.parametrizations.weight.original.mul_(50)  # as if it had grown
        for _ in range(20):
            net(*inputs(name, shape, 4))
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    bounded = [m for m in layers if nn.utils.parametrize.is_parametrized(m)]
    assert len(bounded) == len(layers) - 1
    for module in bounded:
        assert torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2) == pytest.approx(1, abs=0.05)
