"""Examples as items of a gallery: their pictures encoded so that all of them together fit a page."""

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np

from ..colours import Shades
from ..evaluation import Evaluation, Example
from . import document as doc
from . import text
from .heat import SIDE, png, shades_of, shown_views

BUDGET = 2_300_000  # characters of all pictures of a page
LONGEST = (448, 320, 224, 160, 112)  # pixels of a side, the first with which they fit
TINY = 64  # pixels of the longer side, up to which pictures stay as they are, sharp and without loss
QUALITY = 80
PROBED = 3  # examples that the size is estimated with
GROUPS = {
    "most anomalous": ("Most anomalous rows", "The highest scores of all rows, highest first."),
    "miss": ("Worst misses", "Anomalous rows below the threshold, lowest score first."),
    "false alarm": ("Worst false alarms", "Normal rows above the threshold, highest score first."),
    "most normal": ("Most normal rows", "The lowest scores of all rows, lowest first."),
    "random": ("Drawn at random", "A few rows of each kind, whatever their score."),
}


def galleries(e: Evaluation) -> tuple[doc.Block, ...]:
    """The examples of an evaluation, each row once, in the first group that it is in."""
    seen: set[int] = set()
    groups: dict[str, list[Example]] = {group: [] for group in GROUPS}
    for example in e.examples:
        if example.row not in seen:
            seen.add(example.row)
            groups[example.group].append(example)
    views = encoded([one for some in groups.values() for one in some], shades_of(e))
    found = tuple(
        doc.Gallery(*GROUPS[group], tuple(_item(one, views[one.row]) for one in some if one.row in views))
        for group, some in groups.items()
    )
    found = tuple(gallery for gallery in found if gallery.items)
    return (doc.Galleries(found, _how_to_read(e)),) if found else ()


def _item(example: Example, views: tuple[doc.View, ...]) -> doc.Item:
    return doc.Item(
        name=example.name,
        score=example.score,
        p_value=example.p_value,
        verdict=text.verdict(example.is_anomaly, example.label),
        kind=example.kind or "",
        views=views,
        columns=tuple((name, text.percent(share)) for name, share in example.columns),
    )


def _how_to_read(e: Evaluation) -> str:
    """What the pictures or the columns show, or nothing where there are neither maps nor shares."""
    if any(one.columns for one in e.examples):
        return "Beside each row the columns that have the largest share in its residual."
    if not any(one.anomaly_map is not None for one in e.examples):
        return ""
    made = any(one.reconstruction is not None for one in e.examples)
    between = ", beside it its reconstruction, what the networks make of it" if made else ""
    lines = [
        f"Left the picture{between}, right its heat map: from purple to yellow, the brighter, the more anomalous, on "
        "one scale for all pictures."
    ]
    if e.map_threshold is not None:
        lines.append(
            f"The white line is around places more than {e.map_threshold:.3g} usual deviations from what is usual "
            "there, the threshold of the map."
        )
    if e.n_masks:
        lines.append("The turquoise line is the outline of the true defect.")
    return " ".join(lines)


def encoded(examples: Sequence[Example], shades: Shades, budget: int = BUDGET) -> Mapping[int, tuple[doc.View, ...]]:
    """The views of examples by row, as large as fits the budget; the last examples are left out where the smallest
    do not fit."""
    pictured = [one for one in examples if one.picture is not None]
    probed = pictured[:: max(1, len(pictured) // PROBED)]
    for longest in LONGEST:
        smallest = longest == LONGEST[-1]
        likely = sum(_size(_views(one, shades, longest)) for one in probed) * len(pictured) / max(1, len(probed))
        if likely > 1.2 * budget and not smallest:
            continue
        found = {one.row: _views(one, shades, longest) for one in examples}
        if sum(map(_size, found.values())) <= budget:
            return found
    while found and sum(map(_size, found.values())) > budget:
        found.popitem()
    return found


def _size(views: tuple[doc.View, ...]) -> int:
    return sum(len(view.address) for view in views)


def _views(example: Example, shades: Shades, longest: int) -> tuple[doc.View, ...]:
    if example.picture is None:
        return ()
    sharp = max(example.picture.shape[:2]) <= TINY
    found = []
    for what, shown in shown_views(example, shades, SIDE, longest).items():
        alt = example.name
        if what == "heat map":
            assert example.anomaly_map is not None  # it is made of it
            alt = f"Heat map of {example.name}, most anomalous at the {where(example.anomaly_map)}"
        elif what == "reconstruction":
            alt = f"Reconstruction of {example.name}"
        address = data_address(shown, lossless=sharp)
        found.append(doc.View(what, address, shown.shape[1], shown.shape[0], alt, sharp))
    return tuple(found)


def where(anomaly_map: np.ndarray) -> str:
    """Where a map peaks, as text for screen readers."""
    y, x = np.unravel_index(int(np.argmax(anomaly_map)), anomaly_map.shape)
    row = ("upper", "middle", "lower")[int(3 * y // anomaly_map.shape[0])]
    column = ("left", "centre", "right")[int(3 * x // anomaly_map.shape[1])]
    return f"{row} {column}"


def data_address(picture: np.ndarray, *, lossless: bool) -> str:
    """A picture (uint8) within its own address: PNG, or WebP, which is a tenth of its size; JPEG where Pillow has no
    WebP."""
    from PIL import Image, features

    if lossless:
        return _address("png", png(picture))
    kind = "webp" if features.check("webp") else "jpeg"
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind.upper(), quality=QUALITY)
    return _address(kind, buffer.getvalue())


def _address(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
