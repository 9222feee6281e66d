"""Several detectors as one, and one detector that calibrates on every row.

    Ensemble([GANomaly(), KNN(), LOF()], random_state=0).fit(normals)      # different ideas
    Ensemble(GANomaly(), seeds=5, random_state=0).fit(normals)             # one idea, five trainings
    CrossConformal(GANomaly(), folds=5, random_state=0).fit(few_normals)   # no normal row is only held out

Both are asked, saved and loaded as any detector is.
"""

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .detector import Detector, Face
from .errors import ArtifactError, ParameterError
from .kit.recipe import Recipe
from .model import ensemble_file, ensemble_fitting
from .model.ensemble import EnsembleModel, Rule
from .model.ensemble_fitting import Settings, names_of
from .model.holding_out import HeldOut
from .model.runs import Run
from .parameters import declared, plain
from .rows import Rows
from .training.checkpoint import seed_of
from .verdict import Guarantee

__all__ = ["CrossConformal", "Ensemble"]


class _Several(Face):
    """What ensembles have in common: members, each of which is a detector, and one verdict."""

    model_: EnsembleModel
    rule: ClassVar[Rule]

    @abstractmethod
    def _given(self) -> list[Any]:
        """The unfitted detectors."""

    @classmethod
    @abstractmethod
    def _like(cls, model: EnsembleModel) -> Self:
        """The unfitted ensemble that a model may have come of."""

    # --- what it can do ---------------------------------------------------------------------------------------------

    def _recipes(self) -> list[Any]:
        """The members, as fitted if they are."""
        if "model_" in self.__dict__:
            return [one.recipe for one in self.model_.members.values()]
        return self._given()

    @property
    def locates(self) -> bool:
        """Whether any member locates anomalies."""
        return any(one.locates for one in self._recipes())

    @property
    def reconstructs(self) -> bool:
        """Whether any member reconstructs rows."""
        return any(one.reconstructs for one in self._recipes())

    @property
    def generates(self) -> bool:
        """Whether any member can generate rows."""
        return any(one.generates for one in self._recipes())

    @property
    def block_size(self) -> int:
        """The most rows that a member scores together."""
        return int(max(one.block_size for one in self._recipes()))

    @property
    def tolerance(self) -> float:
        """How far scores may differ between block sizes and numbers of threads, relative to the largest."""
        return float(10 * max(one.tolerance for one in self._recipes()))  # of scores that a scale may widen

    # --- the fitted model -------------------------------------------------------------------------------------------

    def _with(self, **changes: Any) -> Self:
        check_is_fitted(self, "model_")
        other = copy.copy(self)
        other.model_ = self.model_.replace(**changes)
        if "false_alarm_rate" in changes:
            other.false_alarm_rate = changes["false_alarm_rate"]
        return other

    def info(self) -> dict[str, Any]:
        """What the model is, as a model file's manifest has it: JSON-able. `members` lists what each of them is."""
        check_is_fitted(self, "model_")
        return ensemble_file.info(self.model_)

    def save(self, path: str | Path) -> None:
        """Write the model file `path`, all members in one, whole or not at all (`oddgan.model.archive`). Raises
        `OutputError`."""
        check_is_fitted(self, "model_")
        ensemble_file.write(path, self.model_)

    @classmethod
    def from_model(cls, model: EnsembleModel) -> Self:
        """The fitted ensemble around a model. Raises `ParameterError` where the model's parameters are no such."""
        result = cls._like(model)
        result.check_parameters()
        result.model_ = model
        return result

    @classmethod
    def from_file(
        cls, manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray], device: str | None = None
    ) -> Self:
        """The fitted ensemble that a model file describes, on `device` or on those that its members were fitted for.
        Raises `ArtifactError` when its parts do not agree."""
        model = ensemble_file.model_from(cls.rule, manifest, arrays, device)
        try:
            return cls.from_model(model)
        except Exception as error:  # a forged file may hold any parameters
            raise ArtifactError(
                f"its parameters are none of an ensemble: {' '.join(str(error).split())[:300]}"
            ) from error


