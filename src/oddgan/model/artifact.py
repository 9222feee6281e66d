"""A model as a file, and back. How the file is guarded: `oddgan.model.archive`."""

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch

from .. import __version__, machine, preprocessing
from ..errors import ArtifactError, ParameterError
from ..kit.recipe import Recipe
from ..parameters import declared
from ..verdict import Calibration, Combination, Reference
from . import archive
from .fitting import score_terms
from .model import Model, built

PARTS = ("net", "preprocessing", "calibration", "neighbourhood", "training")
"""What the arrays of a model file belong to; "neighbourhood" is what format 1 calls the reference rows."""


def info(model: Model) -> dict[str, Any]:
    """What the model is, as the manifest of its file has it: JSON-able."""
    reference = model.combination.reference
    return {
        "oddgan": __version__,
        "detector": type(model.recipe).__name__,
        "parameters": model.recipe.parameters,
        "preprocessing": model.preprocessor.to_manifest()[0],
        "calibration": model.calibration.to_manifest()[0],
        "tuning": dict(model.combination.tuning),
        "neighbourhood": reference.to_manifest()[0] if reference else None,
        "training": dict(model.facts),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }


def write(path: str | Path, model: Model) -> None:
    """Write the model file `path`, whole or not at all. One model gives one file, byte for byte. Raises
    `OutputError`."""
    arrays = {f"net.{name}": value.cpu().numpy() for name, value in model.net.state_dict().items()}
    owners: dict[str, Any] = {
        "preprocessing": model.preprocessor,
        "calibration": model.calibration,
        "neighbourhood": model.combination.reference,
    }
    for part, owner in owners.items():
        if owner is not None:
            arrays.update({f"{part}.{name}": value for name, value in owner.to_manifest()[1].items()})
    arrays["training.rows"] = model.trained_on
    archive.write(path, {**info(model), "history": model.history}, arrays)


def model_from(
    cls: type[Recipe], manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray], device: str | None = None
) -> Model:
    """The model of a detector `cls` that a file describes, on `device` or on the one that it was fitted for. Raises
    `ArtifactError` when its parts do not agree."""
    try:
        changes = {} if device is None else {"device": device}
        recipe = cls(**_as_declared(cls, manifest["parameters"])).fixed(**changes)
        part = {
            name: {k.removeprefix(f"{name}."): v for k, v in arrays.items() if k.startswith(f"{name}.")}
            for name in PARTS
        }
        if unknown := [name for name in arrays if name.split(".")[0] not in part]:
            raise ArtifactError(f"its parts do not agree: the array {unknown[0]} belongs to none")
        preprocessor = preprocessing.from_manifest(manifest["preprocessing"], part["preprocessing"])
        known = manifest.get("neighbourhood")  # unknown to the first files
        reference = Reference.from_manifest(known, part["neighbourhood"]) if known else None
        net = built(recipe, preprocessor.shape, {name: torch.from_numpy(v) for name, v in part["net"].items()})
        model = Model(
            recipe=recipe,
            net=net,
            preprocessor=preprocessor,
            combination=Combination.from_manifest(recipe.local, score_terms(recipe), manifest["tuning"], reference),
            calibration=Calibration.from_manifest(manifest["calibration"], part["calibration"]),
            history=manifest["history"],
            facts=manifest["training"],
            trained_on=part["training"]["rows"],
        )
    except (KeyError, TypeError, AttributeError, IndexError, RuntimeError, ParameterError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ArtifactError(f"its parts do not agree: {reason}") from error
    machine.place(net, machine.device(recipe.device))
    return model


def _as_declared(cls: type[Recipe], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON holds them, with lists made tuples again. Raises `ArtifactError` for an unknown one."""
    unknown = parameters.keys() - declared(cls).keys()
    if unknown:
        raise ArtifactError(f"unknown parameter {min(unknown)} of {cls.__name__}: written by another release?")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in parameters.items()}
