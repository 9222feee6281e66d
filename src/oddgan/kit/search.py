"""Searching the latent space for the z from which a generator makes a given row.

Each row of a block is searched for independently. The optimiser's state is elementwise, and a row that has converged is
frozen while the block keeps its shape, so a row's result does not depend on the other rows, to the last bit. The size
of a block must be a power of two.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from ..errors import ParameterError
from .losses import l2

Rates = float | Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Visit:
    """Where searches are after so many steps. `runs` (m,) int64: which of them; run r k + s is that of row r of the
    block from start s of k. `value` (m,): what each minimises; `awake` (m,) bool: which go on. `z` (m, d), of a search
    of the latent space alone; or `x_hat` (m, ...), where the generator moves too."""

    step: int
    runs: Tensor
    value: Tensor
    awake: Tensor
    z: Tensor | None = None
    x_hat: Tensor | None = None


_watching: ContextVar[Callable[[Visit], None] | None] = ContextVar("watching", default=None)


@contextmanager
def watched(watch: Callable[[Visit], None]) -> Iterator[None]:
    """In this block, call `watch` at every step of every search; nothing of a search changes by it."""
    token = _watching.set(watch)
    try:
        yield
    finally:
        _watching.reset(token)


SMALL_GENERATOR = 2**16  # weights up to which copies of several rows are optimised together
TOGETHER = 2**20  # the most weights, over all copies, that are optimised together


def rate_at(lr: Rates, step: int) -> float:
    """The learning rate at a step: `lr` itself, or the rate in force by a schedule.

    {"0": 0.01, "200": 0.001} is 0.01 for steps 0 to 199, then 0.001. Raises `ParameterError` for a schedule without
    step 0 or with a key that is not a step.
    """
    if not isinstance(lr, Mapping):
        return lr
    if "0" not in lr or not all(begin.isdecimal() for begin in lr):
        raise ParameterError(f"rates by step {dict(lr)}: name the steps at which they begin, the first is 0")
    return lr[max((begin for begin in lr if int(begin) <= step), key=int)]


class Adam:
    """Adam (Kingma and Ba, 2015, algorithm 1) on tensors, in place: `torch.optim.Adam` without the overhead of its
    construction, which is noticeable in a search of five steps. Its state is elementwise: rows share nothing."""

    def __init__(self, values: list[Tensor], beta1: float = 0.9, beta2: float = 0.999) -> None:
        self.values, self.betas, self.t = values, (beta1, beta2), 0
        self.m, self.v = [torch.zeros_like(x) for x in values], [torch.zeros_like(x) for x in values]

    @torch.no_grad()
    def step(self, gradients: tuple[Tensor, ...], rates: Sequence[float]) -> None:
        """Update each value by its gradient, at its own learning rate."""
        self.t += 1
        b1, b2 = self.betas
        torch._foreach_lerp_(self.m, gradients, 1 - b1)
        torch._foreach_mul_(self.v, b2)
        torch._foreach_addcmul_(self.v, gradients, gradients, 1 - b2)
        spread = torch._foreach_sqrt(torch._foreach_div(self.v, 1 - b2**self.t))
        torch._foreach_add_(spread, 1e-8)
        torch._foreach_addcdiv_(self.values, self.m, spread, [-rate / (1 - b1**self.t) for rate in rates])


def search(
    objective: Callable[[Tensor], Tensor],
    starts: Tensor,
    *,
    steps: int,
    lr: Rates,
    patience: int = 0,
    gain: float = 1e-3,
) -> tuple[Tensor, Tensor]:
    """Search for the z of each row with the lowest objective, by gradient steps from several starts.

    Parameters
    ----------
    objective : callable
        z (b, d) -> one value per row (b,), each a function of its own row alone.
    starts : Tensor
        (b, k, d): k starting points of each row, searched one after the other in the memory of one.
    steps : int
        Adam steps from each start.
    lr : float or mapping
        The learning rate, or a schedule (see `rate_at`).
    patience : int
        A row whose objective has not fallen by `gain` for so many steps is frozen; 0 freezes none.
    gain : float
        A share of the objective.

    Returns
    -------
    z : Tensor
        The best z (b, d) that was visited. It need not be the last: Adam's last step may increase the objective.
    best : Tensor
        Its objective (b,).
    """
    best_z = starts[:, 0].detach().clone()
    best = torch.full_like(best_z[:, 0], torch.inf)
    watch, k = _watching.get(), starts.shape[1]
    for s, start in enumerate(starts.detach().unbind(1)):
        z = start.clone().requires_grad_()
        adam = Adam([z])
        awake = torch.ones_like(best, dtype=torch.bool)
        mark, waited = best, torch.zeros_like(best)  # the value to improve on, and the steps since it was set
        for step in range(steps + 1):
            with torch.enable_grad():
                value = objective(z)
                gradient = torch.autograd.grad(value.sum(), z) if step < steps else ()
            here, value = z.detach().clone(), value.detach()
            if watch is not None:
                watch(Visit(step, k * torch.arange(len(value)) + s, value, awake, z=here))
            better = awake & (value < best)
            best, best_z = torch.where(better, value, best), torch.where(better[:, None], here, best_z)
            if patience:
                lower = (value < mark - gain * mark.abs()) if step else torch.ones_like(awake)
                mark, waited = torch.where(lower, value, mark), torch.where(lower, 0.0, waited + 1)
                awake &= waited < patience
            if step == steps or not awake.any():
                break
            adam.step(gradient, [rate_at(lr, step)])
            with torch.no_grad():
                z.copy_(torch.where(awake[:, None], z, here))
    return best_z, best


def refine(
    G: nn.Module, x: Tensor, starts: Tensor, *, steps: int, lr_z: float, lr_weights: float, beta1: float = 0.5
) -> Tensor:
    """Reconstruct rows x (b, ...) by optimising z and G's own weights towards each row, from each of `starts` (k, d).

    For every row and every start, a copy of G and z take `steps` joint steps of Adam on the mean squared residual, at
    the learning rates `lr_weights` and `lr_z`. Only copies that are optimised together (see `together`) exist at once.

    Returns
    -------
    Tensor
        x_hat (b, k, ...).
    """
    b, k = len(x), len(starts)
    group = together(b, k, sum(w.numel() for w in G.parameters()))
    pairs = zip(torch.split(x.repeat_interleave(k, 0), group), torch.split(starts.repeat(b, 1), group), strict=True)
    moved = [_moved(G, rows, z, steps, (lr_z, lr_weights), beta1, i * group) for i, (rows, z) in enumerate(pairs)]
    return torch.cat(moved).reshape(b, k, *x.shape[1:])


def together(b: int, k: int, weights: int) -> int:
    """How many of the k copies each of b rows, of `weights` weights each, are optimised together.

    Copies share no computation; all that can be saved is the overhead of calls, which dominates for small networks.
    Therefore all copies of 1, 2, 4 ... rows are optimised together for a small network, and one at a time for a large
    one, which is faster in each case (`benchmarks/studies/private_weights.py`).
    """
    if weights > SMALL_GENERATOR:
        return 1
    rows = 1
    while 2 * rows <= b and 2 * rows * k * weights <= TOGETHER:
        rows *= 2
    return rows * k


def _moved(
    G: nn.Module, x: Tensor, z: Tensor, steps: int, rates: tuple[float, float], beta1: float, first: int = 0
) -> Tensor:
    """x_hat (p, ...) of rows x (p, ...) from z (p, d), with one copy of G each, stacked; the runs from `first` on, row
    by row."""
    names, weights = zip(*G.named_parameters(), strict=True)
    z = z.detach().clone().requires_grad_()
    copies = [w.detach().expand(len(x), *w.shape).clone().requires_grad_() for w in weights]

    def one(z: Tensor, *copy: Tensor) -> Tensor:
        return functional_call(G, dict(zip(names, copy, strict=True)), (z[None],))[0]

    def reconstructed() -> Tensor:
        return one(z[0], *(c[0] for c in copies))[None] if len(x) == 1 else vmap(one)(z, *copies)

    watch = _watching.get()

    def visit(step: int, x_hat: Tensor, value: Tensor) -> None:
        if watch is not None:
            runs, awake = first + torch.arange(len(x)), torch.ones(len(x), dtype=torch.bool)
            watch(Visit(step, runs, value.detach(), awake, x_hat=x_hat.detach()))

    adam = Adam([z, *copies], beta1)
    for step in range(steps):
        with torch.enable_grad():
            x_hat = reconstructed()
            value = l2(x_hat, x)
            gradients = torch.autograd.grad(value.sum(), [z, *copies])
        visit(step, x_hat, value)
        adam.step(gradients, [rates[0], *[rates[1]] * len(copies)])
    with torch.no_grad():
        x_hat = reconstructed()
        if watch is not None:
            visit(steps, x_hat, l2(x_hat, x))
        return x_hat
