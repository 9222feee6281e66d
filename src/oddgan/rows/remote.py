"""Data at an address: s3://bucket/parts, gs://bucket/flows.parquet, memory://x, whatever fsspec reads.

What is at an address is copied once into the cache's folder, some files at a time, and read from there as any folder or
file is. Copied files are kept while the address has them as they were; where it gives neither a version nor a time they
are copied each time. Credentials come from where fsspec takes them (its configuration, the environment, an instance's
role).

    CACHE/remote/ADDRESS-DIGEST/NAME             the file, or the folder with its files
    CACHE/remote/ADDRESS-DIGEST/copied.jsonl     [path, how it was there, bytes of the copy] of each complete file
    CACHE/remote/ADDRESS-DIGEST/lock             held while files are copied

Messages about a file name its copy, so ADDRESS is what can be read of the address, without what may be secret.
"""

import filecmp
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..errors import DataError, MissingExtra, OddganError, without_secrets
from .folders import cache_folder, cannot_write, check_room, is_of
from .tar_shards import expanded, is_tar
from .threads import threaded

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LOCAL = frozenset({"file", "local"})
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_PACKAGES |= {"http": "aiohttp", "https": "aiohttp"}
_VERSIONS = (
    *("ETag", "etag", "md5Hash", "checksum", "Content-MD5", "content_hash", "Digest", "sha", "CRC"),
    *("LastModified", "Last-Modified", "last_modified", "updated", "mtime", "modify", "modificationTime", "date_time"),
    *("modified", "modified_at", "last_write_time", "created"),
)


def is_address(source: str) -> bool:
    """Whether a text is an address, not a path."""
    return _ADDRESS.match(source) is not None


def local(source: str | os.PathLike[str]) -> Path:
    """Where a path or an address can be read: a path as it is, a copy of what is at an address.

    Raises `MissingExtra` where what reads such addresses is not installed, `DataError` where there is nothing or it
    cannot be read, `OutputError` where the cache cannot be written.
    """
    text = os.fspath(source)
    if not is_address(text):
        return Path(source)
    protocol = text.partition("://")[0].lower()
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtra("fsspec", "remote", f"reading {protocol}:// addresses") from error
    try:
        if protocol in _LOCAL:
            return Path(fsspec.core.url_to_fs(text)[1])
        folder = cache_folder() / "remote" / _folder_name(text)
        addresses, ranged = expanded(text), _ranged(text)
        for one in addresses:
            fs, path = fsspec.core.url_to_fs(one)
            name = "/".join(_names(path)[-max(1, len(ranged)) :]) or "data"
            _copy(fs, path, one, folder, name)
        return folder.joinpath(*ranged) if ranged else folder / name
    except OddganError:
        raise
    except ImportError as error:
        if protocol in _PACKAGES:
            raise MissingExtra(_PACKAGES[protocol], None, f"reading {protocol}:// addresses") from error
        raise DataError(f"{text}: {_said(error, text)}") from error
    except FileNotFoundError:
        raise DataError(f"{text}: there is nothing at this address; check it") from None
    except Exception as error:  # each file system has errors of its own
        raise DataError(f"{text}: cannot be read ({_said(error, text)}); check address and credentials") from error


def _names(path: str) -> list[str]:
    """The folders and the file of a path or an address, without user and query."""
    where, _, query = path.partition("?")
    if "://" not in path and "=" not in query:
        where = path  # a file's name may hold a question mark
    names = where[where.find("://") + 3 if "://" in where else 0 :].strip("/").split("/")
    return [names[0].rpartition("@")[2], *names[1:]]


def _ranged(address: str) -> list[str]:
    """Of an address with ranges the parts from the first one with a range on, of any other none. Raises `DataError`
    for ranges elsewhere than in the path of an archive."""
    if len(expanded(address)) == 1:
        return []
    names = _names(address.partition("::")[0])
    number = [i for i, name in enumerate(names) if len(expanded(name)) > 1]
    if not number or len(expanded("/".join(names))) < len(expanded(address)) or not is_tar(Path(names[-1])):
        raise DataError(f"{address}: a range is of .tar archives, in their path; give one file or a folder")
    return names[number[0] :]


