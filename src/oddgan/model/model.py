"""`Model`: what a fit made, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import nn

from .. import cautions, machine
from ..errors import ParameterError
from ..kit.recipe import ALL, Recipe
from ..preprocessing import PicturePreprocessor, Preprocessor
from ..preprocessing.profile import Profile, learn
from ..rows import Rows
from ..training import History
from ..verdict import Calibration, Combination, MapScale
from ..verdict.strata import one_each
from . import checks
from .explaining import Explainer
from .explanation import Explanation
from .maps import RowMaps
from .terms import MAP, X_HAT, TermComputer

REPLACEABLE = {"false_alarm_rate", "block_size", "convert"}


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted model: nothing of it changes, and `replace` gives another.

    `recipe`: the detector's parameters as it was fitted with. `net`: the trained networks. `preprocessor`: from rows to
    parts. `combination`: from terms to a score, with reference rows. `calibration`: scores of held-out normals and the
    false-alarm rate. `map_scale`: what is usual of anomaly maps of pictures, None where there are none. `history`:
    every loss term by epoch. `facts`: about the training. `trained_on`: fingerprints (n,) uint64 of the training rows.
    `profile`: what training rows looked like; None in files of older releases.
    """

    recipe: Recipe
    net: nn.ModuleDict
    preprocessor: Preprocessor
    combination: Combination
    calibration: Calibration
    map_scale: MapScale | None
    history: History
    facts: Mapping[str, Any]
    trained_on: np.ndarray = field(repr=False)
    profile: Profile | None = field(default=None, repr=False)

    # --- scoring ----------------------------------------------------------------------------------------------------

    def score(self, rows: Rows) -> np.ndarray:
        """The anomaly score of each row, (n,) float64, higher is more anomalous. It depends on that row and the model
        alone. Raises `DataError` for rows that the model does not take."""
        maps = None
        if self.combination.by_map and isinstance(self.preprocessor, PicturePreprocessor):
            maps = RowMaps(self.preprocessor, self.map_scale)
        terms = self.computer.pooled(self.preprocessor.parts(rows), self.preprocessor, self.combination, maps)
        return self.combination.score(terms)

    def explain(self, rows: Rows) -> Explanation:
        """Everything about each row."""
        return self._seen(rows, everything=True)

    def shares(self, rows: Rows) -> tuple[np.ndarray, np.ndarray | None]:
        """Of a table's rows: score (n,) and each column's share of it (n, k), None for a detector that cannot locate.
        The same as `explain` has, without the rest, which takes longer."""
        if self.preprocessor.kind != "table":
            raise ParameterError("the model takes pictures: ask explain or anomaly_map")
        seen = self._seen(rows, everything=False)
        return seen.score, seen.anomaly_map  # type: ignore[return-value]  # of a table, an array

    def _seen(self, rows: Rows, *, everything: bool) -> Explanation:
        """Each row explained; its terms, its reconstruction and whether it was trained on only with `everything`."""
        explainer, computer = Explainer(self, everything=everything), self.computer
        names = ALL if everything else (*self.combination.asked, X_HAT, MAP)
        for i, block in enumerate(self.preprocessor.parts(rows).blocks(computer.block_size)):
            explainer.add(block, computer.found(block.x, names, few=not i))
        return explainer.explanation()

    @property
    def map_threshold(self) -> float | None:
        """Above this value a place of an anomaly map is anomalous (`Combination.map_threshold`), at the false-alarm
        rate in force; None where there are no standardised maps."""
        return self.combination.map_threshold(self.map_scale, self.calibration)

    @property
    def scored_by_peak(self) -> bool:
        """Whether the score is the peak of the map: then maps have the thresholds of the score, of each stratum too."""
        return self.combination.by_peak

    def features(self, rows: Rows) -> np.ndarray:
        """The detector's features of each row as vectors (n, k) float32; of a picture in tiles, the mean over them."""
        blocks = self.preprocessor.parts(rows).blocks(self.computer.block_size)
        return self.preprocessor.averaged((block, self.computer.features(block.x)) for block in blocks)

    def generate(self, n: int, seed: int) -> np.ndarray:
        """n new rows, in the user's units. Raises `ParameterError` for a detector that models no distribution."""
        with machine.sealed(), torch.no_grad():
            torch.manual_seed(seed)
            return self.preprocessor.restore(self.recipe.sample(self.net, n).cpu())

    def latents(self, n: int, seed: int) -> torch.Tensor:
        """n latents (n, k) float32 on the CPU, those of which `generate` makes rows. Raises `ParameterError` for a
        detector without any."""
        with machine.sealed(), torch.no_grad():
            torch.manual_seed(seed)
            return self.recipe.latents(self.net, n).cpu()

    def decoded(self, z: torch.Tensor) -> np.ndarray:
        """The rows (n, ...) of latents z (n, k), in the user's units. Raises `ParameterError` for a detector without
        latents."""
        with machine.sealed(), torch.no_grad():
            made = self.recipe.decode(self.net, z.to(self.computer.device))
            return self.preprocessor.restore(made.float().cpu())

    @cached_property
    def computer(self) -> TermComputer:
        """What computes parts' terms."""
        computer = TermComputer(self.recipe, self.net, self.combination.reference)
        computer.shapes.part = tuple(self.preprocessor.shape)
        return computer

    # --- the same model, used otherwise -----------------------------------------------------------------------------

    def replace(self, **changes: Any) -> Self:
        """Another model that differs in `false_alarm_rate`, `block_size` or `convert`. Raises `ParameterError` for a
        rate that the calibration rows cannot hold, and for anything that only a fit can change."""
        if fitted := changes.keys() - REPLACEABLE:
            raise ParameterError(
                f"{min(fitted)}: only a fit changes it; replace takes {', '.join(sorted(REPLACEABLE))}"
            )
        parts: dict[str, Any] = {"recipe": self.recipe.fixed(**changes)}
        if "false_alarm_rate" in changes:
            parts["calibration"] = self.calibration.with_rate(changes["false_alarm_rate"])
        if "convert" in changes:
            parts["preprocessor"] = self.preprocessor.with_conversion(changes["convert"])
        return replace(self, **parts)

    def recalibrated(
        self, rows: Rows, rate: float | Literal["auto"] | None, *, groups: Any = None, strata: Any = None
    ) -> Self:
        """Another model, whose threshold and p-values, of maps too, come from these n normals, and which holds later
        rows to what they look like. `rate`, `groups` and `strata` (n,): as in a fit. Raises `ParameterError` for a rate
        that they cannot hold. What it warns of takes the place of what was said of the calibration before."""
        rate = self.recipe.false_alarm_rate if rate is None else rate
        groups, strata = (one_each(one, len(rows), name) for one, name in ((groups, "groups"), (strata, "strata")))
        prepared, maps = self.preprocessor.prepare(rows, np.arange(len(rows))), None
        if self.map_scale is not None and isinstance(self.preprocessor, PicturePreprocessor):
            maps = RowMaps(self.preprocessor, self.map_scale)
        terms = self.computer.pooled(prepared, self.preprocessor, self.combination, maps)
        scores = self.combination.score(terms)
        with cautions.kept() as found:
            calibration = Calibration.of(scores, rate, groups=groups, strata=strata)
            checks.warn_of_repetition(self.trained_on, self.preprocessor.trained_on(prepared))
            checks.warn_of_calibration(calibration, rate)
        return replace(
            self,
            recipe=self.recipe.fixed(false_alarm_rate=rate),
            calibration=calibration,
            map_scale=None if maps is None else maps.calibrated(groups),
            profile=learn(rows, np.arange(len(rows)), self.preprocessor),
            facts={**self.facts, "recalibrated": len(rows), "warnings": checks.renewed(self.facts, found)},
        )

    # --- pickle -----------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """Networks as their numbers: spectrally normalised ones cannot be pickled or copied otherwise."""
        state = {name: value for name, value in self.__dict__.items() if name != "computer"}
        numbers = self.net.state_dict()
        for name, value in numbers.items():
            numbers[name] = value.cpu()  # where it is unpickled, there may be no GPU, or another one
        return {**state, "net": numbers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        net = built(state["recipe"], state["preprocessor"].shape, state["net"])
        self.__dict__.update({**state, "net": machine.place(net, machine.device(state["recipe"].device))})


def built(recipe: Recipe, shape: tuple[int, ...], numbers: Mapping[str, torch.Tensor]) -> nn.ModuleDict:
    """The recipe's networks, holding these numbers. Raises `RuntimeError` where they do not fit."""
    with machine.sealed():
        net = nn.ModuleDict(recipe.build(shape))
    net.load_state_dict(numbers)
    return net.eval().requires_grad_(False)
