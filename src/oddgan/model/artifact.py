"""A model as a file, and back. How the file is guarded: `oddgan.model.archive`."""

import platform
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np
import sklearn
import torch
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from .. import __version__, machine, preprocessing
from ..errors import ArtifactError, MissingExtra
from ..kit.recipe import AUTO, Recipe
from ..networks.layers import feature_maps
from ..parameters import declared
from ..preprocessing import profile
from ..verdict import MAP_TERMS, Calibration, Combination, Kept, MapScale, Reference, Views
from ..verdict.patches import PatchMemory
from ..verdict.views import OWN
from . import archive
from .model import Model, built
from .scored_by import MAP, score_terms
from .terms import compared_in

SPARE = 4  # times as many numbers may be built as a file holds: a parametrisation registers its weights anew
LARGEST = float(np.finfo(np.float32).max)
PARTS = ("net", "preprocessing", "calibration", "neighbourhood", "maps", "profile", "training")
"""What the arrays of a model file belong to; "neighbourhood" is what format 1 calls the reference rows."""


def info(model: Model) -> dict[str, Any]:
    """What the model is, as the manifest of its file has it: JSON-able."""
    reference = model.combination.reference
    return {
        "oddgan": __version__,
        "detector": type(model.recipe).__name__,
        "parameters": model.recipe.parameters,
        "preprocessing": model.preprocessor.to_manifest()[0],
        "score": list(model.combination.names),
        "calibration": model.calibration.to_manifest()[0],
        "tuning": dict(model.combination.tuning),
        "neighbourhood": reference.to_manifest()[0] if reference else None,
        "maps": model.map_scale.to_manifest()[0] if model.map_scale else None,
        "profile": model.profile.to_manifest()[0] if model.profile else None,
        "training": dict(model.facts),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """What a model was made with."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }


def write(path: str | Path, model: Model) -> None:
    """Write the model file `path`, whole or not at all. One model gives one file, byte for byte. Raises
    `OutputError`."""
    archive.write(path, {**info(model), "history": model.history}, arrays_of(model))


def arrays_of(model: Model) -> dict[str, np.ndarray]:
    """The arrays of its file, by name."""
    arrays = {f"net.{name}": value.cpu().numpy() for name, value in model.net.state_dict().items()}
    owners: dict[str, Any] = {
        "preprocessing": model.preprocessor,
        "calibration": model.calibration,
        "neighbourhood": model.combination.reference,
        "maps": model.map_scale,
        "profile": model.profile,
    }
    for part, owner in owners.items():
        if owner is not None:
            arrays.update({f"{part}.{name}": value for name, value in owner.to_manifest()[1].items()})
    arrays["training.rows"] = model.trained_on
    return arrays


def model_from(
    cls: type[Recipe], manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray], device: str | None = None
) -> Model:
    """The model of a detector `cls` that a file describes, on `device` or on the one that it was fitted for. Raises
    `ArtifactError` when its parts do not agree."""
    try:
        model = _assembled(cls, manifest, arrays, {} if device is None else {"device": device})
    except (ArtifactError, MissingExtra):
        raise
    except Exception as error:  # of a forged file any value may be of any type; what fails where cannot be listed
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ArtifactError(f"its parts do not agree: {reason}") from error
    machine.place(model.net, machine.device(model.recipe.device))
    return model


def _assembled(
    cls: type[Recipe], manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray], changes: Mapping[str, Any]
) -> Model:
    """The model on the CPU."""
    recipe = cls(**_as_declared(cls, manifest["parameters"])).fixed(**changes)
    part = {
        name: {k.removeprefix(f"{name}."): v for k, v in arrays.items() if k.startswith(f"{name}.")} for name in PARTS
    }
    if unknown := [name for name in arrays if name.split(".")[0] not in part]:
        raise ArtifactError(f"its parts do not agree: the array {unknown[0]} belongs to none")
    preprocessor = preprocessing.from_manifest(manifest["preprocessing"], part["preprocessing"])
    known = manifest.get("neighbourhood")  # unknown to the first files
    reference = _reference(recipe.local, known, part["neighbourhood"]) if known else None
    names = _names(recipe, manifest["score"]) if "score" in manifest else score_terms(recipe)
    combination = Combination.from_manifest(recipe.local, names, manifest["tuning"], reference)
    scaled = manifest.get("maps")  # unknown to older files
    map_scale = MapScale.from_manifest(scaled, part["maps"]) if scaled else None
    if combination.by_map and map_scale is None:
        raise ArtifactError("the score is pooled from anomaly maps, and their scale is missing")
    looks = manifest.get("profile")  # unknown to older files
    numbers = {name: torch.from_numpy(value) for name, value in part["net"].items()}
    with _no_larger_than(numbers):
        net = built(recipe, preprocessor.shape, numbers)
    _check_numbers(net, numbers)
    if reference is not None:
        _check_reference(recipe, net, preprocessor.shape, reference)
    return Model(
        recipe=recipe,
        net=net,
        preprocessor=preprocessor,
        combination=combination,
        calibration=Calibration.from_manifest(manifest["calibration"], part["calibration"]),
        map_scale=map_scale,
        history=_history(manifest["history"]),
        facts=facts_of(manifest["training"]),
        trained_on=_fingerprints(part["training"]["rows"]),
        profile=profile.from_manifest(looks, part["profile"], preprocessor) if looks else None,
    )


def _as_declared(cls: type[Recipe], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON holds them, with lists made tuples again. Raises `ArtifactError` for an unknown one."""
    unknown = parameters.keys() - declared(cls).keys()
    if unknown:
        raise ArtifactError(f"unknown parameter {min(unknown)} of {cls.__name__}: written by another release?")
    result = {name: tuple(value) if isinstance(value, list) else value for name, value in parameters.items()}
    for name, value in result.items():
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and abs(number) > LARGEST:
                raise ArtifactError(f"parameter {name}={number!r:.40}: is beyond what networks compute with")
    return result


@contextmanager
def _no_larger_than(numbers: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Raise `ArtifactError` where the block builds networks much larger than these numbers: a small file may name any
    width. A layer's weights take no memory until they are drawn, which comes after they are registered."""
    most = SPARE * (sum(value.numel() for value in numbers.values()) + 1_000)
    thread, held = threading.get_ident(), 0

    def count(module: torch.nn.Module, name: str, value: torch.Tensor | None) -> None:
        nonlocal held
        if value is not None and threading.get_ident() == thread and not torch.nn.parameter.is_lazy(value):
            held += value.numel()
            if held > most:
                raise ArtifactError(
                    f"its parts do not agree: the parameters ask for a {name} {list(value.shape)} of "
                    f"{type(module).__name__}, and the file holds far fewer numbers"
                )

    hooks = [register_module_parameter_registration_hook(count), register_module_buffer_registration_hook(count)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _check_numbers(net: torch.nn.Module, numbers: Mapping[str, torch.Tensor]) -> None:
    """Raise `ArtifactError` where the networks' numbers have the wrong type or are not finite."""
    for name, value in net.state_dict().items():
        if numbers[name].dtype != value.dtype:
            raise ArtifactError(f"the weights {name} are of type {numbers[name].dtype}, not {value.dtype}")
        # A sum is several times faster, and finite only where all numbers are; it may overflow where they are.
        if value.is_floating_point() and not value.sum().isfinite() and not value.isfinite().all():
            raise ArtifactError(f"the weights {name} are not finite numbers; train the model again")


def _names(recipe: Recipe, names: Sequence[str]) -> tuple[str, ...]:
    """The terms that the score is made of, if they are what `score_by` may stand for."""
    possible = {score_terms(recipe), (MAP,)} if recipe.score_by == AUTO else {score_terms(recipe)}
    if tuple(names) not in possible:
        raise ArtifactError(f"the score is made of {', '.join(names)}, and score_by is {recipe.score_by}")
    return tuple(names)


def _reference(local: str, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Kept:
    """The training rows or patches that new ones are compared with."""
    if local == "views":
        return Views.from_manifest(facts, arrays)
    return PatchMemory.from_manifest(facts, arrays) if local == "patches" else Reference.from_manifest(facts, arrays)


def _check_reference(recipe: Recipe, net: Any, shape: tuple[int, ...], reference: Kept) -> None:
    """Raise `ArtifactError` where rows cannot be compared with the reference rows: they have other features, or lack a
    term."""
    x = torch.zeros(1, *shape)
    with machine.scoring(torch.device("cpu")):
        embeddings = feature_maps(net, x) if recipe.local == "patches" else compared_in(recipe, net, x)
    if isinstance(reference, PatchMemory):
        widths, kept = [sum(maps.shape[1] for maps in embeddings)], [reference.vectors.shape[1]]
    else:
        widths = [embedding.flatten(1).shape[1] for embedding in embeddings]
        kept = [embedding.vectors.shape[1] for embedding in reference.embeddings]
    if isinstance(reference, Views):
        kept = [kept[0], *kept[OWN:]]
    if widths != kept:
        raise ArtifactError(f"the reference rows have {kept} features, and the networks give {widths}")
    terms = set(get_args(declared(type(recipe))["score_by"].type)) - {AUTO, "combined", *MAP_TERMS}
    if isinstance(reference, Reference) and recipe.local == "ratio" and (missing := terms - reference.terms.keys()):
        raise ArtifactError(f"the reference rows lack the term {min(missing)}")


def _history(history: Any) -> dict[str, list[Any]]:
    """The manifest's history, if it is columns of equal length."""
    columns = list(history.values())
    if not all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
        raise ArtifactError("the history is not columns of equal length")
    for name, column in history.items():
        kind = str if name == "stage" else int | float | None
        if not all(isinstance(value, kind) for value in column):
            raise ArtifactError(f"the history of {name} holds something else than its values")
    return dict(history)


def facts_of(facts: Any) -> dict[str, Any]:
    """The manifest's facts about the training, if what is shown of them has its type. Raises `ArtifactError`."""
    updates, warnings = facts.get("updates", {}), facts.get("warnings", [])
    if (
        not isinstance(facts["rows"], int)
        or not all(isinstance(count, int) for count in updates.values())
        or not all(isinstance(facts.get(name, ""), str) for name in ("device", "precision"))
        or not all(isinstance(one["message"], str) and isinstance(one["code"], str) for one in warnings)
    ):
        raise ArtifactError("the facts about the training are not what a training writes")
    return dict(facts)


def _fingerprints(rows: np.ndarray) -> np.ndarray:
    """The training rows' fingerprints, if they are such."""
    if rows.ndim != 1 or rows.dtype != np.uint64:
        raise ArtifactError("the fingerprints of training rows are not a list of them")
    return rows
