"""Items that come one after the other: their answers as JSON has them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..errors import DataError
from .items import Item, Reader, clean
from .looked import Looked
from .reading import CHUNK_BYTES, Chunk
from .scores import entries, heads_of
from .scoring import Scoring


class Answers:
    """Scores items, and counts: `done`, `anomalies`, `counts` of anomalies at further rates, `bad` items."""

    def __init__(self, how: Scoring, reader: Reader) -> None:
        self.how, self.reader = how, reader
        table = how.detector.model_.preprocessor.kind == "table"
        how.check_locates(table)
        for rate in how.rates:
            how.detector.with_false_alarm_rate(rate)  # is an error now where the calibration rows are too few
        self.looked = Looked(how.detector, how.monitor)
        self.heads = heads_of(columns=table, regions=how.regions, rates=how.rates)
        self.done = self.anomalies = self.bad = 0
        self.counts = [0] * len(how.rates)

    def of(self, items: Iterable[Item]) -> Iterator[list[dict[str, Any]]]:
        """The answers to items, in order; some at a time, as far as memory allows."""
        for some in held(items):
            yield self._answered(some)
            self.looked.keep()

    def _answered(self, items: list[Item]) -> list[dict[str, Any]]:
        good = [item for item in items if not item.error]
        answers = iter(self._judged(good))
        self.bad += len(items) - len(good)
        return [refusal(item, item.error) if item.error else next(answers) for item in items]

    def _judged(self, items: list[Item]) -> list[dict[str, Any]]:
        """The answers to items that could be read; where they cannot be scored together, each has its own."""
        if not items:
            return []
        names, n = [item.name for item in items], len(items)
        try:
            chunk = Chunk(self.reader.rows(items), list(range(n)), 0, names, {})
            chunk, strata = self.how.with_strata("--strata", chunk)
            results = self.how.judged(chunk, [()] * n, names, self.how.maps, strata)
        except DataError as error:
            if n == 1:
                self.bad += 1
                return [refusal(items[0], str(error))]
            return [answer for item in items for answer in self._judged([item])]
        self.looked.add(chunk, results, list(map(str, names)))
        self.done += n
        self.anomalies += int(results.is_anomaly.sum())
        self.counts = [count + int(flags.sum()) for count, flags in zip(self.counts, results.others, strict=True)]
        found = entries(results, self.heads)
        return [{**item.echo, **entry} for item, entry in zip(items, found, strict=True)]

    def close(self) -> None:
        """Say what was seen."""
        self.looked.warn()
        self.how.sum_up(self.done, self.anomalies, self.counts, self.bad)


def held(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Items in lists whose pictures fit into memory together."""
    some: list[Item] = []
    size = 0
    for item in items:
        some.append(item)
        size += getattr(item.value, "nbytes", 0)
        if size >= CHUNK_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def refusal(item: Item, reason: str) -> dict[str, Any]:
    """The answer to an item that cannot be used."""
    return {**item.echo, "error": reason}


def as_lines(answers: Sequence[dict[str, Any]]) -> bytes:
    """Answers as JSON Lines in UTF-8."""
    return b"".join(line({name: clean(value) for name, value in answer.items()}) for answer in answers)


def line(answer: dict[str, Any]) -> bytes:
    """An answer as a line. Names of files that are no UTF-8 are escaped, and are the same when they are read."""
    text = json.dumps(answer, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"
