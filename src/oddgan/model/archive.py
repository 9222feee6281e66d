"""Model files: one ZIP archive of two members, nothing in it that runs.

    manifest.json        what the model is, in words a person can read, with a checksum of itself
    tensors.safetensors  weights and other arrays, with their SHA-256 in the manifest

Members are stored, not compressed, so what is read of a file is no larger than it. `read` refuses what is damaged, from
a newer format, or not a model file, and says which; it does not interpret the content.
"""

import hashlib
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from ..errors import ArtifactError
from ..files import whole_file

FORMAT = "oddgan-model"
FORMAT_VERSION = 1
MANIFEST, TENSORS = "manifest.json", "tensors.safetensors"


def write(path: str | Path, manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a model file, whole or not at all. Raises `OutputError` when it cannot be written."""
    tensors = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    sums = {TENSORS: {"bytes": len(tensors), "sha256": hashlib.sha256(tensors).hexdigest()}}
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, **manifest, "files": sums}
    manifest["checksum"] = checksum(manifest)
    text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False)
    with whole_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, member in ((MANIFEST, text), (TENSORS, tensors)):
            archive.writestr(
                zipfile.ZipInfo(name), member
            )  # of 1980: a file that held dates would not be the same twice


def read(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The manifest and the arrays of a model file. Raises `ArtifactError` when it cannot be trusted."""
    path = Path(path)
    try:
        return _read(path)
    except ArtifactError:
        raise
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: no such file; `oddgan train` writes models") from error
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (zipfile.BadZipFile, EOFError) as error:
        reason = "damaged" if _starts_like_zip(path) else "not an oddgan model"
        raise ArtifactError(f"{path}: {reason} ({line(error)}); copy the file anew") from error
    except Exception as error:  # zipfile, json and safetensors do not say what they raise for which flipped bit
        raise ArtifactError(f"{path}: damaged or not an oddgan model ({line(error)}); copy the file anew") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ArtifactError(f"{path}: has compressed members, which no oddgan model has")
            if member.file_size > size:
                raise ArtifactError(f"{path}: damaged: {member.filename!r} would be larger than the file; copy it anew")
        manifest = json.loads(archive.read(MANIFEST), parse_float=finite, parse_constant=finite)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ArtifactError(f"{path}: is not an oddgan model")
        _check_version(path, manifest)
        if manifest.get("checksum") != checksum(manifest):
            raise ArtifactError(f"{path}: damaged: {MANIFEST} was changed after it was written; copy the file anew")
        tensors = archive.read(TENSORS)
    expected = manifest["files"][TENSORS]["sha256"]
    if hashlib.sha256(tensors).hexdigest() != expected:
        raise ArtifactError(f"{path}: damaged: {TENSORS} does not match its checksum; copy the file anew")
    return manifest, arrays_in(path, tensors)


def arrays_in(path: Path, tensors: bytes) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors file. Raises `ArtifactError` for one that claims to be larger than the file."""
    arrays = safetensors.numpy.load(tensors)
    for name, array in arrays.items():
        if math.prod(max(1, side) for side in array.shape) > len(tensors):  # of no bytes: 0 times any number
            shape = "x".join(map(str, array.shape))
            raise ArtifactError(f"{path}: the array {name} is too large for the file: {shape}")
    return arrays


def finite(text: str) -> float:
    """A number of the manifest, of which none is infinite or NaN."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is no number that a model has")
    return number


def line(error: Exception) -> str:
    """What an error says, in one line that is not too long."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def checksum(manifest: dict[str, Any]) -> str:
    """SHA-256 of all of the manifest but its own checksum."""
    rest = {name: value for name, value in manifest.items() if name != "checksum"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _check_version(path: Path, manifest: dict[str, Any]) -> None:
    version = manifest.get("format_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ArtifactError(f"{path}: format version {version!r:.40} is not one that ever was")
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"{path}: format {version}, written by oddgan {manifest.get('oddgan', 'of a later release')!s:.40}, is "
            f"newer than this oddgan reads ({FORMAT_VERSION}); upgrade oddgan"
        )


def _starts_like_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"
