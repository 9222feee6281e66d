"""`export`: from a fitted detector to a folder that scores without torch."""

import copy
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import safetensors.numpy

from .. import __version__, cautions
from ..errors import ArtifactError, DataError, MissingExtra, OutputError, ParameterError
from ..files import replaced_folder
from ..model import Model, archive
from ..onnx_runtime import onnxruntime
from ..preprocessing.prepared import spread
from ..rows import Rows, open_rows
from ..runtime import Scorer, bundle, intake
from ..runtime.engines import CannotCompute, engine_of, openvino_core
from ..runtime.pruning import VERDICT
from ..verdict import Calibration, Guarantee
from . import calibrating, card, judging, metadata, parity, precision
from .calibrating import Held, Thresholds
from .graph import INPUT, INTAKE, check_exportable, finished, graph_of, quiet
from .judged import SCORE, Judge
from .rowwise import aligned

Runtime = Literal["onnx", "openvino"]
OWN = {*chain(*bundle.GRAPHS.values()), bundle.VERDICT, bundle.PARITY, bundle.CARD, bundle.MANIFEST}
"""What an export's files are called: those of an older one go with it, whatever else is in the folder stays."""

SCOPES = "pkg.torch.onnx.name_scopes"  # where the exporter says which module a node is of


def export(
    detector: Any,
    path: str | Path,
    X: Any = None,
    *,
    to: Runtime = "onnx",
    precision: precision.Precision = "float32",
    keep_thresholds: bool = False,
    groups: Any = None,
    check: tuple[Any, Any] | None = None,
) -> dict[str, Any]:
    """Write a fitted detector as a folder that `oddgan.runtime.Scorer` and ``oddgan score`` score with, without torch.

    Parameters
    ----------
    detector : Detector
        Fitted.
    path : path
        The folder, which is new, empty, or an older export that is replaced.
    X : rows, optional
        The data that the detector was trained on, in the same order, or the rows that it was calibrated with. The
        rows that were held out are found again among them (their scores prove it) and set the threshold, by the
        runtime's own scores.
    to : {"onnx", "openvino"}
        What is to compute it.
    precision : {"float32", "float16", "int8"}
        "float16": weights are stored in half precision; "int8": 8-bit arithmetic, whose ranges are those of training
        rows in X. Both have thresholds of their own, and their scores differ from the detector's.
    keep_thresholds : bool
        Without X: the detector's own thresholds, set by torch's scores. Scores are compared on made-up rows.
    groups : (n,) array-like, optional
        Those that were given to `fit`, where there were some.
    check : (rows, labels), optional
        Labelled rows (1 or True: anomaly) on which detector and export are compared as well. They decide nothing.

    Returns
    -------
    dict
        What was compared, as ``parity.json`` in the folder has it.

    Raises
    ------
    ParameterError
        The detector cannot be exported, X is not what it was trained or calibrated on, or the export would not answer
        as the detector does: then nothing is written.
    MissingExtra
        onnx, onnxscript, onnxruntime or openvino is not installed.
    OutputError
        The folder cannot be written, or holds something else.
    """
    model = _model_of(detector)
    _check(path, X, to, precision, keep_thresholds)
    check_exportable(model)
    held = None
    if X is not None:
        held = calibrating.found_again(model, open_rows(X, like=model.preprocessor), groups)
        if precision == "int8" and held.train is None:
            raise ParameterError(
                "precision=int8: needs the rows that the detector was trained on, to see its ranges, and these are its "
                "calibration rows alone, which were given apart: take float16 or float32"
            )
    own = Thresholds(model.combination, model.calibration, model.map_scale)
    made = _Making(model, to, precision, graph_of(model), held)
    sets = [("made_up", parity.made_up(model))]
    if held is not None:
        numbers = held.calibrate if held.tune is None else np.sort(np.concatenate([held.calibrate, held.tune]))
        rows = held.rows.some(numbers[spread(len(numbers), parity.MOST_HELD)])
        sets = [("held_out", rows)]
        if len(rows) > 1:
            sets.append(("simulated", parity.simulated(model, rows)))
    with replaced_folder(path, OWN) as folder, _computed(path, folder, to):
        made.write_graph(folder)
        made.write_verdict(folder, own, {})
        if held is not None:
            own = calibrating.rescored(Scorer(folder), model, held)
        judge = made.judge(folder, own)
        made.write_verdict(folder, own, {})
        labelled = None if check is None else _labelled(model, *check)
        found = parity.parity(
            model, Scorer(folder), sets, within=parity.WITHIN[precision], labelled=labelled, judge=judge
        )
        if found.failures:
            raise parity.failed(found, path, to)
        if found.of_graph:
            made.leave_out(folder, own, f"in {to}, {' and '.join(found.of_graph)}")
        if (lost := parity.lost_by(found.facts)) > parity.MUCH_LOST:
            simulated = found.facts["simulated"]
            cautions.warn(
                cautions.CalibrationWarning,
                "smaller-numbers",
                f"in {precision}, AUROC of simulated anomalies drops by {lost:.3f}, from {simulated['model']:.3f} to "
                f"{simulated['export']:.3f}: try --precision float16 or float32",
            )
        facts = {**found.facts, "rescored": held is not None, "versions": made.versions()}
        made.write_verdict(folder, own, facts)
    return facts


