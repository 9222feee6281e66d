"""What the layers of a detector's networks make of pictures: feature maps that describe patches."""

from collections.abc import Iterable

from torch import Tensor, nn

from ..errors import ParameterError

PLAYERS = ("D", "E", "G")  # whose layers are looked at: the first that has convolutions
SIZES = 2  # of maps, the largest ones: deeper layers say little about a place


def feature_maps(net: nn.ModuleDict, x: Tensor) -> list[Tensor]:
    """Maps (b, c, h, w) of the first layers of D's trunk, or else of an encoder's, of pictures x (b, C, H, W), the
    largest first. Raises `ParameterError` for networks without convolutions."""
    for player in PLAYERS:
        for module in net[player].modules() if player in net else ():
            trunk = getattr(module, "trunk", None)
            if isinstance(trunk, nn.Sequential) and (found := by_size(trunk, x)):
                return found
    raise ParameterError("local=patches: the detector has no layers of convolutions that describe patches")


def by_size(layers: Iterable[nn.Module], x: Tensor, most: int = SIZES) -> list[Tensor]:
    """Of each size of maps that occurs after x, the last ones that layers in a row make, at most so many sizes."""
    found: list[Tensor] = []
    size = x.shape[2:]
    for layer in layers:
        x = layer(x)
        if x.ndim != 4 or min(x.shape[2:]) < 2:
            break
        if x.shape[2:] == size and found:
            found[-1] = x
        elif x.shape[2:] != size:
            if len(found) == most:
                break
            found.append(x)
            size = x.shape[2:]
    return found
