"""Heat maps over pictures: normal pixels stay as they are, anomalous ones glow."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..colours import STRONGEST, Shades, inferno
from ..errors import DataError
from ..evaluation import Evaluation, Example
from ..files import whole_file

SIDE = 144  # pixels, to which a page enlarges the shorter side of tiny pictures
OUTLINE = (0, 255, 230)  # of a mask: distinct from every colour of the map
CONTOUR = (255, 255, 255)  # around what is above the threshold of the map
RIM = (30, 30, 30)  # around that line, which would be lost on white
TILE = 160  # shorter side to which tiny pictures are enlarged in a grid; other pictures get at most twice that
_CAPTION = 13
_GAP = 14
_SEAM = 4
_BAR = 14


def overlay(picture: np.ndarray, anomaly_map: np.ndarray, shades: Shades) -> np.ndarray:
    """A heat map over a picture, (H, W, 3) uint8. `picture`: uint8, (H, W) or (H, W, 3); `anomaly_map`: (H, W). Raises
    DataError when the sizes differ."""
    colour = _in_colour(np.asarray(picture))
    if colour.shape[:2] != np.shape(anomaly_map):
        raise DataError(f"overlay: picture {colour.shape[:2]} and map {np.shape(anomaly_map)} differ in size")
    heat = shades.heat(anomaly_map)
    opacity = (STRONGEST * heat)[..., None]
    mixed = (1 - opacity) * colour + opacity * inferno()[np.rint(heat * 255).astype(np.intp)]
    return np.asarray(np.rint(mixed), dtype=np.uint8)


def outlined(
    picture: np.ndarray, mask: np.ndarray, width: int = 1, colour: tuple[int, int, int] = OUTLINE
) -> np.ndarray:
    """`picture` (H, W, 3) uint8 with a line, `width` pixels wide, just outside `mask` (H, W) bool."""
    around = mask.copy()
    for _ in range(width):
        padded = np.pad(around, 1)
        around |= padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    result = picture.copy()
    result[around & ~mask] = colour
    return result


def located(picture: np.ndarray, anomaly_map: np.ndarray, shades: Shades, mask: np.ndarray | None = None) -> np.ndarray:
    """A heat map over a picture with a line around what is above the threshold, (H, W, 3) uint8. `mask` (H, W) bool:
    what is shown as above it; without one, what is."""
    shown = overlay(picture, anomaly_map, shades)
    if shades.threshold is None:
        return shown
    above = anomaly_map > shades.threshold if mask is None else mask
    line = _line(above.shape)
    return outlined(outlined(shown, above, 2 * line, RIM), above, line, CONTOUR)


def _line(size: Sequence[int]) -> int:
    """How wide lines are in a picture of this size."""
    return max(1, round(min(size) / 160))


def shown_views(example: Example, shades: Shades, side: int, longest: int) -> dict[str, np.ndarray]:
    """The "picture"; its "reconstruction"; its "heat map" with a line around what is above the threshold and the mask's
    outline: those that there are, all (H, W, 3) uint8 of the same size. Without an anomaly map the picture has the
    outline.

    Tiny pictures are enlarged by a whole factor to `side` or more; large ones are reduced to at most `longest`. Raises
    DataError for a row of a table.
    """
    if example.picture is None:
        raise DataError(f"{example.name}: a row of a table has no heat map; give examples of pictures")
    size = _shown_size(example.picture, side, longest)
    shown = {"picture": _sized(_in_colour(example.picture), size)}
    last = "picture"
    if example.reconstruction is not None:
        shown["reconstruction"] = _sized(_in_colour(example.reconstruction), size)
    if example.anomaly_map is not None:
        last, heat = "heat map", _sized(example.anomaly_map, size)  # whose peak may be lower
        shown[last] = located(shown["picture"], heat, shades.shown_in(heat) if example.is_anomaly else shades)
    if example.mask is not None and example.mask.any():
        mask = _sized(example.mask.astype(np.float32), size) >= 0.5
        shown[last] = outlined(shown[last], mask, width=_line(size))
    return shown


def enlarged(picture: np.ndarray, side: int, longest: int) -> np.ndarray:
    """A picture (uint8) as (H, W, 3): tiny ones enlarged by a whole factor to `side`, large ones reduced to
    `longest`."""
    return _sized(_in_colour(picture), _shown_size(picture, side, longest))


def shades_of(evaluation: Evaluation) -> Shades:
    """How an evaluation's maps are shown."""
    if evaluation.map_threshold is None:
        return Shades(evaluation.map_scale)
    return Shades.of(evaluation.map_threshold)


