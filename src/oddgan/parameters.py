"""Parameters of a detector, declared once.

A detector declares a parameter as a dataclass field whose type is ``Annotated[type, Param("help", ...)]``. The
constructor, ``get_params``, validation, command-line flags, the model file's manifest and the tables of the
documentation all derive from that declaration.
"""

import inspect
import math
import textwrap
import types
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from .errors import ParameterError


@dataclass(frozen=True)
class Param:
    """What a parameter means, the range (ends included) of its numbers, and the group that it is listed in: "pictures",
    "tables", "neighbours", "calibration", "training", "computing", or "" for the detector's own."""

    help: str
    low: float | None = None
    high: float | None = None
    group: str = ""


@dataclass(frozen=True)
class Declared:
    """One declared parameter: `name`, `type` without its annotation, `default`, and its `Param`."""

    name: str
    type: Any
    default: Any
    param: Param

    def check(self, value: Any) -> None:
        """Raise `ParameterError` when `value` has not the declared type or is out of range."""
        if not _is_instance(value, self.type):
            raise ParameterError(f"{self.name}={value!r}: expected {spell(self.type)}")
        for number in _numbers(value):
            if not math.isfinite(number):
                raise ParameterError(f"{self.name}={value!r}: must be a finite number")
            low, high = self.param.low, self.param.high
            if (low is not None and not number >= low) or (high is not None and not number <= high):
                limits = " and ".join(
                    text
                    for text in (
                        "" if low is None else f"at least {low:g}",
                        "" if high is None else f"at most {high:g}",
                    )
                    if text
                )
                raise ParameterError(f"{self.name}={value!r}: must be {limits}")

    def parse(self, text: str) -> Any:
        """The value that `text` spells on a command line: 64, 64x48, 0,4095, G=2e-4,D=1e-4, none."""
        # None first: a path could be spelt "none", too.
        for kind in sorted(alternatives(self.type), key=lambda kind: kind not in (None, type(None))):
            try:
                value = _parse_as(text.strip(), kind)
            except ValueError:
                continue
            self.check(value)
            return value
        raise ParameterError(f"{self.name}={text!r}: expected {spell(self.type)}")


UNSAID = 1e9  # limits beyond are there to refuse nonsense

GROUPS = {
    "": "this detector",
    "training": "training",
    "calibration": "the threshold",
    "neighbours": "comparing with training rows",
    "pictures": "pictures",
    "tables": "tables",
    "computing": "computing",
}
"""The groups of parameters and what each is about, in the order in which they are listed."""


def grouped(cls: type) -> dict[str, list[Declared]]:
    """The declared parameters of a dataclass by group, in the order of `GROUPS`."""
    found: dict[str, list[Declared]] = {group: [] for group in GROUPS}
    for declaration in declared(cls).values():
        found[declaration.param.group].append(declaration)
    return {group: held for group, held in found.items() if held}


def documented(doc: str, cls: type) -> str:
    """A docstring with a numpydoc section for every group of the declared parameters of `cls`."""
    lines = [inspect.cleandoc(doc), ""]
    for group, held in grouped(cls).items():
        if not lines[-1]:
            lines += (
                ["Parameters", "----------"]
                if group == ""
                else ["Other Parameters", "----------------"] * ("Other Parameters" not in lines)
            )
        about = f"[{group}] " if group else ""
        for one in held:
            lines.append(f"{one.name} : {_typed(one.type)}, default {one.default!r}")
            text = one.param.help
            text = f"{about}{text[0].upper()}{text[1:]}"
            lines += textwrap.wrap(f"{text}{_limits(one.param)}.", 110, initial_indent="    ", subsequent_indent="    ")
        if group == "":
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _typed(kind: Any) -> str:
    """A type as docstrings have it: ``int, (int, int) or None``."""
    words = []
    for one in alternatives(kind):
        if get_origin(one) is Literal:
            words.append(
                "{" + ", ".join(map(repr, get_args(one))) + "}" if len(get_args(one)) > 1 else repr(get_args(one)[0])
            )
        elif get_origin(one) is tuple:
            words.append(f"({', '.join(part.__name__ for part in get_args(one))})")
        elif get_origin(one) is dict:
            words.append("dict of str to float")
        else:
            words.append("None" if one is type(None) else one.__name__)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _limits(param: Param) -> str:
    """ " (from 1 to 5)", or nothing."""
    low, high = (None if one is None or abs(one) > UNSAID else one for one in (param.low, param.high))
    if low is None and high is None:
        return ""
    if high is None:
        return f" (at least {low:g})"
    return f" (at most {high:g})" if low is None else f" (from {low:g} to {high:g})"


