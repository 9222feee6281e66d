"""oddgan: GAN-based anomaly detection.

    detector = oddgan.GANomaly(random_state=0).fit(normal_pictures)
    detector.predict(new_pictures)

Train on normal data only; then score, threshold, locate and explain anomalies in new data. Importing this package
imports no torch: names are loaded when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:  # for editors and type checkers; at run time __getattr__ finds them
    from .advice import recommended
    from .batches import scorer
    from .choosing import Choice, choose
    from .detector import Detector, Explanation
    from .detectors import load
    from .detectors.adgan import ADGAN
    from .detectors.alad import ALAD
    from .detectors.anogan import AnoGAN
    from .detectors.contrad import ContraD
    from .detectors.dagmm import DAGMM
    from .detectors.dcgan import DCGAN
    from .detectors.draem import DRAEM
    from .detectors.dsebm import DSEBM
    from .detectors.egbad import EGBAD
    from .detectors.fanogan import FAnoGAN
    from .detectors.ganomaly import GANomaly
    from .detectors.isolationforest import IsolationForest
    from .detectors.knn import KNN
    from .detectors.lof import LOF
    from .detectors.ocgan import OCGAN
    from .detectors.ocrgan import OCRGAN
    from .detectors.oneclasssvm import OneClassSVM
    from .detectors.patchcore import PatchCore
    from .detectors.pca import PCA
    from .detectors.skipganomaly import SkipGANomaly
    from .detectors.vae import VAE
    from .ensemble import CrossConformal, Ensemble
    from .evaluation import Comparison, Evaluation, compare, evaluate

_HOMES = {
    "CrossConformal": "ensemble",
    "Choice": "choosing",
    "Detector": "detector",
    "Ensemble": "ensemble",
    "Explanation": "detector",
    "Comparison": "evaluation",
    "Evaluation": "evaluation",
    "choose": "choosing",
    "compare": "evaluation",
    "evaluate": "evaluation",
    "load": "detectors",
    "recommended": "advice",
    "scorer": "batches",
}
_MODULES = {
    "batches",
    "cautions",
    "data",
    "errors",
    "hooks",
    "kit",
    "metrics",
    "papers",
    "plot",
    "report",
    "simulate",
    "testing",
}

__all__ = [
    "ADGAN",
    "ALAD",
    "DAGMM",
    "DCGAN",
    "DRAEM",
    "DSEBM",
    "EGBAD",
    "KNN",
    "LOF",
    "OCGAN",
    "OCRGAN",
    "PCA",
    "VAE",
    "AnoGAN",
    "Choice",
    "Comparison",
    "ContraD",
    "CrossConformal",
    "Detector",
    "Ensemble",
    "Evaluation",
    "Explanation",
    "FAnoGAN",
    "GANomaly",
    "IsolationForest",
    "OneClassSVM",
    "PatchCore",
    "SkipGANomaly",
    "choose",
    "compare",
    "evaluate",
    "load",
    "recommended",
    "scorer",
]


def __getattr__(name: str) -> Any:
    try:
        return _loaded(name)
    except ModuleNotFoundError as error:
        from .errors import LeftOut

        if (left_out := LeftOut.of(f"oddgan.{name}", error)) is None:
            raise
        raise left_out from error


def _loaded(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name[:1].isupper():
        from . import detectors

        if name.lower() in detectors.names():
            return getattr(importlib.import_module(f".detectors.{name.lower()}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
