"""An exported model as a folder, and how it is guarded.

    oddgan.json            what the export is, in words a person can read, with a checksum of itself and of each file
    model.onnx             the graph (ONNX Runtime); or model.xml and model.bin (OpenVINO)
    verdict.safetensors    calibration scores, the scale of maps, rows or patches that new ones are compared with
    parity.json            how its scores and verdicts compare with those of the model that was exported
    README.md              the same for a reader

`read` refuses what is damaged, from a newer format, or no export, and says which. A graph holds no code, and nothing of
it is read from other files.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArtifactError
from ..model import archive

FORMAT = "oddgan-export"
FORMAT_VERSION = 1
MANIFEST, VERDICT, PARITY, CARD = "oddgan.json", "verdict.safetensors", "parity.json", "README.md"
GRAPHS = {"onnx": ("model.onnx",), "openvino": ("model.xml", "model.bin")}
"""The files of the graph, by runtime."""

LARGEST_MANIFEST = 16 * 2**20  # bytes


@dataclass(frozen=True, eq=False)
class Bundle:
    """What is in the folder: the `manifest`, the `arrays` of the verdict, and the `graph`'s files as bytes."""

    folder: Path
    manifest: dict[str, Any]
    arrays: dict[str, np.ndarray]
    graph: tuple[bytes, ...]


def is_export(path: str | Path) -> bool:
    """Whether the path is a folder with an exported model, damaged or not."""
    return (Path(path) / MANIFEST).is_file()


def read(folder: str | Path) -> Bundle:
    """What a folder holds that `oddgan export` wrote. Raises `ArtifactError` when it cannot be trusted."""
    folder, tries = Path(folder), 3
    try:
        while True:
            before = _manifest_bytes(folder)
            try:
                return _read(folder)
            except (ArtifactError, FileNotFoundError):
                tries -= 1
                if not tries or before == _manifest_bytes(folder):  # else a newer export took its place meanwhile
                    raise
    except ArtifactError:
        raise
    except FileNotFoundError as error:
        missing = Path(error.filename or folder).name
        raise ArtifactError(f"{folder}: has no {missing}, so it is no export; `oddgan export` writes some") from error
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # json and safetensors do not say what they raise for which flipped bit
        raise ArtifactError(f"{folder}: damaged ({archive.line(error)}); copy the folder anew") from error


def _manifest_bytes(folder: Path) -> bytes | None:
    """None where there is no manifest to read."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            return file.read(LARGEST_MANIFEST)
    except OSError:
        return None


def _read(folder: Path) -> Bundle:
    place = folder / MANIFEST
    if place.stat().st_size > LARGEST_MANIFEST:
        raise ArtifactError(f"{place}: is larger than any that oddgan export writes")
    manifest = json.loads(place.read_bytes(), parse_float=archive.finite, parse_constant=archive.finite)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ArtifactError(f"{folder}: is not an exported oddgan model")
    version = manifest.get("format_version")
    if type(version) is not int or version < 1:
        raise ArtifactError(f"{folder}: format version {version!r:.40} is not one that ever was")
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"{folder}: format {version}, written by oddgan {manifest.get('oddgan', 'of a later release')!s:.40}, is "
            f"newer than this oddgan reads ({FORMAT_VERSION}); upgrade oddgan"
        )
    if manifest.get("checksum") != archive.checksum(manifest):
        raise ArtifactError(f"{folder}: damaged: {MANIFEST} was changed after it was written; copy the folder anew")
    runtime = manifest.get("runtime")
    if runtime not in GRAPHS:
        raise ArtifactError(f"{folder}: is for a runtime {runtime!r:.40}, which this oddgan does not know")
    sums = manifest["files"]
    graph = tuple(_file(folder, name, sums) for name in GRAPHS[runtime])
    if PARITY in sums:
        _file(folder, PARITY, sums)
    arrays = archive.arrays_in(folder / VERDICT, _file(folder, VERDICT, sums))
    return Bundle(folder, manifest, arrays, graph)


def _file(folder: Path, name: str, sums: Mapping[str, Any]) -> bytes:
    """A file's bytes, which are what the manifest says."""
    place = folder / name
    if place.stat().st_size != sums[name]["bytes"]:
        raise ArtifactError(f"{folder}: damaged: {name} is not as long as it was; copy the folder anew")
    data = place.read_bytes()
    if hashlib.sha256(data).hexdigest() != sums[name]["sha256"]:
        raise ArtifactError(f"{folder}: damaged: {name} does not match its checksum; copy the folder anew")
    return data


def sums_of(folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """Length and SHA-256 of these files, as the manifest has them."""
    found = {}
    for name in names:
        data = (folder / name).read_bytes()
        found[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return found


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """The manifest with its format and its checksum, as the file has it."""
    whole: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION, **manifest}
    whole["checksum"] = archive.checksum(json.loads(json.dumps(whole, allow_nan=False)))
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
