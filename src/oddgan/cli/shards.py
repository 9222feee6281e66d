"""A part of all rows that one of several processes scores, and what is written down beside its results."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..errors import DataError, ParameterError
from ..files import whole_file
from ..rows.table_files import TableFile
from ..rows.table_folders import TableFolder
from . import terminal

FORMAT, FORMAT_VERSION = "oddgan-shard", 1
PIECE = 2**20  # bytes that are hashed at once


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count` equal ones, counted from 0."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From "3/8". Raises `ParameterError`."""
        found = re.fullmatch(r"(\d{1,7})/(\d{1,7})", text.strip())
        if found is None:
            raise ParameterError(f"--shard {text}: give I/N, as 0/8 for the first of 8")
        shard = cls(int(found[1]), int(found[2]))
        if not shard.count:
            raise ParameterError(f"--shard {text}: there is at least one shard, 0/1")
        if shard.index >= shard.count:
            raise ParameterError(f"--shard {text}: shards are counted from 0: 0/{shard.count} to {shard.count - 1}/...")
        return shard

    def part(self, total: int) -> range:
        """The numbers of its rows among all."""
        return range(self.index * total // self.count, (self.index + 1) * total // self.count)

    def place(self, output: Path) -> Path:
        """Where its results go: out.3-of-8.csv for out.csv."""
        return output.with_name(f"{output.stem}.{self.index}-of-{self.count}{output.suffix}")


def beside(results: Path) -> Path:
    """Where the facts about a shard's results are: out.3-of-8.csv.json."""
    return results.with_name(f"{results.name}.json")


@dataclass
class Sharding:
    """What a shard is of, and, once they are known, how many rows there are in it and in all: `rows`, `total`,
    `anomalies`, those at `further` rates, `unusable`. `options`: what results depend on beside the model and the
    data."""

    shard: Shard
    output: Path
    model: Path
    options: Mapping[str, Any]
    data: Any = None
    total: int = 0
    rows: int = 0
    anomalies: int = 0
    unusable: int = 0
    further: Sequence[int] = ()
    _model: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        from .reading import EXPORT

        self._model = digest_of(self.model / EXPORT if (self.model / EXPORT).is_file() else self.model)

    def parts(self, sources: Sequence[tuple[str, Any]]) -> list[range]:
        """Of each source, its name and its rows, the numbers of those rows that are in the shard."""
        counts = [1 if rows is None else len(rows) for _, rows in sources]
        self.total = sum(counts)
        self.data = [
            {"source": name, "rows": count, "identity": _identity(name, rows)}
            for (name, rows), count in zip(sources, counts, strict=True)
        ]
        part, found, before = self.shard.part(self.total), [], 0
        for count in counts:
            found.append(range(max(0, part.start - before), max(0, min(count, part.stop - before))))
            before += count
        return found

    def write(self, results: IO[bytes]) -> None:
        """Write down what the shard is, before its `results` get their name: where they have it, this is there."""
        from .. import __version__

        part = self.shard.part(self.total)
        facts = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "oddgan": __version__,
            "shard": self.shard.index,
            "of": self.shard.count,
            "first": part.start,
            "end": part.stop,
            "total": self.total,
            "rows": self.rows,
            "anomalies": self.anomalies,
            "unusable": self.unusable,
            "further": list(self.further),
            "model": self._model,
            "data": self.data,
            "options": self.options,
            "command": list(terminal.asked),
            "results": _of_file(results),
        }
        with whole_file(beside(self.output)) as file:
            file.write((json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def _of_file(file: IO[bytes]) -> dict[str, Any]:
    """Length and SHA-256 of a file that is open."""
    file.flush()
    digest, at = hashlib.sha256(), 0
    with open(os.dup(file.fileno()), "rb", buffering=0) as written:
        written.seek(0)
        while piece := written.read(PIECE):
            digest.update(piece)
            at += len(piece)
        written.seek(0, os.SEEK_END)  # the place is shared
    return {"bytes": at, "sha256": digest.hexdigest()}


def digest_of(path: Path) -> str:
    """The SHA-256 of a file. Raises `DataError`."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                digest.update(piece)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()


def _identity(name: str, rows: Any) -> str:
    """What changes when rows come or go: of pictures a hash of their names, of a file its length, of a folder of
    Parquet files a hash of their names and lengths."""
    if getattr(getattr(rows, "source", rows), "paths", None) is not None:
        return _hashed(rows.name(i) for i in range(len(rows)))
    if isinstance(rows, TableFile) and isinstance(rows.file, TableFolder):
        sizes = (path.stat().st_size for path in rows.file.paths)
        return _hashed(f"{part} {size}" for part, size in zip(rows.file.names, sizes, strict=True))
    path = rows.path if isinstance(rows, TableFile) else Path(name)  # of an address, that of its copy
    return f"{path.stat().st_size} bytes" if path.is_file() else ""


def _hashed(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:32]
