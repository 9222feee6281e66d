"""How a class becomes a detector: its annotated fields become parameters."""

import inspect
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform, get_args

from ..parameters import documented
from ..verdict.maps import MAP_TERMS

T = TypeVar("T")

AUTO = "auto"
"""The value of `score_by` that asks for the maximum of the anomaly map of pictures in tiles or larger than 32 pixels,
and else for `Recipe.own_score`."""


@dataclass_transform(kw_only_default=True, eq_default=False)
def detector(cls: type[T]) -> type[T]:
    """Make a class a detector: its annotated fields become constructor arguments, and its docstring documents them.

    The terms that its `score_by` lists are its own, and the default that it gives is what it scores tables by. Beside
    them any detector that locates anomalies may be asked for a term of its anomaly map; "auto", the default, takes the
    map's maximum for pictures in tiles or larger than 32 pixels.
    """
    _choose_score(cls)
    made = dataclass(kw_only=True, eq=False, repr=False)(cls)
    if made.__doc__ is not None:  # python -OO
        made.__doc__ = documented(made.__doc__, made)
    return made


def _choose_score(cls: Any) -> None:
    given = inspect.get_annotations(cls).get("score_by")
    if given is None or cls.score_by == AUTO:
        return
    kind, param = get_args(given)
    names = (AUTO, *get_args(kind), *(MAP_TERMS if cls.locates else ()))
    cls.__annotations__["score_by"] = Annotated[Literal[names], param]
    cls.own_score, cls.score_by = cls.score_by, AUTO