class Ensemble(_Several):
    """Several detectors, or one with several seeds, whose averaged scores have one threshold.

    Rows are held out once: all members are trained on the same rows and tuned on the same others. Each member's score
    is brought to one scale by its median and median absolute deviation over the tuning rows, and the ensemble's score
    is the mean. It is calibrated on rows that no member was shown, so its p-values promise what a single detector's do.
    A row's score depends on that row and the model alone.

    `explain` has the members' scaled scores as terms. The anomaly map is the mean of the maps of those members that
    locate, with a threshold of its own; `reconstruct` and `generate` ask the first member that can; `features` has all
    members' features side by side.

    Parameters
    ----------
    detectors : Detector or list of Detector
        The unfitted members. Those with `random_state=None` get the ensemble's. Parameters of theirs are set as
        scikit-learn has it: `set_params(ganomaly__updates=500)`, with `ganomaly-1`, `ganomaly-2`, ... where several
        are of one class, and `detectors__updates` where one detector is given.
    seeds : int, default None
        Train every detector so many times, with `random_state`, `random_state` + 1, ...
    random_state : int or NumPy generator, default None
        Seed of everything random; None: that of the one detector which is given, or else a new one each time.
    false_alarm_rate : float or 'auto', default 'auto'
        Share of normal rows that may be called anomalies; "auto": 0.01, or what the calibration rows allow.
    calibrate_fraction : float, default 0.2
        Share of the rows held out to calibrate, half as many to tune.

    Examples
    --------
    >>> Ensemble([GANomaly(), KNN()], random_state=0).fit(normals).predict(new_rows)
    """

    rule = "mean"

    def __init__(
        self,
        detectors: Detector | Sequence[Detector],
        *,
        seeds: int | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        false_alarm_rate: float | Literal["auto"] = "auto",
        calibrate_fraction: float = 0.2,
    ) -> None:
        self.detectors = detectors
        self.seeds = seeds
        self.random_state = random_state
        self.false_alarm_rate = false_alarm_rate
        self.calibrate_fraction = calibrate_fraction

    def check_parameters(self) -> None:
        """Raise `ParameterError` that names the first parameter, of the ensemble or of a member, that is wrong."""
        for name in ("random_state", "false_alarm_rate", "calibrate_fraction"):
            declared(Recipe)[name].check(getattr(self, name))
        _check_detectors(type(self).__name__, self._given())
        if self.seeds is not None and not (isinstance(self.seeds, int | np.integer) and self.seeds >= 1):
            raise ParameterError(f"seeds={self.seeds!r}: must be a whole number, at least 1, or none")

    def _fit_rows(self, rows: Rows, y: Any, *, held: HeldOut, run: Run) -> EnsembleModel:
        given, random_state = self._given(), self.random_state
        if random_state is None and len(given) == 1:
            random_state = given[0].random_state
        more = {"seeds": plain(self.seeds), "calibrate_fraction": plain(self.calibrate_fraction)}
        settings = Settings(random_state, plain(self.false_alarm_rate), more)

        def members(seed: int) -> dict[str, Recipe]:
            if self.seeds is None:
                each = [one.fixed(random_state=_seed(one.random_state, seed)) for one in given]
            else:
                each = [one.fixed(random_state=seed + i) for one in given for i in range(self.seeds)]
            return dict(zip(names_of(each), each, strict=True))

        return ensemble_fitting.fit(members, rows, y, settings, held=held, run=run)

    def _given(self) -> list[Any]:
        return list(self.detectors) if isinstance(self.detectors, list | tuple) else [self.detectors]

    def _named(self) -> dict[str, Any]:
        """The members of a list by name; none where that is no list of detectors."""
        given = self._given()
        if not isinstance(self.detectors, list | tuple) or not all(isinstance(one, Detector) for one in given):
            return {}
        return dict(zip(names_of(given), given, strict=True))

    @classmethod
    def _like(cls, model: EnsembleModel) -> Self:
        recipes = [one.recipe for one in model.members.values()]
        given: list[Any] = [type(one)(**one.parameters) for one in recipes[:: model.parameters["seeds"] or 1]]
        return cls(given[0] if len(given) == 1 else given, **model.parameters)

    @property
    def title_(self) -> str:
        """What it is, in a line for a user."""
        classes = [type(one).__name__ for one in self._given()]
        times = "" if self.seeds is None else f", each with {self.seeds} seeds"
        if len(classes) == 1:
            return f"Ensemble of {self.seeds or 1} {classes[0]}"
        return f"Ensemble of {', '.join(dict.fromkeys(classes))}{times}"

    # --- scikit-learn -----------------------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; with `deep` also the members, by name, and theirs, as NAME__PARAMETER."""
        found: dict[str, Any] = super().get_params(deep=deep)
        for name, one in self._named().items() if deep else ():
            found[name] = one
            found |= {f"{name}__{key}": value for key, value in one.get_params(deep=True).items()}
        return found

    def set_params(self, **params: Any) -> Self:
        """Set parameters, of the ensemble or of members (NAME__PARAMETER); NAME replaces a member."""
        if "detectors" in params:
            self.detectors = params.pop("detectors")
        if given := self._named():
            if replaced := given.keys() & params.keys():
                given |= {name: params.pop(name) for name in replaced}
                self.detectors = list(given.values())
            for key in [key for key in params if "__" in key]:
                name, _, parameter = key.partition("__")
                if name not in given:
                    raise ParameterError(f"{key}: there is no member {name}; there are {', '.join(given)}")
                given[name].set_params(**{parameter: params.pop(key)})
        if params:
            super().set_params(**params)
        return self


