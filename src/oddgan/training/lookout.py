"""What one stage is watched for, and in which state it ends.

About twenty times a stage, the networks are looked at closely: the stage's game is played on held-out rows, and the
weights and their averages are kept in memory if nothing is wrong with them. A stage that diverges ends in the last
such state; one that may end early, in that with the lowest held-out loss.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..errors import DistributedError, ParameterError
from .averages import Averages
from .explosions import Explosions
from .history import Diverged, Recorder
from .stage import Settings, Stage
from .validation import Validation
from .watch import Watch

POINTS = 20  # of a stage at which it is looked at closely
SPACING = 12  # updates between two validations, for each batch that one plays: bounds what they cost
CHECK_EVERY = 10  # updates, for explosions


@dataclass
class Kept:
    """A state to go back to: the networks after `update` updates, and the averages of their weights."""

    update: int
    net: dict[str, Tensor]
    averages: list[Tensor]

    @classmethod
    def of(cls, update: int, net: nn.ModuleDict, averages: Averages) -> Self:
        """A copy of the state after so many updates."""
        weights = {name: value.clone() for name, value in net.state_dict().items()}
        return cls(update, weights, [value.clone() for value in averages.values])

    @classmethod
    def read(cls, saved: Mapping[str, Any], net: nn.ModuleDict, averages: Averages) -> Self:
        """The state in a checkpoint. Raises any error where it does not fit the networks."""
        mine = cls.of(int(saved["update"]), net, averages)
        if mine.net.keys() != saved["net"].keys():
            raise ValueError("the kept state is of other networks")
        pairs = [(value, saved["net"][name]) for name, value in mine.net.items()]
        for value, kept in [*pairs, *zip(mine.averages, saved["averages"], strict=True)]:
            if value.shape != kept.shape:  # copied, it would be repeated until it fits
                raise ValueError("the kept state is of other sizes")
            value.copy_(kept)
        return mine

    @torch.no_grad()
    def restore(self, net: nn.ModuleDict, averages: Averages) -> None:
        """Go back to the state."""
        for name, value in net.state_dict().items():
            value.copy_(self.net[name])
        for average, value in zip(averages.values, self.averages, strict=True):
            average.copy_(value)


class Lookout:
    """Watches one stage.

    Attributes
    ----------
    kept : Kept, optional
        The last good state; where the stage has a criterion, the one with the lowest held-out loss.
    ending : tuple of str, optional
        Why the stage ends before its budget does, and more of it.
    """

    def __init__(
        self,
        watch: Watch,
        net: nn.ModuleDict,
        stage: Stage,
        number: int,
        settings: Settings,
        averages: Averages,
        recorder: Recorder,
        criterion: tuple[str, ...] = (),
    ) -> None:
        self.watch, self.net, self.stage, self.averages, self.recorder = watch, net, stage, averages, recorder
        self.criterion = criterion
        self.validation = None if watch.rows is None else Validation(net, stage, number, watch.rows, settings)
        self.explosions = Explosions()
        self.kept: Kept | None = None
        self.ending: tuple[str, str] | None = None
        self.part = 0  # of so many POINTS
        self.looked = self.validated = 0  # the updates when it was last done
        self.lowest: float | None = None
        self.failures = 0  # validations in a row that gave no new lowest loss

    def ends(self, stopped: str | None, interrupted: bool) -> bool:
        """Whether the stage ends before its budget does: a hook may have stopped it, the user interrupted it."""
        if self.ending is None and self.criterion and self.failures >= (self.watch.patience or math.inf):
            self.ending = "early-stopping", ""
        elif self.ending is None and stopped is not None:
            self.ending = "stopped-by-hook", stopped
        elif self.ending is None and interrupted:
            self.ending = "interrupted", ""
        return self.ending is not None

    def after(self, update: int, epoch: int, share: float) -> bool:
        """Look at the losses after an update, and closely if it is time to: `share` of the stage is done. Append a line
        to the history if the update has ended an epoch; return whether it has."""
        try:
            if update % CHECK_EVERY == 0:
                self.explosions.check(self.recorder, update)
            ended = self.recorder.close_epoch(epoch, update)
            if self._due(update, POINTS * share, line=ended):
                self.part, self.looked = int(POINTS * share), update
                self._look(update, epoch)
        except Diverged as error:
            self._diverged(error)
            return False
        return ended

    def sound(self, update: int) -> bool:
        """Whether the stage can be resumed from here: it has not diverged."""
        try:
            self.recorder.check_finite(update)
        except Diverged as error:
            self._diverged(error)
        return self.ending is None

    def end(self, update: int, epoch: int) -> int:
        """Close the history after the last update, and go back to the state that the stage ends in, if it is another;
        return the update that it is of."""
        try:
            if self.recorder.since:
                self.recorder.add_line(epoch, update)
            if self.ending is None or self.ending[0] != "diverged":
                self._check_weights(update)
                self._validate(update)
        except Diverged as error:
            self._diverged(error)
        kept = update
        if self.kept is not None and (self.criterion or (self.ending and self.ending[0] == "diverged")):
            kept = self.kept.update
            self.kept.restore(self.net, self.averages)
        if kept < update and self.ending is None:
            self.ending = "early-stopping", ""
        if self.ending:
            reason, why = self.ending
            self.watch.stop(self.stage.name, reason, update, kept, why)
        return kept

    def _due(self, update: int, reached: float, *, line: bool) -> bool:
        """Whether it is time to look closely: at the end of a line of history, or where none is near."""
        since = update - self.looked
        late = reached >= self.part + 1.5 and since >= 2 * CHECK_EVERY
        return int(reached) > self.part and since >= CHECK_EVERY and (line or late)

    def _look(self, update: int, epoch: int) -> None:
        if self.recorder.since:
            self.recorder.add_line(epoch, update)
        if self.validation is not None and update - self.validated >= SPACING * self.validation.batches:
            self._validate(update)
        if self.explosions.good and (self.criterion or self._keep(update)):
            self.explosions.passed()

    def _diverged(self, error: Diverged) -> None:
        """End the stage in the state that was kept. Raises the error where there is none."""
        if self.kept is None:
            raise error
        self.ending = "diverged", error.why
        self.recorder.sums, self.recorder.since = {}, 0

    def _validate(self, update: int) -> None:
        """Add the losses on held-out rows to the last line of the history, if they can be taken."""
        validation = self.validation
        if validation is None or self.validated == update:
            return
        try:
            means = self.recorder.world.decided(lambda: validation.means(update))
        except DistributedError:
            raise
        except Exception as error:  # of a step that nobody has tried in evaluation mode
            if self.criterion:
                raise ParameterError(
                    f"early_stopping={self.watch.patience}: stage {self.stage.name} cannot be played on held-out rows "
                    f"({error}); leave it out"
                ) from error
            self.validation = None
            return
        self.validated = update
        self.recorder.add_validation(means)
        if self.criterion:
            loss = sum(means.get(name, math.nan) for name in self.criterion)
            lower = math.isfinite(loss) and (self.lowest is None or loss < self.lowest)
            if lower and self._keep(update):
                self.lowest, self.failures = loss, 0
            else:
                self.failures += 1

    def _check_weights(self, update: int) -> None:
        """Raise `Diverged` if a weight is no longer finite."""
        if not self._finite():
            why = "weights are not finite; lower the learning rate or set precision='float32'"
            raise Diverged(update, self.stage.name, why)

    def _keep(self, update: int) -> bool:
        """Keep the state, if its weights are finite; return whether they are."""
        if not self._finite():
            return False
        self.kept = Kept.of(update, self.net, self.averages)
        return True

    def _finite(self) -> bool:
        sums = [
            weight.detach().float().sum() for player in self.stage.players for weight in self.net[player].parameters()
        ]
        return not sums or bool(torch.stack(sums).isfinite().all())

    def state(self, *, ended: bool) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "kept": None if ended or self.kept is None else vars(self.kept),
            "part": self.part,
            "looked": self.looked,
            "validated": self.validated,
            "lowest": self.lowest,
            "failures": self.failures,
            "explosions": self.explosions.state(),
            "stopped": self.watch.stopped,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from a `state`. Raises any error where it does not fit."""
        self.kept = None if saved["kept"] is None else Kept.read(saved["kept"], self.net, self.averages)
        self.part, self.looked, self.validated, self.failures = (
            int(saved[name]) for name in ("part", "looked", "validated", "failures")
        )
        self.lowest = None if saved["lowest"] is None else float(saved["lowest"])
        self.explosions.restore(saved["explosions"])
        for stage, facts in saved["stopped"].items():
            reason, update, kept = str(facts["reason"]), int(facts["update"]), int(facts["kept"])
            self.watch.stop(str(stage), reason, update, kept, str(facts.get("why", "")))
