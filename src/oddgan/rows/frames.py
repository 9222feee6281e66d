"""Results as DataFrames of the user's library: pandas, polars, pyarrow, whatever narwhals knows."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..errors import MissingExtra, ParameterError
from .tables import Kind, is_frame

LIBRARIES = ("pandas", "polars", "pyarrow")


class Template:
    """What is kept of a frame that a user gave: its library, the types of its columns by name and, of pandas, its
    index."""

    def __init__(self, X: Any) -> None:
        import narwhals as nw

        frame = nw.from_native(X, eager_only=True)
        self.implementation, self.schema = frame.implementation, dict(frame.schema)
        self.index = getattr(nw.to_native(frame), "index", None)


def template_of(X: Any) -> Template | None:
    """What is kept of X, None where it is no DataFrame."""
    return Template(X) if is_frame(X) else None


def framed(columns: Mapping[str, Any], like: Template | None = None, backend: str | None = None) -> Any:
    """Columns (n,) each, arrays or lists, as a DataFrame: of the library `backend`, or of that of `like` and with its
    index, or of the first that is installed. Raises `ParameterError` for another library, `MissingExtra` where none is
    installed."""
    import narwhals as nw

    if backend is not None and (backend not in LIBRARIES or find_spec(backend) is None):
        there = ", ".join(one for one in LIBRARIES if find_spec(one) is not None)
        raise ParameterError(f"backend={backend!r}: is not installed or not known; there are {there or 'none'}")
    chosen: Any = backend or (like.implementation if like is not None else _installed())
    frame = nw.from_dict(dict(columns), backend=chosen)
    native: Any = nw.to_native(frame)
    if like is not None and like.index is not None and like.implementation == frame.implementation:
        native.index = like.index
    return native


def rows_framed(
    values: Any,
    names: Sequence[str],
    kinds: Sequence[Kind],
    like: Template | None = None,
    backend: str | None = None,
) -> Any:
    """Rows of a table (n, k), numbers or objects, as a DataFrame; see `framed`. Numbers are float64, or float32 where
    the column of `like` is; texts are categories where that is one, and without `like`."""
    import narwhals as nw

    names = list(names if like is None else like.schema)
    columns: dict[str, Any] = {}
    types: dict[str, Any] = {}
    for i, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        given = None if like is None else like.schema.get(name)
        column = values[:, i]
        if kind == "number":
            columns[name] = np.asarray(column, np.float32 if given == nw.Float32 else np.float64)
        elif kind == "boolean":  # what is neither is missing
            truths = [bool(one) if isinstance(one, bool | np.bool_) else None for one in column]
            columns[name] = truths if None in truths else np.array(truths, bool)
        else:
            columns[name] = list(column)
            if given is None or isinstance(given, nw.Categorical | nw.Enum):
                types[name] = nw.Categorical
    frame = nw.from_native(framed(columns, like, backend), eager_only=True)
    casts = [nw.col(name).cast(dtype) for name, dtype in types.items()]
    return nw.to_native(frame.with_columns(*casts) if casts else frame)


def _installed() -> str:
    """The first library that is there."""
    found = next((one for one in LIBRARIES if find_spec(one) is not None), None)
    if found is None:
        raise MissingExtra("pandas, polars or pyarrow", "parquet", "a DataFrame")
    return found
