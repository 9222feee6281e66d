"""Where the runs of oddgan train are kept until they are done."""

from pathlib import Path

from ..errors import ParameterError
from . import terminal


def checkpoint_of(model: Path, given: Path | None, resume: bool, fresh: bool) -> Path:
    """Where the run is kept; an earlier run's file is neither used nor discarded unless the user asks for it."""
    if resume and fresh:
        raise ParameterError("--resume and --fresh are both given; choose one")
    path = given or model.with_name(f"{model.name}.ckpt")
    if path.exists() and not (resume or fresh):
        raise ParameterError(f"{path}: an earlier run was interrupted; go on with --resume, or start anew with --fresh")
    if resume and not path.exists():
        terminal.note(f"no interrupted run at {path}: starting anew")
    return path


def choice_of(kept: Path) -> Path:
    """Where the choice is kept until the run is done."""
    return kept.with_name(f"{kept.name}.choice")


def is_run(checkpoint: Path | None) -> bool:
    """Whether a checkpoint is that of an ensemble, a folder."""
    from ..model.ensemble_fitting import is_kept

    return checkpoint is not None and is_kept(checkpoint)


def forget(checkpoint: Path) -> None:
    """Remove what a run left."""
    from ..model.ensemble_fitting import forget

    forget(checkpoint)
    choice_of(checkpoint).unlink(missing_ok=True)
