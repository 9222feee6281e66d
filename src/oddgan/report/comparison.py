"""A comparison of detectors as a table and as JSON."""

import json
from collections.abc import Sequence
from typing import Any

from ..evaluation import Comparison, Contender, Spread
from ..evaluation.figures import FIGURES

SCHEMA_VERSION = 1


MARK = " †"
OF_SIMULATED = ("auroc", "auprc", "detected")
"""Figures whose heading says so where they are of simulated anomalies."""


def table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table, as text. Figures that no detector has are left out."""
    contenders = comparison.contenders
    shown = [name for name in FIGURES if any(name in one.figures for one in contenders)]
    rows = [[_called(one, comparison), *(_spelt(name, one.figures.get(name)) for name in shown)] for one in contenders]
    rows += [[name, *(FIGURES[figure].spelt(None) for figure in shown)] for name in comparison.untried]
    simulated = OF_SIMULATED if comparison.simulated else ()
    head = [f"simulated {FIGURES[name].short}" if name in simulated else FIGURES[name].short for name in shown]
    return ["detector", *head], rows


def _called(one: Contender, comparison: Comparison) -> str:
    return f"{one.name}{MARK}" if comparison.simulated and one.trains_on_simulated else one.name


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know: what the figures are means of, what guessing reaches, and which runs failed."""
    seeds = ", ".join(map(str, comparison.seeds))
    over = f"Mean ± standard deviation over seeds {seeds}" if len(comparison.seeds) > 1 else f"Seed {seeds}"
    lines = []
    if any(one.figures for one in comparison.contenders):
        lines = [
            f"{over}; {comparison.n_test:,} test rows. Guessing gives an AUROC of 0.5 and an AUPRC of "
            f"{comparison.chance:.3f}; AUPRC is average precision.",
            "Detected and false alarms are shares of the anomalous and of the normal test rows at the threshold, which "
            "was set without labels for the requested false-alarm rate. Times are medians on this machine; a resumed "
            "run has no time to train.",
        ]
        lines += _of_simulated(comparison)
    for one in comparison.contenders:
        by_error: dict[str, list[str]] = {}
        for seed, error in one.errors.items():
            by_error.setdefault(error, []).append(str(seed))
        for error, failed in by_error.items():
            lines.append(f"{one.name} failed with seed{'s' * (len(failed) > 1)} {_listed(failed)}: {error}")
    lines += [f"{name} was not tried: {reason}" for name, reason in comparison.untried.items()]
    return lines


def _listed(names: Sequence[str]) -> str:
    """ "1, 2 and 3"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _of_simulated(comparison: Comparison) -> list[str]:
    if not comparison.simulated:
        return []
    by = "" if comparison.ranked_by is None else f", best first by {FIGURES[comparison.ranked_by].head}"
    lines = [
        "No figure is of a true anomaly: the anomalies are simulated, made of normal rows that were held out of "
        f"training. They rank detectors{by}, and are no promise of what will be detected."
    ]
    if any(one.trains_on_simulated for one in comparison.contenders):
        lines.append(f"{MARK.strip()} trains on simulated anomalies of its own, which favours it in this table.")
    return lines


def to_json(comparison: Comparison, commands: Sequence[str] = ()) -> str:
    """Everything as strict JSON: "schema" ("oddgan.comparison"), "schema_version"; "data": {"name", "note", "rows",
    "chance"}; "seeds"; "detectors": [{"name", "detector", "parameters", "figures": {name: {"mean", "deviation",
    "median", "values"}}, "errors": {seed: text}}]; "cells": every run; "commands": [text] that make it again. A key may
    be added within a version."""
    document = {
        "schema": "oddgan.comparison",
        "schema_version": SCHEMA_VERSION,
        "data": {
            "name": comparison.data,
            "note": comparison.note,
            "rows": comparison.n_test,
            "chance": comparison.chance,
        },
        "seeds": comparison.seeds,
        "simulated": comparison.simulated,
        "ranked_by": comparison.ranked_by,
        "detectors": comparison.contenders,
        "untried": comparison.untried,
        "cells": comparison.cells,
        "commands": commands,
    }
    return json.dumps(document, default=_fields, allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def _spelt(name: str, spread: Spread | None) -> str:
    figure = FIGURES[name]
    if spread is None:
        return figure.spelt(None)
    if figure.time:
        return figure.spelt(spread.median)
    return figure.spelt(spread.mean) + ("" if spread.deviation is None else f" ± {figure.spelt(spread.deviation)}")


def _fields(value: Any) -> Any:
    """A dataclass as a JSON-able mapping."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
