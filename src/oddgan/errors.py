"""Every error that oddgan raises on purpose.

    OddganError
    ├── DataError (ValueError)        the data cannot be used: names the file, row or column, and the fix
    │   └── DataTypeError (TypeError)  a value is of a type that cannot be used
    ├── ParameterError (ValueError)   a parameter is out of range or does not fit the data
    ├── ArtifactError (ValueError)    a model file or checkpoint is damaged, newer, or inconsistent
    ├── TrainingError (RuntimeError)  training cannot go on: a loss is no longer finite
    │   └── DistributedError           processes that train together have lost each other, or differ
    ├── EngineError (RuntimeError)    an engine such as Ray cannot be reached, or its workers die
    ├── OutputError (OSError)         a result cannot be written
    ├── MissingExtra (ImportError)    an optional dependency is not installed
    └── LeftOut (ImportError)         what was asked for needs a library that oddgan-runtime leaves out

    OddganWarning (UserWarning)       what may mislead, though work goes on; its kinds are in `oddgan.cautions`

Each message is one line: what is wrong, where, and what to do about it. The command line turns an
`OddganError` into that line and exit code 2 (the user can fix it) or 1 (training or an engine failed).
"""

import re

_ADDRESS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)([^\s'\"]*)")


def without_secrets(text: str) -> str:
    """`text` with addresses as they may be shown: s3://KEY:SECRET@bucket/x?token=T is s3://***@bucket/x?***."""

    def shown(found: re.Match[str]) -> str:
        rest, question, _ = found[2].partition("?")
        where, slash, path = rest.partition("/")
        user, at, host = where.rpartition("@")
        return found[1] + ("***@" + host if at and user else where) + slash + path + ("?***" if question else "")

    return _ADDRESS.sub(shown, text) if "://" in text else text


class OddganError(Exception):
    """Base of every error that oddgan raises on purpose. Secrets in addresses never get into a message."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(without_secrets(one) if isinstance(one, str) else one for one in args))


class DataError(OddganError, ValueError):
    """The data cannot be used. The message names the file, row or column, and what to do."""


class DataTypeError(DataError, TypeError):
    """A value in the data is of a type that cannot be used: neither a number nor text."""


class ParameterError(OddganError, ValueError):
    """A parameter is out of its range, or does not fit the data it meets."""


class ArtifactError(OddganError, ValueError):
    """A model file or checkpoint is damaged, from a newer format, or inconsistent."""


class TrainingError(OddganError, RuntimeError):
    """Training cannot go on, for instance because a loss is no longer a finite number."""


class DistributedError(TrainingError):
    """Processes that train one model together have lost each other, or their networks differ. What the run had kept is
    kept still."""


class EngineError(OddganError, RuntimeError):
    """An engine that runs tasks cannot be started or reached, has no room, or its workers die again and again."""


class OutputError(OddganError, OSError):
    """A result cannot be written: the disk is full, or the folder may not be written to."""


class MissingExtra(OddganError, ImportError):
    """An optional dependency is not installed. The message holds the line that installs it: as an `extra`, or the
    package alone."""

    def __init__(self, package: str, extra: str | None, purpose: str) -> None:
        from .installed import requirement

        line = package if extra is None else requirement(extra)
        super().__init__(f"{purpose} needs {package}: pip install {line}")


class LeftOut(OddganError, ImportError):
    """What was asked for needs torch, or another library of those that `oddgan-runtime`, which scores exports, leaves
    out. The message says what to install."""

    @classmethod
    def of(cls, purpose: str, error: ModuleNotFoundError) -> "LeftOut | None":
        """What to raise in place of an error, None where another module is missing."""
        from .installed import FULL, LEFT_OUT, RUNTIME, distributions

        library = LEFT_OUT.get((error.name or "").partition(".")[0])
        if library is None:
            return None
        if set(distributions()) != {RUNTIME}:
            return cls(f"{purpose} needs {library}, which is not installed: pip install {FULL}")
        return cls(
            f"{purpose} needs {library}, which {RUNTIME} leaves out: pip uninstall {RUNTIME}, then pip install {FULL}"
        )


class OddganWarning(UserWarning):
    """Base of every warning that oddgan gives: something may mislead, though work goes on.

    Attributes
    ----------
    code : str
        What was found, for a program to act on: "few-rows", "weak-rate", ...
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code
