"""Networks whose feature maps describe patches of pictures: residual networks that were trained elsewhere, and a filter
bank that needs no training.

    ResNet18, WideResNet50   He et al., "Deep Residual Learning", CVPR 2016; Zagoruyko and Komodakis, "Wide Residual
                             Networks", BMVC 2016. Parameters are named as torchvision's, so that its weights load.
    FilterBank               random orthogonal filters of fixed seed, two layers of them, and the mean of each place.

Each is built up to the deepest layer that is asked for, and gives the maps of the layers by name: pictures (b, C, H, W)
from -1 to 1 become maps (b, c_i, h_i, w_i). Networks in ONNX files: `oddgan.networks.onnx_backbone`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import DataError, ParameterError

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures, from 0 to 1
BLOCKS = {"resnet18": (2, 2, 2, 2), "wide_resnet50_2": (3, 4, 6, 3)}
DEEPEST = 4
SMALL = 64  # pixels up to which the filter bank has a patch for every 2x2 of them; beyond, for every 4x4
FILTERS = (32, 64)
SIDES = (5, 3)
LEAST_DEVIATION = 1e-3  # of the largest


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (b, inputs, h, w) -> (b, width, h / stride, w / stride)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(h)) + self.downsample(x))


class WideBottleneck(nn.Module):
    """Convolutions of 1x1, 3x3 and 1x1 and a shortcut, the inner ones twice as wide as ResNet-50's: (b, inputs, h, w)
    -> (b, 4 width, h / stride, w / stride). The stride is the 3x3 convolution's, as in torchvision."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, 2 * width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(2 * width)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.conv3 = nn.Conv2d(2 * width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(inputs, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.bn1(self.conv1(x)))
        h = F.relu(self.bn2(self.conv2(h)))
        return F.relu(self.bn3(self.conv3(h)) + self.downsample(x))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    if inputs == outputs and stride == 1:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class Photographs(nn.Module):
    """A network that was trained on ImageNet, as `what` is: for pictures of 1 or 3 `channels`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, what: str, channels: int) -> None:
        super().__init__()
        if channels not in (1, len(MEAN)):
            raise ParameterError(f"{what}: is for 1 or 3 channels, not {channels}; set channels")
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def normalised(self, x: Tensor) -> Tensor:
        """Pictures from -1 to 1 (b, C, h, w) as ImageNet's, (b, 3, h, w); those of one channel are repeated."""
        return (((x + 1) / 2).expand(-1, len(MEAN), -1, -1) - self.mean) / self.deviation


