"""`EnsembleModel`: several models of one set of normal rows, and one verdict of theirs.

Each member keeps, as its own calibration, scores of normals that it has not been trained on. They put its scores on
one scale (`oddgan.verdict.scale`). Two rules make one score of them:

"mean"   the mean of the scaled scores; the calibration is of that mean, on rows that no member was shown.
"folds"  the calibration rows are those of all members together, each scored by the one member that was not trained on
         it. A row's score is the number of them, out of n, that score lower by their member than the row does by the
         same member, and between 0 and 1 more, in the order of the mean of the scaled scores, so that rows with equal
         numbers are ranked too. Ranks 1 to n are then its calibration scores: they give the cross-conformal p-value
         (1 + number of rows that score at least as high) / (n + 1).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from torch import nn

from .. import cautions
from ..errors import ParameterError
from ..preprocessing import Preprocessor
from ..preprocessing.profile import Profile, learn
from ..rows import Rows
from ..training import History
from ..verdict import Calibration
from ..verdict.calibration import threshold_at
from ..verdict.maps import of_groups
from ..verdict.scale import ScoreScale, averaged, between
from ..verdict.strata import one_each
from . import checks
from .explanation import Explanation
from .model import REPLACEABLE, Model

Rule = Literal["mean", "folds"]
STEP = 256  # rows whose maps are in memory together


@dataclass(frozen=True, eq=False)
class EnsembleModel:
    """A fitted ensemble: nothing of it changes, and `replace` gives another.

    `members` by name. `rule`: how their scores become one. `calibration`: of that score. `peaks` (n,) float64,
    ascending: of pictures, the highest value of normals' maps, which set the map's threshold; None where there are no
    maps. `parameters`: of the whole, as it was fitted with. `facts`: about the training.
    """

    members: Mapping[str, Model]
    rule: Rule
    calibration: Calibration
    peaks: np.ndarray | None
    parameters: Mapping[str, Any]
    facts: Mapping[str, Any]

    # --- scoring ----------------------------------------------------------------------------------------------------

    def score(self, rows: Rows) -> np.ndarray:
        """The anomaly score of each row, (n,) float64, higher is more anomalous. It depends on that row and the model
        alone. Raises `DataError` for rows that a member does not take."""
        return self.combined([member.score(rows) for member in self.members.values()])

    def combined(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """One score (n,) of the members' scores, each (n,)."""
        mean = averaged(self._scaled(scores))
        return mean if self.rule == "mean" else self._below(scores) + between(mean)

    def _scaled(self, scores: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [scale.scaled(one) for scale, one in zip(self.scales, scores, strict=True)]

    def _below(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        """How many calibration rows score lower by their member than the rows do by the same member, (n,)."""
        of_each = [
            np.searchsorted(member.calibration.scores, one, side="left")
            for member, one in zip(self.members.values(), scores, strict=True)
        ]
        return np.asarray(np.sum(of_each, axis=0), np.float64)

    @cached_property
    def scales(self) -> tuple[ScoreScale, ...]:
        """What each member's scores are measured by."""
        return tuple(ScoreScale.of(member.calibration.scores) for member in self.members.values())

    def explain(self, rows: Rows) -> Explanation:
        """Everything about each row: the terms are the members' scaled scores; the map is the mean of the members'
        maps, of those that locate; the reconstruction is that of the first member that makes one."""
        found = [member.explain(rows) for member in self.members.values()]
        scores = [one.score for one in found]
        score = self.combined(scores)
        shown = next((one for one in found if one.reconstruction is not None), found[0])
        return Explanation(
            score=score,
            p_value=self.calibration.p_value(score),
            is_anomaly=score > self.calibration.threshold,
            terms=dict(zip(self.members, self._scaled(scores), strict=True)),
            reconstruction=shown.reconstruction,
            anomaly_map=mean_map([one.anomaly_map for one in found if one.anomaly_map is not None]),
            trained_on=np.any([one.trained_on for one in found if one.trained_on is not None], axis=0),
            columns=found[0].columns,
            map_threshold=self.map_threshold,
            roi=shown.roi,
        )

    def shares(self, rows: Rows) -> tuple[np.ndarray, np.ndarray | None]:
        """Of a table's rows: score (n,) and each column's share of it (n, k), the mean over the members that locate;
        None where none does."""
        found = [member.shares(rows) for member in self.members.values()]
        shares = mean_map([one for _, one in found if one is not None])
        return self.combined([score for score, _ in found]), shares  # type: ignore[return-value]  # of a table, an array

    def features(self, rows: Rows) -> np.ndarray:
        """The members' features of each row, one after the other, (n, k) float32."""
        return np.concatenate([member.features(rows) for member in self.members.values()], axis=1)

    def generate(self, n: int, seed: int) -> np.ndarray:
        """n new rows of the first member that models a distribution. Raises `ParameterError` where none does."""
        for member in self.members.values():
            if member.recipe.generates:
                return member.generate(n, seed)
        raise ParameterError("no member of the ensemble can generate rows: none models a distribution to draw from")

    def recalibrated(
        self, rows: Rows, rate: float | Literal["auto"] | None, *, groups: Any = None, strata: Any = None
    ) -> Self:
        """Another ensemble, whose threshold, of maps too, comes from these n normals; see `Model.recalibrated`. Raises
        `ParameterError` for cross-conformal ensembles, whose members' folds are the calibration rows."""
        if self.rule == "folds":
            raise ParameterError("every row that it was fitted on calibrates it: fit an Ensemble, to be recalibrated")
        rate = self.parameters["false_alarm_rate"] if rate is None else rate
        groups, strata = (one_each(one, len(rows), name) for one, name in ((groups, "groups"), (strata, "strata")))
        numbers = np.arange(len(rows))
        with cautions.kept() as found:
            model = self.with_verdict_of(rows, rate, groups=groups, strata=strata)
            checks.warn_of_repetition(
                self.trained_on, self.preprocessor.trained_on(self.preprocessor.prepare(rows, numbers))
            )
            checks.warn_of_calibration(model.calibration, rate)
        members = {
            name: replace(one, profile=learn(rows, numbers, one.preprocessor)) for name, one in self.members.items()
        }
        facts = {**self.facts, "recalibrated": len(rows), "warnings": checks.renewed(self.facts, found)}
        return replace(model, members=members, facts=facts, parameters={**self.parameters, "false_alarm_rate": rate})

    # --- its parts --------------------------------------------------------------------------------------------------

    @property
    def net(self) -> nn.ModuleDict:
        """The members' networks, by the members' names."""
        return nn.ModuleDict({name: member.net for name, member in self.members.items()})

    @property
    def preprocessor(self) -> Preprocessor:
        """The first member's."""
        return next(iter(self.members.values())).preprocessor

    @property
    def trained_on(self) -> np.ndarray:
        """Fingerprints of the training rows, (n,) uint64, ascending: of rows that any member was trained on."""
        return np.unique(np.concatenate([member.trained_on for member in self.members.values()]))

    @property
    def profile(self) -> Profile | None:
        """What training rows looked like: the first member's."""
        return next(iter(self.members.values())).profile

    @property
    def history(self) -> History:
        """The members' histories one after the other; a stage is called by its member's name and its own."""
        parts = {name: member.history for name, member in self.members.items() if member.history}
        columns = list(dict.fromkeys(column for part in parts.values() for column in part))
        found: History = {column: [] for column in columns}
        for name, part in parts.items():
            n = len(next(iter(part.values())))
            for column in columns:
                values = part.get(column, [None] * n)
                found[column] += [f"{name} {one}" for one in values] if column == "stage" else values
        return found

    @property
    def map_threshold(self) -> float | None:
        """Above this value a place of an anomaly map of a picture is anomalous, at the false-alarm rate in force; None
        where there are no maps."""
        if self.peaks is None:
            return None
        return threshold_at(self.peaks, max(self.calibration.rate, 1 / (len(self.peaks) + 1)))

    @property
    def scored_by_peak(self) -> bool:
        """It is not: the score is a mean of members' scores, and the map a mean of maps."""
        return False

    def replace(self, **changes: Any) -> Self:
        """Another ensemble that differs in `false_alarm_rate`, or whose members differ in `block_size` or `convert`.
        Raises `ParameterError` as `Model.replace` does."""
        parts: dict[str, Any] = {}
        if "false_alarm_rate" in changes:
            rate = changes.pop("false_alarm_rate")
            parts["calibration"] = self.calibration.with_rate(rate)
            parts["parameters"] = {**self.parameters, "false_alarm_rate": rate}
        if fitted := changes.keys() - REPLACEABLE:
            raise ParameterError(
                f"{min(fitted)}: only a fit changes it; replace takes {', '.join(sorted(REPLACEABLE))}"
            )
        if changes:
            parts["members"] = {name: member.replace(**changes) for name, member in self.members.items()}
        return replace(self, **parts)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "scales"}

    # --- calibration ------------------------------------------------------------------------------------------------

    def with_verdict_of(
        self,
        rows: Rows,
        rate: float | Literal["auto"],
        watch: Callable[[int, int], None] = lambda done, total: None,
        *,
        groups: np.ndarray | None = None,
        strata: np.ndarray | None = None,
    ) -> Self:
        """The same with the threshold, and that of maps, which these normals set: rows that no member was shown.
        `groups` and `strata` (n,): see `Calibration`."""
        scores, peaks = [], []
        locates = rows.kind == "pictures" and any(member.recipe.locates for member in self.members.values())
        for start, some in in_steps(rows):
            watch(start, len(rows))
            if locates:
                found = self.explain(some)
                scores.append(found.score)
                peaks += [float(one.max()) for one in found.anomaly_map or ()]
            else:
                scores.append(self.score(some))
        watch(len(rows), len(rows))
        calibration = Calibration.of(np.concatenate(scores), rate, groups=groups, strata=strata)
        highest = np.sort(of_groups(np.array(peaks), groups)) if peaks else None
        return replace(self, calibration=calibration, peaks=highest)


def in_steps(rows: Rows) -> Iterator[tuple[int, Rows]]:
    """`rows` some at a time, each with the number of its first."""
    for start in range(0, len(rows), STEP):
        yield start, rows.taken(start, min(start + STEP, len(rows)))


def mean_map(maps: Sequence[Sequence[np.ndarray] | np.ndarray]) -> list[np.ndarray] | np.ndarray | None:
    """The mean of members' maps: lists of (H, W) of the same pictures, or arrays (n, k). None of no maps."""
    if not maps:
        return None
    if isinstance(maps[0], np.ndarray):
        return _mean([np.asarray(one) for one in maps])
    means = [_mean(of_row) for of_row in zip(*maps, strict=True)]
    return [np.nan_to_num(one, copy=False, nan=np.inf, posinf=np.inf, neginf=-np.inf) for one in means]


def _mean(maps: Sequence[np.ndarray]) -> np.ndarray:
    total = maps[0].copy()
    with np.errstate(invalid="ignore"):
        for one in maps[1:]:
            total += one
    return np.asarray(total / np.asarray(len(maps), total.dtype))
