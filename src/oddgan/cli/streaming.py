"""oddgan score MODEL -: standard input, a line an item, and a line of JSON for each as it comes."""

from collections.abc import Callable, Collection, Iterable

from ..rows.threads import threaded
from . import items
from .answers import Answers, as_lines
from .lines import Line, Lines
from .process import finishing
from .scores import Through
from .scoring import Scoring


def reader_of(how: Scoring, drop: Collection[str] = ()) -> items.Reader:
    """What makes items of the lines that the model takes."""
    preprocessor = how.detector.model_.preprocessor
    if preprocessor.kind == "table":
        return items.Table(preprocessor, drop, how.strata)  # type: ignore[arg-type]
    return items.Pictures(preprocessor)  # type: ignore[arg-type]


def answer(how: Scoring, read: Callable[[], bytes], drop: Collection[str] = ()) -> tuple[int, int, bool]:
    """Answer lines until they end, or a signal comes. Returns how many are anomalies, how many could not be used, and
    whether it was a signal.

    Lines that wait together are scored together, up to a block of the model; one that comes alone does not wait for
    others.
    """
    reader = reader_of(how, drop)
    found = Answers(how, reader)
    with finishing() as stopped, Through(how.output) as out:
        lines = Lines(read)
        while taken := lines.take(how.detector.block_size, stopped):
            for answers in found.of(_items(reader, taken)):
                out.write(as_lines(answers))
        found.close()
        return found.anomalies, found.bad, stopped()


def _items(reader: items.Reader, taken: list[Line]) -> Iterable[items.Item]:
    """What these lines ask for; several pictures are decoded in threads."""
    return (
        threaded(reader.item, taken)
        if isinstance(reader, items.Pictures) and len(taken) > 1
        else map(reader.item, taken)
    )
