"""PatchCore against its paper (Roth et al., 2022): features, memory and scores against formulas written here, weights
in torchvision's format, and planted defects that it finds."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F

import oddgan
from oddgan import testing
from oddgan.detectors import patchcore
from oddgan.detectors.patchcore import PatchCore
from oddgan.errors import DataError, ParameterError
from oddgan.networks import backbones
from oddgan.networks.backbones import FilterBank, ResNet
from oddgan.rows import open_rows


def rows(n=6, shape=(3, 18, 12)):
    """Smooth pictures from -1 to 1, no two alike."""
    coarse = torch.rand(n, shape[0], 4, 4, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return F.interpolate(coarse, shape[1:], mode="bilinear", align_corners=True)


class Prepared:
    """Training rows, as a detector sees them."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def batch(self, numbers):
        return self.x[torch.from_numpy(numbers)]


def remembered(x, **changes):
    """A detector and its networks, after training rows x."""
    det = PatchCore(**changes)
    torch.manual_seed(0)
    net = nn.ModuleDict(det.build(tuple(x.shape[1:]))).eval()
    with torch.no_grad():
        det.finish(net, Prepared(x))
    return det, net


def plain_patches(net, x):
    """Patches (b, h, w, f), with torch alone: means of neighbourhoods without zeros, at the size of the first map."""
    with torch.no_grad():
        maps = [F.avg_pool2d(one, 3, 1, 1, count_include_pad=False) for one in net.F(x)]
    size = maps[0].shape[2:]
    return torch.cat([F.interpolate(one, size, mode="bilinear", align_corners=False) for one in maps], 1).permute(
        0, 2, 3, 1
    )


@pytest.fixture
def file(tmp_path):
    """Random weights of a ResNet-18 as torchvision has them, its last layers included."""
    torch.manual_seed(3)
    whole = ResNet("resnet18", ["layer4"], 3).state_dict()
    weights = {**whole, "fc.weight": torch.randn(1000, 512), "fc.bias": torch.randn(1000)}
    for name in whole:
        if name.endswith("running_mean"):
            weights[name] = 0.1 * torch.randn_like(whole[name])
    save_file(weights, tmp_path / "resnet18.safetensors")
    return tmp_path / "resnet18.safetensors"


