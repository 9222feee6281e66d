"""The command line: the only place that prints or exits.

Exit codes: 0 done; 1 it failed; 2 the user can fix it; 3 anomalies were found and `--fail-on-anomaly` was given;
4 done, but for what could not be used, with `--skip-bad`; 130 interrupted, 143 terminated. Errors are one line on
standard error, with a traceback before it under `--debug` only.
"""

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from io import TextIOWrapper

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments` (default: the process's own) and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:  # the process is the command's own
        from .process import heed_signals, patient_threads

        patient_threads()
        heed_signals()
    if sys.stdout is None or sys.stderr is None:  # closed by the caller
        sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  # for as long as the process lives
        sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show must not end a run
    try:
        code = _run(given or ["--help"])
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more can go there, at exit either
        if not isinstance(error, BrokenPipeError):  # its reader has seen enough, as `head` does
            print(f"oddgan: error: standard output cannot be written ({error.strerror})", file=sys.stderr)
        return 1
    return code


def _run(arguments: list[str]) -> int:
    from ..errors import EngineError, LeftOut, OddganError, OddganWarning, TrainingError
    from ..installed import conflict
    from . import launched
    from .app import app_for
    from .process import INTERRUPTED, exit_code
    from .terminal import Interrupted, complain, show_warning

    debug, asked = "--debug" in arguments, list(arguments)
    try:
        with warnings.catch_warnings():
            if not debug and not sys.warnoptions:
                warnings.simplefilter("ignore")  # of the libraries: they speak to programmers
            warnings.simplefilter("always", OddganWarning)
            warnings.showwarning = show_warning(warnings.showwarning)
            if both := conflict():
                complain(f"warning: {both}")
            launched.check(next((word for word in asked if not word.startswith("-")), ""))
            code = app_for(arguments)(arguments, prog_name="oddgan", standalone_mode=False) or 0
        if code == INTERRUPTED:  # typer's word for Ctrl-C
            complain("interrupted")
            return exit_code()
        return int(code)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        complain("interrupted")
        return exit_code()
    except Interrupted as stop:
        complain(str(stop))
        return exit_code()
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, ModuleNotFoundError):
            error = LeftOut.of(" ".join(["oddgan", *asked]), error) or error
        if isinstance(error, OddganError):
            complain(f"error: {error}")
            return 1 if isinstance(error, TrainingError | EngineError) else 2
        if hasattr(error, "format_message"):  # typer's usage errors, whose base class is not public
            context = getattr(error, "ctx", None)
            complain(f"error: {error.format_message()} (try {context.command_path if context else 'oddgan'} --help)")
            return 2
        if isinstance(error, OSError):
            complain(f"error: {error}")
        else:
            complain(f"error: {type(error).__name__}: {error} (not foreseen; --debug shows where)")
        return 1
