"""The face that every detector shows: scikit-learn's outlier detector, for pictures and tables.

A fit ends in one value, `model_` (`oddgan.model.Model`); everything after it asks that value. What detectors differ in
is declared in their own files (`oddgan.kit.recipe` says what).
"""

import copy
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from .cautions import CalibrationWarning, warn
from .errors import DataError, ParameterError
from .fitted import Fitted
from .hooks import Hook, Progress
from .model import Explanation, Judge
from .model import drift as drifting
from .model.drift import Drift
from .model.explanation import Given
from .model.holding_out import HeldOut
from .model.runs import Run
from .rows import Expected, Rows, TableRows, open_rows
from .rows.frames import rows_framed, template_of
from .verdict import KnownDefects
from .verdict.calibration import ROUNDING
from .verdict.discoveries import UNPROVEN, check_fdr, discoveries, too_few
from .verdict.strata import strata_of

__all__ = ["Drift", "Explanation", "Face"]


class Face(Fitted, OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is not typed
    """What is fitted and asked: a detector, or several as one (`oddgan.ensemble`).

    Attributes
    ----------
    model_ : Model or EnsembleModel
        What the fit made, a value. Everything below is read from it and cannot be set.
    threshold_ : float
        A row scored above it is an anomaly. `offset_` is -threshold_.
    false_alarm_rate_ : float
        The rate in force; `n_calibrate_` is the number of calibration rows (or groups) behind it.
    history_ : dict of str to list
        Every loss term by epoch, and as "val.PLAYER.TERM" on held-out rows, about twenty times.
    training_ : mapping
        Facts about the training; "stopped": stages that ended before their budget did, and in which state.
    net_ : ModuleDict
        The networks by name.
    preprocessor_ : Preprocessor
        The preprocessing.
    n_features_in_ : int
        Of a table: its number of columns.
    feature_names_in_ : array of str
        Of a table: the names of its columns, where they have names.
    """

    model_: Judge

    # --- fitting ----------------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        tune: Any = None,
        calibrate: Any = None,
        groups: Any = None,
        strata: Any = None,
        checkpoint: str | Path | None = None,
        checkpoint_seconds: float = 60.0,
        hooks: Iterable[Hook] = (),
        on_interrupt: Literal["keep", "raise"] | None = None,
        verbose: bool | int = False,
    ) -> Self:
        """Train on normal rows, then calibrate on normals that were held out of training.

        Parameters
        ----------
        X : array, DataFrame, tensor, list, data set or path
            Normal rows. A table: an array of numbers (n, d), or a DataFrame (pandas, polars, pyarrow) of numbers,
            texts, categories and booleans, in which values may be missing. Pictures: an array (n, H, W) or
            (n, H, W, C), a torch tensor (n, C, H, W), a list of arrays, Pillow images or paths, or a map-style data
            set, which is read lazily. Or the path of a folder of pictures or of a table file (`oddgan.rows`).
        y : ignored
            For scikit-learn's sake. Where it holds several classes, a warning says that all rows are trained on.
        tune, calibrate : as X, optional
            More normals for the weights of score terms and for the threshold; without them rows of X are held out.
        groups : (n,), optional
            What rows belong together: the clip of a frame, the part of a picture, the day of a measurement. All rows of
            a group are trained on, or all are held out, and the false-alarm rate is that of a row of a new group. Equal
            rows are held out together in any case, unless a table has so few values that rows are equal by chance.
        strata : (n,), optional
            Of which sort each row is (a product, a camera), where several sorts are normal: each gets a threshold of
            its own.
        checkpoint : path, optional
            A file to resume from if it exists, written every `checkpoint_seconds`. Of no use to a detector that trains
            no networks.
        hooks : iterable of Hook
            Watch the training (`oddgan.hooks`), and may end a stage of it.
        on_interrupt : {"keep", "raise"}, optional
            What Ctrl-C does while networks are trained: end the stage in the state that it has, and go on to a fitted
            and calibrated model, with a warning (pressed twice, it raises); or raise `KeyboardInterrupt`. None: "raise"
            with a checkpoint, from which the run can be resumed, else "keep".
        verbose : bool or int
            Whether to show how training goes: a bar in terminals and notebooks, elsewhere a line every ten seconds.

        Warns
        -----
        oddgan.errors.OddganWarning
            What may mislead; kept in `training_["warnings"]` (`oddgan.cautions`).

        Raises
        ------
        DataError
            Rows that cannot be used.
        ParameterError
            A parameter out of range, or a false-alarm rate that the calibration rows cannot hold.
        TrainingError
            A loss is no longer finite, or has exploded, before there was a good state to go back to.
        ArtifactError
            The checkpoint belongs to another run.
        """
        self.check_parameters()
        self.__dict__.pop("model_", None)  # a fit that is broken off leaves nothing of an older one
        held = HeldOut(tune=tune, calibrate=calibrate, groups=groups, strata=strata)
        with watched(checkpoint, checkpoint_seconds, hooks, on_interrupt, verbose) as run:
            self.model_ = self._fit_rows(open_rows(X), y, held=held, run=run)
        return self

    # --- asking the model -------------------------------------------------------------------------------------------

    def _opened(self, X: Any) -> Rows:
        """X as rows that the model takes, at least one."""
        if "model_" not in self.__dict__:
            check_is_fitted(self, "model_")  # says so in scikit-learn's words
        like = self.model_.preprocessor
        rows = open_rows(X, like=like)
        if not len(rows):
            raise DataError("n_samples = 0: there is nothing to score")
        if isinstance(rows, TableRows):
            _check_columns(type(self).__name__, rows, like)
        return rows

    def anomaly_score(self, X: Any) -> np.ndarray:
        """The anomaly score of each row, (n,) float64, higher is more anomalous. It depends on that row and the model
        alone.

        X: as for `fit`; one picture or one pandas row counts as one row. Raises `DataError` for rows that the model
        does not take, scikit-learn's `NotFittedError` before `fit`.
        """
        rows = self._opened(X)
        return self.model_.score(rows)

    def score_samples(self, X: Any) -> np.ndarray:
        """scikit-learn's sign: -anomaly_score(X)."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """threshold_ - anomaly_score(X), (n,) float64: below zero means anomaly."""
        return self.score_samples(X) - self.offset_

    def p_value(self, X: Any, *, strata: Any = None) -> np.ndarray:
        """Conformal p-values (n,) float64 against the calibration rows, with `strata` (n,) against those of each row's
        own stratum (see `fit`); `oddgan.verdict.calibration` says what they guarantee."""
        return self.p_value_of(self.anomaly_score(X), strata=strata)

    def p_value_of(self, scores: np.ndarray, *, strata: Any = None) -> np.ndarray:
        """Conformal p-values (n,) float64 of anomaly scores (n,). `strata`: as for `p_value`."""
        calibration = self.model_.calibration
        return calibration.p_value(scores, strata_of(calibration, strata, len(scores)))

    def predict(self, X: Any, *, strata: Any = None) -> np.ndarray:
        """+1 for normal rows, -1 for anomalies (p-value at most the false-alarm rate), (n,) int. `strata`: as for
        `p_value`."""
        if strata is None:
            return np.where(self.decision_function(X) < 0, -1, 1)
        return np.where(self.p_value(X, strata=strata) <= self.false_alarm_rate_ + ROUNDING, -1, 1)

    def discoveries(self, X: Any, fdr: float = 0.1) -> np.ndarray:
        """Which rows of a batch are anomalies, (n,) bool, so that on average at most a share `fdr` of those that are
        called so are normal (Benjamini and Hochberg; `oddgan.verdict.discoveries`). Unlike everything else here, that
        depends on the other rows of X.

        Warns `oddgan.cautions.CalibrationWarning` where the calibration rows are too few for so many rows (code
        "fdr-too-few"), and for cross-conformal ensembles (code "fdr-not-proven"), of whose p-values the share is not
        proven. Raises `ParameterError` for a share that is not between 0 and 1.
        """
        check_fdr(fdr)
        p = self.p_value(X)
        if self.guarantee_.factor > 1:
            warn(CalibrationWarning, "fdr-not-proven", UNPROVEN)
        if reason := too_few(p, self.model_.calibration.smallest_p, fdr):
            warn(CalibrationWarning, "fdr-too-few", reason)
        return discoveries(p, fdr)

    def drift(self, X: Any) -> Drift:
        """Whether rows look like the training rows at all: their inputs, their scores, and these in their order.

        Returns
        -------
        Drift
            Its `findings` and `warnings` name what differs and what to do; none of them is given as a warning until
            `Drift.warn` is called. Rows that are like the training rows get a finding with a probability of at most
            0.012: 0.001 for inputs, 0.001 for scores, 0.01 for their order.
        """
        rows = self._opened(X)
        return drifting.of(self.model_, rows)

    def known_defects(self, X: Any) -> KnownDefects:
        """What the threshold makes of a few known anomalies X: how many it catches, and which false-alarm rate would
        catch more. The model stays as it is."""
        return KnownDefects(self.p_value(X), self.false_alarm_rate_)

    def explain(self, X: Any, *, strata: Any = None) -> Explanation:
        """Everything about each row: score, p-value, verdict, terms, reconstruction and anomaly map. `strata`: as for
        `p_value`."""
        rows = self._opened(X)
        given = Given(rows, template_of(X), getattr(self.model_.preprocessor, "value_range", None))
        found = replace(self.model_.explain(rows), given=given)
        if strata is None:
            return found
        p_value, thresholds = self.p_value_of(found.score, strata=strata), None
        if self.model_.scored_by_peak:
            thresholds = self.model_.calibration.thresholds(strata)
        flagged = p_value <= self.false_alarm_rate_ + ROUNDING
        return replace(found, p_value=p_value, is_anomaly=flagged, map_thresholds=thresholds)

    def score_and_shares(self, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Of rows of a table: the anomaly score (n,) float64, and each column's share of it (n, k) float64, None for a
        detector that locates nothing. The same as `explain` has, without the rest, which takes longer."""
        rows = self._opened(X)
        return self.model_.shares(rows)

    def reconstruct(self, X: Any) -> Any:
        """What the model makes of each row, in the user's units; see `Explanation.reconstruction`. Of a DataFrame, a
        DataFrame of its type with its index and columns: numbers as floats, categories and booleans as such. Raises
        `ParameterError` for a detector that reconstructs nothing."""
        if not self.reconstructs:
            raise ParameterError(f"{type(self).__name__} reconstructs nothing: it only scores")
        found = self.explain(X)
        frame = None if found.given is None else found.given.frame
        if frame is None:
            return found.reconstruction
        return rows_framed(found.reconstruction, found.columns, self.model_.preprocessor.kinds, frame)

    def anomaly_map(self, X: Any) -> Any:
        """Where each row is anomalous; see `Explanation.anomaly_map`. Of a DataFrame, a DataFrame of its type with its
        index and columns, which has each column's share. Raises `ParameterError` for a detector that locates
        nothing."""
        if not self.locates:
            raise ParameterError(f"{type(self).__name__} locates nothing: it only scores")
        found = self.explain(X)
        frame = None if found.given is None else found.given.frame
        if frame is None:
            return found.anomaly_map
        return rows_framed(found.anomaly_map, found.columns, ["number"] * len(found.columns), frame)

    def features(self, X: Any) -> np.ndarray:
        """The detector's features of each row as vectors (n, k) float32; of a picture in tiles, the mean over them."""
        rows = self._opened(X)
        return self.model_.features(rows)

    def generate(self, n: int, *, random_state: int = 0, backend: str | None = None) -> Any:
        """n new rows from the distribution that was learnt, in the user's units, as `Explanation.reconstruction` has
        them; with `tile`, tiles (n, h, w[, C]) at the model's size. `backend`: "pandas", "polars" or "pyarrow" gives
        rows of a table as its DataFrame, with the columns' names in training. Raises `ParameterError` for a detector
        that models no distribution."""
        check_is_fitted(self, "model_")
        if n < 1:
            raise ParameterError(f"n={n}: ask for at least one row")
        like = self.model_.preprocessor
        if backend is not None and like.kind != "table":
            raise ParameterError(f"backend={backend!r}: is for rows of a table, and this model makes pictures")
        made, names = self.model_.generate(n, random_state), getattr(like, "names", ())
        return made if backend is None else rows_framed(made, names, like.kinds, backend=backend)

    # --- the same model, used otherwise -----------------------------------------------------------------------------

    def with_false_alarm_rate(self, rate: float | Literal["auto"]) -> Self:
        """The same model with another threshold, without a new fit. Raises `ParameterError` when the calibration rows
        are too few for `rate`."""
        return self._with(false_alarm_rate=rate)

    def with_block_size(self, block_size: int) -> Self:
        """The same model, scoring `block_size` rows together: 1 for latency, 64 for throughput. Scores agree to
        the detector's `tolerance`."""
        return self._with(block_size=block_size)

    def with_conversion(self) -> Self:
        """The same model, which also accepts pictures whose size or channels differ from the training pictures', and
        converts them. Raises `ParameterError` for a model of tables."""
        return self._with(convert=True)

    def recalibrate(
        self,
        X: Any,
        *,
        false_alarm_rate: float | Literal["auto"] | None = None,
        groups: Any = None,
        strata: Any = None,
    ) -> Self:
        """The same networks with a threshold, p-values and a threshold of maps from other normal rows, without
        training: for another camera, site or season.

        X: normal rows that the model was not trained on, as for `fit`. `false_alarm_rate`: None keeps what was asked
        for. `groups`, `strata` (n,): as for `fit`; equal rows count as often as they come, unless groups say otherwise.
        Raises `ParameterError` for a rate that X has too few rows for.
        """
        rows = self._opened(X)
        other = copy.copy(self)
        other.model_ = self.model_.recalibrated(rows, false_alarm_rate, groups=groups, strata=strata)
        if false_alarm_rate is not None:
            other.false_alarm_rate = false_alarm_rate
        return other

    def _with(self, **changes: Any) -> Self:
        check_is_fitted(self, "model_")
        other = copy.copy(self)
        other.model_ = self.model_.replace(**changes)
        for name, value in changes.items():
            setattr(other, name, value)
        return other

    def __copy__(self) -> Self:
        """A copy that shares the model."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other


@contextmanager
def watched(
    checkpoint: str | Path | None,
    seconds: float,
    hooks: Iterable[Hook],
    on_interrupt: Literal["keep", "raise"] | None,
    verbose: bool | int,
) -> Iterator[Run]:
    """A run with these, all as `Face.fit` has them, that shows a bar where it is verbose."""
    if on_interrupt not in (None, "keep", "raise"):
        raise ParameterError(f"on_interrupt={on_interrupt!r}: must be 'keep', 'raise' or None")
    with Progress() if verbose else nullcontext() as bar:
        watching = (*([bar] if bar else []), *hooks)
        yield Run(checkpoint=checkpoint, seconds=seconds, hooks=watching, on_interrupt=on_interrupt)


def _check_columns(detector: str, rows: TableRows, like: Expected) -> None:
    """scikit-learn's checks, in its words: as many columns as in training, and names where training had names."""
    n, expected = rows.shape[1], len(like.kinds)
    if (rows.columns is None) != (like.columns is None):
        has, without = ("does not have valid", "with") if rows.columns is None else ("has", "without")
        message = f"X {has} feature names, but {detector} was fitted {without} feature names"
        warnings.warn(message, UserWarning, stacklevel=4)
    if n != expected and (rows.columns is None or like.columns is None):  # else the names say more
        raise DataError(f"X has {n} features, but {detector} is expecting {expected} features as input")
