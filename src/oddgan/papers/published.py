"""The papers' tables, as data: `tables/NAME.toml`.

title, source      the table, and where it was published
data               the name of a public data set
task               a name in `oddgan.papers.protocols.TASKS`, or "speed"
classes            the groups that it has cells for; [""] where it has no classes
development        those among them on which recipes were chosen
figure             the source's figure, by its name in `oddgan.evaluation.figures.FIGURES`
protocols          by default "exact" and "clean"; only one where nothing leaks
seeds              how many the source averages over
beside             a run with which the others' AUROC is compared, seed by seed
notes              what a reader must know

[budgets.NAME]     "paper" is what the source spends; "fast" takes minutes. Limits on training and test rows, classes,
                   seeds, and parameters for every detector that is trained; a run that needs fewer updates than
                   the budget allows keeps its own number
[runs.NAME]        one training: detector, its configuration (of = [data set, variant]) or none, parameters;
                   clean: what the clean protocol changes; updates: the source's
[[rows]]           a line of the table: name, run, term (a term of the detector's score; without one, its score)
                   published: figure -> class (or "mean") -> value; standing: "verified" or "remembered"; source
[[others]]         published lines of methods that oddgan does not have
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from ..errors import ParameterError

MEAN = "mean"
"""The key of a published value over all classes."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a run may spend; None is no limit. `parameters` are for detectors whose networks are trained."""

    train: int | None = None
    test: int | None = None
    seeds: int | None = None
    classes: tuple[str, ...] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training, whose scores may fill several lines of the table."""

    name: str
    detector: str
    of: tuple[str, str] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    clean: Mapping[str, Any] = field(default_factory=dict)
    updates: int | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line. `published` by figure and class; `standing` says whether an available text confirms it."""

    name: str
    run: str | None = None
    term: str | None = None
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    standing: str = ""
    source: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a paper, with everything that is needed to run it."""

    name: str
    title: str
    source: str
    data: str
    task: str
    figure: str
    classes: tuple[str, ...]
    development: tuple[str, ...]
    protocols: tuple[str, ...]
    seeds: int
    beside: str | None
    notes: tuple[str, ...]
    budgets: Mapping[str, Budget]
    runs: Mapping[str, Run]
    rows: tuple[Row, ...]


@cache
def tables() -> dict[str, Table]:
    """Every table by name."""
    folder = resources.files(__package__).joinpath("tables")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    found = (_table(file.name.removesuffix(".toml"), tomllib.loads(file.read_text("utf-8"))) for file in files)
    return {table.name: table for table in found}


def table(name: str) -> Table:
    """The table `name`. Raises `ParameterError` for an unknown name."""
    if name not in tables():
        raise ParameterError(f"no table is called {name!r}; choose among {', '.join(tables())}")
    return tables()[name]


def _table(name: str, held: dict[str, Any]) -> Table:
    return Table(
        name=name,
        title=held["title"],
        source=held["source"],
        data=held["data"],
        task=held["task"],
        figure=held["figure"],
        classes=tuple(held.get("classes", [""])),
        development=tuple(held.get("development", ())),
        protocols=tuple(held.get("protocols", ("exact", "clean"))),
        seeds=held["seeds"],
        beside=held.get("beside"),
        notes=tuple(held.get("notes", ())),
        budgets={"paper": Budget(), **{key: _budget(value) for key, value in held["budgets"].items()}},
        runs={key: Run(name=key, **_tuples(value)) for key, value in held["runs"].items()},
        rows=(
            *(Row(**line) for line in held["rows"]),
            *(Row(**line) for line in held.get("others", ())),
        ),
    )


def _budget(held: dict[str, Any]) -> Budget:
    return Budget(**_tuples(held))


def _tuples(held: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in held.items()}
