"""How a run is watched, and the stages of it that ended early."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from .. import cautions
from ..errors import OddganError, ParameterError
from ..preprocessing.prepared import PreparedRows
from .criterion import counted
from .stage import Settings, Stage

SAID = {
    "diverged": "training diverged by update {update} of stage {stage}: {why}; the state after update {kept} was kept",
    "interrupted": "training was interrupted at update {update} of stage {stage}: the model is made from its state "
    "after update {kept}; train longer if it is not good enough",
    "stopped-by-hook": "training was ended by a hook at update {update} of stage {stage} ({why}): the model is made "
    "from its state after update {kept}",
}
"""The warnings of stages that ended early, by reason; of the patience, which was asked for, there is none."""


@dataclass
class Watch:
    """How a run is watched, and what came of it.

    Attributes
    ----------
    rows : PreparedRows, optional
        Held-out rows, on which each stage's losses are taken.
    patience : int, optional
        A stage ends after so many validations in a row without a new lowest held-out loss.
    keep_interrupted : bool
        Whether Ctrl-C ends the stage under way, in the state that it has.
    stopped : dict
        Stages that ended early, by name: "reason", the "update" that each was at, "kept", the update after which its
        state was kept, and "why" where there is more to say.
    """

    rows: PreparedRows | None = None
    patience: int | None = None
    keep_interrupted: bool = False
    stopped: dict[str, dict[str, Any]] = field(default_factory=dict)

    def criteria(
        self, net: nn.ModuleDict, stages: Sequence[Stage], rows: PreparedRows, settings: Settings
    ) -> list[tuple[str, ...]]:
        """The loss terms by whose sum each stage may end early; none without patience. Raises `ParameterError` where
        no stage has any."""
        if self.patience is None:
            return [()] * len(stages)
        asked = f"early_stopping={self.patience}"
        if self.rows is None:
            raise ParameterError(f"{asked}: there are no held-out rows to go by; give some as tune")
        try:
            found = [counted(net, stage, number, rows, settings) for number, stage in enumerate(stages)]
        except OddganError:
            raise
        except Exception as error:  # of a step, which may be anybody's
            raise ParameterError(f"{asked}: the step cannot be tried out ({error}); leave it out") from error
        if not any(found):
            raise ParameterError(
                f"{asked}: every loss of this detector is one side of a game and falls when the other side weakens, "
                "so none says when to stop; leave it out, and set updates"
            )
        return found

    def stop(self, stage: str, reason: str, update: int, kept: int, why: str = "") -> None:
        """Note that a stage ended early, and warn of it, unless it was its patience that ended it."""
        self.stopped[stage] = {"reason": reason, "update": update, "kept": kept, **({"why": why} if why else {})}
        if reason in SAID:
            text = SAID[reason].format(stage=stage, update=update, kept=kept, why=why)
            cautions.warn(cautions.TrainingWarning, reason, text)
