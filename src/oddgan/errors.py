"""Every error that oddgan raises on purpose.

    OddganError
    ├── DataError (ValueError)        the data cannot be used: names the file, row or column, and the fix
    │   └── DataTypeError (TypeError)  a value is of a type that cannot be used
    ├── ParameterError (ValueError)   a parameter is out of range or does not fit the data
    ├── ArtifactError (ValueError)    a model file or checkpoint is damaged, newer, or inconsistent
    ├── TrainingError (RuntimeError)  training cannot go on: a loss is no longer finite
    ├── OutputError (OSError)         a result cannot be written
    ├── MissingExtra (ImportError)    an optional dependency is not installed
    └── LeftOut (ImportError)         what was asked for needs a library that oddgan-runtime leaves out

    OddganWarning (UserWarning)       what may mislead, though work goes on; its kinds are in `oddgan.cautions`

Each message is one line: what is wrong, where, and what to do about it. The command line turns an
`OddganError` into that line and exit code 2 (the user can fix it) or 1 (training failed).
"""


class OddganError(Exception):
    """Base of every error that oddgan raises on purpose."""


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


class OutputError(OddganError, OSError):
    """A result cannot be written: the disk is full, or the folder may not be written to."""


class MissingExtra(OddganError, ImportError):
    """An optional dependency is not installed. The message holds the line that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        from .installed import requirement

        super().__init__(f"{purpose} needs {package}: pip install {requirement(extra)}")


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
