"""What a detector is written with: one import for its authors.

    from oddgan.kit import ALL, NeuralDetector, Param, Stage, bce, decoder, discriminator, encoder, l1

The base classes (`NeuralDetector` for networks that are trained, `EstimatorDetector` for a scikit-learn estimator),
parameters (`Param`), stages of training (`Stage`, `Batch`), losses, games that papers share, networks by family,
and the laws that every detector must keep (`check_detector`, `small`); latent search is in `oddgan.kit.search`.
Importing this package imports no torch: names are loaded when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; at run time __getattr__ finds them
    from ..detector import Detector, NeuralDetector
    from ..networks import decoder, discriminator, encoder
    from ..parameters import Param
    from ..preprocessing.prepared import PreparedRows, in_batches
    from ..testing import check_detector, small
    from ..training import Batch, Losses, Stage
    from .augmentation import augment
    from .estimators import EstimatorDetector
    from .games import gan, gradient_penalty, wgan_gp
    from .losses import bce, l1, l2, norm1, norm2
    from .recipe import ALL, Names, Terms, detector

_HOMES = {
    "ALL": "oddgan.kit.recipe",
    "Batch": "oddgan.training",
    "Detector": "oddgan.detector",
    "EstimatorDetector": "oddgan.kit.estimators",
    "Losses": "oddgan.training",
    "Names": "oddgan.kit.recipe",
    "NeuralDetector": "oddgan.detector",
    "Param": "oddgan.parameters",
    "PreparedRows": "oddgan.preprocessing.prepared",
    "Stage": "oddgan.training",
    "Terms": "oddgan.kit.recipe",
    "augment": "oddgan.kit.augmentation",
    "bce": "oddgan.kit.losses",
    "check_detector": "oddgan.testing",
    "decoder": "oddgan.networks",
    "discriminator": "oddgan.networks",
    "detector": "oddgan.kit.recipe",
    "encoder": "oddgan.networks",
    "gan": "oddgan.kit.games",
    "gradient_penalty": "oddgan.kit.games",
    "in_batches": "oddgan.preprocessing.prepared",
    "l1": "oddgan.kit.losses",
    "l2": "oddgan.kit.losses",
    "norm1": "oddgan.kit.losses",
    "norm2": "oddgan.kit.losses",
    "small": "oddgan.testing",
    "wgan_gp": "oddgan.kit.games",
}

__all__ = [
    "ALL",
    "Batch",
    "Detector",
    "EstimatorDetector",
    "Losses",
    "Names",
    "NeuralDetector",
    "Param",
    "PreparedRows",
    "Stage",
    "Terms",
    "augment",
    "bce",
    "check_detector",
    "decoder",
    "detector",
    "discriminator",
    "encoder",
    "gan",
    "gradient_penalty",
    "in_batches",
    "l1",
    "l2",
    "norm1",
    "norm2",
    "small",
    "wgan_gp",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
