"""`scorer`: a model as one callable for engines that hand over batches: Ray Data, Spark, Dask.

    score = oddgan.scorer("flows.oddgan")
    score({"duration": ..., "service": ...})        # {"score": ..., "p_value": ..., "is_anomaly": ...}

It can be pickled, whatever the model: it holds a path and options, and the model is loaded when the first batch comes,
once in each process and again when its file was replaced. ``docs/howto/scale.md`` has an example for each engine.
"""

import inspect
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError
from .rows.columns import picture_column, pictures_of, table_of
from .rows.frames import framed, template_of
from .rows.tables import TableRows, as_table, is_frame, listed
from .runtime import Scorer, is_export
from .runtime.bundle import MANIFEST
from .verdict.calibration import ROUNDING

__all__ = ["SPARK", "BatchScorer", "scorer"]

SPARK = "score double, p_value double, is_anomaly tinyint"
"""What `BatchScorer.make_predict_fn` gives, as Spark's schemas say it; its ``predict_batch_udf`` has no booleans."""

_models: dict["BatchScorer", tuple[Any, Any]] = {}  # of this process: how the file was, and what it holds
_lock = threading.Lock()


@dataclass(frozen=True)
class BatchScorer:
    """A model as a callable; `scorer` makes one and says what its parameters are."""

    path: str
    column: str | None = None
    keep: bool = False
    skip_bad: bool = False
    false_alarm_rate: float | None = None
    block_size: int | None = None
    convert: bool = False
    device: str | None = None
    threads: int | None = None

    def __call__(self, batch: Any, *more: Any) -> Any:
        """Score a batch.

        Parameters
        ----------
        batch : mapping of str to array, DataFrame, array or list
            Columns by name, (n,) each, of which the model takes its own; or a DataFrame. Pictures: a column or an array
            of them, (n, H, W) or (n, H, W, C), or n arrays, encoded pictures (bytes) or paths.
        *more : array
            Further columns, where `batch` is the first of a table's, in the model's order.

        Returns
        -------
        dict of str to array, or DataFrame
            "score" (n,) float64, "p_value" (n,) float64 and "is_anomaly" (n,) bool; with `skip_bad` "error" (n,), ""
            where there is none. Of a DataFrame a DataFrame of its library, with its index.

        Raises
        ------
        DataError
            The batch does not have the model's columns, or a row cannot be used; the message names it.
        """
        if more:
            batch = self._named((batch, *more))
        found, template = self._scored(batch), template_of(batch)
        if self.keep and (clash := sorted(found.keys() & set(_names(batch)))):
            raise DataError(f"the batch has a column {clash[0]!r} of its own; rename it, or leave out keep=True")
        if template is None:
            return {**batch, **found} if self.keep and isinstance(batch, Mapping) else found
        made = framed(found, template)
        return _beside(batch, made) if self.keep else made

    def make_predict_fn(self) -> Callable[..., dict[str, np.ndarray]]:
        """For Spark's ``predict_batch_udf``: a function of arrays that gives arrays by name (`SPARK`). It has as many
        parameters as a table has columns, by which Spark hands them over in the model's order, and one where these have
        no names, (n, k), or for a column of pictures. The model is loaded now."""
        like = self.model().model_.preprocessor
        count = len(getattr(like, "columns", None) or (None,))

        def predict(*columns: np.ndarray) -> dict[str, np.ndarray]:
            found: dict[str, np.ndarray] = self(*columns)
            return {**found, "is_anomaly": found["is_anomaly"].astype(np.int8)}

        parameters = [inspect.Parameter(f"column_{i}", inspect.Parameter.POSITIONAL_ONLY) for i in range(count)]
        predict.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # which Spark counts
        return predict

    def model(self) -> Any:
        """The detector, or the `Scorer` of an export, loaded once in each process, and anew when it was replaced."""
        with _lock:
            state = _state(Path(self.path))
            if self not in _models or _models[self][0] != state:
                _models[self] = (state, self._load())
            return _models[self][1]

    def _load(self) -> Any:
        model: Any
        if is_export(self.path):
            if self.device not in (None, "auto", "cpu"):
                raise DataError(f"device={self.device!r}: {self.path} is an export, which is computed on the CPU")
            model = Scorer(self.path, threads=self.threads)
        else:
            from . import detectors

            model = detectors.load(self.path, device=self.device)
            if self.threads is not None:
                import torch

                torch.set_num_threads(self.threads)
        if self.block_size is not None:
            model = model.with_block_size(self.block_size)
        if self.false_alarm_rate is not None:
            model = model.with_false_alarm_rate(self.false_alarm_rate)
        return model.with_conversion() if self.convert else model

    def _named(self, columns: tuple[Any, ...]) -> dict[str, Any]:
        """Columns in the model's order, by its names."""
        like = self.model().model_.preprocessor
        names = getattr(like, "names", ())
        if len(columns) != len(names):
            raise DataError(f"the batch has {len(columns)} columns, and the model takes {len(names) or 'pictures'}")
        return dict(zip(names, columns, strict=True))

    def _scored(self, batch: Any) -> dict[str, Any]:
        model = self.model()
        like = model.model_.preprocessor
        bad: dict[int, str] = {}
        if like.kind == "table":
            rows: Any = _rows(batch, like)
            numbers, n = list(range(len(rows))), len(rows)
        else:
            if is_frame(batch):
                batch = _columns(batch)
            rows, numbers, bad = pictures_of(
                picture_column(batch, self.column) if isinstance(batch, Mapping) else batch
            )
            n = len(numbers) + len(bad)
            rows, numbers = self._fitting(rows, numbers, bad, like)
        if bad and not self.skip_bad:
            first = min(bad)
            raise DataError(f"row {first}: {bad[first]} (skip_bad=True goes on)")
        score = np.full(n, np.nan)
        p_value, is_anomaly = np.full(n, np.nan), np.zeros(n, dtype=bool)
        if numbers:
            score[numbers] = model.anomaly_score(rows)
            p_value[numbers] = model.p_value_of(score[numbers])
            is_anomaly[numbers] = p_value[numbers] <= model.false_alarm_rate_ + ROUNDING
        found: dict[str, Any] = {"score": score, "p_value": p_value, "is_anomaly": is_anomaly}
        if self.skip_bad:
            found["error"] = np.array([bad.get(i, "") for i in range(n)], dtype=object)
        return found

    @staticmethod
    def _fitting(rows: Any, numbers: list[int], bad: dict[int, str], like: Any) -> tuple[Any, list[int]]:
        """The pictures that the model takes, and their numbers; the others become `bad`."""
        fitting = []
        for place, number in enumerate(numbers):
            try:
                like.check(rows[place])
                fitting.append(place)
            except DataError as error:
                bad[number] = str(error)
        if len(fitting) == len(numbers):
            return rows, numbers
        return rows.some(np.array(fitting, dtype=int)), [numbers[place] for place in fitting]


