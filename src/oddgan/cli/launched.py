"""oddgan train in several processes, as torchrun starts them: `torchrun --nproc-per-node 2 -m oddgan train ...`.

Process 0 speaks and writes; the others train with it, are silent but for errors, and leave nothing behind.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import DistributedError, ParameterError
from . import terminal

NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""The variables by which torchrun, and any other launcher that torch knows, says who is who."""

ALONE = frozenset({"compare", "reproduce"})
"""Commands that add to a file which one process writes."""


def launched() -> bool:
    """Whether this process is one of several that a launcher has started."""
    return all(name in os.environ for name in NEEDED) and int(os.environ["WORLD_SIZE"]) > 1


def leads() -> bool:
    """Whether this process is the one that speaks and writes."""
    return not launched() or int(os.environ["RANK"]) == 0


def check(command: str) -> None:
    """Raise `ParameterError` where torchrun starts a command whose work several processes cannot share."""
    if "TORCHELASTIC_RUN_ID" in os.environ and launched() and command in ALONE:
        raise ParameterError(
            f"torchrun starts {os.environ['WORLD_SIZE']} processes, and each would do all of oddgan {command}: start "
            "it once, without torchrun"
        )


def restarted() -> bool:
    """Whether torchrun has started the processes again because one of them failed."""
    return launched() and _restarts() > 0


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def command() -> list[str]:
    """The words with which such a command begins, as far as they are known."""
    return ["torchrun", "...", "-m", "oddgan"] if launched() else ["oddgan"]


def meet() -> None:
    """Wait for all processes to come here."""
    if launched():
        import torch

        try:
            torch.distributed.barrier()
        except RuntimeError as error:
            raise DistributedError(
                f"process {os.environ['RANK']} has lost another one, which has ended: the reason is what that one says"
            ) from error


@contextmanager
def together(device: str | None) -> Iterator[None]:
    """In this block the processes that a launcher has started are a `torch.distributed` group; `device`: as detectors
    have it, None: auto. Raises `ParameterError` where there are more of them than GPUs."""
    if not launched():
        yield
        return
    import torch

    if torch.distributed.is_initialized():  # by a program that calls the command
        yield
        return
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    if int(os.environ.get("GROUP_WORLD_SIZE", "1")) > 1 and int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")):
        raise ParameterError(  # each machine counts its own restarts, so that they cannot agree which start this is
            "--max-restarts: is for the processes of one machine; leave it out, and start all again with --resume"
        )
    if not leads():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # at once: there is nothing to clean up, and it may be waiting
        terminal.quiet, terminal.speaker = True, f"process {os.environ['RANK']}: "
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for as long as the process lives
    if device in (None, "auto", "cuda") and torch.cuda.is_available():
        number, gpus = int(os.environ.get("LOCAL_RANK", os.environ["RANK"])), torch.cuda.device_count()
        if gpus == 1:  # a launcher may show each process the GPU that it is to take; a fit checks that they differ
            number = 0
        if number >= gpus:
            raise ParameterError(
                f"there are more processes than the {gpus} GPU{'s' if gpus > 1 else ''} of this machine: start "
                f"--nproc-per-node {gpus}, or give --device cpu"
            )
        torch.cuda.set_device(number)
    # For process 0 to be heard; a fit makes groups of its own, with NCCL for GPUs.
    try:
        store, rank, size = next(rendezvous("env://"))
    except torch.distributed.DistError as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        said = " ".join(str(error).split())[:200]
        raise DistributedError(f"the processes cannot meet at {place}: {said}; give another MASTER_PORT") from error
    store = PrefixStore(f"oddgan/{_restarts()}", store)  # which may hold what an earlier start left
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=size)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()
