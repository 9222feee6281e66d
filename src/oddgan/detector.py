"""The face that every detector shows: scikit-learn's outlier detector, for pictures and tables.

What all detectors have in common is here, once: holding rows back, preprocessing, training, calibration; scoring is in
`oddgan.scoring`, saving in `oddgan.saving`. What they differ in is in `oddgan.recipe` and in each detector's own file.
"""

import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from . import machine, preprocessing, training
from .errors import DataError, ParameterError
from .hooks import Hook
from .kit.recipe import NeuralRecipe
from .model.scoring import ALONE, Explanation, Prepared, RowsOrTable, Scorer, joined, views_of
from .parameters import plain
from .preprocessing import fingerprints
from .preprocessing.pictures import PicturePreprocessor
from .preprocessing.prepared import SelectedRows
from .preprocessing.tables import TablePreprocessor
from .preprocessing.tiles import PreparedTiles, TilePreprocessor
from .rows.pictures import as_pictures, is_pictures
from .rows.tables import TableRows, as_table, is_frame, refuse_infinite
from .training.checkpoint import Checkpoint, seed_of
from .verdict.calibration import Calibration, check_rate
from .verdict.neighbours import Neighbourhood, check_neighbours

__all__ = ["Detector", "Explanation", "NeuralDetector"]

COPIES = 10  # rows that are looked through for each that is kept, where rows are copies of others
NEIGHBOURHOOD = 2**24  # numbers that the features of kept training rows make up at most: 64 MiB, milliseconds a row