def png(picture: np.ndarray) -> bytes:
    """`picture` (uint8) encoded as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def heat_map_grid(
    examples: Sequence[Example], path: str | Path, *, shades: Shades | None = None, columns: int = 3
) -> None:
    """Write a PNG that shows, for each example, its picture, and its reconstruction and heat map if it has them.

    `shades`: how maps are shown (`shades_of` an evaluation); None takes the median peak of the examples as full
    strength. `columns`: examples per line. Tiny pictures are enlarged without blur. Raises DataError without pictures,
    OutputError when `path` cannot be written.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not examples:
        raise DataError("a grid of heat maps needs at least one example")
    shades = shades or Shades(_typical_peak(examples))
    panels = [[*shown_views(example, shades, TILE, 2 * TILE).values()] for example in examples]
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


def panel(
    picture: np.ndarray, reconstruction: np.ndarray | None, anomaly_map: np.ndarray, shades: Shades, mask: np.ndarray
) -> np.ndarray:
    """Side by side: the picture, its reconstruction if there is one, the map with a line around `mask`, what is above
    the threshold, and the colours of the map. All (H, W) or (H, W, 3) uint8; returns (H', W', 3) uint8."""
    size = _shown_size(picture, TILE, 8 * TILE)
    shown = [_sized(_in_colour(one), size) for one in (picture, reconstruction) if one is not None]
    above = _sized(mask.astype(np.float32), size) >= 0.5
    shown.append(located(shown[0], _sized(anomaly_map.astype(np.float32), size), shades, above))
    shown.append(colour_bar(size[0], shades))
    seam = np.full((size[0], _SEAM, 3), 255, np.uint8)
    return np.concatenate([part for one in shown for part in (one, seam)][:-1], axis=1)


def colour_bar(height: int, shades: Shades) -> np.ndarray:
    """What the colours of a map mean, in usual deviations, with a mark at the threshold: (height, W, 3) uint8."""
    from PIL import Image, ImageDraw, ImageFont

    values = np.linspace(shades.high, shades.low, max(2, height), dtype=np.float32)
    ramp = overlay(np.full((len(values), _BAR), 255, np.uint8), np.repeat(values[:, None], _BAR, axis=1), shades)
    font = ImageFont.load_default(_CAPTION)
    marks = {f"{shades.high:.3g}": 0.0, f"{shades.low:.3g}": float(height)}
    if shades.threshold is not None:
        share = (shades.high - shades.threshold) / (shades.high - shades.low)
        marks[f"{shades.threshold:.3g} threshold"] = height * min(max(share, 0.0), 1.0)
    width = max(font.getlength(text) for text in marks)
    sheet = Image.new("RGB", (_BAR + 10 + int(width) + 2, height), "white")
    sheet.paste(Image.fromarray(ramp[:height]), (0, 0))
    draw = ImageDraw.Draw(sheet)
    for text, y in marks.items():
        draw.line([(_BAR, y), (_BAR + 4, y)], fill="#111111")
        top = min(max(y - _CAPTION / 2, 0), max(0, height - _CAPTION - 3))
        draw.text((_BAR + 8, top), text, fill="#111111", font=font)
    return np.asarray(sheet)


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