@cache
def declared(cls: type) -> dict[str, Declared]:
    """The declared parameters of a dataclass by name, in the order of declaration."""
    hints = get_type_hints(cls, include_extras=True)
    result = {}
    for field in fields(cls):
        assert get_origin(hints[field.name]) is Annotated, f"{cls.__name__}.{field.name} declares no Param"
        kind, param = get_args(hints[field.name])
        assert field.default is not MISSING, f"{cls.__name__}.{field.name} has no default"
        result[field.name] = Declared(field.name, kind, field.default, param)
    return result


def plain(value: Any) -> Any:
    """A parameter's value in Python's own types, which JSON can hold: NumPy's numbers unpacked."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return tuple(map(plain, value))
    return value.item() if hasattr(value, "item") else value


def spell(kind: Any) -> str:
    """A type as a user would write it: ``int, HxW or none``."""
    words = [
        _WORDS.get(one) or " | ".join(map(repr, get_args(one))) or f"a {one.__name__}" for one in alternatives(kind)
    ]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "none",
    tuple[int, int]: "HEIGHTxWIDTH",
    tuple[int, int, int, int]: "LEFT,TOP,WIDTH,HEIGHT",
    tuple[float, float]: "LOW,HIGH",
    dict[str, float]: "NAME=NUMBER,...",
}


def alternatives(kind: Any) -> tuple[Any, ...]:
    """The types that a declared type allows."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _is_instance(value: Any, kind: Any) -> bool:
    match get_origin(kind) or kind:
        case types.UnionType:
            return any(_is_instance(value, one) for one in get_args(kind))
        case origin if origin is Union:
            return any(_is_instance(value, one) for one in get_args(kind))
        case origin if origin is Literal:
            return isinstance(value, str) and value in get_args(kind)
        case origin if origin is tuple:
            parts = get_args(kind)
            return (
                isinstance(value, tuple | list)
                and len(value) == len(parts)
                and all(_is_instance(v, k) for v, k in zip(value, parts, strict=True))
            )
        case origin if origin is dict:
            return isinstance(value, dict) and all(
                isinstance(k, str) and _is_instance(v, float) for k, v in value.items()
            )
        case origin if origin is bool:
            return isinstance(value, bool)
        case origin if origin is int:
            return isinstance(value, Integral) and not isinstance(value, bool)
        case origin if origin is float:
            return isinstance(value, Real) and not isinstance(value, bool)
        case origin:
            return isinstance(value, origin)


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = tuple(value.values())
    for one in value if isinstance(value, tuple | list) else (value,):
        if _is_instance(one, float):
            yield float(one)


def _parse_as(text: str, kind: Any) -> Any:
    """`text` as one alternative of a type; ValueError when it does not spell one."""
    if kind is type(None):
        if text.lower() != "none":
            raise ValueError(text)
        return None
    if kind is bool:
        return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else _refuse(text)
    if get_origin(kind) is Literal:
        return text if text in get_args(kind) else _refuse(text)
    if get_origin(kind) is tuple:
        part = get_args(kind)[0]
        pieces = text.replace("x", ",").split(",")
        return tuple(part(piece) for piece in pieces) if len(pieces) == len(get_args(kind)) else _refuse(text)
    if get_origin(kind) is dict:
        pairs = [piece.split("=") for piece in text.split(",")]
        values = {name.strip(): float(number) for name, number in pairs}
        return values if len(values) == len(pairs) else _refuse(text)  # one of two of a name would be lost
    return kind(text) if kind in (int, float, str) else _refuse(text)


def _refuse(text: str) -> Any:
    raise ValueError(text)