def scorer(
    path: str | Path,
    *,
    column: str | None = None,
    keep: bool = False,
    skip_bad: bool = False,
    false_alarm_rate: float | None = None,
    block_size: int | None = None,
    convert: bool = False,
    device: str | None = None,
    threads: int | None = None,
) -> BatchScorer:
    """A model as one callable that can be pickled, for engines that hand over batches.

    Parameters
    ----------
    path : path
        A model file, or the folder of an export (which loads no torch), where the workers find it.
    column : str, optional
        The column of a batch that holds pictures; None: the only one, or "image", "picture", "bytes", "content" or
        "path", the first of them that there is.
    keep : bool
        Whether the batch's own columns are in the result, too.
    skip_bad : bool
        Whether a picture that cannot be read or does not fit the model has the score NaN, is no anomaly, and has a
        reason in one more column, "error"; otherwise it is an error.
    false_alarm_rate, block_size, convert, device
        As `Detector.with_false_alarm_rate`, `with_block_size`, `with_conversion` and `load` have them; None: as
        trained.
    threads : int, optional
        Processor threads of torch or of the runtime, 1 where engines start a process for each processor. None: as they
        are.

    Returns
    -------
    BatchScorer
        Call it with columns, a DataFrame, an array of pictures, or a list of encoded pictures or paths. A row's score
        is the same in any batch, to the last bit on one kind of machine.
    """
    return BatchScorer(os.fspath(path), column, keep, skip_bad, false_alarm_rate, block_size, convert, device, threads)


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes when a model file, or the manifest of an export, is replaced; None where there is none."""
    try:
        about = (path / MANIFEST if path.is_dir() else path).stat()
    except OSError:
        return None
    return about.st_ino, about.st_mtime_ns, about.st_size


def _rows(batch: Any, like: Any) -> TableRows:
    """A batch as rows of a table that the model takes."""
    if isinstance(batch, Mapping):
        return table_of(batch, like.columns, like.kinds)
    if is_frame(batch) and like.columns is not None:
        import narwhals as nw

        frame = nw.from_native(batch, eager_only=True)
        if missing := [name for name in like.columns if name not in frame.columns]:
            raise DataError(f"the batch has no column {missing[0]!r}; its columns are {listed(frame.columns)}")
        return as_table(frame.select(list(like.columns)).to_native())
    if getattr(batch, "ndim", 0) == 1 and len(like.kinds) == 1:
        return table_of({like.names[0]: batch}, like.names, like.kinds)
    return as_table(batch)


def _names(batch: Any) -> list[str]:
    """The names of a batch's columns, if they have any."""
    if isinstance(batch, Mapping):
        return [str(name) for name in batch]
    if not is_frame(batch):
        return []
    import narwhals as nw

    return list(nw.from_native(batch, eager_only=True).columns)


def _columns(frame: Any) -> dict[str, Any]:
    """The columns of a DataFrame by name."""
    import narwhals as nw

    table = nw.from_native(frame, eager_only=True)
    return {str(name): table[name].to_list() for name in table.columns}


def _beside(frame: Any, found: Any) -> Any:
    """A DataFrame with the columns of another one of the same rows."""
    import narwhals as nw

    more = nw.from_native(found, eager_only=True)
    columns = [more[name] for name in more.columns]
    return nw.from_native(frame, eager_only=True).with_columns(*columns).to_native()
