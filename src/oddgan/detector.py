"""The base of all detectors. What they show is in `oddgan.face`; what they differ in is declared in their own files
(`oddgan.kit.recipe` says what).
"""

import copy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .face import Drift, Explanation, Face, watched
from .hooks import Hook
from .kit.neural import NeuralRecipe
from .kit.recipe import Recipe
from .model import Model, artifact, fitting
from .model.continuing import continued
from .model.holding_out import HeldOut
from .model.runs import Run
from .parameters import plain
from .rows import Rows

__all__ = ["Detector", "Drift", "Explanation", "Face", "NeuralDetector"]


class Detector(Recipe, Face):
    """Base of all detectors; what they show is documented at `Face`."""

    model_: Model

    def _fit_rows(self, rows: Rows, y: Any, *, held: HeldOut, run: Run) -> Model:
        return fitting.fit(self, rows, y, held=held, run=run)

    def continue_fit(
        self,
        X: Any,
        *,
        updates: int | None = None,
        epochs: int | None = None,
        minutes: float | None = None,
        lr: float | dict[str, float] | None = None,
        tune: Any = None,
        calibrate: Any = None,
        groups: Any = None,
        strata: Any = None,
        checkpoint: str | Path | None = None,
        checkpoint_seconds: float = 60.0,
        hooks: Iterable[Hook] = (),
        on_interrupt: Literal["keep", "raise"] | None = None,
        verbose: bool | int = False,
    ) -> Self:
        """The same networks, trained on; this detector stays as it is.

        Give the rows that it was trained on and new ones together, or it may forget the old ones
        (docs/howto/continuing.md says how much). Rows that it was trained on stay in training; the threshold is set
        anew by rows that are held out of the others. Preprocessing stays as it was fitted: what is beyond the range
        of the first training rows stays beyond it. Optimisers begin anew.

        X and all else: as for `fit`; `updates`, `epochs` or `minutes`: how much longer to train each stage; `lr`: None
        keeps the learning rate. Raises `ParameterError` for a detector that trains no networks and where no budget is
        given, `DataError` where all of X was trained on and nothing is given to calibrate with, and what `fit` raises.
        """
        rows = self._opened(X)
        budget = {"updates": updates, "epochs": epochs, "minutes": minutes, "lr": lr}
        changes = {name: plain(value) for name, value in budget.items() if value is not None}
        held = HeldOut(tune=tune, calibrate=calibrate, groups=groups, strata=strata)
        other = copy.copy(self)
        with watched(checkpoint, checkpoint_seconds, hooks, on_interrupt, verbose) as run:
            other.model_ = continued(self.model_, rows, changes=changes, given=held, run=run)
        return other

    def info(self) -> dict[str, Any]:
        """What the model is, as a model file's manifest has it: JSON-able."""
        check_is_fitted(self, "model_")
        return artifact.info(self.model_)

    def save(self, path: str | Path) -> None:
        """Write the model file `path`, whole or not at all (`oddgan.model.archive`). Raises `OutputError`."""
        check_is_fitted(self, "model_")
        artifact.write(path, self.model_)

    @classmethod
    def from_model(cls, model: Model) -> Self:
        """The fitted detector around a model."""
        detector = cls(**model.recipe.parameters)
        detector.model_ = model
        return detector

    @classmethod
    def from_file(
        cls, manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray], device: str | None = None
    ) -> Self:
        """The fitted detector that a model file describes, on `device` or on the one that it was fitted for. Raises
        `ArtifactError` when its parts do not agree."""
        return cls.from_model(artifact.model_from(cls, manifest, arrays, device))


class NeuralDetector(NeuralRecipe, Detector):
    """Base of the detectors whose networks are trained."""
