"""Download public data sets from their homes, on request."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..errors import DataError, OutputError
from . import public

BLOCK = 1 << 16
SECONDS = 60  # without an answer before a home counts as unreachable


def fetch(name: str, report: Callable[[str, int, int | None], None] = lambda file, done, size: None) -> Path:
    """Fetch the public set `name` into the folder ODDGAN_DATA and return the set's own folder.

    Files are downloaded into a temporary folder, read and checked against the published checksums there, and moved only
    then: a set's folder that exists is complete. A set that is already there is left as it is. `report` is called with
    a file's name, the bytes received so far, and the size if it is known.

    Raises `DataError` where ODDGAN_DATA is not set, the set cannot be fetched, its home cannot be reached, or the files
    are not the published ones; `OutputError` where the folder cannot be written.
    """
    urls, root = public.urls_of(name), public.data_folder()
    if root is None:
        raise DataError("no folder of data sets is set; set ODDGAN_DATA=FOLDER to choose one")
    place = root / public.folder_name(name)
    if place.is_dir() and any(place.iterdir()):
        public.read_public(name, place)
        return place
    try:
        root.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=root))
        try:
            for url in urls:
                _fetched(url, part / url.rpartition("/")[2], report)
            public.read_public(name, part)
            part.chmod(0o755)
            if place.exists():
                place.rmdir()  # it is empty, or it would have been read above
            os.replace(part, place)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"{root}: cannot be written ({error.strerror or error}); choose another ODDGAN_DATA"
        ) from error
    return place


def _fetched(url: str, file: Path, report: Callable[[str, int, int | None], None]) -> None:
    import ssl
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # an address from the catalogue
            length = answer.headers.get("Content-Length")
            size, done = int(length) if length else None, 0
            with file.open("wb") as out:
                while block := answer.read(BLOCK):
                    out.write(block)
                    done += len(block)
                    report(file.name, done, size)
    except (urllib.error.URLError, TimeoutError, ConnectionError, ssl.SSLError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise DataError(f"{url}: cannot be reached ({reason}); fetch it by hand and put it into ODDGAN_DATA") from error
    if size is not None and done != size:
        raise DataError(f"{url}: is incomplete ({done:,} of {size:,} bytes); try again")
