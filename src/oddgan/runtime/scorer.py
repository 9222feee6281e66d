"""`Scorer`: an exported model that scores, with the methods of a detector that a user asks for verdicts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Self, cast

import numpy as np

from ..errors import ArtifactError, DataError, MissingExtra, ParameterError
from ..model import archive
from ..model.explanation import Explanation
from ..model.maps import RowMaps
from ..preprocessing import PicturePreprocessor, Preprocessor, TablePreprocessor
from ..rows import Rows, open_rows
from ..verdict import Calibration, Combination, Guarantee, Kept, MapScale, Reference, Views
from ..verdict.calibration import ROUNDING
from ..verdict.patches import PatchMemory
from ..verdict.strata import strata_of
from . import bundle, intake
from .engines import Engine, engine_of
from .pipeline import SHARES, X_HAT, Pipeline

PARTS = ("preprocessing", "calibration", "neighbourhood", "maps")
"""What the arrays of an export belong to."""


class Scorer:
    """An exported model: it scores without torch and without scikit-learn.

    Parameters
    ----------
    path : path
        A folder that `oddgan.export.export` or ``oddgan export`` wrote.
    threads : int, optional
        Processor threads; None: as many as there are processors.

    Raises
    ------
    ArtifactError
        The folder is no export, damaged, from a newer format, or its parts do not agree.
    MissingExtra
        The runtime that it is for, ONNX Runtime or OpenVINO, is not installed.

    A row's score depends on that row and the export alone, to the tolerance that the export states
    (``info()["tolerance"]``): runtimes round differently by the number of rows that are computed together; ONNX Runtime
    does not in float32, as far as has been tried. Several threads may use one scorer.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        read = bundle.read(path)
        self._manifest, self._threads = read.manifest, threads
        try:
            self._assemble(read)
        except MissingExtra:
            raise
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}") from error
        except Exception as error:  # of a forged file any value may be of any type; what fails where cannot be listed
            raise ArtifactError(f"{path}: its parts do not agree: {archive.line(error)}") from error

    def _assemble(self, read: bundle.Bundle) -> None:
        manifest, arrays = read.manifest, read.arrays
        part = {
            name: {k.removeprefix(f"{name}."): v for k, v in arrays.items() if k.startswith(f"{name}.")}
            for name in PARTS
        }
        facts = manifest["score"]
        local, patches, size = facts["local"], facts["patches"], manifest["block_size"]
        top = facts["top_tiles"]
        if not all(type(number) is int and 1 <= number <= 2**20 for number in (size, top)):
            raise ArtifactError("block_size and top_tiles are not whole numbers above 0")
        known = manifest["neighbourhood"]
        reference = None if known is None else _reference(local, patches, known, part["neighbourhood"])
        memory = reference if isinstance(reference, PatchMemory) else None
        own = patches == "own"
        kept: Kept | None = None if own else reference
        self.combination = Combination.from_manifest(local, tuple(facts["names"]), manifest["tuning"], kept)
        self.calibration = Calibration.from_manifest(manifest["calibration"], part["calibration"])
        scaled = manifest["maps"]
        self.map_scale = MapScale.from_manifest(scaled, part["maps"]) if scaled else None
        self.preprocessor_: Preprocessor = intake.from_manifest(manifest["preprocessing"], part["preprocessing"])
        if self.combination.by_map and self.map_scale is None:
            raise ArtifactError("the score is pooled from anomaly maps, and their scale is missing")
        engine = engine_of(manifest["runtime"], read.graph, self._threads)
        self.pipeline = Pipeline(engine, self.preprocessor_, memory, own, top, size)
        _check_outputs(engine, self.combination, self.pipeline)

    # --- scoring ----------------------------------------------------------------------------------------------------

    def score(self, X: Any) -> np.ndarray:
        """The anomaly score of each row, (n,) float64, higher is more anomalous.

        X: whatever a detector takes: arrays, frames, pictures, paths (`oddgan.rows.open_rows`). Raises `DataError` for
        rows that the model does not take.
        """
        return self._scored(self._opened(X))

    anomaly_score = score

    def p_value(self, X: Any, *, strata: Any = None) -> np.ndarray:
        """Conformal p-values (n,) float64 against held-out normals, whose scores are this runtime's own. `strata` (n,):
        of which sort each row is, where the model has thresholds by sort. Warns of a sort that has none
        (`oddgan.cautions.CalibrationWarning`, code "unknown-strata"); raises `DataError` where there is not one for
        each row."""
        return self.p_value_of(self.score(X), strata=strata)

    def p_value_of(self, scores: np.ndarray, *, strata: Any = None) -> np.ndarray:
        """Conformal p-values (n,) float64 of anomaly scores (n,). `strata`: as for `p_value`."""
        return self.calibration.p_value(scores, strata_of(self.calibration, strata, len(scores)))

    def predict(self, X: Any, *, strata: Any = None) -> np.ndarray:
        """+1 for normal rows, -1 for anomalies, (n,) int."""
        return np.where(self.p_value(X, strata=strata) <= self.false_alarm_rate_ + ROUNDING, -1, 1)

    def explain(self, X: Any, *, strata: Any = None) -> Explanation:
        """Score, p-value, verdict, map and regions of each row, as a detector explains them.

        Its `terms` are those that the score is made of. `trained_on` is None: an export keeps no training rows.
        """
        rows = self._opened(X)
        pictures = isinstance(self.preprocessor_, PicturePreprocessor)
        maps = self._maps()
        restored = self.preprocessor_.canvas()
        held: list[Any] = []
        shown: list[np.ndarray] = []
        shares: list[np.ndarray] = []
        made: list[np.ndarray] = []
        tables: list[np.ndarray] = []
        for block, found in self.pipeline.each(
            rows, self.combination.asked, maps=maps is not None, more=(X_HAT, SHARES)
        ):
            held.append((block, self.combination.terms(found.terms, found.embeddings)))
            if found.shares is not None:
                shares.append(found.shares)
            if maps is not None and found.maps is not None:
                for one in maps.add(block, cast(Any, found.maps)):
                    shown.extend(map(cast(Any, self.preprocessor_).spread_map, one.z, one.sizes))
            if found.x_hat is not None and not pictures:
                tables.append(intake.restored(cast(TablePreprocessor, self.preprocessor_), found.x_hat))
            elif found.x_hat is not None:
                for laid in restored.add(block, cast(Any, found.x_hat)):
                    made.extend(self.preprocessor_.restore(cast(Any, laid.values)))
        terms = self.preprocessor_.pooled(iter(held), self.pipeline.top_tiles)
        if maps is not None and shown:
            terms |= maps.terms
        score = self.combination.score(terms)
        p_value = self.p_value_of(score, strata=strata)
        tiled = hasattr(self.preprocessor_, "tile")
        return Explanation(
            score=score,
            p_value=p_value,
            is_anomaly=p_value <= self.false_alarm_rate_ + ROUNDING,
            terms=terms,
            reconstruction=(made if tiled else np.stack(made)) if made else np.concatenate(tables) if tables else None,
            anomaly_map=shown or (np.concatenate(shares) if shares else None),
            trained_on=None,
            columns=getattr(self.preprocessor_, "names", ()),
            map_threshold=self.map_threshold,
            map_thresholds=self.calibration.thresholds(strata)
            if strata is not None and self.combination.by_peak
            else None,
            roi=None if tiled else getattr(self.preprocessor_, "region", None),
        )

    def score_and_shares(self, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Of rows of a table: the score (n,) float64, and each column's share of it (n, k) float64, None for a model
        that locates nothing."""
        found = self.explain(X)
        return found.score, cast("np.ndarray | None", found.anomaly_map)

    def _scored(self, rows: Rows) -> np.ndarray:
        maps = self._maps() if self.combination.by_map else None
        return self.combination.score(self.pipeline.pooled(rows, self.combination, maps))

    def _maps(self) -> RowMaps | None:
        if self.map_scale is None or not self.pipeline.maps:
            return None
        return RowMaps(cast(PicturePreprocessor, self.preprocessor_), self.map_scale)

    def _opened(self, X: Any) -> Rows:
        rows = open_rows(X, like=self.preprocessor_)
        if not len(rows):
            raise DataError("n_samples = 0: there is nothing to score")
        return rows

    # --- what it is -------------------------------------------------------------------------------------------------

    def info(self) -> dict[str, Any]:
        """What the export is: its manifest, JSON-able, as it was written. `threshold_` and `false_alarm_rate_` say what
        is in force after `with_false_alarm_rate`."""
        return copy.deepcopy(self._manifest)

    @property
    def threshold_(self) -> float:
        """A row scored above it is an anomaly."""
        return self.calibration.threshold

    @property
    def false_alarm_rate_(self) -> float:
        """The false-alarm rate in force."""
        return self.calibration.rate

    @property
    def guarantee_(self) -> Guarantee:
        """What the threshold guarantees, and what was found that speaks against it; `str` gives a sentence."""
        return Guarantee.of(self.calibration, self._manifest.get("doubts", ()))

    @property
    def map_threshold(self) -> float | None:
        """Above this value a place of an anomaly map is anomalous; None where there are no standardised maps."""
        return self.combination.map_threshold(self.map_scale, self.calibration)

    @property
    def locates(self) -> bool:
        """Whether anomalies of a row can be located."""
        return self.pipeline.maps or SHARES in self.pipeline.engine.outputs

    @property
    def block_size(self) -> int:
        """How many rows are computed together at most."""
        return self.pipeline.block_size

    @property
    def title_(self) -> str:
        """What it is, in a line for a user."""
        manifest = self._manifest
        return f"{manifest['detector']}, exported to {manifest['runtime']} in {manifest['precision']}"

    @cached_property
    def model_(self) -> Any:
        """The parts of a model that verdicts depend on, under a model's names."""
        return SimpleNamespace(
            preprocessor=self.preprocessor_,
            calibration=self.calibration,
            map_threshold=self.map_threshold,
            facts={},
            profile=None,
            trained_on=np.empty(0, np.uint64),
        )

    # --- the same, used otherwise -----------------------------------------------------------------------------------

    def with_false_alarm_rate(self, rate: float | Literal["auto"]) -> Self:
        """The same with another threshold. Raises `ParameterError` when the calibration rows are too few for it."""
        return self._with(lambda other: setattr(other, "calibration", self.calibration.with_rate(rate)))

    def with_block_size(self, block_size: int) -> Self:
        """The same, computing at most so many rows together: 1 for latency, 64 for throughput."""
        if block_size < 1:
            raise ParameterError(f"block_size={block_size}: must be at least 1")
        p = self.pipeline
        made = Pipeline(p.engine, p.preprocessor, p.memory, p.own, p.top_tiles, block_size)
        return self._with(lambda other: setattr(other, "pipeline", made))

    def with_conversion(self) -> Self:
        """Pictures of other sizes or channels are converted where the export was made so; else `ParameterError`."""
        if not getattr(self.preprocessor_, "convert", False):
            raise ParameterError(
                "--convert: this export takes pictures like those of training alone; export it with --convert"
            )
        return self

    def _with(self, change: Callable[[Self], None]) -> Self:
        other = copy.copy(self)
        other.__dict__.pop("model_", None)
        change(other)
        return other


def _reference(local: str, patches: str, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Kept:
    """What new rows are compared with."""
    if patches not in ("", "local", "own") or (patches == "local") != (local == "patches"):
        raise ArtifactError(f"patches are {patches!r:.40}, and local is {local!r:.40}")
    if patches:
        return PatchMemory.from_manifest(facts, arrays)
    return Views.from_manifest(facts, arrays) if local == "views" else Reference.from_manifest(facts, arrays)


def _check_outputs(engine: Engine, combination: Combination, pipeline: Pipeline) -> None:
    """Raise `ArtifactError` where the graph does not give what the score is made of."""
    from .pipeline import EMBEDDING, TERM

    given = {"max", "mean"} if pipeline.own else {name.removeprefix(TERM) for name in engine.outputs}
    if missing := set(combination.asked) - given:
        raise ArtifactError(f"the graph does not give the term {min(missing)}")
    compared = any(name.startswith(EMBEDDING) for name in engine.outputs)
    if (combination.reference is not None or pipeline.memory is not None) and not compared:
        raise ArtifactError("the graph gives no features to compare rows in")
    if combination.by_map and not pipeline.maps:
        raise ArtifactError("the score is pooled from anomaly maps, and the graph gives no anomaly maps")
