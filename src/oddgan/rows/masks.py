"""Which pictures are masks, by the folders that they are in."""

from collections.abc import Sequence

TRUTH = frozenset({"ground_truth", "ground-truth", "groundtruth"})
"""What folders of masks are called, in lower case."""

MASKS = TRUTH | {"mask", "masks", "mask_dir", "masks_dir", "gt"}
"""The same, and names that mean masks where there are other folders beside them."""


def without_masks(pictures: Sequence[str]) -> Sequence[str]:
    """Relative paths of pictures without those in folders of masks."""
    folders: dict[str, set[str]] = {}
    for name in pictures:
        parts = name.split("/")
        for i, part in enumerate(parts[:-1]):
            folders.setdefault("/".join(parts[:i]), set()).add(part.lower())

    def is_mask(name: str) -> bool:
        parts = name.split("/")
        return any(
            part.lower() in TRUTH or (part.lower() in MASKS and not folders["/".join(parts[:i])] <= MASKS)
            for i, part in enumerate(parts[:-1])
        )

    named = {part.lower() for inside in folders.values() for part in inside}
    return [name for name in pictures if not is_mask(name)] if named & MASKS else pictures
