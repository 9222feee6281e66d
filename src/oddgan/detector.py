"""The face that every detector shows: scikit-learn's outlier detector, for pictures and tables.

What all detectors have in common is here, once: holding rows back, preprocessing, training, calibration, scoring in
blocks of one size, saving. What they differ in is in `oddgan.recipe` and in each detector's own file.
"""

import copy
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from . import fingerprints, machine, preprocessing, training
from .calibration import Calibration, check_rate
from .checkpoint import Checkpoint, seed_of
from .errors import DataError, ParameterError
from .hooks import Hook
from .parameters import declared, plain
from .preprocessing.pictures import (
    PictureList,
    PicturePreprocessor,
    PreparedPictures,
    as_pictures,
    is_pictures,
    resize_map,
)
from .preprocessing.tables import PreparedTable, TablePreprocessor, refuse_unusable
from .saving import Saveable

# Rows that are held back at most: beyond, they are worth more in training. An asked false-alarm rate may need more.
CALIBRATE_AT_MOST = TUNE_AT_MOST = 1_000

RowsOrTable = PictureList | np.ndarray
Prepared = PreparedPictures | PreparedTable


@dataclass(frozen=True, eq=False)
class Explanation:
    """What is odd about n rows, and how odd.

    `score` (n,) float64, higher is odder; `p_value` (n,) float64 in (0, 1]; `is_anomaly` (n,) bool: p_value <= the
    false-alarm rate. `terms`: what a score can be made of, (n,) float64 by name. `reconstruction`: what the model makes
    of each row, in the user's units: (n, h, w[, C]) float32 at the model's size, or (n, d) float64. `anomaly_map`: for
    pictures a list of n arrays (H, W) float32 >= 0, each at its picture's own size; for tables one (n, d) array, each
    column's share of the residual. `trained_on` (n,) bool: whether the row equals a training row in all that the
    networks see of it.
    """

    score: np.ndarray
    p_value: np.ndarray
    is_anomaly: np.ndarray
    terms: Mapping[str, np.ndarray]
    reconstruction: np.ndarray
    anomaly_map: list[np.ndarray] | np.ndarray
    trained_on: np.ndarray


