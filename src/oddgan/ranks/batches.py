"""What makes several processes with a share of a batch each compute what one process with the whole batch would.

A step is written for a batch and knows nothing of processes. While it runs (`shared`), three things are done for the
whole batch that it does:

- What torch draws at random for a batch's rows (noise, dropout) is drawn for all rows of the batch in every process,
  from the same state of the generator, and each takes its share.
- Batch normalisation in training normalises by the mean and variance of the whole batch.
- `whole` gives the rows of all processes, for terms that couple rows. Gradients go back to the process that a row
  comes from.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .world import SINGLE, World

_shared: ContextVar[World] = ContextVar("shared", default=SINGLE)


@contextmanager
def shared(world: World, rows: int) -> Iterator[None]:
    """In this block a step computes with its share of a batch of so many `rows` in all."""
    token = _shared.set(world)
    try:
        with _Share(world, rows):
            yield
    finally:
        _shared.reset(token)


def whole(x: Tensor, groups: int = 1) -> Tensor:
    """The rows of all processes that share the batch: x (b, ...) itself in one process, else (size b, ...), in the
    batch's order. Differentiable, any number of times.

    `groups`: the number of kinds of rows that follow each other in equal parts of x, as they do in the result.
    """
    world = _shared.get()
    if world.size == 1:
        return x
    found = _Gather.apply(world, x)  # type: ignore[no-untyped-call]
    found = found.unflatten(1, (groups, -1))  # (size, groups, b / groups, ...)
    return found.transpose(0, 1).flatten(0, 2)  # type: ignore[no-any-return]


def random_of(seed: int) -> np.random.Generator:
    """A NumPy generator for the rows of this process: that of `seed` in one process, else each has one of its own."""
    world = _shared.get()
    return np.random.default_rng(seed if world.size == 1 else [seed, world.rank])


class _Gather(torch.autograd.Function):
    """x (...) of every process -> (size, ...) in every process."""

    @staticmethod
    def forward(ctx: Any, world: World, x: Tensor) -> Tensor:
        ctx.world = world
        return world.stacked(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return None, _Own.apply(ctx.world, gradients[0])  # type: ignore[no-untyped-call]


class _Own(torch.autograd.Function):
    """(size, ...) of every process -> this process's part of their sum: what takes a gradient back from `_Gather`."""

    @staticmethod
    def forward(ctx: Any, world: World, x: Tensor) -> Tensor:
        ctx.world = world
        return world.sum(x)[world.rank]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return None, _Gather.apply(ctx.world, gradients[0])  # type: ignore[no-untyped-call]


class _Share(TorchFunctionMode):
    """Draws for the whole batch, and normalises by it."""

    def __init__(self, world: World, rows: int) -> None:
        super().__init__()
        self.world, self.rows, self.own = world, rows, rows // world.size

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        do = _DONE.get(func)
        return func(*args, **(kwargs or {})) if do is None else do(self, func, *args, **(kwargs or {}))

    def times(self, size: torch.Size | tuple[int, ...]) -> int:
        """How many times this process's rows a tensor of this size holds; 0 where it does not hold rows."""
        return size[0] // self.own if len(size) and size[0] and size[0] % self.own == 0 else 0

    def share(self, drawn: Tensor, groups: int) -> Tensor:
        """This process's rows of each group of what was drawn for all."""
        start = self.world.rank * self.own
        parts = [drawn[g * self.rows + start : g * self.rows + start + self.own] for g in range(groups)]
        return parts[0] if groups == 1 else torch.cat(parts)

    def whole_like(self, x: Tensor, groups: int) -> Tensor:
        """An empty tensor for the whole batch, in memory as x (groups own, ...) is."""
        size = (groups * self.rows, *x.shape[1:])
        if x.stride(0) == x[0].numel():
            return torch.empty_strided(size, x.stride(), dtype=x.dtype, device=x.device)
        return torch.empty(size, dtype=x.dtype, device=x.device)


def _drawn(mode: _Share, func: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """torch.rand and torch.randn."""
    size = kwargs.pop("size", None)
    if size is None:
        size = args[0] if args and not isinstance(args[0], int) else args
    groups = mode.times(tuple(size))
    if not groups:
        return func(tuple(size), **kwargs)
    return mode.share(func((groups * mode.rows, *size[1:]), **kwargs), groups)


def _drawn_numbers(mode: _Share, func: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """torch.randint: (high, size) or (low, high, size)."""
    size = kwargs.pop("size", None)
    if size is None:
        *args, size = args  # type: ignore[assignment]
    groups = mode.times(tuple(size))
    if not groups:
        return func(*args, size=tuple(size), **kwargs)
    return mode.share(func(*args, size=(groups * mode.rows, *size[1:]), **kwargs), groups)


def _drawn_like(mode: _Share, func: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """torch.rand_like, torch.randn_like and torch.randint_like."""
    groups = mode.times(x.shape)
    if not groups:
        return func(x, *args, **kwargs)
    return mode.share(func(mode.whole_like(x, groups), *args, **kwargs), groups)


def _dropped(
    mode: _Share,
    func: Callable[..., Tensor],
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Tensor:
    """Dropout of values, or of whole channels."""
    groups = mode.times(input.shape) if training else 0
    if not groups:
        return func(input, p, training, inplace)
    ones = mode.whole_like(input.detach(), groups).fill_(1)
    return input * mode.share(func(ones, p, True, False), groups)


def _normalised(
    mode: _Share,
    func: Callable[..., Tensor],
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalisation by the mean and variance of all processes' rows."""
    if not training:
        return func(input, running_mean, running_var, weight, bias, training, momentum, eps)
    x = input.float() if input.dtype in (torch.bfloat16, torch.float16) else input
    variance, mean = torch.var_mean(x, [0, *range(2, x.ndim)], correction=0)
    means, variances = whole(torch.stack([mean, variance])[None]).unbind(1)  # (size, channels) each
    mean = means.mean(0)
    variance = (variances + (means - mean).square()).mean(0)
    if running_mean is not None and running_var is not None:
        n = mode.world.size * x.numel() // x.shape[1]
        with torch.no_grad():
            running_mean.mul_(1 - momentum).add_(mean.detach(), alpha=momentum)
            running_var.mul_(1 - momentum).add_(variance.detach() * (n / (n - 1)), alpha=momentum)
    scale = (variance + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    along = [1, -1, *[1] * (x.ndim - 2)]
    found = (x - mean.view(along)) * scale.view(along)
    return (found if bias is None else found + bias.view(along)).to(input.dtype)


_DONE: dict[Any, Callable[..., Tensor]] = {
    torch.rand: _drawn,
    torch.randn: _drawn,
    torch.randint: _drawn_numbers,
    torch.rand_like: _drawn_like,
    torch.randn_like: _drawn_like,
    torch.randint_like: _drawn_like,
    F.dropout: _dropped,
    F.dropout1d: _dropped,
    F.dropout2d: _dropped,
    F.dropout3d: _dropped,
    F.batch_norm: _normalised,
}
