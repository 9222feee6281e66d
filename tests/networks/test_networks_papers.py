"""At its paper's shape every network is the published one: layer by layer, and in its number of parameters.

The lists below are written from the publications. Layers that batch normalisation follows have no bias here, since it
would be taken away again, and critics have none that would only add a constant to every row's value; both are left out
of the published counts.
"""

import pytest
import torch
from torch import nn

from oddgan.networks import adgan, alad, anogan, bigan, ocgan, resnet, tables, unet

KINDS = {nn.Conv2d: "conv", nn.ConvTranspose2d: "up", nn.Linear: "fc"}


def layers(net, *shapes):
    """Every convolution and linear layer in execution order, as "kind kernel/stride -> output"."""
    found = []

    def note(module, _, output):
        kind = next(word for cls, word in KINDS.items() if isinstance(module, cls))
        form = f"{module.kernel_size[0]}/{module.stride[0]} " if kind != "fc" else ""
        found.append(f"{kind} {form}-> " + "x".join(map(str, output.shape[1:])))

    for module in net.modules():
        if isinstance(module, tuple(KINDS)):
            module.register_forward_hook(note)
    result = net(*(torch.randn(2, *shape) for shape in shapes))
    return found, result


def others(net, kind):
    return [module for module in net.modules() if isinstance(module, kind)]


def count(net):
    return sum(p.numel() for p in net.parameters())


def conv(inputs, outputs, kernel, bias=True):
    return inputs * outputs * kernel**2 + bias * outputs


def fc(inputs, outputs, bias=True):
    return inputs * outputs + bias * outputs


def norm(*channels):
    return 2 * sum(channels)


# --- EGBAD ------------------------------------------------------------------------------------------------------------


def test_egbad_mnist():
    encoder = bigan.encoder((1, 28, 28), 200)
    found, _ = layers(encoder, (1, 28, 28))
    assert found == ["conv 3/1 -> 32x28x28", "conv 3/2 -> 64x14x14", "conv 3/2 -> 128x7x7", "fc -> 200"]
    assert count(encoder) == (
        conv(1, 32, 3) + conv(32, 64, 3, False) + conv(64, 128, 3, False) + norm(64, 128) + fc(7 * 7 * 128, 200)
    )
    generator = bigan.generator((1, 28, 28), 200)
    found, _ = layers(generator, (200,))
    assert found == ["fc -> 1024", "fc -> 6272", "up 4/2 -> 64x14x14", "up 4/2 -> 1x28x28"]
    assert count(generator) == (
        fc(200, 1024, False) + fc(1024, 6272, False) + conv(128, 64, 4, False) + conv(64, 1, 4) + norm(1024, 6272, 64)
    )
    judge = bigan.JointDiscriminator((1, 28, 28), 200)
    found, (_, f) = layers(judge, (1, 28, 28), (200,))
    assert found == ["conv 4/2 -> 64x14x14", "conv 4/2 -> 64x7x7", "fc -> 512", "fc -> 1024", "fc -> 1"]
    assert f.shape[1] == 1024
    assert count(judge) == (
        conv(1, 64, 4) + conv(64, 64, 4, False) + norm(64) + fc(200, 512) + fc(7 * 7 * 64 + 512, 1024) + fc(1024, 1)
    )
    assert [d.p for d in others(judge, nn.Dropout)] == [0.5] * 4
    for net in (encoder, judge):
        assert {m.negative_slope for m in others(net, nn.LeakyReLU)} == {0.1}


def test_egbad_kdd99():
    encoder, generator = bigan.encoder((121,), 32), bigan.generator((121,), 32)
    judge = bigan.JointDiscriminator((121,), 32)
    assert layers(encoder, (121,))[0] == ["fc -> 64", "fc -> 32"]
    assert layers(generator, (32,))[0] == ["fc -> 64", "fc -> 128", "fc -> 121"]
    found, (_, f) = layers(judge, (121,), (32,))
    assert found == ["fc -> 128", "fc -> 128", "fc -> 128", "fc -> 1"]
    assert f.shape[1] == 128
    assert count(encoder) == fc(121, 64) + fc(64, 32)
    assert count(generator) == fc(32, 64) + fc(64, 128) + fc(128, 121)
    assert count(judge) == fc(121, 128) + fc(32, 128) + fc(256, 128) + fc(128, 1)
    assert [d.p for d in others(judge, nn.Dropout)] == [0.2] * 3


# --- AnoGAN -----------------------------------------------------------------------------------------------------------


