"""What a detector declares of its training: how long, how fast, and its game."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from ..parameters import Param
from ..training import Batch, Losses, Stage
from ..training.variation import Variation, check_variation
from .recipe import Recipe


@dataclass(kw_only=True, eq=False, repr=False)
class NeuralRecipe(Recipe):
    """What a detector declares whose networks are trained: how long, how fast, and its game."""

    updates: Annotated[
        int | None,
        Param(
            "generator updates to train for; none, with no other budget: 15 epochs, at least 2000",
            low=1,
            group="training",
        ),
    ] = None
    epochs: Annotated[int | None, Param("passes over the training rows to train for", low=1, group="training")] = None
    minutes: Annotated[
        float | None, Param("minutes to train for (then a run cannot be repeated exactly)", low=0.001, group="training")
    ] = None
    early_stopping: Annotated[
        int | None,
        Param(
            "end a stage after so many validations in a row, of about 20, without a lower held-out loss, and keep the "
            "state that had the lowest; none: train to the end",
            low=1,
            group="training",
        ),
    ] = None
    batch_size: Annotated[
        int, Param("rows in a training batch, of all processes together", low=2, group="training")
    ] = 64
    lr: Annotated[
        float | dict[str, float], Param("Adam's learning rate: one, or one by player", low=0, group="training")
    ] = 2e-4
    beta1: Annotated[float, Param("Adam's first decay rate", low=0, high=0.9999, group="training")] = 0.5
    beta2: Annotated[float, Param("Adam's second decay rate", low=0, high=0.99999, group="training")] = 0.999
    ema: Annotated[
        float,
        Param("decay of the averaged weights at the end; 0: the last weights", low=0, high=0.99999, group="training"),
    ] = 0.999
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Param("of training; auto: bfloat16 for pictures from 32x32 on where the processor has it", group="training"),
    ] = "auto"
    augment: Annotated[
        Variation,
        Param(
            "mild changes of the pictures that are trained on, new ones in every batch: brightness and contrast "
            "(light), place (shift), rotation (turn), mirrored or not (flip), or the first three (all)",
            group="pictures",
        ),
    ] = "none"
    scoring_precision: Annotated[
        Literal["float32", "bfloat16"], Param("of all scores, those that set the threshold included", group="computing")
    ] = "float32"

    def check_parameters(self) -> None:
        """As `Recipe` does."""
        super().check_parameters()
        check_variation(self.augment, self.roi, self.tile)

    @abstractmethod
    def step(self, net: Any, batch: Batch) -> Iterator[Losses]:
        """The game: yield players and their named loss terms (see `oddgan.training`)."""

    def stages(self) -> tuple[Stage, ...]:
        """The stages of training. One, in which every network moves, unless a paper says otherwise."""
        return (Stage("game", ("G", "D"), self.step),)

    without_gradient: ClassVar[Mapping[str, str]] = {}
    """Parameters that get no gradient by design, "NETWORK.parameter": reason. Checked by `oddgan.testing`."""
