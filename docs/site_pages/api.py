"""The reference of the Python API, from the docstrings of every public name."""

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from sklearn.base import BaseEstimator
from sphinx.pycode import ModuleAnalyzer

import oddgan
from oddgan import detectors
from oddgan.face import Face
from oddgan.kit.neural import NeuralRecipe
from oddgan.kit.recipe import Recipe
from oddgan.parameters import declared

from .docstrings import escaped, restructured

ALSO = ("evaluation", "parameters", "plot", "model.monitor", "verdict", "verdict.drift")
"""Public modules that `import oddgan` does not name. One that is not there is left out."""

OF_SKLEARN = {"fit_predict", "get_params", "set_params"}
"""Inherited methods that are worth an entry; the others serve scikit-learn itself."""


def modules() -> list[str]:
    """The public modules, by their full names."""
    names = {"oddgan", *(f"oddgan.{name}" for name in oddgan._MODULES)}
    names |= {f"oddgan.{name}" for name in ALSO if find_spec(f"oddgan.{name}") is not None}
    for name in list(names):
        names |= {one.__name__ for _, one in _public(importlib.import_module(name)) if isinstance(one, ModuleType)}
    return sorted(name for name in names if name.startswith("oddgan"))


def names() -> dict[str, list[str]]:
    """The public names of every public module, without the modules among them."""
    found = {}
    for name in modules():
        module = importlib.import_module(name)
        found[name] = [key for key, one in _public(module) if not isinstance(one, ModuleType)]
    return found


def _public(module: ModuleType) -> list[tuple[str, Any]]:
    """A module's public names: those of `__all__`, else the classes and functions that it defines."""
    if hasattr(module, "__all__"):
        return [(name, getattr(module, name)) for name in module.__all__]
    return [
        (name, one)
        for name, one in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(one) or inspect.isfunction(one))
        and one.__module__ == module.__name__
    ]


def files() -> dict[str, str]:
    """The pages by path."""
    pages = {f"reference/api/{module}.rst": _page(module, some) for module, some in names().items()}
    pages["reference/api/oddgan.rst"] = _front(names()["oddgan"])
    pages["reference/api/oddgan.Detector.rst"] = _detector()
    pages["reference/api/oddgan.detectors.rst"] = _detectors()
    order = ["oddgan", "oddgan.Detector", "oddgan.detectors", *(name for name in modules() if name != "oddgan")]
    rows = [f"   * - :doc:`{name} <{name}>`\n     - {_first_line(name)}" for name in order]
    table = "\n".join([".. list-table::", "   :widths: auto", "", *rows])
    toc = "\n".join([".. toctree::", "   :hidden:", "", *(f"   {name}" for name in order)])
    pages["reference/api/index.rst"] = f"{_title('Python API')}\n{INTRODUCTION}\n\n{table}\n\n{toc}\n"
    return pages


INTRODUCTION = """Every public name, from its docstring; ``help(oddgan.GANomaly)`` shows the same. Where it matters, a
docstring states shapes, types, ranges and errors. What is not listed here may change without notice."""


def _first_line(name: str) -> str:
    if name == "oddgan.Detector":
        return "What every detector can do: fit, predict, explain, save ..."
    if name == "oddgan.detectors":
        return "The detectors, one class each."
    if name == "oddgan":
        return "Functions, results, ensembles."
    text = inspect.getdoc(importlib.import_module(name)) or ""
    return escaped(" ".join(text.split("\n\n")[0].split()))


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def _page(module: str, some: list[str]) -> str:
    """A module's page."""
    found = importlib.import_module(module)
    entries = [entry(module, name, getattr(found, name)) for name in some]
    return "\n".join([_title(module), f".. automodule:: {module}\n", *entries])


@cache
def homes() -> Mapping[str, str]:
    """The full public name of every public class, function or value, by its short name: the shortest there is."""
    found: dict[str, str] = {}
    for module, some in sorted(names().items(), key=lambda one: one[0].count(".")):
        for name in some:
            found.setdefault(name, f"{module}.{name}")
    return found


def home_of(module: str, name: str) -> str:
    """Where a public name of a module has its entry: there, or where it is re-exported from."""
    one = getattr(importlib.import_module(module), name)
    home = homes()[name]
    return home if getattr(importlib.import_module(home.rpartition(".")[0]), name) is one else f"{module}.{name}"


def entry(module: str, name: str, one: Any) -> str:
    """One public name."""
    home = home_of(module, name)
    if home != f"{module}.{name}":
        return f"``{name}`` is `{home}`.\n"
    if inspect.isclass(one):
        if detector_of(one):  # for authors: what they write and declare
            members = sorted(of_authors() & set(dir(one)) - set(declared(NeuralRecipe)))
            listed = "".join(f"   {_member(one, name)}\n" for name in members)
            return f".. autoclass:: {home}\n   :no-members:\n\n{listed}"
        listed = attributes(one)
        skipped = ", ".join(name for name in [of_sklearn(one), *sorted(listed)] if name)
        options = f"   :exclude-members: {skipped}\n" if skipped else ""
        if not listed and (is_dataclass(one) or "_fields" in vars(one)):
            options += "   :undoc-members:\n"
        return f".. autoclass:: {home}\n   :members:\n{options}"
    if inspect.isroutine(one):
        return f".. autofunction:: {home}\n"
    return f".. py:data:: {name}\n\n{_documented(module, name)}\n"