def test_scores_are_the_papers():
    """The largest distance of a patch to the memory, without a weight; the map not smoothed."""
    x = rows(40)
    det, net = remembered(x[:30], core=0.2)
    memory = net.M.rows.double().numpy()
    with torch.no_grad():
        found = det.score_rows(net, x)
        embedded = det.embed(net, x)
    patches = plain_patches(net, x)
    distances = cdist(patches.reshape(-1, patches.shape[-1]).double(), memory).min(1).reshape(patches.shape[:3])
    np.testing.assert_allclose(found["max"], distances.max((1, 2)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["mean"], distances.mean((1, 2)), rtol=1e-3, atol=1e-4)
    grid = torch.from_numpy(distances)[:, None]
    expected = F.interpolate(grid, x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    np.testing.assert_allclose(found["map"], expected, rtol=1e-3, atol=1e-4)
    assert found["map"].shape == (40, 18, 12)
    assert "x_hat" not in found
    torch.testing.assert_close(embedded, patches.mean((1, 2)), rtol=1e-3, atol=1e-4)
    assert set(det.score_rows(net, x[:2], ("max",))) == {"max", "mean"}


def test_the_memory_holds_a_share_of_the_training_patches():
    x = rows(20)
    _, net = remembered(x, core=0.1, max_patches=400)  # 20 of each picture's 54
    patches = plain_patches(net, x)
    kept = net.M.rows
    assert kept.shape == (40, patches.shape[-1])
    every = patches.reshape(-1, patches.shape[-1])
    nearest = torch.cdist(kept, every, compute_mode="donot_use_mm_for_euclid_dist").min(1)
    assert nearest.values.max() < 1e-3
    assert len(set((nearest.indices // 54).tolist())) > 10  # of many pictures
    _, again = remembered(x, core=0.1, max_patches=400)
    assert torch.equal(again.M.rows, kept)
    _, all_of_them = remembered(x, core=1.0)
    assert len(all_of_them.M.rows) == len(every)


def test_few_pictures_are_looked_at_where_there_are_many(monkeypatch):
    monkeypatch.setattr(patchcore, "MOST_ROWS", 5)
    seen = []
    monkeypatch.setattr(Prepared, "batch", lambda self, numbers: seen.extend(numbers.tolist()) or self.x[numbers])
    _, net = remembered(rows(30), max_patches=100, core=1.0)
    assert len(seen) == len(set(seen)) == 5
    assert net.M.rows.shape[0] == 100


def test_training_patches_are_normal():
    """With all of them remembered, none is far; and what is foreign is."""
    x = rows(12)
    det, net = remembered(x, core=1.0)
    with torch.no_grad():
        assert det.score_rows(net, x)["max"].max() < 1e-3
        foreign = x.clone()
        foreign[:, :, 4:9, 3:8] = 1.0
        assert det.score_rows(net, foreign)["max"].min() > 1


def test_places_do_not_count():
    """A picture that is moved has the same patches."""
    x = torch.zeros(1, 1, 48, 48)
    x[:, :, 16:20, 16:26] = 1.0
    det, net = remembered(x, core=1.0)
    moved = torch.roll(x, (8, 8), (2, 3))
    with torch.no_grad():
        assert det.score_rows(net, moved)["max"] < 1e-3


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 40), (5, 64, 33), (1, 11, 9), (3, 96, 130)])
def test_the_filter_bank_fits_any_shape(shape):
    det, net = remembered(rows(3, shape))
    with torch.no_grad():
        found = det.score_rows(net, rows(2, shape))
        assert det.embed(net, rows(2, shape)).shape == (2, shape[0] + 32 + 64)
    assert found["map"].shape == (2, *shape[1:])
    step = 2 if min(shape[1:]) <= 64 else 4
    assert net.F(rows(1, shape))[0].shape[2:] == (-(-shape[1] // step), -(-shape[2] // step))


def test_the_filter_bank_by_hand():
    x = rows(2, (3, 12, 10))
    bank = FilterBank((3, 12, 10), ["layer2", "layer3"])
    means, first, second = FilterBank((3, 12, 10), ["layer2"])(x)[0][:, :3], bank.filters2, bank.filters3
    torch.testing.assert_close(means, F.avg_pool2d(x, 2))
    h = (F.conv2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), first).abs() + 1e-3).sqrt()
    torch.testing.assert_close(bank(x)[0][:, 3:], F.avg_pool2d(h, 2))
    deep = F.conv2d(F.pad(F.avg_pool2d(h, 2), (1, 1, 1, 1), mode="replicate"), second).abs()
    torch.testing.assert_close(bank(x)[1], deep)
    for filters, size in ((first, 32), (second, 64)):
        flat = filters.flatten(1)
        torch.testing.assert_close(flat @ flat.t(), torch.eye(size), atol=1e-5, rtol=0)
        assert filters.mean((2, 3)).abs().max() < 1e-6
    again = FilterBank((3, 12, 10), ["layer2", "layer3"])
    assert torch.equal(again.filters2, first)
    # brightness changes the means alone, and structure whatever its phase the amplitudes
    torch.testing.assert_close(bank(x + 0.5)[1], bank(x)[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(bank(-x)[0][:, 3:], bank(x)[0][:, 3:])


def test_maps_are_divided_by_their_deviation():
    bank = FilterBank((1, 8, 8), ["layer3"])
    patches = torch.randn(500, 64) * torch.linspace(0.1, 3, 64)
    patches[:, 5] = 7.0  # constant
    scaled = bank.normalise(patches)
    expected = patches.std(0, correction=0)
    expected[5] = 1e-3 * expected.max()
    torch.testing.assert_close(bank.deviation, expected)
    torch.testing.assert_close(scaled, patches / expected)
    plain = FilterBank((1, 8, 8), ["layer3"])
    x = rows(2, (1, 8, 8))
    torch.testing.assert_close(bank(x)[0], plain(x)[0] / expected[:, None, None])
    assert torch.equal(plain.normalise(torch.ones(9, 64)), torch.ones(9, 64))


def test_laws_with_a_backbone(file, pictures):
    det = testing.small(PatchCore, backbone=str(file), architecture="resnet18")
    for law in (testing.rows_are_independent, testing.block_sizes_agree, testing.saved_models_are_identical):
        law(det, pictures)


@pytest.mark.parametrize(("architecture", "numbers"), [("resnet18", 11_689_512), ("wide_resnet50_2", 68_883_240)])
def test_the_networks_are_torchvisions(architecture, numbers):
    """As many parameters as torchvision documents, the classifier included, under its names."""
    with torch.device("meta"):
        net = ResNet(architecture, ["layer4"], 3)
    width = net.features
    assert sum(p.numel() for p in net.parameters()) + 1000 * width + 1000 == numbers
    names = set(net.state_dict())
    expected = {"conv1.weight", "bn1.running_var", "layer1.0.bn2.bias", "layer2.0.downsample.0.weight"}
    assert expected | {"layer4.1.conv2.weight", "layer3.0.downsample.1.running_mean"} <= names
    assert ("layer1.0.downsample.0.weight" in names) == (architecture != "resnet18")
    blocks = [len(getattr(net, f"layer{i}")) for i in (1, 2, 3, 4)]
    assert blocks == ([2, 2, 2, 2] if architecture == "resnet18" else [3, 4, 6, 3])
    if architecture != "resnet18":
        assert net.layer1[0].conv1.weight.shape == (128, 64, 1, 1)
        assert net.layer2[0].conv2.stride == (2, 2)
        assert net.layer2[0].conv1.stride == (1, 1)


def plain_resnet18(w, x):
    """Maps of layers 1 to 4 by torch's functions and the weights' names alone."""

    def norm(h, name):
        stats = [w[f"{name}.{what}"] for what in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(h, *stats)

    h = torch.cat([x] * (3 // x.shape[1]), 1) / 2 + 0.5
    h = (h - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    h = F.max_pool2d(norm(F.conv2d(h, w["conv1.weight"], None, 2, 3), "bn1").relu(), 3, 2, 1)
    found = []
    for i in (1, 2, 3, 4):
        for j in (0, 1):
            at, stride = f"layer{i}.{j}", 2 if i > 1 and j == 0 else 1
            y = norm(F.conv2d(h, w[f"{at}.conv1.weight"], None, stride, 1), f"{at}.bn1").relu()
            y = norm(F.conv2d(y, w[f"{at}.conv2.weight"], None, 1, 1), f"{at}.bn2")
            if stride == 2:
                h = norm(F.conv2d(h, w[f"{at}.downsample.0.weight"], None, 2), f"{at}.downsample.1")
            h = (h + y).relu()
        found.append(h)
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_torchvisions_weights_load(file, channels):
    x = rows(4, (channels, 40, 33))
    det, net = remembered(x, backbone=str(file), architecture="resnet18", core=0.5)
    weights = load_file(file)
    with torch.no_grad():
        found, expected = net.F(x), plain_resnet18(weights, x)
    assert len(found) == 2
    torch.testing.assert_close(found[0], expected[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[1], expected[2], rtol=1e-4, atol=1e-4)
    assert net.M.rows.shape == (-(-4 * 5 * 5 // 2), 128 + 256)  # not divided by deviations
    assert not hasattr(net.F, "layer4")
    assert det.score_rows(net, x)["map"].shape == (4, 40, 33)
    with torch.no_grad():
        other = ResNet("resnet18", ["layer4", "layer1"], channels).eval()
        other.take(str(file))
        torch.testing.assert_close(other(x)[0], expected[3], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(other(x)[1], expected[0], rtol=1e-4, atol=1e-4)


def test_a_bottleneck_by_hand():
    torch.manual_seed(0)
    block = backbones.WideBottleneck(8, 4, 2).eval()
    x = torch.randn(2, 8, 7, 6)
    h = block.bn1(block.conv1(x)).relu()
    h = block.bn2(F.conv2d(h, block.conv2.weight, None, 2, 1)).relu()
    expected = (block.bn3(block.conv3(h)) + F.conv2d(x, block.downsample[0].weight, None, 2)).relu()
    with torch.no_grad():  # its normalisations are new, and so divide by the root of 1 + 1e-5 alone
        torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)


def test_a_saved_model_needs_no_file(file, pictures, tmp_path):
    det = testing.small(PatchCore, backbone=str(file), architecture="resnet18", layers="layer1,layer2").fit(pictures)
    scores = det.anomaly_score(pictures)
    det.save(tmp_path / "model.oddgan")
    file.unlink()
    loaded = oddgan.load(tmp_path / "model.oddgan")
    assert np.array_equal(loaded.anomaly_score(pictures), scores)
    assert loaded.features(pictures).shape == (64, 64 + 128)
    with pytest.raises(ParameterError, match=r"resnet18\.safetensors: there is no such file"):
        loaded.fit(pictures)


WRONG = [
    (lambda w: {k: v for k, v in w.items() if k != "layer2.1.conv2.weight"}, "has no layer2.1.conv2.weight"),
    (lambda w: {**w, "layer1.2.conv1.weight": torch.zeros(1)}, "holds layer1.2.conv1.weight, which this architecture"),
    (
        lambda w: {**w, "conv1.weight": torch.zeros(64, 1, 7, 7)},
        "holds conv1.weight of shape 64x1x7x7, and not 64x3x7x7",
    ),
    (lambda w: {**w, "bn1.bias": torch.full((64,), np.nan)}, "holds bn1.bias with values that are not finite"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_other_weights_are_refused(change, message, file, pictures):
    save_file(change(load_file(file)), file)
    with pytest.raises(DataError, match=r"resnet18\.safetensors: " + message):
        testing.small(PatchCore, backbone=str(file), architecture="resnet18").fit(pictures)


def test_weights_of_another_kind(file, pictures):
    half = {k: v.half() if v.is_floating_point() else v for k, v in load_file(file).items()}
    save_file({k: v for k, v in half.items() if "num_batches" not in k}, file)  # as older files are
    testing.small(PatchCore, backbone=str(file), architecture="resnet18").fit(pictures)


def test_other_architectures_and_files_are_refused(file, pictures, tmp_path):
    def fit(**changes):
        testing.small(PatchCore, **changes).fit(pictures)

    with pytest.raises(DataError, match=r"resnet18\.safetensors: has no layer1\.0\.bn3\.bias"):
        fit(backbone=str(file), architecture="wide_resnet50_2")
    with pytest.raises(ParameterError, match="architecture=resnet18: needs the file"):
        fit(architecture="resnet18")
    with pytest.raises(ParameterError, match=r"resnet18\.safetensors: set architecture"):
        fit(backbone=str(file))
    with pytest.raises(ParameterError, match=r"weights\.pth: expected a \.safetensors file"):
        fit(backbone="weights.pth", architecture="resnet18")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"damaged\.safetensors: damaged"):
        fit(backbone=str(damaged), architecture="resnet18")
    for layers in ("layer5", "", "layer2,layer2"):
        with pytest.raises(ParameterError, match=r"expected some of layer1, layer2, layer3, layer4"):
            fit(backbone=str(file), architecture="resnet18", layers=layers)
    with pytest.raises(ParameterError, match="expected some of layer2, layer3, the layers of architecture=own"):
        fit(layers="layer1")
    with pytest.raises(ParameterError, match="is for 1 or 3 channels, not 2"):
        PatchCore(backbone=str(file), architecture="resnet18").build((2, 16, 16))
    with pytest.raises(ParameterError, match="is for pictures"):
        testing.small(PatchCore).fit(np.random.default_rng(0).normal(size=(60, 4)))
    with pytest.raises(ParameterError, match="cannot generate"):
        testing.small(PatchCore).fit(pictures).generate(2)


def parts_at_random_places(n, seed):
    """(n, 32, 32) uint8: a striped disc anywhere in a picture with a little noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    pictures = []
    for _ in range(n):
        top, left = random.uniform(9, 23, 2)
        disc = np.clip(7.5 - np.hypot(y - top, x - left), 0, 1)
        stripes = 0.5 + 0.5 * np.sin(2 * np.pi * (x - left) / 6)
        pictures.append(60 + disc * (50 + 70 * stripes) + random.normal(0, 4, (32, 32)))
    return np.clip(pictures, 0, 255).astype(np.uint8)


def with_squares(pictures, seed):
    """Each with a square of 4x4 of another value than what is there, and where it is."""
    random = np.random.default_rng(seed)
    found, masks = pictures.copy(), np.zeros(pictures.shape, bool)
    for picture, mask in zip(found, masks, strict=True):
        top, left = random.integers(2, 26, 2)
        mask[top : top + 4, left : left + 4] = True
        picture[mask] = 255 - picture[mask]
    return found, masks


def test_planted_squares_are_found_wherever_parts_are():
    train, normal = parts_at_random_places(150, 0), parts_at_random_places(60, 1)
    anomalous, masks = with_squares(parts_at_random_places(60, 2), 3)
    det = PatchCore(random_state=0, device="cpu").fit(train)
    X, y = np.concatenate([normal, anomalous]), np.repeat([0, 1], 60)
    found = det.explain(X)
    assert roc_auc_score(y, found.score) > 0.95
    maps = np.stack(list(found.anomaly_map))
    assert roc_auc_score(masks.ravel(), maps[60:].ravel()) > 0.95
    large = PatchCore(random_state=0, device="cpu", score_by="map_max").fit(train)
    assert roc_auc_score(y, large.anomaly_score(X)) > 0.95


def test_pictures_in_tiles():
    wide = np.concatenate([parts_at_random_places(40, 0), parts_at_random_places(40, 1)], axis=2)
    det = PatchCore(tile=32, random_state=0, device="cpu").fit(wide)
    anomalous, masks = with_squares(wide[:6], 5)
    found = det.explain(anomalous)
    maps = np.stack(list(found.anomaly_map))
    assert maps.shape == wide[:6].shape
    assert roc_auc_score(masks.ravel(), maps.ravel()) > 0.95
    prepared = det.preprocessor_.prepare(open_rows(wide), np.arange(40))
    assert len(prepared) == 80