def _model_of(detector: Any) -> Model:
    model = getattr(detector, "model_", detector)
    if not isinstance(model, Model):
        if hasattr(model, "members"):
            raise ParameterError(
                f"{type(detector).__name__} cannot be exported: it is several detectors; export them one by one"
            )
        raise ParameterError(f"{type(detector).__name__} cannot be exported: fit it first")
    return model


def _check(path: str | Path, X: Any, to: str, chosen: str, keep_thresholds: bool) -> None:
    """Raise what `export` raises of its arguments alone."""
    if to not in bundle.GRAPHS:
        raise ParameterError(f"to={to!r}: expected {' or '.join(bundle.GRAPHS)}")
    if chosen not in ("float32", "float16", "int8"):
        raise ParameterError(f"precision={chosen!r}: expected float32, float16 or int8")
    if (X is None) != keep_thresholds:
        raise ParameterError(
            "give the data that the detector was trained on or calibrated with, so that the threshold is set by the "
            "runtime's own scores; or, without data, keep_thresholds (--keep-thresholds)"
            if X is None
            else "keep_thresholds (--keep-thresholds) is for exports without data: leave one of them out"
        )
    if chosen != "float32" and X is None:
        raise ParameterError(f"precision={chosen}: scores differ, so its threshold must be set anew; give the data")
    if to == "openvino":
        try:
            import openvino  # noqa: F401
        except ImportError as error:
            raise MissingExtra("openvino", "openvino", "oddgan export --to openvino") from error
    place = Path(path)
    if place.exists() and not place.is_dir():
        raise OutputError(f"{path}: is a file; give the name of a folder")
    if place.is_dir() and any(place.iterdir()) and not bundle.is_export(place):
        raise OutputError(f"{path}: holds something else than an export; choose another folder")


@contextmanager
def _computed(path: str | Path, folder: Path, to: str) -> Iterator[None]:
    """Raise `ParameterError` for a graph that the runtime turns out not to load or compute from `folder`."""
    try:
        yield
    except (CannotCompute, ArtifactError) as error:
        instead = "; take --to onnx" if to == "openvino" else ""
        why = str(error).removeprefix(f"{folder}: ")
        raise ParameterError(f"{path}: nothing was written, as {why}{instead}") from error


def _labelled(model: Model, rows: Any, labels: Any) -> tuple[Rows, np.ndarray]:
    opened, flags = open_rows(rows, like=model.preprocessor), np.asarray(labels).astype(bool)
    if flags.shape != (len(opened),):
        raise DataError(f"check: labels of shape {flags.shape}, and there are {len(opened):,} rows: give one for each")
    return opened, flags