class CrossConformal(_Several):
    """One detector, trained once without each of several folds of the rows, so that every row is a calibration row.

    Holding a fifth of 100 rows out leaves 80 to train on and 20 to calibrate with, which hold no false-alarm rate below
    1 / 21. Here each of `folds` members is trained on all but one fold, and every one of the n rows is scored by the
    member that was not trained on it. The p-value of a new row x is

        p(x) = (1 + sum over folds k of #{i in fold k: s_k(x_i) >= s_k(x)}) / (n + 1)

    with s_k the score of the member trained without fold k. The score is the number of calibration rows that score
    lower than x, from 0 to n, and a fraction that orders rows of equal numbers by the mean of the members' scaled
    scores: p(x) = (1 + n - floor(score)) / (n + 1).

    **What is guaranteed.** For a new normal row that is exchangeable with the n others, P(p <= a) <= 2 a + 2 (1 - a)
    (1 - 1/K) / (n/K + 1) with K folds (twice the mean of p-values is a p-value: Vovk and Wang 2020; Barber et al. 2021
    for CV+). The factor 2 is a worst case over detectors: false alarms are near a as long as a model trained without a
    fold is like one trained with it, as studies of the documentation show. A single hold-out guarantees a itself, with
    fewer rows. Equal rows are in one fold.

    `explain`, `anomaly_map` and the like ask all members: see `Ensemble`. The map's threshold is set by normals' maps
    of one member each, which are rougher than the mean of them: it is on the safe side.

    Parameters
    ----------
    detector : Detector
        Unfitted. With `random_state=None` it gets that of the whole. Rows to tune on are held out of the training rows
        of each member, if the detector needs any.
    folds : int, default 5
        How many; n folds of n rows are the jackknife+.
    random_state : int or NumPy generator, default None
        Seed of everything random; None: the detector's, or else a new one each time.
    false_alarm_rate : float or 'auto', default 'auto'
        Share of normal rows that may be called anomalies; "auto": 0.01, or what n rows allow.

    Examples
    --------
    >>> CrossConformal(GANomaly(), random_state=0).fit(normals).p_value(new_rows)
    """

    rule = "folds"

    def __init__(
        self,
        detector: Detector,
        *,
        folds: int = 5,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        false_alarm_rate: float | Literal["auto"] = "auto",
    ) -> None:
        self.detector = detector
        self.folds = folds
        self.random_state = random_state
        self.false_alarm_rate = false_alarm_rate

    def check_parameters(self) -> None:
        """Raise `ParameterError` that names the first parameter, of the whole or of the detector, that is wrong."""
        for name in ("random_state", "false_alarm_rate"):
            declared(Recipe)[name].check(getattr(self, name))
        _check_detectors(type(self).__name__, [self.detector])
        if isinstance(self.folds, bool) or not (isinstance(self.folds, int | np.integer) and self.folds >= 2):
            raise ParameterError(f"folds={self.folds!r}: must be a whole number, at least 2")

    def _fit_rows(self, rows: Rows, y: Any, *, held: HeldOut, run: Run) -> EnsembleModel:
        if held.calibrate is not None:
            raise ParameterError("calibrate: every row is a calibration row here; give all of them as X")
        if held.groups is not None or held.strata is not None:
            raise ParameterError("groups and strata: p-values count rows here; fit the detector itself, or an Ensemble")
        random_state = self.detector.random_state if self.random_state is None else self.random_state
        settings = Settings(random_state, plain(self.false_alarm_rate), {"folds": int(self.folds)})

        def member(seed: int) -> Recipe:
            return self.detector.fixed(random_state=_seed(self.detector.random_state, seed))

        return ensemble_fitting.fit_folds(member, rows, y, settings, int(self.folds), tune=held.tune, run=run)

    @property
    def guarantee_(self) -> Guarantee:
        """What the threshold guarantees: see above."""
        found, k = super().guarantee_, int(self.folds)
        bound = 2 * found.rate + 2 * (1 - found.rate) * (1 - 1 / k) / (found.count / k + 1)
        return replace(found, factor=min(bound, 1.0) / found.rate)

    def _given(self) -> list[Any]:
        return [self.detector]

    @classmethod
    def _like(cls, model: EnsembleModel) -> Self:
        recipe: Any = next(iter(model.members.values())).recipe
        return cls(type(recipe)(**recipe.parameters), **model.parameters)

    @property
    def title_(self) -> str:
        """What it is, in a line for a user."""
        return f"{type(self.detector).__name__} in {self.folds} folds"


def _check_detectors(owner: str, given: Sequence[Any]) -> None:
    """Raise `ParameterError` where something is no unfitted detector, or has a parameter out of range."""
    if not given:
        raise ParameterError(f"{owner}: there are no detectors; give one at least")
    for one in given:
        if not isinstance(one, Detector):
            what = one.__name__ if isinstance(one, type) else type(one).__name__
            raise ParameterError(f"{owner}: {what} is no detector; give detectors such as GANomaly()")
        one.check_parameters()
    ensemble_fitting.check_own(given)


def _seed(own: Any, whole: int) -> Any:
    """A member's seed: its own, if it has one."""
    if own is None:
        return whole
    return own if isinstance(own, int | np.integer) else seed_of(own, None)
