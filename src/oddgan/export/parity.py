"""Does the export answer as the model does? Compared on rows that were held out of training, on simulated anomalies of
them, and, where there are labels, on labelled ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ..errors import ParameterError
from ..metrics import auroc
from ..model import Model
from ..preprocessing import PicturePreprocessor, TablePreprocessor
from ..preprocessing.prepared import spread
from ..rows import PictureRows, Rows
from ..rows.tables import BOOLEANS, TableRows
from ..runtime import Scorer
from ..simulate import pictures as pictures_of
from ..simulate import tables as tables_of
from . import judged
from .judged import Judge

TOLERANCE = 1e-4  # of a score, relative to the largest, in float32; ten times the detector's own where that is more
MAP_TOLERANCE = 1e-3  # of a place of a map, relative to the largest
MOST_HELD, MOST_SIMULATED, MOST_MAPS = 1_000, 100, 32  # rows that are compared
MADE_UP = 64
WITHIN = {"float32": 0.0, "float16": 0.05, "int8": np.inf}
"""How far scores may differ by precision, relative to the largest; 0: to the stated tolerance, as verdicts and maps."""
SEED = 0
MOST_LOST = 0.05  # of the AUROC of simulated anomalies, by smaller numbers; more is refused
MUCH_LOST = 0.01  # more is worth a warning


@dataclass(frozen=True)
class Parity:
    """What was compared, as `parity.json` has it: `facts`. `failures`: why the export is not to be used, in words;
    none where it is. `of_graph`: why the verdict inside the graph is not."""

    facts: dict[str, Any]
    failures: tuple[str, ...]
    of_graph: tuple[str, ...] = ()


def stated_tolerance(model: Model) -> float:
    """How far a float32 export's scores may be from torch's, relative to the largest."""
    return max(TOLERANCE, 10 * model.recipe.tolerance)


def parity(
    model: Model,
    scorer: Scorer,
    sets: Sequence[tuple[str, Rows]],
    *,
    within: float,
    labelled: tuple[Rows, np.ndarray] | None = None,
    judge: Judge | None = None,
) -> Parity:
    """Compare the export with the model on these sets of rows, by name, each verdict by its own threshold. `within`:
    how far scores may differ, relative to the largest; 0: scores, verdicts and maps must agree to the tolerance.
    `judge`: the graph with the verdict, where it has one."""
    theirs = np.concatenate([model.score(rows) for _, rows in sets])
    ours = np.concatenate([scorer.score(rows) for _, rows in sets])
    finite = np.isfinite(theirs) & np.isfinite(ours)
    differ = np.where(finite, np.abs(np.where(finite, theirs - ours, 0)), np.where(theirs == ours, 0.0, np.inf))
    scale = float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0)) or 1.0
    tolerance = stated_tolerance(model)
    verdicts = (theirs > model.calibration.threshold) != (ours > scorer.threshold_)
    beyond = verdicts & (np.abs(theirs - model.calibration.threshold) > tolerance * scale)
    largest = float(differ.max())
    facts: dict[str, Any] = {
        "rows": {name: len(rows) for name, rows in sets},
        "score": {
            "largest": scale,
            "largest_difference": largest if np.isfinite(largest) else None,
            "relative": largest / scale if np.isfinite(largest) else None,
            "tolerance": tolerance,
        },
        "threshold": {"model": model.calibration.threshold, "export": scorer.threshold_},
        "verdicts": {"differ": int(verdicts.sum()), "differ_beyond_tolerance": int(beyond.sum())},
        "map": _maps(model, scorer, sets),
        "labelled": None if labelled is None else _labelled(model, scorer, *labelled),
        "simulated": _separated(sets, theirs, ours) if within else None,
        "graph": None,
    }
    of_graph: list[str] = []
    if judge is not None:
        found = [judge.found(rows) for _, rows in sets]
        whole = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
        facts["graph"] = {
            "scorer": judged.between(whole, ours, scorer.p_value_of(ours), scorer.threshold_, tolerance),
            "model": judged.between(
                whole, theirs, model.calibration.p_value(theirs), model.calibration.threshold, tolerance
            ),
            "map": _maps_of_graph(judge, scorer, sets) if judge.has_map else None,
        }
        of_graph = judged.failures_of(facts["graph"], tolerance, MAP_TOLERANCE)
    return Parity(facts, tuple(_failures(facts, within)), tuple(of_graph))


def _maps_of_graph(judge: Judge, scorer: Scorer, sets: Sequence[tuple[str, Rows]]) -> float:
    """How far the graph's maps of some pictures are from a Scorer's, relative to the largest."""
    largest = scale = 0.0
    for _, rows in sets:
        some = rows.some(spread(len(rows), MOST_MAPS // len(sets)))
        for ours, theirs in zip(judge.maps(some), scorer.explain(some).anomaly_map or (), strict=True):
            whole = ours if ours.shape == theirs.shape else None
            region = getattr(scorer.preprocessor_, "region", None)
            if whole is None and region is not None:  # the graph is given, and shows, the rectangle around the region
                top, left, bottom, right = region.box(theirs.shape)
                theirs, whole = theirs[top:bottom, left:right], ours
            assert whole is not None
            largest = max(largest, float(np.abs(whole - theirs).max()))
            scale = max(scale, float(np.abs(theirs).max()))
    return largest / (scale or 1.0)


def _failures(facts: dict[str, Any], within: float) -> list[str]:
    exact, allowed = not within, within or facts["score"]["tolerance"]
    score, verdicts, maps = facts["score"], facts["verdicts"], facts["map"]
    failures = []
    if score["relative"] is None:
        failures.append("some scores are not finite numbers")
    elif score["relative"] > allowed:
        failures.append(
            f"scores differ by up to {score['largest_difference']:.3g}, {score['relative']:.1e} of the largest, where "
            f"{allowed:.0e} is stated"
        )
    if facts["simulated"] is not None and (lost := lost_by(facts)) > MOST_LOST:
        failures.append(
            f"AUROC of simulated anomalies drops by {lost:.2f} to {facts['simulated']['export']:.2f} with numbers as "
            "small as these"
        )
    if exact and (n := verdicts["differ_beyond_tolerance"]):
        failures.append(f"{n:,} verdicts differ")
    if exact and maps is not None and maps["relative"] > MAP_TOLERANCE:
        failures.append(f"maps differ by up to {maps['largest_difference']:.3g} usual deviations")
    return failures


def _maps(model: Model, scorer: Scorer, sets: Sequence[tuple[str, Rows]]) -> dict[str, Any] | None:
    """How maps of some pictures differ, in usual deviations."""
    if scorer.map_scale is None:
        return None
    largest, scale, n = 0.0, 0.0, 0
    for _, rows in sets:
        some = rows.some(spread(len(rows), MOST_MAPS // len(sets)))
        pairs = zip(model.explain(some).anomaly_map or (), scorer.explain(some).anomaly_map or (), strict=True)
        for theirs, ours in pairs:
            largest = max(largest, float(np.abs(theirs - ours).max()))
            scale, n = max(scale, float(np.abs(theirs).max())), n + 1
    return {"pictures": n, "largest": scale, "largest_difference": largest, "relative": largest / (scale or 1.0)}


def _separated(sets: Sequence[tuple[str, Rows]], theirs: np.ndarray, ours: np.ndarray) -> dict[str, float] | None:
    """AUROC of simulated anomalies of held-out rows against these, by scores of the model and of the export."""
    labels = np.concatenate([np.full(len(rows), name == "simulated") for name, rows in sets])
    if not labels.any() or labels.all() or not (np.isfinite(theirs) & np.isfinite(ours)).all():
        return None
    return {"model": float(auroc(labels, theirs)), "export": float(auroc(labels, ours))}


def lost_by(facts: dict[str, Any]) -> float:
    """How much AUROC of simulated anomalies an export loses; below 0: it gains."""
    found = facts["simulated"]
    return 0.0 if found is None else float(found["model"] - found["export"])


def _labelled(model: Model, scorer: Scorer, rows: Rows, labels: np.ndarray) -> dict[str, Any]:
    """Of labelled rows: AUROC, verdicts, and how many of them differ."""
    scores = model.score(rows), scorer.score(rows)
    thresholds = model.calibration.threshold, scorer.threshold_
    flags = [one > threshold for one, threshold in zip(scores, thresholds, strict=True)]
    both = labels.any() and not labels.all()
    found: dict[str, Any] = {"rows": len(labels), "anomalies": int(labels.sum())}
    for name, score, flagged in zip(("model", "export"), scores, flags, strict=True):
        found[name] = {
            "auroc": float(auroc(labels, score)) if both else None,
            "false_alarms": int((flagged & ~labels).sum()),
            "caught": int((flagged & labels).sum()),
        }
    return {**found, "verdicts_differ": int((flags[0] != flags[1]).sum())}


def simulated(model: Model, rows: Rows) -> Rows:
    """Anomalies made of some of these rows, at least two."""
    some = rows.some(spread(len(rows), MOST_SIMULATED))
    random = np.random.default_rng(SEED)
    if isinstance(model.preprocessor, TablePreprocessor):
        return tables_of.anomalous(cast(TableRows, some), random)[0]
    pictures = cast(PictureRows, some)
    preprocessor = cast(PicturePreprocessor, model.preprocessor)
    span = (0.0, 255.0) if preprocessor.dtype == "uint8" else preprocessor.value_range
    made = [pictures_of.anomalous(pictures[i], random, value_range=span)[0] for i in range(len(pictures))]
    return PictureRows(made)


def made_up(model: Model) -> Rows:
    """Rows such as the model may be given, where there are none: noise of its pictures' sizes and values, or random
    values of its columns."""
    random, pre = np.random.default_rng(SEED), model.preprocessor
    if isinstance(pre, TablePreprocessor):
        return _made_up_table(pre, random)
    assert isinstance(pre, PicturePreprocessor)
    tile = getattr(pre, "tile", 0)
    size = pre.native_size or (max(2 * tile, pre.size[0]), max(2 * tile, pre.size[1]))
    if pre.region is not None:
        size = pre.region.mask.shape[0], pre.region.mask.shape[1]
    (low, high), made = pre.value_range, []
    for _ in range(MADE_UP):
        coarse = random.random((-(-size[0] // 4), -(-size[1] // 4), pre.channels))
        noise = np.repeat(np.repeat(coarse, 4, 0), 4, 1)[: size[0], : size[1]]
        values = low + (high - low) * (0.8 * noise + 0.2 * random.random(noise.shape))
        made.append(np.clip(values, 0, 255).astype(np.uint8) if pre.dtype == "uint8" else values.astype(np.float32))
    return PictureRows(made)


def _made_up_table(pre: TablePreprocessor, random: np.random.Generator) -> TableRows:
    import torch

    drawn = pre.restore(torch.from_numpy(random.standard_normal((MADE_UP, *pre.shape)).astype(np.float32)))
    texts = tuple(
        () if kind == "number" else BOOLEANS if kind == "boolean" else (one.texts if one is not None else ())
        for kind, one in zip(pre.kinds, pre.categories, strict=True)
    )
    values = np.full((MADE_UP, len(pre.kinds)), np.nan)
    for i, kind in enumerate(pre.kinds):
        if kind == "number":
            values[:, i] = drawn[:, i].astype(np.float64)
        elif texts[i]:
            values[:, i] = random.integers(len(texts[i]), size=MADE_UP)
    if pre.all_numbers:
        return TableRows(np.nan_to_num(values), pre.columns)
    return TableRows(values, pre.columns, pre.kinds, texts)


def failed(parity: Parity, path: object, runtime: str) -> ParameterError:
    """What an export that fails says."""
    instead = "take --to onnx" if runtime == "openvino" else "score with the model itself"
    if lost_by(parity.facts) > MOST_LOST:
        instead = "take --precision float32"
    return ParameterError(f"{path}: nothing was written, as {'; '.join(parity.failures)}: {instead}")
