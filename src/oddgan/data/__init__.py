"""Data: folders of pictures, arrays in files, and public sets by name, as rows that detectors read.

`load` divides a data set for training and evaluation, `rows` gives everything there is to score.
"""

from .pictures import Pictures, read_picture
from .public import DatasetInfo, datasets
from .sources import load, rows
from .split import PictureRows, Rows, Split

__all__ = ["DatasetInfo", "PictureRows", "Pictures", "Rows", "Split", "datasets", "load", "read_picture", "rows"]
