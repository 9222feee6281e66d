"""Heat maps over pictures: normal pixels stay as they are, anomalous ones glow."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError, ParameterError
from ..evaluation import Example
from ..files import whole_file
from .colours import inferno

STRONGEST = 0.85  # opacity of the heat where the map reaches vmax: the picture is still visible
OUTLINE = (0, 255, 230)  # of a mask: distinct from every colour of the map
TILE = 160  # shorter side to which tiny pictures are enlarged in a grid; other pictures get at most twice that
_CAPTION = 13
_GAP = 14
_SEAM = 4


def overlay(picture: np.ndarray, anomaly_map: np.ndarray, vmax: float) -> np.ndarray:
    """A heat map over a picture, (H, W, 3) uint8.

    `picture`: uint8, (H, W) or (H, W, 3); `anomaly_map`: (H, W); 0 leaves the picture as it is, `vmax` and above get
    the full strength. Use the same `vmax` for all pictures that are to be compared. Raises DataError when the sizes
    differ, ParameterError for a vmax that is not above 0.
    """
    if not vmax > 0:
        raise ParameterError(f"overlay: vmax={vmax} must be above 0")
    colour = _in_colour(np.asarray(picture))
    if colour.shape[:2] != np.shape(anomaly_map):
        raise DataError(f"overlay: picture {colour.shape[:2]} and map {np.shape(anomaly_map)} differ in size")
    heat = np.clip(np.nan_to_num(np.asarray(anomaly_map, dtype=np.float32) / vmax), 0.0, 1.0)
    opacity = (STRONGEST * heat)[..., None]
    mixed = (1 - opacity) * colour + opacity * inferno()[np.rint(heat * 255).astype(np.intp)]
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def outlined(picture: np.ndarray, mask: np.ndarray, width: int = 1) -> np.ndarray:
    """`picture` (H, W, 3) uint8 with a line, `width` pixels wide, just outside `mask` (H, W) bool."""
    around = mask.copy()
    for _ in range(width):
        padded = np.pad(around, 1)
        around |= padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    result = picture.copy()
    result[around & ~mask] = OUTLINE
    return result


def views(example: Example, vmax: float, side: int, longest: int) -> list[np.ndarray]:
    """The picture and its heat map with the mask's outline, both (H, W, 3) uint8 of the same size; without an anomaly
    map, the picture alone, with the outline.

    Tiny pictures are enlarged by a whole factor to `side` or more; large ones are reduced to at most `longest`. Raises
    DataError for a row of a table.
    """
    if example.picture is None:
        raise DataError(f"{example.name}: a row of a table has no heat map; give examples of pictures")
    size = _shown_size(example.picture, side, longest)
    shown = [_sized(_in_colour(example.picture), size)]
    if example.anomaly_map is not None:
        shown.append(overlay(shown[0], _sized(example.anomaly_map, size), vmax))
    if example.mask is not None and example.mask.any():
        mask = _sized(example.mask.astype(np.float32), size) >= 0.5
        shown[-1] = outlined(shown[-1], mask, width=max(1, round(min(size) / 120)))
    return shown


def png(picture: np.ndarray) -> bytes:
    """`picture` (uint8) encoded as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def heat_map_grid(
    examples: Sequence[Example], path: str | Path, *, vmax: float | None = None, columns: int = 3
) -> None:
    """Write a PNG that shows, for each example, its picture, and its reconstruction and heat map if it has them.

    `vmax`: the map's value that is shown at full strength (`Evaluation.map_scale`); None takes the median peak of the
    examples. `columns`: examples per line. Tiny pictures are enlarged without blur. Raises DataError without pictures,
    OutputError when `path` cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not examples:
        raise DataError("a grid of heat maps needs at least one example")
    panels = [_panels(example, vmax or _typical_peak(examples)) for example in examples]
    count = max(map(len, panels))
    height, width = (max(view.shape[axis] for row in panels for view in row) for axis in (0, 1))
    text_width = count * (width + _SEAM) - _SEAM
    cell_w, cell_h = text_width + 2 * _GAP, height + 3 * _CAPTION + 2 * _GAP
    columns = max(1, min(columns, len(examples)))
    sheet = Image.new("RGB", (columns * cell_w, -(-len(examples) // columns) * cell_h), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_CAPTION)
    for i, (example, row) in enumerate(zip(examples, panels, strict=True)):
        x, y = (i % columns) * cell_w + _GAP, (i // columns) * cell_h + _GAP
        for j, view in enumerate(row):
            sheet.paste(Image.fromarray(view), (x + j * (width + _SEAM), y))
        verdict = "anomaly" if example.is_anomaly else "normal"
        name = example.name if example.kind is None else f"{example.name} ({example.kind})"
        numbers = f"score {example.score:.4g}, p {example.p_value:.3g}: {verdict}"
        for line, (text, colour) in enumerate(((name, "#111111"), (numbers, "#555555"))):
            while draw.textlength(text, font=font) > text_width and len(text) > 2:
                text = "…" + text[2:]  # the end of a path is the more specific part
            draw.text((x, y + height + 4 + line * (_CAPTION + 5)), text, fill=colour, font=font)
    with whole_file(path) as file:
        file.write(png(np.asarray(sheet)))


def _panels(example: Example, vmax: float) -> list[np.ndarray]:
    """The picture, and the reconstruction and heat map if there are any: all (H, W, 3) uint8 of the same size."""
    picture, *heat = views(example, vmax, TILE, 2 * TILE)
    if example.reconstruction is None:
        return [picture, *heat]
    return [picture, _sized(_in_colour(example.reconstruction), picture.shape[:2]), *heat]


def _typical_peak(examples: Sequence[Example]) -> float:
    peaks = [float(np.max(example.anomaly_map)) for example in examples if example.anomaly_map is not None]
    return (float(np.median(peaks)) if peaks else 0.0) or 1.0


def _in_colour(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture


def _shown_size(picture: np.ndarray, side: int, longest: int) -> tuple[int, int]:
    h, w = picture.shape[:2]
    factor: float = max(1, min(-(-side // min(h, w)), longest // max(h, w)))
    if max(h, w) > longest:
        factor = longest / max(h, w)
    return max(1, round(h * factor)), max(1, round(w * factor))


def _sized(view: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """A picture (uint8) or map (float32), resized: without blur where it is enlarged by a whole factor."""
    from PIL import Image

    if view.shape[:2] == size:
        return view
    whole = size[0] % view.shape[0] == 0 and size[1] % view.shape[1] == 0
    how = Image.Resampling.NEAREST if whole else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(view).resize((size[1], size[0]), how))
