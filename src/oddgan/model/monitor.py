"""The state of a stream of rows in a file, over runs of a program: `oddgan.verdict.drift` is what it holds.

The file is replaced whole, under a lock beside it (`.NAME.lock`), so runs at the same time all count, and a run that is
killed leaves what was there before. It belongs to one model and its calibration.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock

from ..errors import ArtifactError, OutputError
from ..files import whole_file
from ..verdict.drift import FORMAT, LEVEL, Martingale
from ..verdict.uniformity import Finding
from .drift import changed, fingerprint
from .judge import Judge

VERSION = 1
POLL = 0.01  # seconds between attempts to take the lock


@dataclass(frozen=True)
class Monitor:
    """`stream`: the martingale. `model`: the fingerprint of the model that it belongs to. `flagged`: how many rows were
    anomalies. `updates`: how often the state was added to; `begun`, `updated`, `alarmed`: when, as ISO 8601 has it."""

    stream: Martingale
    model: str
    flagged: int = 0
    updates: int = 0
    begun: str = ""
    updated: str = ""
    alarmed: str | None = None

    @classmethod
    def of(cls, path: str | Path, model: Judge, *, level: float = LEVEL) -> Self:
        """The state in a file, or a new one where there is no file. Raises `ArtifactError` where it is damaged, or
        belongs to another model or calibration."""
        if not Path(path).exists():
            return cls(Martingale.begin(model.calibration.scores, level=level), fingerprint(model))
        found = cls.read(path)
        if found.model != fingerprint(model):
            raise ArtifactError(
                f"{path}: is the state of another model, or of another calibration; choose another file"
            )
        return found

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The state in a file. Raises `ArtifactError`."""
        try:
            state: Any = json.loads(Path(path).read_text("utf-8"))
            if not isinstance(state, dict) or state.get("format") != FORMAT:
                raise ArtifactError("is no state that oddgan score --monitor wrote")
            if state.get("format_version") != VERSION:
                raise ArtifactError(f"has format {state.get('format_version')!r:.20}, which this oddgan does not read")
            words = {name: state[name] for name in ("model", "begun", "updated")}
            counts = {name: state[name] for name in ("flagged", "updates")}
            alarmed = state["alarmed"]
            right = all(isinstance(one, str) for one in words.values()) and isinstance(alarmed, str | None)
            if not right or not all(type(one) is int and one >= 0 for one in counts.values()):
                raise ArtifactError("does not add up")
            return cls(Martingale.from_json(state["stream"]), **words, **counts, alarmed=alarmed)
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}; begin a new one") from error
        except OSError as error:
            raise ArtifactError(f"{path}: cannot be read ({error.strerror or error})") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ArtifactError(f"{path}: damaged or no state of a stream; begin a new one") from error

    def after(self, scores: np.ndarray, model: Judge) -> Self:
        """The state after these scores (m,) of new rows, in their order; NaN is left out."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        stream = self.stream.after(scores, model.calibration.scores)
        return replace(
            self,
            stream=stream,
            flagged=self.flagged + int((scores > model.calibration.threshold).sum()),
            updates=self.updates + 1,
            begun=self.begun or now,
            updated=now,
            alarmed=self.alarmed or (now if stream.alarm is not None else None),
        )

    @property
    def finding(self) -> Finding | None:
        """What the alarm says, None where there was none."""
        if self.stream.alarm is None:
            return None
        found = changed(self.stream)
        return replace(found, message=f"since {self.alarmed}: {found.message}")

    def describe(self) -> str:
        """One line for a user."""
        stream, n = self.stream, self.stream.rows
        alarm = "no alarm" if stream.alarm is None else f"alarm since row {stream.alarm:,} ({self.alarmed})"
        return (
            f"{n:,} row{'s' * (n != 1)}, {self.flagged:,} of them anomalies; martingale {stream.value:.3g}, highest "
            f"{stream.highest:.3g}: {alarm}"
        )

    def to_json(self) -> dict[str, Any]:
        """As the file has it."""
        own = {name: getattr(self, name) for name in ("model", "updates", "flagged", "begun", "updated", "alarmed")}
        return {"format": FORMAT, "format_version": VERSION, **own, "stream": self.stream.to_json()}


def update(path: str | Path, model: Judge, scores: np.ndarray) -> Monitor:
    """Add the scores (m,) of new rows to the state in a file, which is made where there is none. Other runs wait
    meanwhile. Raises what `Monitor.of` does, and `OutputError`."""
    path = Path(path).absolute()
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock).acquire(poll_interval=POLL):
            found = Monitor.of(path, model).after(scores, model)
            text = json.dumps(found.to_json(), indent=1)
            with whole_file(path) as file:
                file.write(text.encode())
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from error
    return found
