"""How oddgan merge puts the results of shards together."""

import hashlib
import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from ..errors import DataError, ParameterError
from ..files import whole_file
from . import terminal
from .scores import Format, RowGroups, ended
from .shards import FORMAT, FORMAT_VERSION, PIECE, beside

SAME = {
    "oddgan": "releases of oddgan",
    "of": "numbers of shards",
    "model": "models",
    "data": "data",
    "options": "options",
}
"""What all shards have in common, and what to call it."""

LISTED = 5  # shards that a message names


def merged(shards: Sequence[Path], output: Path, form: Format) -> None:
    """Write the results of all shards, in order, and say so. Raises what `joined` does."""
    with terminal.bar("merging") as progress:
        found = joined(shards, output, form, progress)
    rows, anomalies, unusable = totals(found)
    left_out = f", {unusable:,} could not be used" if unusable else ""
    terminal.note(f"{len(found):,} shards, {rows:,} rows: {anomalies:,} anomalies{left_out}")
    terminal.written(output)


def joined(
    shards: Sequence[Path], output: Path, form: Format, progress: Callable[[int, int], None]
) -> list[dict[str, Any]]:
    """Write all results to `output`; return the facts about the shards, in order. Raises `DataError` where they are not
    all parts of one whole, and then writes nothing."""
    found = sorted(((read(path), path) for path in shards), key=lambda one: one[0]["shard"])
    check([facts for facts, _ in found], [path for _, path in found])
    totals([facts for facts, _ in found])
    if wrong := [path for _, path in found if path.suffix.lower() != output.suffix.lower()]:
        raise ParameterError(
            f"{wrong[0]}: has another format than {output}; give a name that ends in {wrong[0].suffix}"
        )
    with whole_file(output) as file:
        join = _parquet if form == "parquet" else _texts
        join(file, found, form, progress)
    return [facts for facts, _ in found]


def totals(found: Sequence[dict[str, Any]]) -> tuple[int, int, int]:
    """Of all shards the rows that were scored, the anomalies, and the rows that could not be used. Raises `DataError`
    where no row could be."""
    rows, anomalies, unusable = (sum(facts[name] for facts in found) for name in ("rows", "anomalies", "unusable"))
    if unusable and not rows:
        raise DataError(f"{unusable:,} rows, of which none can be used; repair or remove them")
    return rows, anomalies, unusable


def read(path: Path) -> dict[str, Any]:
    """The facts about the results of a shard. Raises `DataError`."""
    place = beside(path)
    try:
        facts: Any = json.loads(place.read_bytes())
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise DataError(f"{place}: is not written by oddgan score --shard")
        if facts.get("format_version") != FORMAT_VERSION:
            raise DataError(f"{place}: has format {facts.get('format_version')!r:.20}, which this oddgan does not read")
        numbers = ("shard", "of", "first", "end", "total", "rows", "anomalies", "unusable")
        if not all(type(facts[name]) is int for name in numbers) or not isinstance(facts["results"]["sha256"], str):
            raise DataError(f"{place}: does not add up; repeat the shard")
        _ = [facts[name] for name in (*SAME, "command")]
    except FileNotFoundError:
        raise DataError(
            f"{place}: is missing; it belongs to {path}, and says which part of which data that is"
        ) from None
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{place}: is damaged; repeat the shard") from error
    return facts


def check(found: Sequence[dict[str, Any]], paths: Sequence[Path]) -> None:
    """Raise `DataError` where shards are not all parts of one whole, each once."""
    first = found[0]
    for facts, path in zip(found, paths, strict=True):
        for name, what in SAME.items():
            if facts[name] != first[name]:
                differs = _difference(first[name], facts[name])
                raise DataError(f"{paths[0]} and {path}: are of different {what}{differs}; score them alike")
    for facts, after, path, following in zip(found, found[1:], paths, paths[1:], strict=False):
        if facts["shard"] == after["shard"]:
            raise DataError(f"{path} and {following}: are the same shard; give it once")
    n = first["of"]
    if missing := sorted(set(range(n)) - {facts["shard"] for facts in found}):
        listed = ", ".join(map(str, missing[:LISTED])) + f" and {len(missing) - LISTED:,} more" * (
            len(missing) > LISTED
        )
        plural = "s" * (len(missing) > 1)
        raise DataError(f"shard{plural} {listed} of {n} missing; run: {_command(first['command'], missing[0], n)}")
    ends = [0, *(facts["end"] for facts in found)]
    if [facts["first"] for facts in found] != ends[:-1] or ends[-1] != first["total"]:
        raise DataError("the shards do not follow on each other; repeat them all")


