"""From the user's pictures and table rows to the networks' tensors, and back.

What is fitted here is fitted on training rows alone, belongs to the model and is saved with it.
"""

from typing import Any

from ..errors import ArtifactError
from ..rows.pictures import as_pictures, is_pictures
from .pictures import PicturePreprocessor
from .tables import TablePreprocessor
from .tiles import TilePreprocessor

Preprocessor = PicturePreprocessor | TablePreprocessor


def from_manifest(facts: dict[str, Any], arrays: dict[str, Any]) -> Preprocessor:
    """The preprocessor that a model file describes."""
    kinds: dict[str, type[PicturePreprocessor] | type[TablePreprocessor]] = {
        "pictures": PicturePreprocessor,
        "tiles": TilePreprocessor,
        "table": TablePreprocessor,
    }
    if facts.get("kind") not in kinds:
        raise ArtifactError(f"unknown kind of preprocessing {facts.get('kind')!r}")
    return kinds[facts["kind"]].from_manifest(facts, arrays)


__all__ = [
    "PicturePreprocessor",
    "Preprocessor",
    "TablePreprocessor",
    "TilePreprocessor",
    "as_pictures",
    "from_manifest",
    "is_pictures",
]