class _Making:
    """Writes the parts of an export."""

    def __init__(self, model: Model, to: Runtime, chosen: precision.Precision, graph: Any, held: Held | None) -> None:
        self.model, self.to, self.precision, self.held = model, to, chosen, held
        self.memory = model.recipe.patch_memory(model.net)
        self.graph = self.plain = self._converted(graph)
        self.verdict: dict[str, Any] = {"outputs": [], "why_not": judging.why_no_verdict(model)}

    def _converted(self, graph: Any) -> Any:
        """The graph in the precision that was asked for."""
        intakes = [n for n in graph.graph.node if any(p.key == SCOPES and INTAKE in p.value for p in n.metadata_props)]
        names, inputs = [node.name for node in intakes], {name for node in intakes for name in node.input}
        graph = aligned(finished(graph))
        if self.precision == "float16":
            return precision.halved(graph, inputs)
        if self.precision == "int8":
            with quiet():
                return finished(precision.quantised(graph, self._training_rows(), INPUT, names))
        return graph

    def _training_rows(self) -> Iterator[np.ndarray]:
        """Training rows as the graph takes them."""
        assert self.held is not None
        assert self.held.train is not None
        train = self.held.train[spread(len(self.held.train), precision.MOST_ROWS)]
        model, arrays = self.model, self.model.preprocessor.to_manifest()
        preprocessor = intake.from_manifest(*_plain_json(*arrays))
        for block in intake.blocks(preprocessor, self.held.rows.some(train), model.recipe.block_size):
            yield np.asarray(block.x)

    def write_graph(self, folder: Path, own: Calibration | None = None) -> None:
        """The graph's files. `own`: by which verdicts are made."""
        calibration = own or self.model.calibration
        facts = {
            "detector": type(self.model.recipe).__name__,
            "precision": self.precision,
            "threshold": calibration.threshold,
            "false_alarm_rate": calibration.rate,
            "calibration_rows": len(calibration.scores),
            "verdict": self.verdict["why_not"] or f"{SCORE}, p_value, is_anomaly: score > threshold",
            "left_to_callers": judging.left_to_callers(self.model, calibration) or None,
        }
        _set_props(self.graph, metadata.described(self.model.preprocessor, facts))
        data = self.graph.SerializeToString(deterministic=True)
        if self.to == "onnx":
            (folder / bundle.GRAPHS["onnx"][0]).write_bytes(data)
            return
        import openvino

        try:
            read = openvino_core().read_model(data)
        except Exception as error:  # of its own kinds, without a common one
            raise CannotCompute(f"OpenVINO cannot load the graph ({archive.line(error)})") from error
        for output, one in zip(read.outputs, self.graph.graph.output, strict=True):
            output.tensor.set_names({one.name})
        openvino.save_model(read, folder / bundle.GRAPHS["openvino"][0], compress_to_fp16=False)

    def judge(self, folder: Path, own: Thresholds) -> Judge | None:
        """Write the graph with the verdict inside, by thresholds that its own scores set. None where it can have
        none."""
        if why := self.verdict["why_not"]:
            self.leave_out(folder, own, why)
            return None
        self.graph = judging.with_verdict(copy.deepcopy(self.plain), self.model, own)
        calibration = own.calibration
        try:
            self.write_graph(folder)
            judge = self._judge(folder)
            if self.held is not None:
                scores = judge.found(self.held.rows.some(self.held.calibrate), (SCORE,))[SCORE]
                calibration = Calibration.of(scores, calibration.rate, groups=self.held.groups, strata=self.held.strata)
                self.graph = judging.with_thresholds(self.graph, calibration)
                self.write_graph(folder, calibration)
                judge = self._judge(folder)
        except (ArtifactError, DataError) as error:  # CannotCompute among them
            self.leave_out(folder, own, str(error))
            return None
        self.verdict |= {
            "outputs": [one.name for one in self.graph.graph.output if one.name in VERDICT],
            "threshold": calibration.threshold,
            "left_to_callers": judging.left_to_callers(self.model, calibration),
        }
        return judge

    def leave_out(self, folder: Path, own: Thresholds, why: str) -> None:
        """Write the graph without the verdict."""
        self.graph, self.verdict = self.plain, {"outputs": [], "why_not": why}
        self.write_graph(folder, own.calibration)

    def _judge(self, folder: Path) -> Judge:
        graph = [(folder / name).read_bytes() for name in bundle.GRAPHS[self.to]]
        preprocessor = intake.from_manifest(*_plain_json(*self.model.preprocessor.to_manifest()))
        return Judge(engine_of(self.to, graph, whole=True), preprocessor)

    def write_verdict(self, folder: Path, own: Thresholds, facts: dict[str, Any]) -> None:
        """All other files: `facts` are those of `parity.json`."""
        model, recipe = self.model, self.model.recipe
        kept = self.memory if self.memory is not None else model.combination.reference
        owners: dict[str, Any] = {
            "preprocessing": model.preprocessor,
            "calibration": own.calibration,
            "neighbourhood": kept,
            "maps": own.map_scale,
        }
        described = {name: owner.to_manifest() for name, owner in owners.items() if owner is not None}
        arrays = {f"{part}.{name}": value for part, (_, held) in described.items() for name, value in held.items()}
        codes = [one["code"] for one in model.facts.get("warnings", ())]
        safe = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
        (folder / bundle.VERDICT).write_bytes(safetensors.numpy.save(safe))
        manifest: dict[str, Any] = {
            "oddgan": __version__,
            "detector": type(recipe).__name__,
            "parameters": recipe.parameters,
            "runtime": self.to,
            "precision": self.precision,
            "input": _side(self.graph.graph.input[0]),
            "outputs": [_side(one) for one in self.graph.graph.output],
            "columns": metadata.columns_of(model.preprocessor),
            "preprocessing": described["preprocessing"][0],
            "score": {
                "local": recipe.local,
                "names": list(model.combination.names),
                "patches": "own" if self.memory is not None else "local" if recipe.local == "patches" else "",
                "top_tiles": recipe.top_tiles,
            },
            "block_size": recipe.block_size,
            "tuning": {name: list(value) for name, value in own.combination.tuning.items()},
            "calibration": described["calibration"][0],
            "neighbourhood": described["neighbourhood"][0] if kept is not None else None,
            "maps": described["maps"][0] if own.map_scale is not None else None,
            "map_threshold": own.combination.map_threshold(own.map_scale, own.calibration),
            "guarantee": str(Guarantee.of(own.calibration, codes)),
            "doubts": codes,
            "verdict": self.verdict,
            "tolerance": parity.stated_tolerance(model) if self.precision == "float32" else None,
            "parity": facts,
        }
        (folder / bundle.PARITY).write_text(json.dumps(facts, indent=2, allow_nan=False) + "\n", "utf-8")
        (folder / bundle.CARD).write_text(card.text(manifest, model), "utf-8")
        names = [*bundle.GRAPHS[self.to], bundle.VERDICT, bundle.PARITY, bundle.CARD]
        manifest["files"] = bundle.sums_of(folder, names)
        (folder / bundle.MANIFEST).write_text(bundle.manifest_text(manifest), "utf-8")

    def versions(self) -> dict[str, str]:
        """What the export was made and compared with."""
        import onnx
        import torch

        found = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
        found |= {"onnx": onnx.__version__, "onnxruntime": onnxruntime().__version__}
        if self.to == "openvino":
            import openvino

            found["openvino"] = openvino.__version__
        return found


def _set_props(graph: Any, entries: dict[str, str]) -> None:
    """Give an ONNX model these entries alone."""
    del graph.metadata_props[:]
    for name, value in entries.items():
        graph.metadata_props.add(key=name, value=value)


def _side(value: Any) -> dict[str, Any]:
    """An input or output of the graph: its name, type and shape, sides of any length by name."""
    import onnx

    kind = value.type.tensor_type
    shape = [side.dim_param or side.dim_value for side in kind.shape.dim]
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)).name
    return {"name": value.name, "type": dtype, "shape": shape}


def _plain_json(facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return cast(dict[str, Any], json.loads(json.dumps(facts))), arrays