class Detector(Saveable, OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is not typed
    """Base of all detectors.

    Attributes after `fit`: `threshold_` (a row scored above it is an anomaly), `false_alarm_rate_`, `n_calibrate_`,
    `offset_` (= -threshold_), `history_` (every loss term by epoch), `training_` (facts about the run), `net_` (the
    networks), `preprocessor_`, `trained_on_` (fingerprints of the training rows), and `n_features_in_` for tables.
    """

    # --- fitting ----------------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        tune: Any = None,
        calibrate: Any = None,
        checkpoint: str | Path | None = None,
        checkpoint_seconds: float = 60.0,
        hooks: Iterable[Hook] = (),
    ) -> Self:
        """Train on normal rows, then calibrate on normals that were held out of training.

        X: a table (n, d), an array or DataFrame of numbers; pictures (n, H, W) or (n, H, W, C) as an array,
        (n, C, H, W) as a torch tensor, a list of arrays, or a map-style data set, which is read lazily. y is ignored.
        `tune` and `calibrate`: more normals of the same kind for score weights and for the threshold; without them
        rows of X are held back. `checkpoint`: a file to resume from if it exists, written every `checkpoint_seconds`.
        `hooks` watch (`oddgan.hooks`).

        Raises `DataError` (unusable rows), `ParameterError`, `TrainingError` (a loss is no longer finite),
        `ArtifactError` (the checkpoint belongs to another run).
        """
        self.check_parameters()
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)  # a fit that is broken off leaves no half of an older one
        rows = self._rows(X, fitting=True)
        seed = seed_of(self.random_state, checkpoint)
        train, held = self._hold_back(len(rows), seed, tune is None, calibrate is None)
        self.preprocessor_ = self._fit_preprocessor(rows, train)
        # What is held out is read before the long part, so that a row that cannot be used is found now.
        held_rows = {}
        for part, own in (("tune", tune), ("calibrate", calibrate)):
            if own is not None:
                held_rows[part] = self._prepare(self._rows(own, own=True))
            elif len(held[part]):
                held_rows[part] = self._prepare(rows, held[part])
        if not isinstance(self.false_alarm_rate, str):
            check_rate(self.false_alarm_rate, len(held_rows["calibrate"]))
        prepared = self._prepare(rows, train)
        settings = self._settings(seed, len(train))
        self.trained_on_ = fingerprints.of_rows(prepared)
        saved = Checkpoint(checkpoint, self._identity(settings), checkpoint_seconds) if checkpoint else None
        with machine.sealed():
            torch.manual_seed(training.key(seed))
            net = machine.place(nn.ModuleDict(self.build(self.preprocessor_.shape)), settings.device).eval()
            self._check_score(net, prepared)
            self.history_ = training.run(net, self.stages(), prepared, settings, checkpoint=saved, hooks=tuple(hooks))
            torch.manual_seed(training.key(seed))
            with torch.no_grad():
                self.finish(net, prepared)
        self.net_ = net
        self.training_ = {
            "rows": len(train),
            "updates": dict(zip(self.history_["stage"], self.history_["update"], strict=True)),
            "seed": seed,
            "precision": str(settings.precision).removeprefix("torch."),
            "device": settings.device.type,
        }
        self._freeze_parameters()
        self.tuning_ = self._tune(held_rows.get("tune"))
        self._calibrated(Calibration.of(self._scores(held_rows["calibrate"]), self.false_alarm_rate))
        return self

    def _rows(self, X: Any, *, fitting: bool = False, own: bool = False) -> RowsOrTable:
        """X as picture rows or as a checked table (n, d), and of the kind that the detector was fitted on.

        `own`: during fit, of the kind that is being fitted."""
        pictures = is_pictures(X)
        if not fitting:
            if not own:
                check_is_fitted(self, "threshold_")
            if pictures != isinstance(self.preprocessor_, PicturePreprocessor):
                raise DataError(f"the model takes {self.preprocessor_.describe()}; X is of the other kind")
        if not pictures:
            refuse_unusable(X)
            try:
                return np.asarray(validate_data(self, X, reset=fitting, ensure_min_samples=4 if fitting else 1))
            except ValueError as error:
                raise DataError(" ".join(str(error).split())) from error
        rows = as_pictures(X)
        if len(rows) < (4 if fitting else 1):
            mend = "give at least 4 normal pictures, better some hundreds" if fitting else "there is nothing to score"
            raise DataError(f"n_samples = {len(rows)}: {mend}")
        return rows

    def _hold_back(self, n: int, seed: int, tune: bool, calibrate: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Rows for training, and those held back: disjoint, drawn by the seed alone."""
        rate = self.false_alarm_rate
        most = CALIBRATE_AT_MOST if rate == "auto" else max(CALIBRATE_AT_MOST, math.ceil(10 / float(rate)))
        share = max(1, round(n * self.calibrate_fraction))
        counts = {
            "calibrate": min(share, most) if calibrate else 0,
            "tune": min(max(1, share // 2), TUNE_AT_MOST) if tune and self.score_by == "combined" else 0,
        }
        order = np.random.default_rng([seed, n]).permutation(n)
        held, start = {}, 0
        for name, count in counts.items():
            held[name] = np.sort(order[start : start + count])
            start += count
        if n - start < 2:
            raise DataError(f"n_samples = {n} leaves {max(0, n - start)} rows to train on: give more normal rows")
        return np.sort(order[start:]), held

    def _fit_preprocessor(self, rows: RowsOrTable, train: np.ndarray) -> preprocessing.Preprocessor:
        if isinstance(rows, np.ndarray):
            names = getattr(self, "feature_names_in_", None)
            return TablePreprocessor.fit(rows[train], None if names is None else tuple(map(str, names)))
        given = {name: getattr(self, name) for name in ("size", "channels", "value_range", "convert")}
        return PicturePreprocessor.fit(rows, train, **given)

    def _prepare(self, rows: RowsOrTable, numbers: np.ndarray | None = None) -> Prepared:
        """Those rows (all, without numbers), read and brought to the networks' form."""
        return self.preprocessor_.prepare(rows, np.arange(len(rows)) if numbers is None else numbers)  # type: ignore[arg-type]

    def _settings(self, seed: int, n: int) -> training.Settings:
        device = machine.device(self.device)
        budgeted = any(given is not None for given in (self.updates, self.epochs, self.minutes))
        return training.Settings(
            batch_size=self.batch_size,
            updates=self.updates if budgeted else training.updates_by_default(n, self.batch_size),
            epochs=self.epochs,
            minutes=self.minutes,
            lr=plain(self.lr),
            betas=(self.beta1, 0.999),
            ema=self.ema,
            precision=machine.precision(self.precision, device, self.preprocessor_.shape),
            device=device,
            seed=seed,
        )

    def _check_score(self, net: nn.ModuleDict, rows: Prepared) -> None:
        """Raise `ParameterError` now, not after training, when `score_by` names no term."""
        with torch.no_grad():
            terms = self.score_rows(net, rows.batch(np.arange(2)).to(_device_of(net))).keys() - {"x_hat"}
        if self.score_by not in terms | ({"combined"} if self.combines else set()):
            raise ParameterError(f"score_by={self.score_by!r}: the terms are {', '.join(sorted(terms))}")

    def _identity(self, settings: training.Settings) -> dict[str, Any]:
        """What must be equal for a checkpoint to be of this run; the seed stands for `random_state`."""
        # of no effect on training, or said otherwise below
        free = ("random_state", "device", "false_alarm_rate", "convert", "block_size")
        return {
            "detector": type(self).__name__,
            **{name: plain(value) for name, value in self.get_params().items() if name not in free},
            "precision": str(settings.precision),
            "device": settings.device.type,
            "seed": settings.seed,
            "shape": list(self.preprocessor_.shape),
            "number of training rows": len(self.trained_on_),
            "checksum of training rows": zlib.crc32(self.trained_on_.tobytes()),
        }

    def _tune(self, rows: Prepared | None) -> dict[str, tuple[float, float]]:
        """Median and median absolute deviation of each term that "combined" adds up, over tuning rows."""
        if self.score_by != "combined" or rows is None:
            return {}
        terms = self._terms(rows)
        result = {}
        for name in self.combines:
            middle = float(np.median(terms[name]))
            spread = float(np.median(np.abs(terms[name] - middle)))
            result[name] = (middle, spread if spread > 0 else 1.0)
        return result

    # --- scoring ----------------------------------------------------------------------------------------------------

    def _blocks(
        self, rows: RowsOrTable | Prepared, compute: Callable[[Any, Tensor], dict[str, Tensor]]
    ) -> Iterator[tuple[Tensor, list[tuple[int, int]], dict[str, Tensor]]]:
        """Rows in blocks of `block_size`: each block's rows (b, ...), their pictures' sizes, and what `compute`
        makes of them, by name.

        Every block is padded to full size: kernels round differently by batch shape, and a row must not score
        differently for the company it keeps.
        """
        device = _device_of(self.net_)
        for start in range(0, len(rows), self.block_size):
            chunk = np.arange(start, min(start + self.block_size, len(rows)))
            x, sizes = (rows.batch(chunk), []) if isinstance(rows, Prepared) else self.preprocessor_.read(rows, chunk)  # type: ignore[arg-type]
            block = torch.zeros(self.block_size, *x.shape[1:], dtype=torch.float32)
            if x.ndim == 4:
                block = block.contiguous(memory_format=torch.channels_last)
            block[: len(x)] = x
            with machine.sealed(), torch.no_grad():
                results = compute(self.net_, block.to(device))
            yield x, sizes, {name: value[: len(x)].cpu() for name, value in results.items()}

    def _score(self, terms: Mapping[str, np.ndarray]) -> np.ndarray:
        """The anomaly score (n,) float64 from its terms. What overflows is as odd as can be, not normal."""
        score_by = self.fitted_parameters_["score_by"]
        if score_by == "combined":
            scaled = [(terms[name] - middle) / spread for name, (middle, spread) in self.tuning_.items()]
            score = np.sum(scaled, axis=0)
        else:
            score = terms[score_by]
        return np.where(np.isnan(score), np.inf, score)

    def _terms(self, rows: RowsOrTable | Prepared) -> dict[str, np.ndarray]:
        return _gather(results for _, _, results in self._blocks(rows, self.score_rows))

    def _scores(self, rows: RowsOrTable | Prepared) -> np.ndarray:
        return self._score(self._terms(rows))

    def anomaly_score(self, X: Any) -> np.ndarray:
        """How odd each row is, (n,) float64, higher is odder. A row's score depends on that row and the model alone.

        X: as for `fit`. Raises `DataError` for rows that do not fit the model, sklearn's `NotFittedError` before fit.
        """
        return self._scores(self._rows(X))

    def score_samples(self, X: Any) -> np.ndarray:
        """scikit-learn's sign: -anomaly_score(X)."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """threshold_ - anomaly_score(X), (n,) float64: below zero means anomaly."""
        return self.score_samples(X) - self.offset_

    def p_value(self, X: Any) -> np.ndarray:
        """Conformal p-values (n,) float64 against the calibration rows; see `oddgan.calibration` for what they hold."""
        scores = self.anomaly_score(X)
        return self.calibration_.p_value(scores)

    def predict(self, X: Any) -> np.ndarray:
        """+1 for normal rows, -1 for anomalies (p-value at most the false-alarm rate), (n,) int."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(self, X: Any) -> Explanation:
        """Everything about each row: score, p-value, verdict, terms, reconstruction and anomaly map."""
        rows = self._rows(X)
        gathered, restored, prints = [], [], []
        maps: list[np.ndarray] = []
        for x, sizes, results in self._blocks(rows, self.score_rows):
            residual = (x - results["x_hat"]).abs()
            if isinstance(rows, np.ndarray):
                maps.extend((residual / residual.sum(1, keepdim=True).clamp_min(1e-12)).double().numpy())
            else:
                maps.extend(resize_map(m, size) for m, size in zip(residual.mean(1).numpy(), sizes, strict=True))
            restored.append(self.preprocessor_.restore(results["x_hat"]))
            gathered.append(results)
            prints.append(fingerprints.of_tensor(x))
        terms = _gather(gathered)
        score = self._score(terms)
        return Explanation(
            score=score,
            p_value=self.calibration_.p_value(score),
            is_anomaly=score > self.threshold_,
            terms=terms,
            reconstruction=np.concatenate(restored),
            anomaly_map=np.stack(maps) if isinstance(rows, np.ndarray) else maps,
            trained_on=np.isin(np.concatenate(prints), self.trained_on_),
        )

    def reconstruct(self, X: Any) -> np.ndarray:
        """What the model makes of each row, in the user's units; see `Explanation.reconstruction`."""
        return self.explain(X).reconstruction

    def anomaly_map(self, X: Any) -> list[np.ndarray] | np.ndarray:
        """Where each row is odd; see `Explanation.anomaly_map`."""
        return self.explain(X).anomaly_map

    def features(self, X: Any) -> np.ndarray:
        """The detector's view of each row as a vector, (n, k) float32."""
        blocks = self._blocks(self._rows(X), lambda net, x: {"z": self.embed(net, x)})
        return np.concatenate([results["z"].numpy() for _, _, results in blocks])

    def generate(self, n: int, *, random_state: int = 0) -> np.ndarray:
        """n new rows that look like training rows, in the user's units: (n, h, w[, C]) float32 or (n, d) float64."""
        check_is_fitted(self, "threshold_")
        if n < 1:
            raise ParameterError(f"n={n}: ask for at least one row")
        with machine.sealed(), torch.no_grad():
            torch.manual_seed(random_state)
            return self.preprocessor_.restore(self.sample(self.net_, n).cpu())

    # --- the same model, otherwise used -----------------------------------------------------------------------------

    def with_false_alarm_rate(self, rate: float | Literal["auto"]) -> Self:
        """The same model with another threshold, without a new fit. Raises `ParameterError` when the calibration rows
        are too few for `rate`."""
        check_is_fitted(self, "threshold_")
        declared(type(self))["false_alarm_rate"].check(rate)
        other = copy.copy(self)
        other.false_alarm_rate = rate
        other.fitted_parameters_ = {**self.fitted_parameters_, "false_alarm_rate": plain(rate)}
        other._calibrated(Calibration.of(self.calibration_.scores, rate))
        return other

    def with_block_size(self, block_size: int) -> Self:
        """The same model, scoring `block_size` rows together: 1 for latency, 64 for throughput. Scores agree to
        1e-5 of the largest."""
        other = copy.copy(self)
        other.block_size = block_size
        other.check_parameters()
        other.fitted_parameters_ = {**self.fitted_parameters_, "block_size": plain(block_size)}
        return other


def _device_of(net: nn.ModuleDict) -> torch.device:
    return next(net.parameters()).device


def _gather(blocks: Iterable[Mapping[str, Tensor]]) -> dict[str, np.ndarray]:
    """The terms of all blocks, (n,) float64 by name; "x_hat" is left behind."""
    gathered: dict[str, list[np.ndarray]] = {}
    for block in blocks:
        for name, value in block.items():
            if name != "x_hat":
                gathered.setdefault(name, []).append(value.double().numpy())
    return {name: np.concatenate(parts) for name, parts in gathered.items()}
