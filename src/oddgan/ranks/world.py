"""The processes that train one model together, and what they tell each other.

Gradients are averaged between `backward` and `step`; whatever depends on the clock, on hooks or on a key that somebody
presses is decided by process 0. Every wait has a limit, and a process that dies ends the wait of all others at once.
"""

import hashlib
import pickle
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import DistributedError, OddganError, ParameterError, TrainingError

Value = TypeVar("Value")

PATIENCE = timedelta(minutes=10)
"""How long a process waits for the others within training."""

LONG = timedelta(days=2)
"""How long the others wait until process 0 has made the model of the trained networks. If it dies, they notice."""


class Signs(NamedTuple):
    """What process 0 has seen after an update: its clock, in seconds of the stage; why a hook ends the stage; whether
    the user has interrupted it; whether a checkpoint is due."""

    seconds: float
    stopped: str | None
    interrupted: bool
    due: bool


@dataclass(frozen=True)
class World:
    """Process `rank` of `size`. `groups`: those of `torch.distributed` in which it talks to the others, one for
    training and one for what takes process 0 long; none when it is over."""

    rank: int = 0
    size: int = 1
    groups: list[Any] = field(default_factory=list, repr=False, compare=False)

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes files, shows progress and decides."""
        return self.rank == 0

    @property
    def group(self) -> Any:
        """That for training; None: torch's default."""
        return self.groups[0] if self.groups else None

    # --- what is whose ----------------------------------------------------------------------------------------------

    def shard(self, numbers: np.ndarray) -> np.ndarray:
        """This process's share of the numbers of a batch's rows: equally many for each, in order. Raises
        `ParameterError` where they cannot be divided equally, since each process's mean has the same weight."""
        n = len(numbers)
        if n % self.size:
            fitting = n - n % self.size
            advice = f"set batch_size={fitting}" if fitting else f"use at most {n} processes"
            raise ParameterError(f"batches of {n} rows cannot be divided equally among {self.size} processes: {advice}")
        share = n // self.size
        return numbers[self.rank * share : (self.rank + 1) * share]

    # --- numbers ----------------------------------------------------------------------------------------------------

    def average(self, params: Iterable[Tensor], terms: Mapping[str, Tensor] | None = None) -> dict[str, Tensor] | None:
        """Replace each parameter's gradient by its mean over all processes, in one message, and return the means of
        loss terms (b,) or () over the rows of all of them. A single process has nothing to do, and gets None."""
        if self.size == 1:
            return None
        gradients = [p.grad for p in params if p.grad is not None]
        means = [value.detach().float().mean() for value in (terms or {}).values()]
        flat = torch.cat([value.reshape(-1) for value in (*gradients, *means)])
        self._all_reduce(flat)
        flat /= self.size
        pieces = torch.split(flat, [value.numel() for value in (*gradients, *means)])
        for gradient, piece in zip(gradients, pieces[: len(gradients)], strict=True):
            gradient.copy_(piece.view(gradient.shape))
        return dict(zip(terms or {}, (piece.view(()) for piece in pieces[len(gradients) :]), strict=True))

    def sum(self, value: Tensor) -> Tensor:
        """The sum of everybody's tensor, which all have in the same shape; a new tensor. Not differentiable."""
        total = value.detach().clone(memory_format=torch.contiguous_format)
        self._all_reduce(total)
        return total

    def stacked(self, value: Tensor) -> Tensor:
        """Everybody's tensor, which all have in the same shape (...): (size, ...). Not differentiable."""
        value = value.detach().contiguous()
        found = [torch.empty_like(value) for _ in range(self.size)]
        with _heard(self):
            torch.distributed.all_gather(found, value, group=self.group)
        return torch.stack(found)

    def _all_reduce(self, value: Tensor) -> None:
        with _heard(self):
            torch.distributed.all_reduce(value, group=self.group)

    # --- decisions --------------------------------------------------------------------------------------------------

    def signs(self, mine: Signs) -> Signs:
        """What process 0 has seen, in every process; why a hook ends a stage is known there alone."""
        if self.size == 1:
            return mine
        numbers = [mine.seconds, mine.stopped is not None, mine.interrupted, mine.due]
        sent = torch.tensor(numbers, dtype=torch.float64)
        self._broadcast(sent, self.group)
        if self.leads:
            return mine
        seconds, stopped, interrupted, due = sent.tolist()
        return Signs(seconds, "" if stopped else None, bool(interrupted), bool(due))

    def decided(self, find: Callable[[], Value], *, long: bool = False) -> Value:
        """What `find` gives in process 0, alone: every other one gets a copy. An error that it raises is raised by
        all. `long`: it may take hours."""
        if self.size == 1:
            return find()
        group = self.groups[1] if long else self.group
        found: Any = None
        error: Exception | None = None
        if self.leads:
            token = _world.set(SINGLE)
            try:
                found = find()
            except DistributedError:
                raise
            except Exception as raised:  # of whatever kind: the others must not wait
                error = raised
            finally:
                _world.reset(token)
            try:
                content = pickle.dumps((found, error and _sendable(error)))
            except Exception as unsent:
                raise DistributedError(f"the other processes cannot be sent what process 0 has found: {unsent}") from (
                    error or unsent
                )
            self._broadcast(torch.tensor(len(content)), group)
            self._broadcast(torch.frombuffer(bytearray(content), dtype=torch.uint8), group)
        else:
            length = torch.tensor(0)
            self._broadcast(length, group)
            sent = torch.empty(int(length), dtype=torch.uint8)
            self._broadcast(sent, group)
            found, error = pickle.loads(sent.numpy().tobytes())
        if error is not None:
            raise error
        return found  # type: ignore[no-any-return]

    def every(self, value: Value) -> list[Value]:
        """Everybody's value, by rank."""
        if self.size == 1:
            return [value]
        content = torch.frombuffer(bytearray(pickle.dumps(value)), dtype=torch.uint8)
        lengths = self.stacked(torch.tensor(len(content)))
        padded = torch.zeros(int(lengths.max()), dtype=torch.uint8)
        padded[: len(content)] = content
        found = self.stacked(padded)
        return [pickle.loads(one[: int(n)].numpy().tobytes()) for one, n in zip(found, lengths, strict=True)]

    def _broadcast(self, value: Tensor, group: Any) -> None:
        with _heard(self):
            torch.distributed.broadcast(value, group=group, group_src=0)

    # --- the same networks everywhere -------------------------------------------------------------------------------

    def copy_from_first(self, net: nn.Module) -> None:
        """Replace all weights and buffers by those of process 0."""
        if self.size > 1:
            with torch.no_grad():
                for value in net.state_dict().values():
                    sent = value.detach().contiguous()
                    self._broadcast(sent, self.group)
                    value.copy_(sent)

    def check_same(self, tensors: Iterable[Tensor], when: str) -> None:
        """Raise `DistributedError` unless these tensors are the same in every process, to the last bit."""
        if self.size == 1:
            return
        digest = hashlib.sha256()
        for value in tensors:
            digest.update(value.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        self._check_alike(
            digest.hexdigest(),
            f"{when}, the networks of processes {{}} differ: run all on machines of one kind, with "
            "the same versions, and see that a step of the detector draws and decides alike in all of them",
        )

    def check_run(self, identity: Mapping[str, Any]) -> None:
        """Raise `ParameterError` unless every process was given the same run."""
        if self.size > 1:  # what each did alone, as reading its rows, may take one of them longer
            with _heard(self):
                torch.distributed.barrier(group=self.groups[1])
        others = self.every(dict(identity))
        for rank, other in enumerate(others):
            if differing := [name for name, value in others[0].items() if other.get(name) != value]:
                raise ParameterError(
                    f"process {rank} was given another {' and another '.join(differing)} than process 0: give all "
                    "processes the same rows and parameters"
                )

    def _check_alike(self, value: str, message: str) -> None:
        found = self.every(value)
        if others := [rank for rank, other in enumerate(found) if other != found[0]]:
            raise DistributedError(message.format(f"0 and {', '.join(map(str, others))}"))


SINGLE = World()
"""One process, as runs are without a `torch.distributed` group."""

_world: ContextVar[World] = ContextVar("world", default=SINGLE)


def current() -> World:
    """The processes that train together here: `SINGLE` outside of `joined`."""
    return _world.get()


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """In this block, all processes of torch's default group, if there are several, train one model together, in groups
    of their own; `device`: where they compute. Left by an error, it ends the wait of the others.

    Raises `ParameterError` where processes would share a GPU.
    """
    distributed = torch.distributed
    apart = not (distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1)
    if apart or current().size > 1:
        yield current()
        return
    if device.type not in ("cpu", "cuda"):
        raise ParameterError(f"device={device}: several processes train on cpu or cuda alone")
    if device.type == "cuda" and device.index is not None:
        raise ParameterError(f"device={device}: each process takes a GPU of its own; use cuda, and set_device in each")
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    size = distributed.get_world_size()
    world = World(distributed.get_rank(), size)
    groups = world.groups
    token = None
    try:
        with _heard(world):
            groups += [distributed.new_group(backend="gloo", timeout=LONG)]  # first: one may have read longer
            groups.insert(0, distributed.new_group(backend=backend, timeout=PATIENCE))
        token = _world.set(world)
        if device.type == "cuda":
            _check_gpus(world)
        yield world
    finally:
        if token is not None:
            _world.reset(token)
        while groups:  # an error that somebody keeps holds the world: its connections close when nobody has the group
            distributed.destroy_process_group(groups.pop())


def _check_gpus(world: World) -> None:
    """Raise `ParameterError` where two processes would compute on one GPU."""
    number = torch.cuda.current_device()
    places = world.every((socket.gethostname(), number, str(torch.cuda.get_device_properties(number).uuid)))
    for rank, place in enumerate(places):
        if (first := places.index(place)) < rank:
            raise ParameterError(
                f"processes {first} and {rank} are both on GPU {place[1]} of {place[0]}: in each process call "
                "torch.cuda.set_device(int(os.environ['LOCAL_RANK'])), and start no more of them than there are GPUs"
            )


@contextmanager
def _heard(world: World) -> Iterator[None]:
    """Raise `DistributedError` in place of what torch raises where the others cannot be reached."""
    try:
        yield
    except OddganError:
        raise
    except RuntimeError as error:
        raise DistributedError(
            f"process {world.rank} of {world.size} has lost another one, which has ended or was not heard of in time: "
            "the reason is what that one says"
        ) from error


def _sendable(error: Exception) -> Exception:
    """An error that other processes can raise: itself, or one with its words."""
    try:
        if str(pickle.loads(pickle.dumps(error))) == str(error):
            return error
    except Exception:  # of whatever kind: what it holds cannot be pickled
        pass
    return TrainingError(f"process 0: {type(error).__name__}: {error}")
