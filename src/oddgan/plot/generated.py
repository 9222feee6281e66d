"""What a generator makes."""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from ..errors import ParameterError
from . import palette
from .figures import Display, displayed, mosaic, show

SIDE = 0.75  # inches of a picture


def generator_of(estimator: Any) -> Any:
    """The fitted model that generates pictures: of an ensemble, that of the first member which can. Raises
    `ParameterError` that names the detector where there is none."""
    check_is_fitted(estimator, "model_")
    name = type(estimator).__name__
    if not estimator.generates:
        raise ParameterError(f"{name} generates nothing: it models no distribution to draw from; take a GAN or a VAE")
    if estimator.preprocessor_.kind != "pictures":
        raise ParameterError(f"{name} was fitted on a table, whose rows are no pictures: look at generate(n) instead")
    members = getattr(estimator.model_, "members", None) or {name: estimator.model_}
    return next(one for one in members.values() if one.recipe.generates)


@dataclass(eq=False, kw_only=True, repr=False)
class SamplesDisplay(Display):
    """A grid of generated pictures.

    Attributes
    ----------
    samples : (n, h, w) or (n, h, w, C) float32
        In the user's units.
    value_range : (float, float)
        The values that are shown black and white.
    image_ : artist
        Once drawn: all in one picture, from 0 to 1.
    """

    samples: np.ndarray
    value_range: tuple[float, float]
    name: str = ""

    @classmethod
    def from_estimator(cls, estimator: Any, n: int = 16, *, random_state: int = 0, ax: Any = None) -> Self:
        """Generate n pictures, and draw. Raises `ParameterError` for a detector that generates none."""
        generator_of(estimator)
        samples = estimator.generate(n, random_state=random_state)
        name = type(estimator).__name__
        return cls(samples=samples, value_range=estimator.preprocessor_.value_range, name=name).plot(ax)

    @classmethod
    def from_samples(cls, samples: Any, *, value_range: tuple[float, float] = (0.0, 255.0), ax: Any = None) -> Self:
        """Draw pictures (n, h, w[, C])."""
        return cls(samples=np.asarray(samples), value_range=value_range).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw in `ax`, or in a new figure."""
        n = len(self.samples)
        columns = math.ceil(math.sqrt(n))
        rows = -(-n // columns)
        ax = self._single(ax, (max(3.0, SIDE * columns), max(2.0, SIDE * rows) + 0.4))
        shown = np.stack([displayed(one, self.value_range) for one in self.samples])
        self.image_ = show(ax, mosaic(shown, columns))
        ax.set_title(f"{self.name}: {n} generated" if self.name else f"{n} generated", loc="left", fontsize="medium")
        return self


@dataclass(eq=False, kw_only=True, repr=False)
class LatentWalkDisplay(Display):
    """What a generator makes along straight lines between latents: pictures change step by step where it has learnt
    the data, and all at once where it remembers some rows.

    Attributes
    ----------
    latents : (rows, steps, d) float32
    pictures : (rows, steps, h, w) or (rows, steps, h, w, C) float32
        In the user's units.
    value_range : (float, float)
    image_ : artist
    """

    latents: np.ndarray
    pictures: np.ndarray
    value_range: tuple[float, float]
    name: str = ""

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, steps: int = 8, rows: int = 4, random_state: int = 0, ax: Any = None
    ) -> Self:
        """Draw two latents for each of `rows` lines, and generate at `steps` places from one to the other. Raises
        `ParameterError` for a detector without a generator."""
        if steps < 2 or rows < 1:
            raise ParameterError(f"steps={steps}, rows={rows}: a walk takes two steps and one row at least")
        model = generator_of(estimator)
        ends = model.latents(2 * rows, random_state)
        ways = torch.linspace(0, 1, steps)[None, :, None]
        z = ends[:rows, None] * (1 - ways) + ends[rows:, None] * ways
        made = model.decoded(z.flatten(0, 1))
        return cls(
            latents=z.numpy(),
            pictures=made.reshape(rows, steps, *made.shape[1:]),
            value_range=model.preprocessor.value_range,
            name=type(estimator).__name__,
        ).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw in `ax`, or in a new figure."""
        rows, steps = self.pictures.shape[:2]
        h, w = self.pictures.shape[2:4]
        ax = self._single(ax, (SIDE * steps + 0.4, SIDE * rows * h / w + 0.8))
        shown = np.stack([displayed(one, self.value_range) for line in self.pictures for one in line])
        self.image_ = show(ax, mosaic(shown, steps))
        places = np.arange(steps) * (w + 1) + (w - 1) / 2
        every = max(1, math.ceil(steps / 8))
        ax.set_xticks(places[::every], labels=[f"{at:.2g}" for at in np.linspace(0, 1, steps)[::every]])
        ax.tick_params(length=0, labelsize="small", colors=palette.MUTED)
        ax.set_xlabel("share of the way from one latent to another")
        ax.set_title(": ".join(filter(None, [self.name, "latent walk"])), loc="left", fontsize="medium")
        return self
