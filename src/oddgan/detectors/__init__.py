"""One paper, one file. Detectors know neither each other nor the training loop's inside.

A module's name is its detector's name in lower case: `ganomaly.py` holds `GANomaly`. A new file here is all it takes
for a detector to appear in `oddgan`, on the command line and in `load`.
"""

import importlib
import pkgutil
from pathlib import Path

from ..detector import Detector
from ..errors import ArtifactError, ParameterError
from ..model import archive as artifact


def names() -> list[str]:
    """The names of the detectors that come with oddgan, in lower case, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def get(name: str) -> type[Detector]:
    """The detector class called `name`, in any case. Raises `ParameterError` for an unknown one."""
    if name.lower() in names():
        importlib.import_module(f"{__name__}.{name.lower()}")
    for known, cls in Detector.registry.items():
        if known.lower() == name.lower() and issubclass(cls, Detector):
            return cls
    raise ParameterError(f"detector {name!r} is unknown; there are {', '.join(names())}")


def load(path: str | Path, *, device: str | None = None) -> Detector:
    """Read a model file. No code of the file runs: the detector's name is looked up among those that are here.

    `device` overrides the one that the model was configured with. Raises `ArtifactError` that names the file when it is
    damaged, from a newer format, or inconsistent, `ParameterError` when its device is not on this machine.
    """
    manifest, arrays = artifact.read(path)
    try:
        cls = get(str(manifest.get("detector")))
    except ParameterError as error:
        raise ArtifactError(f"{path}: {error}") from error
    try:
        return cls.from_manifest(manifest, arrays, device)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error
