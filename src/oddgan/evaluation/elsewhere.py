"""Cells in the workers of an engine. The record is written by this process alone, as cells are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import cautions
from ..engine import Lost, Ray
from ..errors import EngineError, OddganWarning
from .runner import Attempt, Job, Line, Record

NAMED = 5  # lost cells that an error names


def fill(
    todo: Sequence[Job[Line]],
    record: Record[Line],
    engine: Ray,
    *,
    summary: Callable[[Line], str],
    checkpoint_seconds: float,
    report: Callable[[str], None],
) -> None:
    """Run the jobs that are not in the record, each once, and add them to it.

    A cell whose worker dies is run again, from its checkpoint if it has one. Those that are lost at every try are named
    by an `EngineError` when all others are done; they are not in the record, so that the next run runs them.
    """
    missing: dict[str, Job[Line]] = {}
    titles: list[str] = []
    for number, job in enumerate(todo, 1):
        title, line = f"[{number}/{len(todo)}] {job.title}", record.get(job.key)
        if line is not None:
            report(f"{title}: {summary(line)} (done before)")
        elif job.key not in missing:
            missing[job.key] = job
            titles.append(title)
    if not missing:
        return
    jobs, lost = list(missing.values()), []
    places = [None if (place := record.checkpoint(job.key)) is None else place.absolute() for job in jobs]
    shared = (jobs, places, checkpoint_seconds, engine.threads)
    with _placed(engine).started(shared) as pool:
        for i, found in pool.run(_run, titles, began=lambda i: report(f"{titles[i]}: running"), report=report):
            if isinstance(found, Lost):
                report(f"{titles[i]}: {found.reason}")
                lost.append(f"{jobs[i].title}: {found.reason}")
                continue
            line, warned = found
            for one in warned:
                cautions.warn(getattr(cautions, one["kind"], OddganWarning), one["code"], one["message"])
            if record.form.key(line) != jobs[i].key:
                raise ValueError(f"{jobs[i].title}: its line has the key {record.form.key(line)}, not that of its job")
            record.add(line)
            if (checkpoint := places[i]) is not None:
                checkpoint.unlink(missing_ok=True)
            report(f"{titles[i]}: {summary(line)}")
    if lost:
        more = f"; and {len(lost) - NAMED:,} more" if len(lost) > NAMED else ""
        raise EngineError(
            f"{len(lost):,} of {len(jobs):,} were lost, {engine.tries} times each ({'; '.join(lost[:NAMED])}{more}); "
            "the others are kept, and the same command runs these again"
        )


def _placed(engine: Ray) -> Ray:
    """A cell's key says on which kind of device it runs, as this process sees it: so workers are to have one."""
    import torch

    return engine if engine.gpus is not None else replace(engine, gpus=int(torch.cuda.is_available()))


def _run(shared: tuple[Sequence[Job[Any]], Sequence[Path | None], float, int], i: int) -> tuple[Any, list[Any]]:
    """In a worker: the line of job i, and what was warned of."""
    import torch

    jobs, places, seconds, threads = shared
    torch.set_num_threads(threads)
    place = places[i]
    checkpoint = place if place is not None and place.parent.is_dir() else None  # not on another machine's disk
    resumed = checkpoint is not None and checkpoint.exists()
    with cautions.kept() as warned:
        line = jobs[i].run(Attempt(checkpoint=checkpoint, checkpoint_seconds=seconds, hooks=(), resumed=resumed))
    return line, list(warned)