class Detector(Scorer, OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is not typed
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

        X: a table, as an array of numbers (n, d) or as a DataFrame (pandas, polars, pyarrow) of numbers, texts,
        categories and booleans, of which values may be missing; pictures (n, H, W) or (n, H, W, C) as an array,
        (n, C, H, W) as a torch tensor, a list of arrays, or a map-style data set, which is read lazily. y is ignored.
        `tune` and `calibrate`: more normals of the same kind for score weights and for the threshold; without them
        rows of X are held back. `checkpoint`: a file to resume from if it exists, written every `checkpoint_seconds`.
        `hooks` watch (`oddgan.hooks`). Neither concerns a detector that trains no networks.

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
        kept = None if self.local == "off" else self._kept(prepared, seed)
        if kept is not None:
            check_neighbours(self.neighbours, len(kept))
        self.trained_on_ = fingerprints.of_rows(prepared)
        self.net_, self.history_, facts = self._train(prepared, seed, checkpoint, checkpoint_seconds, tuple(hooks))
        self.training_ = {"rows": len(train), "seed": seed, **facts}
        self._freeze_parameters()
        self.neighbourhood_ = self._acquaint(kept)
        self.tuning_ = self._tune(held_rows.get("tune"))
        self._calibrated(Calibration.of(self._scores(held_rows["calibrate"]), self.false_alarm_rate))
        return self

    def _rows(self, X: Any, *, fitting: bool = False, own: bool = False) -> RowsOrTable:
        """X as picture rows or as the rows of a table, checked, and of the kind that the detector was fitted on.

        `own`: during fit, of the kind that is being fitted."""
        pictures = is_pictures(X)
        if not fitting:
            if not own:
                check_is_fitted(self, "threshold_")
            if pictures != isinstance(self.preprocessor_, PicturePreprocessor):
                raise DataError(f"the model takes {self.preprocessor_.describe()}; X is of the other kind")
        rows = as_pictures(X) if pictures else self._table(X, fitting)
        if len(rows) < (4 if fitting else 1):
            what = "pictures" if pictures else "rows"
            mend = f"give at least 4 normal {what}, better some hundreds" if fitting else "there is nothing to score"
            raise DataError(f"n_samples = {len(rows)}: {mend}")
        return rows

    def _table(self, X: Any, fitting: bool) -> TableRows:
        """X as the rows of a table, in scoring with the columns of training; where scikit-learn has a check, it speaks.

        Values may be missing where columns have types, as in a DataFrame; in an array they may not."""
        known: Any = getattr(self, "preprocessor_", None)
        try:
            if hasattr(X, "typed"):  # a file, `oddgan.data.TableFile`
                X = (X if fitting else X.typed(known.columns, known.kinds)).read()
            if isinstance(X, TableRows):
                rows = X
                if fitting:
                    self.n_features_in_ = rows.shape[1]
                    if rows.columns is not None:
                        self.feature_names_in_ = np.array(rows.columns, dtype=object)
            elif is_frame(X):
                rows = as_table(X)
                validate_data(self, X, reset=fitting, skip_check_array=True)
            else:
                if isinstance(X, np.ndarray):
                    refuse_infinite(X, None, or_nan=True)
                rows = as_table(validate_data(self, X, reset=fitting, ensure_min_samples=4 if fitting else 1))
            return rows if fitting else known.matched(rows)
        except ValueError as error:
            raise error if isinstance(error, DataError) else DataError(" ".join(str(error).split())) from error

    def _hold_back(self, n: int, seed: int, tune: bool, calibrate: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Rows for training, and those held back: disjoint, drawn by the seed alone."""
        rate = self.false_alarm_rate
        most = self.max_held_out_rows if rate == "auto" else max(self.max_held_out_rows, math.ceil(10 / float(rate)))
        share = max(1, round(n * self.calibrate_fraction))
        several = self.score_by == "combined" and self.local not in ALONE  # terms, which are weighed on tuning rows
        counts = {
            "calibrate": min(share, most) if calibrate else 0,
            "tune": min(max(1, share // 2), self.max_held_out_rows) if tune and several else 0,
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
        if isinstance(rows, TableRows):
            if self.tile is not None:
                raise ParameterError(
                    f"tile={self.tile}: pictures are cut into tiles, and this is a table; leave it out"
                )
            return TablePreprocessor.fit(rows, train, scaling=self.scaling, log_tails=self.log_tails, rare=self.rare)
        given = {name: getattr(self, name) for name in ("size", "channels", "value_range", "convert")}
        if self.tile is not None:
            return TilePreprocessor.fit(rows, train, tile=self.tile, stride=self.stride, **given)
        return PicturePreprocessor.fit(rows, train, **given)

    def _prepare(self, rows: RowsOrTable, numbers: np.ndarray | None = None) -> Prepared:
        """Those rows (all, without numbers), read and brought to the networks' form."""
        return self.preprocessor_.prepare(rows, np.arange(len(rows)) if numbers is None else numbers)  # type: ignore[arg-type]

    def _train(
        self, rows: Prepared, seed: int, checkpoint: str | Path | None, seconds: float, hooks: tuple[Hook, ...]
    ) -> tuple[nn.ModuleDict, training.History, dict[str, Any]]:
        """The finished networks, their history, and facts about the training, of which there is none here."""
        del checkpoint, seconds, hooks
        device = machine.device(self.device)
        with machine.sealed(), torch.no_grad():
            torch.manual_seed(training.key(seed))
            net = machine.place(nn.ModuleDict(self.build(self.preprocessor_.shape)), device).eval()
            self.finish(net, rows)
        return net, {}, {"device": device.type}

    def _kept(self, prepared: Prepared, seed: int) -> SelectedRows:
        """The training rows, or tiles, that new ones are compared with: distinct ones, for a copy has nothing to add;
        so many of them as `max_reference_rows` says, by the seed."""
        most = self.max_reference_rows
        if isinstance(prepared, PreparedTiles):
            prepared = prepared.sample(most, seed)
        order = np.random.default_rng([seed, len(prepared)]).permutation(len(prepared))[: COPIES * most]
        return SelectedRows(prepared, order[fingerprints.distinct(SelectedRows(prepared, order))][:most])

    def _acquaint(self, kept: SelectedRows | None) -> Neighbourhood | None:
        """What the kept rows are like, for new ones to be compared with."""
        self.neighbourhood_ = None
        if kept is None:
            return None
        blocks, gathered, most = [], 0, len(kept)
        for _, _, results in self._blocks(kept, self._view):
            blocks.append((views_of(results), {} if self.local in ALONE else self._terms_of(results)))
            if not gathered:
                numbers = sum(view.shape[1] for view in blocks[0][0])
                most = max(self.neighbours + 1, NEIGHBOURHOOD // numbers)  # the first are as random as any
            gathered += len(blocks[-1][0][0])
            if gathered >= most:
                break
        views = [np.concatenate(blocked)[:most] for blocked in zip(*(views for views, _ in blocks), strict=True)]
        terms = {name: value[:most] for name, value in joined([terms for _, terms in blocks]).items()}
        return Neighbourhood.of(views, terms, self.neighbours)

    def _tune(self, rows: Prepared | None) -> dict[str, tuple[float, float]]:
        """Median and median absolute deviation of each term that makes up the score, over tuning rows."""
        names = self._scored_terms()
        if len(names) < 2 or rows is None:
            return {}
        terms = self._terms(rows)
        result = {}
        for name in names:
            middle = float(np.median(terms[name]))
            spread = float(np.median(np.abs(terms[name] - middle)))
            result[name] = (middle, spread if spread > 0 else 1.0)
        return result


class NeuralDetector(NeuralRecipe, Detector):
    """Base of the detectors whose networks are trained."""

    def _train(
        self, rows: Prepared, seed: int, checkpoint: str | Path | None, seconds: float, hooks: tuple[Hook, ...]
    ) -> tuple[nn.ModuleDict, training.History, dict[str, Any]]:
        settings = self._settings(seed, len(rows))
        saved = Checkpoint(checkpoint, self._identity(settings), seconds) if checkpoint else None
        with machine.sealed():
            torch.manual_seed(training.key(seed))
            net = machine.place(nn.ModuleDict(self.build(self.preprocessor_.shape)), settings.device).eval()
            history = training.run(net, self.stages(), rows, settings, checkpoint=saved, hooks=hooks)
            torch.manual_seed(training.key(seed))
            with torch.no_grad():
                self.finish(net, rows)
        facts = {
            "updates": dict(zip(history["stage"], history["update"], strict=True)),
            "precision": str(settings.precision).removeprefix("torch."),
            "device": settings.device.type,
        }
        return net, history, facts

    def _settings(self, seed: int, n: int) -> training.Settings:
        device = machine.device(self.device)
        budgeted = any(given is not None for given in (self.updates, self.epochs, self.minutes))
        return training.Settings(
            batch_size=self.batch_size,
            updates=self.updates if budgeted else training.updates_by_default(n, self.batch_size),
            epochs=self.epochs,
            minutes=self.minutes,
            lr=plain(self.lr),
            betas=(self.beta1, self.beta2),
            ema=self.ema,
            precision=machine.precision(self.precision, device, self.preprocessor_.shape),
            device=device,
            seed=seed,
        )

    def _identity(self, settings: training.Settings) -> dict[str, Any]:
        """What must be equal for a checkpoint to be of this run; the seed stands for `random_state`."""
        # of no effect on training, or said otherwise below
        free = {"random_state", "device", "false_alarm_rate", "convert", "block_size", "stride", "top_tiles"}
        free |= {"local", "near", "neighbours", *self.after_training}
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
