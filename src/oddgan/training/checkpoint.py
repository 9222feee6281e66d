"""Checkpoints of a training run: written atomically, and read without executing code from the file."""

import hashlib
import io
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import ArtifactError
from ..files import whole_file


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
        for name in sorted(identity.keys() | self.identity.keys()):
            theirs, mine = identity.get(name), self.identity.get(name)
            if theirs != mine:
                raise ArtifactError(
                    f"{self.path}: belongs to another run ({name} was {theirs}, now {mine}); "
                    "delete it to start again, or train with the same settings to resume"
                )
        return dict(content["state"])

    @staticmethod
    def identity_in(path: str | Path) -> dict[str, Any] | None:
        """The identity of the run that wrote the checkpoint at `path`, or None if there is no file."""
        content = _content(Path(path))
        return None if content is None else dict(content["identity"])

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


def _content(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        data = path.read_bytes()
        if hashlib.sha256(data[32:]).digest() != data[:32]:
            raise ValueError("checksum")
        content = torch.load(io.BytesIO(data[32:]), map_location="cpu", weights_only=True)
        return {"identity": content["identity"], "state": content["state"]}
    except (RuntimeError, EOFError, KeyError, TypeError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise ArtifactError(f"{path}: not an oddgan checkpoint, or damaged; delete it to start again") from error
