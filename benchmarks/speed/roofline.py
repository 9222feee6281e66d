"""What this machine can do at best, measured in the same run: the rates of a convolution and of a matrix product.

A work's share of the roofline is its own rate, floating-point operations of one unit over its seconds, over the best
rate measured in the type it computes in.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from .timing import timed

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
BATCH, INNER, OUTER, SIDE = 64, 128, 256, 16  # like the middle of GANomaly's networks: a 4x4 convolution of stride 2


@cache
def rates(threads: int, quick: bool = False) -> dict[str, dict[str, float]]:
    """GFLOP/s by type and kind of work, and the "best" of each type: the roof.

    Each kind is called for about a second and its best call counts, since what else the machine does only takes away;
    a convolution may have its channels last or first, whichever is faster. bfloat16 is left out where the processor
    does not multiply it natively.
    """
    torch.set_num_threads(threads)
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    found = {}
    for name, dtype in TYPES.items():
        if dtype == torch.bfloat16 and not native:
            continue
        forward, backward = zip(*(_convolution(dtype, order, quick) for order in _ORDERS), strict=True)
        kinds = {
            "convolution, forward": max(forward),
            "convolution, backward": max(backward),
            "matrix product": _product(dtype, quick),
        }
        found[name] = kinds | {"best": max(kinds.values())}
    return found


_ORDERS = (torch.contiguous_format, torch.channels_last)


def _convolution(dtype: torch.dtype, order: torch.memory_format, quick: bool) -> tuple[float, float]:
    """Forward, and backward to input and weights."""
    x = torch.randn(BATCH, INNER, SIDE, SIDE).to(dtype=dtype, memory_format=order).requires_grad_()
    w = (torch.randn(OUTER, INNER, 4, 4) / 45).to(dtype=dtype, memory_format=order).requires_grad_()
    y = F.conv2d(x, w, stride=2, padding=1)
    gflop = 2e-9 * y.numel() * INNER * 16
    upstream = torch.randn_like(y)

    def forward() -> Tensor:
        with torch.no_grad():
            return F.conv2d(x, w, stride=2, padding=1)

    def backward() -> tuple[Tensor, ...]:
        return torch.autograd.grad(y, (x, w), upstream, retain_graph=True)

    return gflop / _best(forward, quick), 2 * gflop / _best(backward, quick)


def _product(dtype: torch.dtype, quick: bool) -> float:
    n = 256 if quick else 2048
    a, b = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
    return 2e-9 * n**3 / _best(lambda: a @ b, quick)


def _best(call: Callable[[], object], quick: bool) -> float:
    """Seconds of the fastest call, of as many as a second holds."""
    call()
    least, spent = float("inf"), 0.0
    while spent < (0.02 if quick else 1.0):
        seconds = timed(call)
        least, spent = min(least, seconds), spent + seconds
    return least


def gflop(call: Callable[[], object]) -> float:
    """Thousand million floating-point operations of convolutions and matrix products, as torch counts them."""
    with counter() as found:
        call()
    return found.get_total_flops() / 1e9


def counter() -> FlopCounterMode:
    """A context that counts what runs within it."""
    return FlopCounterMode(display=False)
