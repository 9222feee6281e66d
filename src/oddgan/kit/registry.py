"""Detector classes by name: those that come with oddgan, those of installed packages, and those of this process.

A package of yours declares its detectors as entry points, so that model files and the command line find them:

    [project.entry-points."oddgan.detectors"]
    mydetector = "mypackage.mymodule:MyDetector"
"""

import importlib
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from inspect import isabstract
from typing import Any

from ..errors import ParameterError

GROUP = "oddgan.detectors"
COMPOSED = {"Ensemble": "oddgan.ensemble", "CrossConformal": "oddgan.ensemble"}
"""Classes that model files name and that are made of detectors, and their modules."""

_classes: dict[str, type[Any]] = {}  # by name in lower case; of this process, as they are defined


def add(cls: type[Any]) -> None:
    """Register a detector class. Raises `ParameterError` where another class of that name is known: a model file names
    its detector, and must not be read as another."""
    name = cls.__name__.lower()
    home = cls.__module__
    if name in map(str.lower, COMPOSED):
        home = "oddgan.ensemble"
    elif name in built_in():
        home = f"{GROUP}.{name}"
    elif name in _entry_points():
        home = _entry_points()[name].module
    elif name in _classes:
        home = _classes[name].__module__  # a class that is defined anew, as in a notebook, takes its own place
    if cls.__module__ != home:
        raise ParameterError(
            f"{cls.__module__}.{cls.__name__}: the name is taken by the detector in {home}; choose another"
        )
    _classes[name] = cls


@cache
def built_in() -> tuple[str, ...]:
    """The names of the detectors that come with oddgan, in lower case, without importing them."""
    spec = find_spec(GROUP)
    places = spec.submodule_search_locations if spec is not None else None
    return tuple(sorted(module.name for module in pkgutil.iter_modules(places)))


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name.lower(): point for point in entry_points(group=GROUP)}


def names() -> list[str]:
    """The names of the detectors that come with oddgan or with an installed package, in lower case."""
    return sorted({*built_in(), *_entry_points()})


def of_file(name: str) -> Any:
    """The class that a model file calls `name`: of a detector, or of several as one. Raises `ParameterError`."""
    return getattr(importlib.import_module(COMPOSED[name]), name) if name in COMPOSED else get(name)


def get(name: str) -> Any:
    """The detector class called `name`, in any case. Raises `ParameterError` for an unknown one."""
    low = name.lower()
    if low in built_in():
        importlib.import_module(f"{GROUP}.{low}")
    elif low in _entry_points():
        _classes[low] = _entry_points()[low].load()
    if low not in _classes or isabstract(_classes[low]):
        raise ParameterError(
            f"detector {name!r} is unknown; there are {', '.join(names())}. If it is yours, import its module first or "
            f"declare it as an entry point of the group {GROUP}"
        )
    return _classes[low]
