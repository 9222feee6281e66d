"""Which pictures below a folder are masks.

ground_truth/       wherever it is
masks/, gt/, ...    beside train/, test/, normal/ or abnormal/; elsewhere, where the pictures in it look like masks
labels/, seg/, ...  where the pictures in it look like masks
NAME_mask.png       beside NAME.png, where such pictures look like masks
"""

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from ..errors import DataError
from ..rows.decode import Unreadable, decode
from ..rows.masks import MASKS, TRUTH
from .hard_masks import is_hard
from .masks import bare_stem_of, stem_of

LABELS = frozenset({"label", "labels", "seg", "segs", "segmentation", "segmentations", "annotation", "annotations"})
SAMPLED = 3  # pictures of a folder that are looked at
NO_PICTURES = frozenset({".npy", ".npz", ".mat"})


def split_masks(
    root: Path, pictures: Sequence[str], classes: Collection[str], is_known: Callable[[str], bool]
) -> tuple[Sequence[str], dict[str, str]]:
    """Paths of pictures below `root` without masks, and masks by what their paths are without the folder of masks.

    `classes`: names of folders, in lower case, that are classes whatever they hold. `is_known`: whether a folder of
    this name holds pictures that are surely none. Where nothing is left beside them, masks are pictures, except those
    in a folder called ground_truth.
    """
    candidates: dict[str, dict[str, str]] = {}  # masks with their keys, by the folder (or "*") that they are in
    siblings: dict[str, set[str]] = {}
    named = any(bare_stem_of(path) != stem_of(path) for path in pictures)
    stems = {stem_of(path) for path in pictures} if named else set()
    for path in pictures:
        parts = path.split("/")
        for i, part in enumerate(parts[:-1]):
            siblings.setdefault("/".join(parts[:i]), set()).add(part)
        place = next((i for i, part in enumerate(parts[:-1]) if _may_hold_masks(part, classes)), None)
        if place is not None:
            key = "/".join([*parts[:place], *parts[place + 1 :]])
            candidates.setdefault("/".join(parts[: place + 1]), {})[path] = key
        elif (bare := bare_stem_of(path)) != stem_of(path) and bare in stems:
            candidates.setdefault("*", {})[path] = path
    masks: dict[str, str] = {}
    for folder, files in candidates.items():
        above, _, name = folder.rpartition("/")
        beside = siblings.get(above, set()) - {name}
        kind = above.rpartition("/")[2].lower() in {"train", "test"}  # there, it may be a kind of defect
        named = name.lower() in MASKS and any(map(is_known, beside)) and not classes and not kind
        if name.lower() in TRUTH or named or _look_like_masks(root, sorted(files)):
            masks |= files
    left = [path for path in pictures if path not in masks] if masks else pictures
    if not left:
        masks = {path: key for path, key in masks.items() if TRUTH & set(path.lower().split("/")[:-1])}
        left = [path for path in pictures if path not in masks]
    return left, masks


def _may_hold_masks(folder: str, classes: Collection[str]) -> bool:
    return folder.lower() not in classes and folder.lower() in MASKS | LABELS


def _look_like_masks(root: Path, files: Sequence[str]) -> bool:
    """Whether the first, the middle and the last of these pictures look like masks, as far as they can be read."""
    for i in {0, len(files) // 2, len(files) - 1} if len(files) >= SAMPLED else range(len(files)):
        try:
            picture = decode(str(root / files[i]))
        except Unreadable:
            continue
        grey = picture if picture.ndim == 2 else picture.max(axis=2)
        top = float(grey.max())
        between = float(((grey > top / 8) & (grey < top * 7 / 8)).mean())
        if not is_hard(picture) and (between > 0.1 or float((grey <= top / 8).mean()) < 0.2):
            return False
    return True


def below(mask: str, inside: str) -> str:
    """The path of a mask's picture below the folder `inside`, from what `split_masks` says: without the folders that
    both have in common."""
    parts = mask.split("/")
    for folder in inside.split("/"):
        if len(parts) == 1 or parts[0].lower() != folder.lower():
            break
        parts = parts[1:]
    return "/".join(parts)


def check_are_pictures(root: Path, endings: Iterable[str]) -> None:
    """Raise `DataError` for a mask that is no picture: an array in a folder of masks. `endings`: those of all files
    that are no pictures."""
    if not NO_PICTURES & set(endings):
        return
    for folder, _, files in os.walk(root):
        if (MASKS & set(Path(folder).relative_to(root).as_posix().lower().split("/"))) and (
            arrays := sorted(file for file in files if Path(file).suffix.lower() in NO_PICTURES)
        ):
            raise DataError(
                f"{Path(folder) / arrays[0]}: is no picture; save masks as PNG, with 0 where a picture is normal and "
                "255 where it is anomalous"
            )