def _difference(one: Any, other: Any) -> str:
    """Which option differs, or nothing."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one:
            if one[name] != other.get(name):
                return f" ({name}: {one[name]} and {other.get(name)})"
    return f" ({one} and {other})" if isinstance(one, str | int) and len(str(one)) < 20 else ""


def _command(words: Sequence[str], index: int, n: int) -> str:
    """The command of another shard."""
    words = list(words)
    with suppress(ValueError):
        words[words.index("--shard") + 1] = f"{index}/{n}"
    words = [f"--shard={index}/{n}" if word.startswith("--shard=") else word for word in words]
    return shlex.join(["oddgan", *words])


def _texts(file: IO[bytes], found: Sequence[tuple[dict[str, Any], Path]], form: str, progress: Any) -> None:
    """CSV or JSON Lines, one after the other, with one line of names."""
    heads = b""
    for i, (facts, path) in enumerate(found):
        digest, size = hashlib.sha256(), 0
        with _opened(path) as part:
            if form == "csv":
                line = _read(path, part.readline)
                digest.update(line)
                size += len(line)
                if i and line != heads:
                    raise DataError(f"{path}: has other columns than {found[0][1]}; repeat it")
                if not i:
                    heads = line
                    file.write(line)
            for piece in _pieces(path, part):
                digest.update(piece)
                size += len(piece)
                file.write(piece)
        _check_whole(path, facts, digest.hexdigest(), size)
        progress(i + 1, len(found))


def _parquet(file: IO[bytes], found: Sequence[tuple[dict[str, Any], Path]], form: str, progress: Any) -> None:
    """Parquet, in the row groups that one file would have."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from .shards import digest_of

    del form
    facts, path = found[0]
    _check_whole(path, facts, digest_of(path), path.stat().st_size)
    schema = pq.read_schema(path)
    with ended(RowGroups(pq.ParquetWriter(file, schema))) as writer:
        for i, (facts, path) in enumerate(found):
            _check_whole(path, facts, digest_of(path), path.stat().st_size)
            with pq.ParquetFile(path) as part:
                for batch in _batches(path, part):
                    writer.add(pa.Table.from_batches([batch], schema))
            progress(i + 1, len(found))


def _pieces(path: Path, part: IO[bytes]) -> Iterator[bytes]:
    while piece := _read(path, lambda: part.read(PIECE)):
        yield piece


def _batches(path: Path, part: Any) -> Iterator[Any]:
    batches = part.iter_batches()
    while (batch := _read(path, lambda: next(batches, None))) is not None:
        yield batch


def _read(path: Path, read: Callable[[], Any]) -> Any:
    """What is read. Within `whole_file` any other error would be one of writing."""
    try:
        return read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); repeat the shard") from error


def _opened(path: Path) -> IO[bytes]:
    opened: IO[bytes] = _read(path, lambda: path.open("rb"))
    return opened


def _check_whole(path: Path, facts: dict[str, Any], digest: str, size: int) -> None:
    """Raise `DataError` where a file is not as it was written."""
    if digest != facts["results"]["sha256"]:
        was = facts["results"]["bytes"]
        said = f"has {size:,} bytes and had {was:,}" if size != was else "is not as it was written"
        command = _command(facts["command"], facts["shard"], facts["of"])
        raise DataError(f"{path}: {said}, or its run was killed; run: {command}")
