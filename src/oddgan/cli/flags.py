"""A detector's declared parameters as command-line flags."""

import inspect
import itertools
from collections.abc import Iterable, Mapping, Sequence
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from ..errors import ParameterError
from ..parameters import GROUPS, Declared, alternatives, declared, grouped

if TYPE_CHECKING:
    from ..detector import Detector

SEED = Annotated[
    int,
    typer.Option("--random-state", metavar="N", min=0, help="Seed of everything random: equal seeds, equal models."),
]


def flags(cls: type["Detector"], *, defaults: bool = True) -> list[inspect.Parameter]:
    """A keyword for every declared parameter of `cls`: its value as text. Without `defaults` it is None where it is not
    given.

    The seed is 0 and not another one each time: a run that is interrupted must be able to go on.
    """
    found = []
    for declaration in itertools.chain(*grouped(cls).values()):
        name = declaration.name
        if name == "random_state":
            found.append(_keyword(name, SEED, 0))
            continue
        switch = declaration.type is bool
        group = declaration.param.group
        option = typer.Option(
            f"--{dashed(name)}",
            metavar=None if switch else _metavar(declaration),
            help=_help(declaration),
            show_default=not switch,
            rich_help_panel=f"Parameters for {GROUPS[group]}" if group else f"Parameters of {cls.__name__}",
        )
        default = declaration.default if switch or declaration.default is None else written(declaration.default)
        kind = (bool if defaults else bool | None) if switch else str | None
        found.append(_keyword(name, Annotated[kind, option], default if defaults else None))
    return found


def shared_flags(classes: Iterable[type["Detector"]]) -> list[inspect.Parameter]:
    """A keyword for every parameter that any of these detectors declares, but the seed: its value as text, None where
    each is to keep its own default."""
    found: dict[str, inspect.Parameter] = {}
    for cls in classes:
        for name, declaration in declared(cls).items():
            if name in found or name == "random_state":
                continue
            switch = declaration.type is bool
            option = typer.Option(
                f"--{dashed(name)}/--no-{dashed(name)}" if switch else f"--{dashed(name)}",
                metavar=None if switch else _metavar(declaration),
                help=_help(declaration),
                rich_help_panel="Parameters, for every detector that has them",
            )
            found[name] = _keyword(name, Annotated[(bool if switch else str) | None, option], None)
    return list(found.values())


def chosen(arguments: Sequence[str], option: str, default: str) -> str:
    """What `arguments` give for an option that decides which other flags there are."""
    for word, following in zip(arguments, [*arguments[1:], default], strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return default


def parsed(cls: type["Detector"], given: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor's arguments from what the flags were given: None where a flag says "none", nothing where it was
    not given. Raises `ParameterError`."""
    arguments = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, str):
            try:
                value = declared(cls)[name].parse(value)
            except ParameterError as error:
                raise ParameterError(str(error).replace(f"{name}=", f"--{dashed(name)} ", 1)) from error
        arguments[name] = value
    return arguments


def written(value: Any) -> str:
    """A parameter's value as its flag would take it."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={number:g}" for name, number in value.items())
    if isinstance(value, tuple | list):
        whole = len(value) == 2 and all(isinstance(one, int) for one in value)
        return ("x" if whole else ",").join(f"{one:g}" for one in value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def dashed(name: str) -> str:
    """A parameter's name as its flag has it."""
    return name.replace("_", "-")


def _metavar(declaration: Declared) -> str:
    kinds = [kind for kind in alternatives(declaration.type) if kind is not NoneType]
    return "|".join(
        dict.fromkeys("NAME" if get_origin(kind) is Literal else _METAVARS.get(kind, "TEXT") for kind in kinds)
    )


_METAVARS: dict[Any, str] = {
    int: "N",
    float: "X",
    tuple[int, int]: "HxW",
    tuple[int, int, int, int]: "L,T,W,H",
    tuple[float, float]: "LOW,HIGH",
    dict[str, float]: "NAME=X,...",
}


def _help(declaration: Declared) -> str:
    from rich.markup import escape

    choices = [
        choice for kind in alternatives(declaration.type) if get_origin(kind) is Literal for choice in get_args(kind)
    ]
    listed = f" ({', '.join(choices)})" if len(choices) > 1 else ""
    text = declaration.param.help
    return escape(text[0].upper() + text[1:] + listed)