def _copy(fs: Any, path: str, address: str, folder: Path, name: str) -> None:
    """Copy a file, or all files below a folder, to `name` in a folder of the cache."""
    fs.invalidate_cache()  # of listings, which file systems keep for as long as a process runs
    about = fs.info(path)
    if about["type"] == "directory":
        found: Mapping[str, Any] = fs.find(path, detail=True)
        start = len(os.path.commonpath([fs._strip_protocol(path), *found])) + 1 if found else 0
        files = {f"{name}/{one[start:]}": (one, info) for one, info in found.items()}
        if not files:
            raise DataError(f"{address}: holds no files; check the address")
    else:
        files = {name: (path, about)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            _bring(fs, files, folder, address, whole=about["type"] == "directory")
    except OddganError:
        raise
    except OSError as error:
        if is_of(error, folder):
            raise cannot_write(folder, error) from error
        raise


def _folder_name(address: str) -> str:
    """s3://key:secret@lake/day=1/rows.csv?token=x -> s3-lake-day=1-rows.csv-DIGEST."""
    readable = re.sub(r"[^A-Za-z0-9._=]+", "-", without_secrets(address)).strip("-.")[-80:]
    return f"{readable}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"


def _bring(fs: Any, files: Mapping[str, tuple[str, Any]], folder: Path, address: str, *, whole: bool) -> None:
    index = folder / "copied.jsonl"
    known = _known(index)
    for name in files:
        if any(part in ("", ".", "..") for part in name.split("/")):
            raise DataError(f"{address}: holds a file called {name!r}, which no folder can hold; rename it")
    versions = {name: _version(info) for name, (_, info) in files.items()}
    missing = [
        name for name in files if not versions[name] or known.get(name) != (versions[name], _bytes(folder / name))
    ]
    check_room(folder, sum(int(files[name][1].get("size") or 0) for name in missing))

    def get(name: str) -> str:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.part")
        try:
            fs.get_file(files[name][0], str(part))
            if not versions[name] and target.is_file() and filecmp.cmp(part, target, shallow=False):
                part.unlink()  # what was made of the copy is still good
            else:
                os.replace(part, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        return name

    with index.open("ab+") as out:
        if out.tell() and (out.seek(-1, os.SEEK_END), out.read(1))[1] != b"\n":
            out.write(b"\n")  # the writer of that line was killed
        for name in threaded(get, missing):
            out.write(json.dumps([name, versions[name], _bytes(folder / name)]).encode() + b"\n")
    if whole:
        for name in known.keys() - files.keys():
            (folder / name).unlink(missing_ok=True)


def _known(index: Path) -> dict[str, tuple[str, int]]:
    """What the address had when each file was copied, and the bytes of the copy. Lines that are torn are no lines."""
    known: dict[str, tuple[str, int]] = {}
    for line in index.read_bytes().splitlines() if index.exists() else ():
        try:
            name, version, size = json.loads(line)
            known[str(name)] = (version, int(size))
        except (ValueError, TypeError):
            continue
    return known


def _bytes(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _version(info: Mapping[str, Any]) -> str:
    """What changes when a file at an address does; nothing where the address gives neither version nor time."""
    known = [str(info[key]) for key in _VERSIONS if info.get(key) not in (None, "")]
    return repr([info.get("size"), *known]) if known else ""


def _said(error: Exception, address: str) -> str:
    """What an error says, without what is secret in the address."""
    text = " ".join(str(error).split())[:300] or type(error).__name__
    where, _, query = address.partition("://")[2].partition("?")
    user = where.partition("/")[0].rpartition("@")[0]
    values = [one.partition("=")[2] for one in query.split("&")]
    for secret in sorted({user, query, *user.split(":"), *values}, key=len, reverse=True):
        text = text.replace(secret, "***") if secret else text
    return text
