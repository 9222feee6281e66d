"""Checkpoints of a training run: written atomically, and read without executing code from the file."""

import hashlib
import io
import math
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import ArtifactError
from ..files import whole_file

TUNED_ON = "checksum of tuning rows"
LATER = (TUNED_ON,)  # of an identity: what files of older releases lack, which still go on


class Checkpoint:
    """A file with everything needed to resume a run: weights, optimisers, averages, position and history, preceded by
    their SHA-256.

    Parameters
    ----------
    path : str or Path
        The file.
    identity : dict
        What identifies the run (detector, parameters, data): JSON values by name. The file of a run with another
        identity is refused, with a message that names the difference.
    every_seconds : float
        Time between two writes; 0 writes after every update.
    """

    def __init__(self, path: str | Path, identity: dict[str, Any], every_seconds: float = 60.0) -> None:
        self.path = Path(path)
        self.identity = identity
        self.every_seconds = every_seconds
        self._written = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to write again."""
        return time.monotonic() - self._written >= self.every_seconds

    def write(self, state: dict[str, Any]) -> None:
        """Replace the file atomically by `state`. Raises `OutputError` if it cannot be written."""
        content = io.BytesIO()  # not the file itself: torch would raise its own error for a full disk
        torch.save({"identity": self.identity, "state": state}, content)
        with whole_file(self.path) as file:
            file.write(hashlib.sha256(content.getbuffer()).digest())
            file.write(content.getbuffer())
        self._written = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """The state that was written, or None if there is no file. Raises `ArtifactError` for any other file."""
        content = _content(self.path)
        if content is None:
            return None
        identity = content["identity"]
        differing = [
            f"{name} was {_short(identity.get(name))}, now {_short(self.identity.get(name))}"
            for name in sorted(identity.keys() | self.identity.keys())
            if identity.get(name) != self.identity.get(name) and (name in identity or name not in LATER)
        ]
        if differing:
            raise ArtifactError(
                f"{self.path}: belongs to another run ({'; '.join(differing)}); train with the same settings to resume "
                "it, or start again: with --fresh on the command line, else delete the file"
            )
        state: dict[str, Any] = content["state"]
        return state

    @staticmethod
    def identity_in(path: str | Path) -> dict[str, Any] | None:
        """The identity of the run that wrote the checkpoint at `path`, or None if there is no file."""
        content = _content(Path(path))
        return None if content is None else dict(content["identity"])

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Raise `ArtifactError` in place of any error of a block that continues from what was read: a state that does
        not fit the networks."""
        try:
            yield
        except Exception as error:  # torch's, of whatever kind
            raise ArtifactError(f"{self.path}: does not fit the networks; delete it to start again") from error

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def seed_of(random_state: Any, checkpoint: str | Path | None) -> int:
    """The seed of a run from a scikit-learn `random_state`; None draws one without NumPy's global generator. A resumed
    run keeps the seed in its checkpoint."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    begun = Checkpoint.identity_in(checkpoint) if checkpoint else None
    if begun is not None:
        return int(begun.get("seed", 0))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    return int(np.random.SeedSequence().generate_state(1)[0])


def _short(value: Any) -> str:
    """A value of an identity as messages have it."""
    text = "none" if value is None else " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _content(path: Path) -> dict[str, Any] | None:
    """The identity and the state in a checkpoint, None where there is no file. Raises `ArtifactError`."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:  # never written, or finished and removed meanwhile
        return None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror or error}); choose another checkpoint") from error
    try:
        return _checked(data)
    except Exception as error:  # torch does not say what it raises for which damage
        raise ArtifactError(f"{path}: not an oddgan checkpoint, or damaged; delete it to start again") from error


def _checked(data: bytes) -> dict[str, Any]:
    """The content of a checkpoint, if it has the form of a `StageRun.state`; else any error."""
    view = memoryview(data)
    if hashlib.sha256(view[32:]).digest() != data[:32]:
        raise ValueError("checksum")
    with zipfile.ZipFile(io.BytesIO(view[32:])) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("compressed")  # may be of any size when it is not
    content = torch.load(io.BytesIO(view[32:]), map_location="cpu", weights_only=True)
    identity, state = content["identity"], content["state"]
    net, sums, history = state["net"], state["sums"], state["history"]
    counts = [state[name] for name in ("stage", "update", "drawn", "since")]
    columns = list(history.values())
    if not (
        all(isinstance(name, str) for name in identity)
        and all(type(count) is int and count >= 0 for count in counts)
        and isinstance(state["ended"], bool)
        and 0 <= state["seconds"] < math.inf
        and all(isinstance(value, torch.Tensor) for value in [*net.values(), *state["averages"]])
        and all(isinstance(total, torch.Tensor) and total.shape == (2,) for total in sums.values())
        and all(total.is_floating_point() for total in sums.values())
        and {"stage", "epoch", "update"} <= history.keys()
        and all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns)
        and all(type(number) is int for name in ("epoch", "update") for number in history[name])
        and all(value is None or isinstance(value, str | int | float) for column in columns for value in column)
        and (state["since"] == state["update"] or (state["since"] < state["update"] and history["epoch"]))
        and isinstance(state["optimisers"], dict)
    ):
        raise ValueError("state")
    return {"identity": dict(identity), "state": dict(state)}
