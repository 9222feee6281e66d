"""Readers of public picture sets: MNIST and sets in its format, CIFAR-10, SVHN."""

import hashlib
import tarfile
import zlib
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..rows.array_files import checked
from ..rows.idx import read_idx
from .arrays import read_labels
from .catalogue import CATALOGUE
from .split import Labelled

CIFAR10_FILE = CATALOGUE["cifar10"].files
CIFAR10_SUM = CATALOGUE["cifar10"].checksums[CIFAR10_FILE]
CIFAR10_PARTS = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
SVHN_SUMS = CATALOGUE["svhn"].checksums


def read_idx_set(files: dict[str, Path], sums: Mapping[str, str] | None = None) -> Labelled:
    """The four files of a set in MNIST's format. `sums`: the SHA-256 of the unpacked content of each."""
    arrays = {part: read_idx(path, sha256=sums[part] if sums else None) for part, path in files.items()}
    rows, classes = [], []
    for part in ("training", "test"):
        where = files[f"{part} pictures"], files[f"{part} labels"]
        rows.append(checked(arrays[f"{part} pictures"], str(where[0])))
        classes.append(read_labels(arrays[f"{part} labels"], len(rows[-1]), str(where[1])))
    return Labelled(rows=np.concatenate(rows), classes=np.concatenate(classes), trained=len(rows[0]))


def read_cifar10(folder: Path) -> Labelled:
    """CIFAR-10 in its binary version, straight from the archive: 50,000 and 10,000 pictures (32, 32, 3) uint8."""
    path = folder / CIFAR10_FILE
    with _opened(path, "cifar10") as stream:
        _check(stream, path, "sha256", CIFAR10_SUM)
        pictures, labels = [], []
        try:
            with tarfile.open(fileobj=stream, mode="r:gz") as archive:
                members = {Path(member.name).name: member for member in archive.getmembers() if member.isfile()}
                for part in CIFAR10_PARTS:
                    content = archive.extractfile(members[part])
                    assert content is not None  # a file, as checked above
                    records = np.frombuffer(content.read(), np.uint8).reshape(-1, 1 + 3 * 32 * 32)
                    labels.append(records[:, 0])
                    pictures.append(records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        except (tarfile.TarError, KeyError, ValueError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: is not the binary version of CIFAR-10 ({error}); download it again") from error
    classes = np.asarray(CATALOGUE["cifar10"].classes)[np.concatenate(labels)]
    trained = sum(map(len, labels[:-1]))
    return Labelled(rows=np.concatenate(pictures), classes=classes.astype(np.str_), trained=trained)


def read_svhn(folder: Path) -> Labelled:
    """SVHN, cropped digits: 73,257 and 26,032 pictures (32, 32, 3) uint8; the classes are the digits."""
    from scipy.io import loadmat

    pictures: list[NDArray[Any]] = []
    classes: list[NDArray[np.str_]] = []
    for name, total in SVHN_SUMS.items():
        path = folder / name
        with _opened(path, "svhn") as stream:
            _check(stream, path, "md5", total)
            held = loadmat(stream)
        pictures.append(held["X"].transpose(3, 0, 1, 2))
        classes.append((held["y"].ravel() % 10).astype(np.str_))  # the digit 0 is class 10 in the files
    return Labelled(rows=np.concatenate(pictures), classes=np.concatenate(classes), trained=len(pictures[0]))


def _opened(path: Path, name: str) -> BufferedReader:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{name}: {path} is missing; oddgan datasets says where to get it") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error


def _check(stream: BufferedReader, path: Path, kind: str, total: str) -> None:
    if hashlib.file_digest(stream, kind).hexdigest() != total:
        raise DataError(f"{path}: is not the published file (its checksum differs); download it again")
    stream.seek(0)
