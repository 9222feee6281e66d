"""An ensemble as a file, and back: a model file (`oddgan.model.archive`) with the members' parts in it.

The manifest has what each member's own would have, in the list `members`; its arrays are called "members.0.NAME".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from .. import __version__
from ..errors import ArtifactError, MissingExtra, ParameterError
from ..kit import registry
from ..kit.recipe import Recipe
from ..verdict import Calibration
from . import archive, artifact
from .ensemble import EnsembleModel, Rule
from .ensemble_fitting import ranks
from .model import Model

CALLED: dict[Rule, str] = {"mean": "Ensemble", "folds": "CrossConformal"}
"""What files call ensembles of each rule: their classes in `oddgan.ensemble`."""

PARAMETERS: dict[Rule, set[str]] = {
    "mean": {"seeds", "random_state", "false_alarm_rate", "calibrate_fraction"},
    "folds": {"folds", "random_state", "false_alarm_rate"},
}
LONGEST_NAME = 100  # of a member


def info(model: EnsembleModel) -> dict[str, Any]:
    """What an ensemble is, as the manifest of its file has it: JSON-able."""
    members = [{"name": name, **artifact.info(member)} for name, member in model.members.items()]
    for one in members:
        del one["versions"], one["oddgan"]
    return {
        "oddgan": __version__,
        "detector": CALLED[model.rule],
        "parameters": dict(model.parameters),
        "members": members,
        "preprocessing": model.preprocessor.to_manifest()[0],
        "score": list(model.members),
        "calibration": model.calibration.to_manifest()[0],
        "maps": None if model.peaks is None else {"pictures": len(model.peaks)},
        "training": dict(model.facts),
        "versions": artifact.versions(),
    }


def write(path: str | Path, model: EnsembleModel) -> None:
    """Write the model file `path`, whole or not at all. One model gives one file, byte for byte. Raises
    `OutputError`."""
    manifest = info(model)
    arrays = {f"calibration.{name}": value for name, value in model.calibration.to_manifest()[1].items()}
    if model.peaks is not None:
        arrays["maps.peaks"] = model.peaks
    for i, (described, member) in enumerate(zip(manifest["members"], model.members.values(), strict=True)):
        described["history"] = member.history
        arrays |= {f"members.{i}.{name}": value for name, value in artifact.arrays_of(member).items()}
    archive.write(path, manifest, arrays)


def model_from(
    rule: Rule, manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray], device: str | None = None
) -> EnsembleModel:
    """The ensemble that a file describes, on `device` or on those that its members were fitted for. Raises
    `ArtifactError` when its parts do not agree."""
    try:
        return _assembled(rule, manifest, arrays, device)
    except (ArtifactError, MissingExtra):
        raise
    except Exception as error:  # as of a single model: of a forged file any value may be of any type
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ArtifactError(f"its parts do not agree: {reason}") from error


def _assembled(
    rule: Rule, manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray], device: str | None
) -> EnsembleModel:
    parameters = dict(manifest["parameters"])
    if parameters.keys() != PARAMETERS[rule]:
        raise ArtifactError(f"its parameters are not {', '.join(sorted(PARAMETERS[rule]))}")
    members: dict[str, Model] = {}
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, value in arrays.items():
        owner, _, rest = name.partition(".")
        if owner == "members":
            number, _, rest = rest.partition(".")
            owner = f"member {number}"
        parts.setdefault(owner, {})[rest] = value
    for i, described in enumerate(manifest["members"]):
        name = described["name"]
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or "." in name or name in members:
            raise ArtifactError(f"the name of member {i} is {str(name)[:40]!r}: not a name, or given twice")
        cls = _class(described["detector"])
        members[name] = artifact.model_from(cls, described, parts.pop(f"member {i}"), device)
    calibration = Calibration.from_manifest(manifest["calibration"], parts.pop("calibration"))
    peaks = _peaks(manifest["maps"], parts.pop("maps", {}))
    if parts:
        raise ArtifactError(f"the arrays of {min(parts)} belong to nothing")
    _check_members(members)
    if rule == "folds":
        n = sum(len(member.calibration.scores) for member in members.values())
        if not np.array_equal(calibration.scores, ranks(n)):
            raise ArtifactError(f"the members have {n} calibration rows, and the whole has other ranks")
    each = parameters["folds"] if rule == "folds" else parameters["seeds"] or 1
    if len(members) % each or (rule == "folds" and len(members) != each):
        raise ArtifactError(f"there are {len(members)} members, and its parameters ask for others")
    return EnsembleModel(members, rule, calibration, peaks, parameters, artifact.facts_of(manifest["training"]))


def _class(name: Any) -> type[Recipe]:
    try:
        return cast(type[Recipe], registry.get(str(name)))
    except ParameterError as error:
        raise ArtifactError(str(error)) from error


def _peaks(facts: Any, arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    if facts is None:
        if arrays:
            raise ArtifactError("there are peaks of maps, and the manifest names none")
        return None
    peaks = arrays["peaks"]
    if peaks.ndim != 1 or peaks.dtype != np.float64 or not len(peaks) or not (np.diff(peaks) >= 0).all():
        raise ArtifactError("the peaks of maps are not a sorted list of numbers")
    if facts["pictures"] != len(peaks):
        raise ArtifactError(f"the manifest has {str(facts['pictures'])[:40]} pictures with peaks, not {len(peaks)}")
    return peaks


def _check_members(members: Mapping[str, Model]) -> None:
    """Raise `ArtifactError` where there are none, or they do not take the same rows."""
    if not members:
        raise ArtifactError("there is no member")
    first, *others = members.values()
    for other in others:
        mine, theirs = first.preprocessor, other.preprocessor
        if (mine.kind, mine.columns, mine.kinds) != (theirs.kind, theirs.columns, theirs.kinds):
            raise ArtifactError("its members do not take the same rows")
