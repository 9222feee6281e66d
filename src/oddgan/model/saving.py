"""A fitted detector as a model file, and back. What is in the file, and how it is guarded: `oddgan.artifact`."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import sklearn
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .. import __version__, machine, preprocessing
from ..errors import ArtifactError, ParameterError
from ..kit.recipe import Recipe
from ..parameters import declared, plain
from ..preprocessing.tables import TablePreprocessor
from ..training import History
from ..verdict.calibration import Calibration
from ..verdict.neighbours import Neighbourhood
from . import archive as artifact


class Saveable(Recipe):
    """The part of a detector that is saved: parameters, networks, preprocessing, calibration, history."""

    net_: nn.ModuleDict
    preprocessor_: preprocessing.Preprocessor
    calibration_: Calibration
    tuning_: dict[str, tuple[float, float]]
    neighbourhood_: Neighbourhood | None
    history_: History
    training_: dict[str, Any]
    trained_on_: np.ndarray
    threshold_: float
    offset_: float
    false_alarm_rate_: float
    n_calibrate_: int
    fitted_parameters_: dict[str, Any]  # a later set_params waits for the next fit
    n_features_in_: int
    feature_names_in_: np.ndarray

    registry: ClassVar[dict[str, type["Saveable"]]] = {}
    """Every detector class by name: what a model file may name."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Saveable.registry[cls.__name__] = cls

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and deep copies: networks as their numbers, for spectrally normalised ones refuse otherwise."""
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]  # scikit-learn's
        return {**state, "net_": self.net_.state_dict()} if "net_" in state else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        if "net_" in state:
            self.net_ = machine.place(self._built(state["net_"]), machine.device(self.device))

    def __copy__(self) -> Self:
        """A copy that shares the networks."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def _built(self, numbers: Mapping[str, torch.Tensor]) -> nn.ModuleDict:
        """The networks that the detector was fitted with, holding these numbers."""
        with machine.sealed():
            net = nn.ModuleDict(self._as_fitted.build(self.preprocessor_.shape))
        net.load_state_dict(numbers)
        return net.eval().requires_grad_(False)

    def _freeze_parameters(self) -> None:
        given = {name: plain(getattr(self, name)) for name in declared(type(self))}
        if not isinstance(given["random_state"], int | None):
            given["random_state"] = self.training_["seed"]  # a generator is gone; what it gave is known
        self.fitted_parameters_ = given

    @property
    def _as_fitted(self) -> Self:
        """A detector with the parameters that this one was fitted with, whatever `set_params` has said since."""
        return type(self)(**self.fitted_parameters_)

    def _calibrated(self, calibration: Calibration) -> None:
        self.calibration_ = calibration
        self.threshold_, self.offset_ = calibration.threshold, -calibration.threshold
        self.false_alarm_rate_, self.n_calibrate_ = calibration.rate, len(calibration.scores)

    def info(self) -> dict[str, Any]:
        """What the model is, as a model file's manifest says it: JSON-able."""
        check_is_fitted(self, "threshold_")
        return {
            "oddgan": __version__,
            "detector": type(self).__name__,
            "parameters": self.fitted_parameters_,
            "preprocessing": self.preprocessor_.to_manifest()[0],
            "calibration": self.calibration_.to_manifest()[0],
            "tuning": self.tuning_,
            "neighbourhood": self.neighbourhood_.to_manifest()[0] if self.neighbourhood_ else None,
            "training": self.training_,
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "scikit-learn": sklearn.__version__,
            },
        }

    def save(self, path: str | Path) -> None:
        """Write the model file `path`, whole or not at all (see `oddgan.artifact`). Raises `OutputError`."""
        manifest = {
            **self.info(),
            "history": self.history_,
        }
        arrays = {f"net.{name}": value.cpu().numpy() for name, value in self.net_.state_dict().items()}
        owners = {
            "preprocessing": self.preprocessor_,
            "calibration": self.calibration_,
            "neighbourhood": self.neighbourhood_,
        }
        for part, owner in owners.items():
            if owner is not None:
                arrays.update({f"{part}.{name}": value for name, value in owner.to_manifest()[1].items()})
        arrays["training.rows"] = self.trained_on_
        artifact.write(path, manifest, arrays)

    @classmethod
    def from_manifest(cls, manifest: dict[str, Any], arrays: dict[str, np.ndarray], device: str | None = None) -> Self:
        """The detector that a model file describes. Raises `ArtifactError` when its parts do not agree."""
        try:
            detector = cls(**_as_declared(cls, manifest["parameters"]))
            detector.check_parameters()
            part = {
                name: {k.removeprefix(f"{name}."): v for k, v in arrays.items() if k.startswith(f"{name}.")}
                for name in ("net", "preprocessing", "calibration", "neighbourhood", "training")
            }
            if strangers := [name for name in arrays if name.split(".")[0] not in part]:
                raise ArtifactError(f"its parts do not agree: the array {strangers[0]} belongs to none")
            detector.preprocessor_ = preprocessing.from_manifest(manifest["preprocessing"], part["preprocessing"])
            if isinstance(detector.preprocessor_, TablePreprocessor):
                detector.n_features_in_ = len(detector.preprocessor_.kinds)
                if detector.preprocessor_.columns is not None:
                    detector.feature_names_in_ = np.array(detector.preprocessor_.columns, dtype=object)
            detector.history_, detector.training_ = manifest["history"], manifest["training"]
            detector.trained_on_ = part["training"]["rows"]
            detector._freeze_parameters()
            detector.tuning_ = {name: (float(a), float(b)) for name, (a, b) in manifest["tuning"].items()}
            known = manifest.get("neighbourhood")  # unknown to the first files
            detector.neighbourhood_ = Neighbourhood.from_manifest(known, part["neighbourhood"]) if known else None
            detector._calibrated(Calibration.from_manifest(manifest["calibration"], part["calibration"]))
            net = detector._built({name: torch.from_numpy(value) for name, value in part["net"].items()})
        except (KeyError, TypeError, AttributeError, IndexError, RuntimeError, ParameterError) as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ArtifactError(f"its parts do not agree: {reason}") from error
        if device is not None:
            detector.device = device
        detector.net_ = machine.place(net, machine.device(detector.device))
        return detector


def _as_declared(cls: type[Saveable], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON holds them, with lists made tuples again. Raises `ArtifactError` for an unknown one."""
    unknown = parameters.keys() - declared(cls).keys()
    if unknown:
        raise ArtifactError(f"unknown parameter {min(unknown)} of {cls.__name__}: written by another release?")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in parameters.items()}
