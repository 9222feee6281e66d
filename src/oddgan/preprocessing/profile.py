"""What training rows looked like, so that new rows that look otherwise can be named: `learn` at the fit, `Watch` later.

A finding takes two things: a test between training rows and new ones that exchangeable rows fail with a probability of
at most `LEVEL` over *all* that is tested (Bonferroni), whatever their distribution; and a difference that matters and
that many of the new rows share. So a few anomalies among them are no finding.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ..errors import ArtifactError
from ..rows import Rows
from ..verdict.uniformity import Finding, Sample
from .parts import Preprocessor
from .picture_profile import PictureProfile
from .pictures import PicturePreprocessor
from .prepared import spread
from .profile_tests import LEAST
from .table_profile import TableProfile
from .tables import TablePreprocessor

MOST = 1_000  # new rows that are compared with training rows, drawn from all of them
__all__ = ["Profile", "Watch", "from_manifest", "learn"]


class Profile(Protocol):
    """What rows of one kind looked like in training."""

    def measured(self, rows: Any, numbers: np.ndarray, words: dict[float, str]) -> np.ndarray:
        """What is compared of the rows with these numbers (m,), (m, w) float64; `words`: gets texts for messages."""

    def differences(self, measured: np.ndarray, words: Mapping[float, str]) -> list[Finding]:
        """How new rows, as `measured` (m, w), differ from training rows."""

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""


def learn(rows: Rows, train: np.ndarray, preprocessor: Preprocessor) -> Profile:
    """What the training rows `train` (m,) of `rows` look like; of many pictures some, evenly spaced, which are read."""
    if isinstance(preprocessor, TablePreprocessor):
        return TableProfile.learn(rows, train, preprocessor)  # type: ignore[arg-type]
    assert isinstance(preprocessor, PicturePreprocessor)
    return PictureProfile.learn(rows, train[spread(len(train), PictureProfile.MOST)], preprocessor)  # type: ignore[arg-type]


def from_manifest(facts: dict[str, Any], arrays: dict[str, np.ndarray], preprocessor: Preprocessor) -> Profile:
    """The profile that a model file describes. Raises `ArtifactError`."""
    if facts.get("kind") != preprocessor.kind:
        raise ArtifactError("the profile of training rows and the model take different kinds of rows")
    if isinstance(preprocessor, TablePreprocessor):
        return TableProfile.from_manifest(facts, arrays, preprocessor)
    assert isinstance(preprocessor, PicturePreprocessor)
    return PictureProfile.from_manifest(facts, arrays, preprocessor)


class Watch:
    """New rows, some at a time, of which at most `MOST` are kept; then how they differ. `profile`: None, of a model of
    an older release: nothing is found."""

    def __init__(self, profile: Profile | None) -> None:
        self.profile, self._sample = profile, Sample(MOST)
        self._words: dict[float, str] = {}

    def add(self, rows: Any, which: np.ndarray | None = None) -> None:
        """Look at the rows with the numbers `which` (m,), or at all."""
        if self.profile is None:
            return
        which = np.arange(len(rows)) if which is None else np.asarray(which)
        if len(which):
            wanted = which[self._sample.chosen(len(which))]
            self._sample.put(self.profile.measured(rows, wanted, self._words))

    def findings(self) -> list[Finding]:
        """How the rows differ from training rows; nothing of a few rows."""
        if self.profile is None or len(self._sample.values) < LEAST:
            return []
        return self.profile.differences(self._sample.values, self._words)
