"""Data: folders of pictures, arrays and tables in files, and public sets by name, as rows that detectors read.

`load` divides a data set for training and evaluation, `rows` gives everything there is to score.
"""

from .fetch import fetch
from .pictures import Pictures, read_picture
from .public import DatasetInfo, datasets, labelled
from .sources import load, rows
from .split import Labelled, PictureRows, Rows, Split
from .tables import TableFile

__all__ = [
    "DatasetInfo",
    "Labelled",
    "PictureRows",
    "Pictures",
    "Rows",
    "Split",
    "TableFile",
    "datasets",
    "fetch",
    "labelled",
    "load",
    "read_picture",
    "rows",
]
