"""One paper, one file. Detectors know neither each other nor the training loop's inside.

A module's name is its detector's name in lower case: `ganomaly.py` holds `GANomaly`. A new file here is all it takes
for a detector to appear in `oddgan`, on the command line and in `load`. Detectors of other packages: see
`oddgan.kit.registry`.
"""

from pathlib import Path

from ..detector import Detector, Face
from ..errors import ArtifactError, ParameterError
from ..kit import registry
from ..model import archive

__all__ = ["get", "load", "names"]


def names() -> list[str]:
    """The names of the detectors that come with oddgan or with an installed package, in lower case."""
    return registry.names()


def get(name: str) -> type[Detector]:
    """The detector class called `name`, in any case. Raises `ParameterError` for an unknown one."""
    cls: type[Detector] = registry.get(name)
    return cls


def load(path: str | Path, *, device: str | None = None) -> Face:
    """Read a model file. No code of the file runs: the detector's name is looked up among those that are here.

    Parameters
    ----------
    path : path
        A file that `save` or ``oddgan train`` wrote.
    device : str, optional
        Where to compute, in place of where the model was fitted.

    Returns
    -------
    Detector, Ensemble or CrossConformal
        Fitted: it scores the same bits as the one that was saved.

    Raises
    ------
    ArtifactError
        The file is damaged, from a newer format, inconsistent, or of a detector that is not here.
    ParameterError
        The device is not on this machine.
    """
    manifest, arrays = archive.read(path)
    try:
        cls = registry.of_file(str(manifest.get("detector")))
    except ParameterError as error:
        raise ArtifactError(f"{path}: {error}") from error
    try:
        found: Face = cls.from_file(manifest, arrays, device)
        return found
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error
