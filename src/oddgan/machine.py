"""What to compute on, and how precisely: rules on what the machine has, never a measurement."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from .errors import ParameterError

_alone = threading.RLock()

# A cautious choice: bfloat16 pays from 16x16 on, if less (benchmarks/precision.py), but what it does to scores has been
# looked at on larger pictures only.
LEAST_PIXELS_FOR_BF16 = 32 * 32


def device(name: str) -> torch.device:
    """The device called `name`; "auto" is a CUDA GPU if there is one. Raises `ParameterError` where it is not."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(name)
        torch.empty(1, device=chosen).item()
    # An unknown name raises the first, a build without CUDA the second, a backend that is not there the third.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ParameterError(f"device={name!r}: not on this machine; use auto or cpu") from error
    return chosen


@contextmanager
def sealed() -> Iterator[None]:
    """Compute as if nothing had been set: torch's global generators are given back as they were found, convolutions on
    a GPU are deterministic and truly float32, and neither a caller's autocast, default type nor no_grad reaches inside.
    Denormal numbers, which losses near zero make and which are slow on a CPU, count as zero.

    The generators and the default type belong to the whole process, so threads wait for each other here.
    """
    with _alone:
        default, flushed = torch.get_default_dtype(), _flushes_denormals()
        torch.set_default_dtype(torch.float32)
        torch.set_flush_denormal(True)  # of this thread, and of those that torch starts from now on
        try:
            with (
                torch.random.fork_rng(devices=range(torch.cuda.device_count())),  # manual_seed seeds every one of them
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
    """Compute scores as `sealed` computes, but without a lock: what is set concerns this thread alone, and scoring uses
    no generator. No gradients. A GPU's settings and a default type that is not float32 belong to the whole process;
    there it is `sealed` after all."""
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
    """Whether this thread takes numbers near zero, with which a processor is slow, for zero."""
    return float(torch.tensor(1e-310, dtype=torch.float64) * 1.0) == 0.0


def seed(number: int, device: torch.device) -> None:
    """Seed torch's global generator, as `torch.manual_seed` does; that also takes a stack trace for every kind of
    accelerator, which a small network's update feels."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(number)
    else:
        torch.manual_seed(number)


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """The context in which convolutions and matrix products are of this type."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


def precision(name: str, device: torch.device, shape: Sequence[int]) -> torch.dtype:
    """The type of convolutions and matrix products in training.

    "auto" is bfloat16 for pictures of at least 32x32 pixels where the processor multiplies bfloat16 natively (AVX-512
    BF16 on a CPU, or a CUDA GPU that supports it), and float32 everywhere else: tables, small pictures, other machines.
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
    """The networks on `device`, convolutions in channels-last order (faster on CPUs and GPUs alike)."""
    return net.to(device=device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
