"""oddgan generate."""

import csv
import io
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ParameterError
from ..files import whole_file
from . import terminal
from .options import Device, Model, Threads
from .outputs import check_writable

if TYPE_CHECKING:
    import numpy as np

    from ..detector import Detector

TILE = 96  # pixels that a tiny picture's shorter side is enlarged to, without blur
GAP = 4


def generate(
    model: Model,
    *,
    n: Annotated[int, typer.Option("--number", "-n", metavar="N", min=1, help="How many.")] = 16,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .png file for pictures, a .csv file for a table's rows.",
            show_default="generated.png; rows on standard output",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed: equal seeds, equal pictures.")] = 0,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Make new pictures, or rows, that look like training data: a look at what the model has learnt."""
    from .reading import open_model
    from .train import set_threads

    detector = open_model(model, device=device)
    if threads is not None:
        set_threads(threads)
    pictures = len(detector.preprocessor_.shape) == 3
    output = output or (Path("generated.png") if pictures else None)
    ending = ".png" if pictures else ".csv"
    if output is not None and output.suffix.lower() != ending:
        raise ParameterError(f"{output}: this model makes {'pictures' if pictures else 'rows'}; give a {ending} file")
    check_writable(output, inputs=(model,))
    rows = detector.generate(n, random_state=seed)
    if pictures:
        assert output is not None  # it has a default
        _write_grid(output, rows, detector)
    else:
        _write_rows(output, rows, detector)
    if output is not None:
        terminal.say(f"{n:,} new {'pictures' if pictures else 'rows'}: {output}")


def _write_grid(path: Path, pictures: "np.ndarray", detector: "Detector") -> None:
    import numpy as np
    from PIL import Image

    from .maps import as_seen

    tiles = as_seen(pictures, detector.preprocessor_.value_range)
    factor = max(1, math.ceil(TILE / min(tiles.shape[1:3])))
    tiles = tiles.repeat(factor, axis=1).repeat(factor, axis=2)
    height, width = tiles.shape[1:3]
    columns = math.ceil(math.sqrt(len(tiles)))
    lines = math.ceil(len(tiles) / columns)
    size = (lines * (height + GAP) + GAP, columns * (width + GAP) + GAP, *tiles.shape[3:])
    sheet = np.full(size, 255, np.uint8)
    for i, tile in enumerate(tiles):
        line, column = divmod(i, columns)
        top, left = GAP + line * (height + GAP), GAP + column * (width + GAP)
        sheet[top : top + height, left : left + width] = tile
    with whole_file(path) as file:
        Image.fromarray(sheet).save(file, "PNG")


def _write_rows(path: Path | None, rows: "np.ndarray", detector: "Detector") -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(detector.preprocessor_.names)
    writer.writerows(map(_written, row) for row in rows.tolist())
    if path is None:
        sys.stdout.write(text.getvalue())
        return
    with whole_file(path) as file:
        file.write(text.getvalue().encode())


def _written(value: float | bool | str | None) -> str:
    """A value as a CSV file holds it, empty where it is missing; numbers read back to the same bits."""
    if value is None or value != value:
        return ""
    return value if isinstance(value, str) else repr(value)
