"""Fetching public data sets from their homes, when asked."""

import os
import shutil
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from ..errors import DataError, OutputError
from . import public

BLOCK = 1 << 16
SECONDS = 60  # without an answer, after which a home counts as out of reach


def fetch(name: str, tell: Callable[[str, int, int | None], None] = lambda file, done, size: None) -> Path:
    """Fetch the public set `name` into the folder ODDGAN_DATA and return the folder that it lies in.

    Files come into a folder of their own beside their place, are read and checked against the published checksums
    there, and are moved when all is well: a place that exists is complete. A set that is there already is left as it
    is. `tell` is called with a file's name, the bytes that came and the size, if it is known.

    Raises `DataError` where ODDGAN_DATA is not set, the set cannot be fetched, its home cannot be reached, or what came
    is not what was published; `OutputError` where the folder cannot be written.
    """
    urls, root = public.urls_of(name), public.data_folder()
    if root is None:
        raise DataError("no folder of data sets is set; set ODDGAN_DATA=FOLDER to where the files shall lie")
    place = root / public.folder_name(name)
    if place.is_dir() and any(place.iterdir()):
        public.read_public(name, place)
        return place
    try:
        root.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=root))
        try:
            for url in urls:
                _fetched(url, part / url.rpartition("/")[2], tell)
            public.read_public(name, part)
            part.chmod(0o755)
            if place.exists():
                place.rmdir()  # empty, or it would count as there
            os.replace(part, place)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"{root}: cannot be written ({error.strerror or error}); choose another ODDGAN_DATA"
        ) from error
    return place


def _fetched(url: str, file: Path, tell: Callable[[str, int, int | None], None]) -> None:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # one of the registry's own
            length = answer.headers.get("Content-Length")
            size, done = int(length) if length else None, 0
            with file.open("wb") as out:
                while block := answer.read(BLOCK):
                    out.write(block)
                    done += len(block)
                    tell(file.name, done, size)
    except (urllib.error.URLError, TimeoutError, ConnectionError, ssl.SSLError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise DataError(f"{url}: cannot be reached ({reason}); fetch it by hand and put it into ODDGAN_DATA") from error
    if size is not None and done != size:
        raise DataError(f"{url}: was cut short ({done:,} of {size:,} bytes); try again")
