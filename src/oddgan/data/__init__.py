"""Data: folders of pictures, arrays and tables in files, and public sets by name, as rows that detectors read.

`load` divides a data set for training and evaluation; `rows` returns all rows for scoring.
"""

from ..rows.picture_files import Pictures, read_picture
from ..rows.table_files import TableFile
from .drawn import write
from .fetch import fetch
from .public import DatasetInfo, datasets, labelled
from .sources import load, rows
from .split import Labelled, PictureSource, Rows, Split

__all__ = [
    "DatasetInfo",
    "Labelled",
    "PictureSource",
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
    "write",
]
