"""What oddgan train does with --detector auto."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ..hooks import Progress, clock
from ..parameters import plain
from . import terminal
from .checkpoints import choice_of
from .outputs import write_text

if TYPE_CHECKING:
    from ..data import Split
    from ..detector import Detector


def chosen_detector(
    data: str, split: "Split", kept: Path, minutes: float | None, given: Mapping[str, Any]
) -> "Detector":
    """The detector that finds simulated anomalies best, with the table of candidates on standard output. It is written
    beside the checkpoint, so that a run that goes on does not choose another."""
    from .. import report
    from ..choosing import MINUTES, candidates, choose
    from .reading import check_readable
    from .train import named

    note = choice_of(kept)
    if kept.exists() and note.exists():
        before = json.loads(note.read_text("utf-8"))
        terminal.facts(("detector", f"{before['name']}, chosen before"))
        again = named(before["detector"])()
        for key, value in before["parameters"].items():
            again.set_params(**{key: tuple(value) if isinstance(value, list) else value})
        return again
    minutes = MINUTES if minutes is None else minutes
    terminal.note(f"choosing among detectors by simulated anomalies, {minutes:g} minutes at most")
    try:
        with Progress() as bar:
            shown = [] if terminal.quiet else [bar]
            found = choose(
                split,
                minutes=minutes,
                among=candidates(split.train, **given),
                random_state=given.get("random_state", 0),
                hooks=shown,
                report=terminal.note,
            )
    except DataError:
        check_readable(data, split.train, split.tune, split.calibrate)  # one was met: say how many there are
        raise
    except KeyboardInterrupt:
        raise terminal.Interrupted("interrupted while choosing: nothing is kept") from None
    terminal.table(*report.comparison.table(found.comparison))
    for line in report.comparison.notes(found.comparison):
        terminal.say(line)
    terminal.say()
    first = found.comparison.contenders[0].name if found.comparison.contenders else None
    why = "the best of these" if found.name == first else "than which none of these is clearly better"
    terminal.facts(("detector", f"{found.name}, {why}, chosen in {clock(found.seconds)}"))
    detector: Detector = found.detector
    own = {key: plain(value) for key, value in detector.parameters.items()}
    write_text(note, lambda: json.dumps({"name": found.name, "detector": type(detector).__name__, "parameters": own}))
    return detector
