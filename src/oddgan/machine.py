"""Where to compute and in what precision: rules about the hardware, never measurements."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from .errors import ParameterError

_alone = threading.RLock()
_TINY = 1e-310  # a denormal number

# A cautious choice: bfloat16 is a little faster from 16x16 on (benchmarks/studies/precision.py), but its effect on
# scores has been studied on larger pictures only.
LEAST_PIXELS_FOR_BF16 = 32 * 32


def _renew() -> None:
    """In a forked child, make anew what depends on threads that exist in the parent alone."""
    global _alone
    _alone = threading.RLock()  # a thread that held the lock is not there to release it
    torch.set_num_threads(1)  # OpenMP would wait for its threads without end; torch's own workers compute so too


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def device(name: str) -> torch.device:
    """The device called `name`; "auto" is a CUDA GPU if there is one. Raises `ParameterError` if unavailable."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
        torch.empty(1, device=chosen).item()
    # An unknown name raises the first, a build without CUDA the second, an absent backend the third.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ParameterError(f"device={name!r}: not on this machine; use auto or cpu") from error
    return chosen


@contextmanager
def sealed() -> Iterator[None]:
    """Compute in isolation from the caller's torch settings.

    torch's global generators are restored afterwards, convolutions on a GPU are deterministic and in full float32, and
    the caller's autocast, default dtype and no_grad have no effect inside. Denormals, which losses near zero produce
    and which are slow on a CPU, are flushed to zero.

    The generators and the default dtype are global to the process, so threads take turns here.
    """
    with _alone:
        default, flushed = torch.get_default_dtype(), _flushes_denormals()
        torch.set_default_dtype(torch.float32)
        torch.set_flush_denormal(True)  # in this thread, and in those that torch starts from now on
        try:
            with (
                torch.random.fork_rng(devices=range(torch.cuda.device_count())),  # manual_seed seeds them all
                torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
                torch.autocast("cpu", enabled=False),
                torch.autocast("cuda", enabled=False) if torch.cuda.is_available() else nullcontext(),
                torch.inference_mode(False),
                torch.enable_grad(),
            ):
                yield
        finally:
            torch.set_default_dtype(default)
            torch.set_flush_denormal(flushed)


@contextmanager
def scoring(device: torch.device) -> Iterator[None]:
    """Compute scores as `sealed` does, without gradients and without a lock: all that is set is local to this thread,
    and scoring uses no generator. A GPU's settings, and a default dtype other than float32, are global to the process;
    `sealed` is used for these."""
    if device.type != "cpu" or torch.get_default_dtype() is not torch.float32:
        with sealed(), torch.no_grad():
            yield
        return
    flushed = _flushes_denormals()
    torch.set_flush_denormal(True)
    autocast = torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext()
    inference = torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext()
    try:
        with autocast, inference, torch.no_grad():
            yield
    finally:
        torch.set_flush_denormal(flushed)


def _flushes_denormals() -> bool:
    """Whether denormals are flushed to zero in this thread."""
    return _TINY * 1.0 == 0.0


def seed(number: int, device: torch.device) -> None:
    """Seed torch's global generator as `torch.manual_seed` does, which also takes a stack trace for every kind of
    accelerator: a noticeable cost in a small network's update."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(number)
    else:
        torch.manual_seed(number)


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """The context in which convolutions and matrix products are computed in `dtype`."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


def precision(name: str, device: torch.device, shape: Sequence[int]) -> torch.dtype:
    """The dtype of convolutions and matrix products in training, for rows of this shape.

    "auto" is bfloat16 for pictures of at least 32x32 pixels on hardware that multiplies bfloat16 natively (a CPU with
    AVX-512 BF16, or a CUDA GPU that supports it), and float32 otherwise: tables, small pictures, other hardware.
    """
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    large = len(shape) == 3 and shape[1] * shape[2] >= LEAST_PIXELS_FOR_BF16
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if large and native else torch.float32


def place(net: nn.ModuleDict, device: torch.device) -> nn.ModuleDict:
    """Move the networks to `device`, with convolutions in channels-last order (faster on CPUs and GPUs alike)."""
    return net.to(device=device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
