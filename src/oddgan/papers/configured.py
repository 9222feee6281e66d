"""The papers' own configurations, by name: `configurations/DETECTOR.toml`."""

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from .. import detectors
from ..detector import Detector
from ..errors import ParameterError
from ..parameters import declared


def configurations() -> dict[str, dict[str, dict[str, Any]]]:
    """Every configuration: detector -> data set -> variant -> {"parameters", "source", "remembered"}."""
    return {name: dict(sets) for name, sets in _read().items()}


def detector(name: str, dataset: str, *, variant: str = "paper", **changes: Any) -> Detector:
    """The detector `name` as its paper (or, `variant="code"`, its authors' code) configured it for `dataset`.

    `changes` replace single parameters. Raises `ParameterError` for an unknown name or a value out of range.
    """
    found: Any = _read()
    for what, key in (("detector", name.lower()), ("data set", dataset.lower()), ("variant", variant)):
        if key not in found:
            raise ParameterError(f"{what} {key!r} has no configuration; choose among {', '.join(sorted(found))}")
        found = found[key]
    cls = detectors.get(name)
    parameters = {key: tuple(v) if isinstance(v, list) else v for key, v in found["parameters"].items()}
    for key, value in {**parameters, **changes}.items():
        if key not in declared(cls):
            raise ParameterError(f"{cls.__name__} has no parameter {key!r}")
        declared(cls)[key].check(value)
    return cls(**{"score_by": cls.own_score, **parameters, **changes})


@cache
def _read() -> dict[str, Any]:
    folder = resources.files(__package__).joinpath("configurations")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {file.name.removesuffix(".toml"): tomllib.loads(file.read_text("utf-8")) for file in files}