def _documented(module: str, name: str) -> str:
    """The text below a value's assignment, here or where it is imported from."""
    source = importlib.import_module(module)
    lazy = getattr(source, "_HOMES", {})
    places = [module, *([lazy[name]] if name in lazy else [])]
    for place in places:
        for (_, documented), lines in ModuleAnalyzer.for_module(place).find_attr_docs().items():
            if documented == name:
                return "\n".join(f"   {line}" for line in restructured(lines))
    return f"   {escaped(repr(getattr(source, name)))}"


def attributes(one: type) -> set[str]:
    """The attributes that a class's docstring lists, which have entries by that."""
    section = re.search(r"^Attributes\n-+\n(.*?)(?=^\w+\n-+$|\Z)", inspect.getdoc(one) or "", flags=re.M | re.S)
    heads = re.findall(r"^(\w[\w, ]*)(?: :|$)", section[1], flags=re.M) if section else []
    return {name.strip() for head in heads for name in head.split(",")}


def of_sklearn(one: type) -> str:
    """The members that are scikit-learn's own business."""
    known = inspect.getmembers(one)
    return ", ".join(
        name
        for name, member in known
        if name[0] != "_" and str(getattr(member, "__module__", "")).startswith("sklearn") and name not in OF_SKLEARN
    )


def detector_of(one: Any) -> bool:
    """Whether it is a detector's class, whose methods are those of `oddgan.Detector`."""
    return inspect.isclass(one) and issubclass(one, oddgan.Detector)


def _kinds(some: list[str]) -> tuple[list[str], list[str], list[str], list[str]]:
    known = {cls.__name__ for cls in map(detectors.get, detectors.names())}
    functions = [name for name in some if inspect.isroutine(getattr(oddgan, name))]
    ensembles = [name for name in some if name in ("Ensemble", "CrossConformal")]
    results = [name for name in some if name not in known | {*functions, *ensembles, "Detector"}]
    return functions, results, ensembles, sorted(known & set(some), key=str.lower)


def _front(some: list[str]) -> str:
    """What is in `oddgan` itself, but for the detectors."""
    functions, results, ensembles, _ = _kinds(some)
    parts = [_title("oddgan"), ".. automodule:: oddgan\n"]
    for heading, group in (("Functions", functions), ("Results", results), ("Ensembles", ensembles)):
        parts += [f"{heading}\n{'-' * len(heading)}\n"]
        parts += [entry("oddgan", name, getattr(oddgan, name)) for name in group]
    return "\n".join(parts)


GROUPS = {
    "Fit": "fit continue_fit fit_predict",
    "Ask": "predict anomaly_score p_value explain score_and_shares anomaly_map reconstruct features discoveries drift "
    "decision_function score_samples p_value_of",
    "Set the threshold": "with_false_alarm_rate recalibrate known_defects",
    "Use otherwise": "generate with_block_size with_conversion get_params set_params",
    "Keep": "save info from_file from_model",
}
"""The methods of a detector by what they are for. Others come last."""


def of_authors() -> set[str]:
    """The members of a detector's class that its author writes or declares, and its parameters."""
    members = {name for cls in (Recipe, NeuralRecipe) for name in dir(cls) if not name.startswith("_")}
    requests = {name for name in members if name.startswith("set_") and name.endswith("_request")}
    return (members | set(declared(NeuralRecipe))) - set(dir(BaseEstimator)) - requests


def _detector() -> str:
    """What all detectors share: documented once."""
    head = "What every detector can do. Detectors differ in their parameters: :doc:`oddgan.detectors`.\n"
    hidden = of_authors() | attributes(Face) | set(of_sklearn(oddgan.Detector).split(", "))
    shown = [name for name in dir(oddgan.Detector) if not name.startswith("_") and name not in hidden]
    groups = {title: [name for name in names.split() if name in shown] for title, names in GROUPS.items()}
    grouped = {name for names in groups.values() for name in names}
    rest = [name for name in shown if name not in grouped]
    values = [name for name in rest if not callable(getattr(oddgan.Detector, name))]
    groups |= {"Also": [name for name in rest if name not in values], "What a fit leaves": values}
    parts = [_title("oddgan.Detector"), head, ".. autoclass:: oddgan.Detector\n   :no-members:\n"]
    for title, names in groups.items():
        if names:
            parts += [f"{title}\n{'-' * len(title)}\n"]
            parts += [_member(oddgan.Detector, name, "oddgan.Detector.") for name in names]
    return "\n".join(parts)


def _member(cls: type, name: str, within: str = "") -> str:
    kind = "automethod" if callable(getattr(cls, name)) else "autoattribute"
    return f".. {kind}:: {within}{name}\n"


def _detectors() -> str:
    head = """Every class here has the methods of :doc:`oddgan.Detector`. Its parameters are keywords; those that it
shares with all others are in :doc:`/reference/parameters`, and its equations, departures and figures on its page."""
    *_, known = _kinds(oddgan.__all__)
    parts = [_title("The detectors"), head, ""]
    for name in known:
        parts += [f".. autoclass:: oddgan.{name}\n   :no-members:\n"]
        parts += [f"   Its page: :doc:`/detectors/{name.lower()}`.\n"]
    return "\n".join(parts)