def test_anogan_egbad_mnist():
    judge = anogan.discriminator((1, 28, 28), kind="egbad")
    found, (_, f) = layers(judge, (1, 28, 28))
    assert found == ["conv 4/2 -> 64x14x14", "conv 4/2 -> 64x7x7", "fc -> 1024", "fc -> 1"]
    assert f.shape[1] == 1024
    assert count(judge) == (
        conv(1, 64, 4) + conv(64, 64, 4, False) + fc(7 * 7 * 64, 1024, False) + norm(64, 1024) + fc(1024, 1)
    )
    assert count(anogan.generator((1, 28, 28), 200, kind="egbad")) == count(bigan.generator((1, 28, 28), 200))


@pytest.mark.parametrize("kind", ["egbad", "keras"])
def test_anogan_kdd99(kind):
    judge = anogan.discriminator((121,), kind=kind)
    found, (_, f) = layers(judge, (121,))
    assert found == ["fc -> 256", "fc -> 128", "fc -> 128", "fc -> 1"]
    assert f.shape[1] == 128
    assert count(judge) == fc(121, 256) + fc(256, 128) + fc(128, 128) + fc(128, 1)
    assert [d.p for d in others(judge, nn.Dropout)] == [0.2] * 3
    assert layers(anogan.generator((121,), 32, kind=kind), (32,))[0] == ["fc -> 64", "fc -> 128", "fc -> 121"]


def test_anogan_keras_has_the_parameter_counts_of_its_readme():
    generator = anogan.generator((1, 28, 28), 100, kind="keras")
    judge = anogan.discriminator((1, 28, 28), kind="keras")
    assert (count(generator), count(judge)) == (839_937, 212_865)
    assert layers(generator, (100,))[0] == ["fc -> 6272", "conv 5/1 -> 64x14x14", "conv 5/1 -> 1x28x28"]
    found, (_, f) = layers(judge, (1, 28, 28))
    assert found == ["conv 5/2 -> 64x14x14", "conv 5/2 -> 128x7x7", "fc -> 1"]
    assert f.shape[1] == 7 * 7 * 128
    assert [d.p for d in others(judge, nn.Dropout)] == [0.3] * 2


# --- ALAD -------------------------------------------------------------------------------------------------------------


def test_alad_cifar10():
    shape = (3, 32, 32)
    encoder, generator, xz = alad.encoder(shape, 100), alad.generator(shape, 100), alad.JointDiscriminator(shape, 100)
    xx, zz = alad.PairDiscriminator(shape), alad.latent_discriminator(shape, 100)
    assert layers(encoder, shape)[0] == [
        "conv 4/2 -> 128x16x16",
        "conv 4/2 -> 256x8x8",
        "conv 4/2 -> 512x4x4",
        "conv 4/1 -> 100x1x1",
    ]
    trunk = conv(128, 256, 4, False) + conv(256, 512, 4, False) + norm(256, 512)
    assert count(encoder) == conv(3, 128, 4, False) + norm(128) + trunk + conv(512, 100, 4)
    assert layers(generator, (100,))[0] == [
        "up 4/1 -> 512x4x4",
        "up 4/2 -> 256x8x8",
        "up 4/2 -> 128x16x16",
        "up 4/2 -> 3x32x32",
    ]
    assert count(generator) == (
        conv(100, 512, 4, False) + conv(512, 256, 4, False) + conv(256, 128, 4, False) + norm(512, 256, 128)
    ) + conv(128, 3, 4)
    found, (_, f) = layers(xz, shape, (100,))
    assert found[3:] == ["fc -> 512", "fc -> 512", "fc -> 1024", "fc -> 1"]
    assert f.shape[1] == 1024
    assert count(xz) == (
        conv(3, 128, 4) + trunk + fc(100, 512) + fc(512, 512) + fc(512 * 4 * 4 + 512, 1024) + fc(1024, 1)
    )
    found, (_, f) = layers(xx, shape, shape)
    assert found == ["conv 5/2 -> 64x16x16", "conv 5/2 -> 128x8x8", "fc -> 1"]
    assert f.shape[1] == 128 * 8 * 8
    assert count(xx) == conv(6, 64, 5) + conv(64, 128, 5) + fc(128 * 8 * 8, 1)
    assert layers(zz, (100,), (100,))[0] == ["fc -> 64", "fc -> 32", "fc -> 1"]
    for net, drops in ((xz, 3), (xx, 2), (zz, 2)):
        assert [d.p for d in others(net, nn.Dropout)] == [0.2] * drops


