"""The commands, put together.

The flags of `oddgan train` and `compare` are the chosen detectors' parameters, so the app is made for the arguments at
hand; only those two import torch to do so.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from ..errors import without_secrets
from . import (
    calibrate,
    compare,
    demo,
    evaluate,
    export,
    generate,
    merge,
    models,
    monitor,
    reproduce,
    score,
    serve,
    terminal,
    train,
)

ANYWHERE = ("--debug", "--quiet", "-q")  # flags that may stand after the command too


def app_for(arguments: list[str]) -> typer.Typer:
    """The app that is to run `arguments`, which it puts in order: flags for all commands first."""
    everywhere = [word for word in arguments if word in ANYWHERE]
    arguments[:] = everywhere + [word for word in arguments if word not in ANYWHERE]
    terminal.asked = [without_secrets(word) for word in arguments if word not in ANYWHERE]
    app = typer.Typer(
        help="Anomaly detection with GANs: train on normal data, then ask what is anomalous in new data, how "
        "sure that is, and where.",
        epilog="Start with: oddgan demo",
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_everywhere)
    commands: dict[str, Callable[..., None]] = {
        "train": train.command(arguments if _command_of(arguments) == "train" else None),
        "score": score.score,
        "merge": merge.merge,
        "serve": serve.serve,
        "monitor": monitor.monitor,
        "evaluate": evaluate.evaluate,
        "calibrate": calibrate.calibrate,
        "export": export.export,
        "compare": compare.command(arguments if _command_of(arguments) == "compare" else None),
        "reproduce": reproduce.reproduce,
        "generate": generate.generate,
        "info": models.info,
        "datasets": models.datasets,
        "demo": demo.demo,
    }
    for name, run in commands.items():
        app.command(name, help=_flowing(run.__doc__ or ""))(run)
    return app


def _flowing(docstring: str) -> str:
    """Paragraphs of one line each: typer keeps line breaks."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.cleandoc(docstring).split("\n\n"))


def _command_of(arguments: Sequence[str]) -> str | None:
    return next((word for word in arguments if not word.startswith("-")), None)


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__
        from ..installed import FULL, RUNTIME, distributions

        terminal.say(f"{RUNTIME if set(distributions()) == {RUNTIME} else FULL} {__version__}")
        raise typer.Exit


def _everywhere(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no notes on standard error; errors only.")
    ] = False,
) -> None:
    del version, debug
    terminal.quiet = quiet