class ResNet(Photographs):
    """The layers of a residual network, "layer1" to "layer4", of which `layers` are asked for. `features`: the channels
    of all of them together."""

    def __init__(self, architecture: str, layers: Sequence[str], channels: int) -> None:
        super().__init__(f"architecture={architecture}", channels)
        self.layers = checked(layers, [f"layer{i + 1}" for i in range(DEEPEST)], architecture)
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        wide = architecture != "resnet18"
        kind: Any = WideBottleneck if wide else BasicBlock
        inputs, widths = 64, {}
        for i, blocks in enumerate(BLOCKS[architecture][: max(int(name[-1]) for name in self.layers)]):
            width = 64 * 2**i
            outputs = 4 * width if wide else width
            strides = [1 if i == 0 else 2] + [1] * (blocks - 1)
            made = [kind(inputs if j == 0 else outputs, width, stride) for j, stride in enumerate(strides)]
            self.add_module(f"layer{i + 1}", nn.Sequential(*made))
            inputs = widths[f"layer{i + 1}"] = outputs
        self.features = sum(widths[name] for name in self.layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        h = F.relu(self.bn1(self.conv1(self.normalised(x))))
        h = F.max_pool2d(h, 3, 2, 1)
        found = {}
        for name, layer in self.named_children():
            if name.startswith("layer"):
                h = found[name] = layer(h)
        return [found[name] for name in self.layers]

    def take(self, path: str) -> None:
        """Take the weights in the file, torchvision's by name, of deeper layers or not. Raises `ParameterError` where
        it is no such file, and `DataError` where they are not this network's."""
        weights, own = weights_of(path), self.state_dict()
        used = {name for name in own if not name.endswith("num_batches_tracked")}  # older files do not count batches
        deeper = tuple(f"layer{i + 1}." for i in range(DEEPEST) if f"layer{i + 1}" not in dict(self.named_children()))
        problem = ""
        if missing := sorted(used - weights.keys()):
            problem = f"has no {missing[0]}"
        elif unknown := sorted(name for name in weights.keys() - own.keys() if not name.startswith((*deeper, "fc."))):
            problem = f"holds {unknown[0]}, which this architecture lacks"
        elif wrong := sorted(name for name in used if weights[name].shape != own[name].shape):
            shapes = ["x".join(map(str, one[wrong[0]].shape)) for one in (weights, own)]
            problem = f"holds {wrong[0]} of shape {shapes[0]}, and not {shapes[1]}"
        elif endless := sorted(name for name in used if not weights[name].float().isfinite().all()):
            problem = f"holds {endless[0]} with values that are not finite"
        if problem:
            raise DataError(f"{path}: {problem}; give a file and an architecture that belong together")
        self.load_state_dict({**own, **{name: weights[name].to(own[name].dtype) for name in used}})


class FilterBank(nn.Module):
    """Amplitudes of random orthogonal filters: fixed weights, as none are trained.

        "layer2"  the mean of each place, and the square roots of the amplitudes of 32 filters of 5x5, free of the mean
        "layer3"  the amplitudes of 64 filters of 3x3 over the maps of those

    on a grid of 2x2 pixels a place, or of 4x4 for pictures of more than 64 pixels a side: the names are those of a
    residual network by their depth. An amplitude is the absolute value of a filter's response, averaged over the
    place, and so describes structure whatever its phase. Each map is divided by its deviation over training patches
    (`normalise`). Square roots, sides and numbers were chosen by simulated defects on held-out normals. `features`: the
    number of all maps together.
    """

    filters2: Tensor
    filters3: Tensor
    deviation: Tensor

    def __init__(self, shape: Sequence[int], layers: Sequence[str]) -> None:
        super().__init__()
        self.layers = checked(layers, ["layer2", "layer3"], "own")
        self.fine = min(shape[1:]) <= SMALL
        counts = {"layer2": shape[0] + FILTERS[0], "layer3": FILTERS[1]}
        for i, (inputs, outputs, side) in enumerate(zip((shape[0], FILTERS[0]), FILTERS, SIDES, strict=True)):
            weight = nn.Parameter(_orthogonal(outputs, inputs, side, seed=i), requires_grad=False)
            self.register_parameter(f"filters{i + 2}", weight)
        self.features = sum(counts[name] for name in self.layers)
        self.register_buffer("deviation", torch.ones(self.features))

    def forward(self, x: Tensor) -> list[Tensor]:
        step = 2 if self.fine else 4
        h = (_filtered(x, self.filters2).abs() + 1e-3).sqrt()
        found = {"layer2": torch.cat([_mean(x, step), _mean(h, step)], 1)}
        if "layer3" in self.layers:
            found["layer3"] = _mean(_filtered(_mean(h, 2), self.filters3).abs(), step // 2)
        maps = [found[name] for name in self.layers]
        parts = torch.split(self.deviation, [one.shape[1] for one in maps])
        return [one / part[:, None, None] for one, part in zip(maps, parts, strict=True)]

    def normalise(self, patches: Tensor) -> Tensor:
        """Divide every map by its deviation over these patches (n, features), from now on; and the patches."""
        deviation = patches.double().std(0, correction=0).float()
        largest = float(deviation.max())
        deviation = deviation.clamp(min=LEAST_DEVIATION * largest) if largest > 0 else torch.ones_like(deviation)
        self.deviation.copy_(deviation)
        return patches / deviation


def _filtered(x: Tensor, filters: Tensor) -> Tensor:
    """Convolved with filters (o, c, k, k), whose sides are not even; beyond the border there is the border's value."""
    reach = filters.shape[2] // 2
    return F.conv2d(F.pad(x, (reach, reach, reach, reach), mode="replicate"), filters)


def _mean(x: Tensor, step: int) -> Tensor:
    """Means of step x step places, the last ones of what is left."""
    return F.avg_pool2d(x, step, ceil_mode=True) if step > 1 else x


def _orthogonal(outputs: int, inputs: int, side: int, seed: int) -> Tensor:
    """Filters (outputs, inputs, side, side), each free of the mean in every channel, in groups of orthonormal ones as
    large as there are dimensions."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(outputs, inputs, side * side, generator=generator)
    drawn = (drawn - drawn.mean(2, keepdim=True)).flatten(1)
    groups = torch.split(drawn, inputs * (side * side - 1))
    return torch.cat([torch.linalg.qr(group.t())[0].t() for group in groups]).reshape(outputs, inputs, side, side)


def checked(layers: Sequence[str], known: Sequence[str], architecture: str) -> tuple[str, ...]:
    """The names of layers. Raises `ParameterError` for none, an unknown or a repeated one."""
    if not layers or len(set(layers)) < len(layers) or not set(layers) <= set(known):
        raise ParameterError(
            f"layers={','.join(layers)!r}: expected some of {', '.join(known)}, the layers of architecture="
            f"{architecture}, each once, with commas between them"
        )
    return tuple(layers)


def weights_of(path: str) -> dict[str, Tensor]:
    """The weights in a .safetensors file. Raises `ParameterError` where it is no such file, and `DataError` where it
    cannot be read."""
    if Path(path).suffix.lower() != ".safetensors":
        raise ParameterError(
            f"backbone={path}: expected a .safetensors file, as which safetensors.torch.save_file writes a state dict, "
            "or an .onnx file"
        )
    if not Path(path).is_file():
        raise ParameterError(f"backbone={path}: there is no such file")
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # safetensors does not say what it raises for which damage
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: damaged or not a safetensors file ({reason}); copy the file anew") from error