@pytest.mark.parametrize(
    ("d", "latent_dim", "e", "g", "xz", "xx", "zz"),
    [
        (121, 32, [64], [64, 128], [128, 128, 128], [128], [32]),
        (274, 64, [256, 128], [128, 256], [128, 128, 256], [256, 128], [64, 32]),
    ],
    ids=["KDD99", "Arrhythmia"],
)
def test_alad_tables(d, latent_dim, e, g, xz, xx, zz):
    def named(*units):
        return [f"fc -> {unit}" for unit in units]

    assert layers(alad.encoder((d,), latent_dim), (d,))[0] == named(*e, latent_dim)
    assert layers(alad.generator((d,), latent_dim), (latent_dim,))[0] == named(*g, d)
    joint = alad.JointDiscriminator((d,), latent_dim)
    assert layers(joint, (d,), (latent_dim,))[0] == named(*xz, 1)
    assert [d.p for d in others(joint, nn.Dropout)] == [0.5, 0.5]
    assert [m.num_features for m in others(joint, nn.BatchNorm1d)] == [128]
    assert count(joint) == (
        fc(d, xz[0], False) + norm(xz[0]) + fc(latent_dim, xz[1]) + fc(xz[0] + xz[1], xz[2]) + fc(xz[2], 1)
    )
    assert layers(alad.PairDiscriminator((d,)), (d,), (d,))[0] == named(*xx, 1)
    found, (_, f) = layers(alad.latent_discriminator((d,), latent_dim), (latent_dim,), (latent_dim,))
    assert found == named(*zz, 1)
    assert f.shape[1] == zz[-1]


# --- f-AnoGAN ---------------------------------------------------------------------------------------------------------


def block(inputs, middle, outputs, bias=True):
    shortcut = conv(inputs, outputs, 1, bias)
    return norm(inputs, middle) + conv(inputs, middle, 3, False) + conv(middle, outputs, 3, bias) + shortcut


def test_fanogan_64():
    shape = (1, 64, 64)
    generator, critic, encoder = resnet.generator(shape, 128), resnet.critic(shape), resnet.encoder(shape, 128)
    found, _ = layers(generator, (128,))
    assert found[0] == "fc -> 8192"
    assert found[1::3] == [f"conv 3/1 -> {c}x{s}x{s}" for c, s in ((512, 8), (256, 16), (128, 32), (64, 64), (1, 64))]
    ups = [(512, 512), (512, 256), (256, 128), (128, 64)]
    assert count(generator) == (fc(128, 8192) + sum(block(i, o, o, False) for i, o in ups) + norm(64) + conv(64, 1, 3))
    downs = [(64, 128), (128, 256), (256, 512), (512, 512)]
    trunk = conv(1, 64, 3) + sum(block(i, i, o) for i, o in downs)
    found, (_, f) = layers(critic, shape)
    assert [line for line in found if line.startswith("conv 1/1")] == [
        f"conv 1/1 -> {c}x{s}x{s}" for c, s in ((128, 32), (256, 16), (512, 8), (512, 4))
    ]
    assert f.shape[1] == 8192
    assert count(critic) == trunk - 2 * 512 + fc(8192, 1, False)  # no biases in the last block
    assert count(encoder) == trunk + fc(8192, 128)
    assert len(others(encoder, nn.BatchNorm2d)) == len(others(critic, resnet.LayerNorm)) == 8
    assert not others(critic, nn.BatchNorm2d)


def test_fanogan_tables():
    assert layers(resnet.generator((784,), 100), (100,))[0] == [f"fc -> {u}" for u in (128, 256, 512, 1024, 784)]
    assert len(others(resnet.generator((784,), 100), nn.BatchNorm1d)) == 3
    assert layers(resnet.critic((784,)), (784,))[0] == ["fc -> 512", "fc -> 256", "fc -> 1"]
    assert layers(resnet.encoder((784,), 100), (784,))[0] == ["fc -> 512", "fc -> 256", "fc -> 100"]


