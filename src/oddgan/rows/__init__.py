"""One door for rows: what X is gets asked here, and nowhere else.

    rows = open_rows(X)              # PictureRows or TableRows
    rows = open_rows(X, like=pre)    # checked against what a model takes; one picture or one table row will do

Everything that takes X (fit, score, explain, evaluate, compare, the command line) passes it through `open_rows`. What
pictures and tables become for the networks is the business of `oddgan.preprocessing`. Another kind of rows, such as
windows of a series, is one more file here and one more there. Importing this package imports no torch.
"""

from .door import Expected, Rows, open_rows
from .pictures import PictureRows
from .selection import chosen
from .tables import TableRows

__all__ = ["Expected", "PictureRows", "Rows", "TableRows", "chosen", "open_rows"]
