"""What lies at a path, as rows that are read when they are asked for."""

from pathlib import Path
from typing import Any

from ..errors import DataError, OddganError
from .array_files import array_rows, checked, converted
from .decode import places
from .idx import idx_files, is_idx, read_idx
from .masks import without_masks
from .names import Names
from .picture_files import Pictures
from .places import SUFFIXES, page_of
from .scan import scan
from .table_files import TableFile, is_table_file
from .table_folders import is_table_folder
from .tar_shards import is_tar, is_tar_folder, members


def open_path(path: Path) -> Any:
    """The rows at `path`: every picture below a folder or in archives (masks are no pictures), one
    picture, a table file, an array, IDX files. Raises `DataError` for a path that is none of them."""
    try:
        if is_tar(path) and not path.is_dir():
            return Pictures(members(path), root=path.parent)
        if not path.exists():
            if page_of(str(path))[1] is not None and Path(page_of(str(path))[0]).exists():
                return Pictures([path], root=path.parent)
            raise DataError(f"{path}: no such file or folder")
        if path.is_dir():
            return _folder(path)
    except (OSError, ValueError) as error:
        if isinstance(error, OddganError):
            raise
        if isinstance(error, PermissionError):
            raise DataError(f"{path}: the folder may not be read (permission denied); give read permission") from None
        raise DataError(f"{path}: cannot be reached ({error}); check the path") from None
    if path.suffix.lower() in SUFFIXES:
        return Pictures(places(str(path)), root=path.parent)
    _check_regular(path)
    if is_table_file(path):
        return TableFile(path)
    return array_rows(array_file(path))


def array_file(path: Path) -> Path:
    """`path`, if a file of that name holds an array. Raises `DataError` otherwise."""
    _check_regular(path)
    if path.suffix.lower() in {".npy", ".npz"} or is_idx(path):
        return path
    raise DataError(
        f"{path}: this kind of file is not understood; give a folder of pictures, a picture, .csv, "
        ".parquet, .npy, .npz or IDX"
    )


def _check_regular(path: Path) -> None:
    """Raise `DataError` for a pipe, a socket or a device: reading one may never end."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is a pipe, a socket or a device, not a regular file; save its content to a file")


def _folder(path: Path) -> Any:
    if is_table_folder(path):
        return TableFile(path)
    if is_tar_folder(path):
        return Pictures(members(path), root=path)
    if files := idx_files(path):
        part = files["test pictures"]
        return converted(checked(read_idx(part), str(part)))
    found = scan(path)
    pictures = without_masks(found.pictures)
    if not pictures:
        held = f"only {found.ignored()}" if found.others else "nothing"
        raise DataError(f"{path}: no pictures here, {held}; give a folder with PNG, JPEG, BMP, TIFF or WebP pictures")
    return Pictures(Names(pictures, str(path / "-")[:-1]), root=path)