def test_layer_norm_normalises_whole_rows():
    x = torch.randn(3, 4, 5, 6) * 7 + 2
    y = resnet.LayerNorm(4)(x)
    torch.testing.assert_close(y.mean((1, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var((1, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)


# --- ADGAN, Skip-GANomaly, OCGAN, DAGMM -------------------------------------------------------------------------------


def test_adgan_32():
    generator, critic = adgan.generator((3, 32, 32), 256), adgan.critic((3, 32, 32))
    assert layers(generator, (256,))[0] == [
        "fc -> 4096",
        "up 3/2 -> 128x8x8",
        "up 3/2 -> 64x16x16",
        "up 3/2 -> 3x32x32",
    ]
    assert count(generator) == (
        fc(256, 4096, False) + conv(256, 128, 3, False) + conv(128, 64, 3, False) + conv(64, 3, 3) + norm(4096, 128, 64)
    )
    found, (_, f) = layers(critic, (3, 32, 32))
    assert found == ["conv 3/2 -> 64x16x16", "conv 3/2 -> 128x8x8", "conv 3/2 -> 256x4x4", "fc -> 1"]
    assert f.shape[1] == 4096
    assert count(critic) == conv(3, 64, 3) + conv(64, 128, 3) + conv(128, 256, 3) + fc(4096, 1, False)


def test_skipganomaly_32():
    generator, judge = unet.generator((3, 32, 32)), unet.discriminator((3, 32, 32))
    channels = [64, 128, 256, 512, 512]
    found, _ = layers(generator, (3, 32, 32))
    assert found[:5] == [f"conv 4/2 -> {c}x{s}x{s}" for c, s in zip(channels, (16, 8, 4, 2, 1), strict=True)]
    assert found[5:] == [
        f"up 4/2 -> {c}x{s}x{s}" for c, s in zip((512, 256, 128, 64, 3), (2, 4, 8, 16, 32), strict=True)
    ]
    downs = sum(conv(i, o, 4, False) for i, o in zip([3, *channels[:-1]], channels, strict=True))
    ups = conv(512, 512, 4, False) + sum(conv(2 * c, o, 4, False) for c, o in ((512, 256), (256, 128), (128, 64)))
    norms = norm(128, 256, 512) + norm(512, 256, 128, 64)
    assert count(generator) == downs + ups + norms + conv(128, 3, 4)
    found, (_, f) = layers(judge, (3, 32, 32))
    assert found == [
        "conv 4/2 -> 64x16x16",
        "conv 4/2 -> 128x8x8",
        "conv 4/2 -> 256x4x4",
        "conv 4/1 -> 100x1x1",
        "fc -> 1",
    ]
    assert f.shape[1] == 100


def test_unet_has_no_skip_connection_from_x():
    """Without its layers down, the output does not depend on x."""
    for shape in ((1, 16, 9), (7,)):
        net = unet.generator(shape, width=4).eval()
        nn.init.zeros_(next(p for name, p in net.named_parameters() if name.startswith("downs.0") and p.ndim > 1))
        x_hat = net(torch.randn(8, *shape))
        assert torch.equal(x_hat, x_hat[:1].expand_as(x_hat))


def test_ocgan_32():
    shape = (3, 32, 32)
    encoder, decoder = ocgan.encoder(shape, 16), ocgan.decoder(shape, 16)
    assert layers(encoder, shape)[0] == [
        "conv 5/2 -> 64x16x16",
        "conv 5/2 -> 128x8x8",
        "conv 5/2 -> 256x4x4",
        "conv 4/1 -> 16x1x1",
    ]
    assert count(encoder) == (
        sum(conv(i, o, 5, False) for i, o in ((3, 64), (64, 128), (128, 256))) + norm(64, 128, 256) + conv(256, 16, 4)
    )
    assert layers(decoder, (16,))[0][1:] == ["up 5/2 -> 128x8x8", "up 5/2 -> 64x16x16", "up 5/2 -> 3x32x32"]
    assert layers(ocgan.visual_discriminator(shape), shape)[0][:3] == [
        "conv 5/2 -> 12x16x16",
        "conv 5/2 -> 24x8x8",
        "conv 5/2 -> 48x4x4",
    ]
    assert layers(ocgan.classifier(shape), shape)[0][0] == "conv 5/2 -> 64x16x16"
    assert layers(ocgan.latent_discriminator(16), (16,))[0] == [f"fc -> {units}" for units in (128, 64, 32, 16, 1)]
    assert len([m for m in ocgan.encoder((1, 28, 28), 16) if isinstance(m, nn.BatchNorm2d)]) == 3


def test_mlp_expresses_dagmm():
    units = (120, 60, 30, 10, 1)
    encoder = tables.mlp(units, activation="tanh", last=True)
    decoder = tables.mlp(units[::-1], activation="tanh", last=True)
    estimation = tables.mlp((3, 10, 4), activation="tanh", dropout=0.5, last=True)
    assert [type(m).__name__ for m in encoder] == ["RowLinear", "Tanh"] * 3 + ["RowLinear"]
    assert [m.out_features for m in decoder[::2]] == [10, 30, 60, 120]
    assert [type(m).__name__ for m in estimation] == ["RowLinear", "Tanh", "Dropout", "RowLinear"]


def test_mlp_xavier_starts_with_glorots_spread_and_without_biases():
    torch.manual_seed(0)
    net = tables.mlp((300, 200), activation="softplus", xavier=True)
    assert net[0].weight.detach().std() == pytest.approx((2 / 500) ** 0.5, rel=0.02)
    assert not net[0].bias.any()
    assert net(torch.randn(4, 300)).min() > 0
