"""Public sets of pictures that have a format of their own: MNIST and its like, CIFAR-10, SVHN."""

import hashlib
import tarfile
import zlib
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..rows.array_files import checked
from ..rows.idx import read_idx
from .arrays import read_labels
from .split import Labelled

# Checksums are of the unpacked content of the files whose MD5 sums were published, so they hold for files that were
# unpacked or packed anew.
MNIST_SUMS = {
    "training pictures": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "training labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "test pictures": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "test labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
FASHION_MNIST_SUMS = {
    "training pictures": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "training labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "test pictures": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "test labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}

CIFAR10_FILE = "cifar-10-binary.tar.gz"
CIFAR10_SUM = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
"""SHA-256 of the archive; its MD5 sum is the one that its home states, c32a1d4ab5d03f1284b67883e8d87530."""
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_PARTS = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")

SVHN_SUMS = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}
"""MD5 sums of the files, training part first, as the libraries that fetch them pin them."""


def read_idx_set(files: dict[str, Path], sums: dict[str, str] | None = None) -> Labelled:
    """The four files of a set that is published as MNIST is; `sums` are of their unpacked content."""
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
            raise DataError(f"{path}: is not the binary version of CIFAR-10 ({error}); fetch it again") from error
    classes = np.asarray(CIFAR10_CLASSES)[np.concatenate(labels)]
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
        classes.append((held["y"].ravel() % 10).astype(np.str_))  # a nought is class 10 there
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
        raise DataError(f"{path}: is not the file that was published (its checksum differs); fetch it again")
    stream.seek(0)
