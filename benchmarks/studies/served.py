"""What `serving_load` and `serving_faults` share: a trained export, requests for it, and services as processes."""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

TICKS = os.sysconf("SC_CLK_TCK")
SMALL = 256  # different pictures that are sent


_exports = tempfile.TemporaryDirectory(prefix="oddgan-exports-")


@cache
def export_of(name: str) -> tuple[Path, np.ndarray]:
    """A model's export, which is there as long as this process, and `SMALL` pictures that it has not seen, uint8.

    "digits": 8x8 grey; "washers": 128x128 in colour, which the networks see at 64x64.
    """
    import oddgan
    from oddgan.export import export
    from oddgan.rows import open_rows

    place = Path(_exports.name) / name
    if name == "digits":
        from sklearn.datasets import load_digits

        every = (load_digits().images * 15).astype(np.uint8)
        train, new = every[: -2 * SMALL], every[-SMALL:]
        detector = oddgan.GANomaly(random_state=0, updates=300)
    else:
        split = oddgan.data.load("washers")
        train = split.train
        test = open_rows(split.test)
        new = np.stack([np.asarray(test[i % len(test)]) for i in range(SMALL)])
        detector = oddgan.GANomaly(random_state=0, updates=200, size=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few rows and short training, which do not matter here
        export(detector.fit(train), place, train)
    return place, new


def png(picture: np.ndarray) -> bytes:
    """The picture as a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def _request(path: str, kind: str, body: bytes, more: str = "") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n{more}content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def upload(name: str, picture: np.ndarray) -> bytes:
    """A request with a PNG file in a form, as browsers and curl send it."""
    part = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n'
    return _request(f"/models/{name}/score", "multipart/form-data; boundary=b", part + png(picture) + b"\r\n--b--\r\n")


def tensor(name: str, picture: np.ndarray) -> bytes:
    """A request with a binary tensor, as clients of the Open Inference Protocol send it; the answer is binary."""
    x = picture[None] if picture.ndim == 3 else picture[None, ..., None]
    said = {"name": "x", "shape": x.shape, "datatype": "UINT8", "parameters": {"binary_data_size": x.size}}
    head = json.dumps({"inputs": [said], "parameters": {"binary_data_output": True}}).encode()
    length = f"inference-header-content-length: {len(head)}\r\n"
    return _request(f"/v2/models/{name}/infer", "application/octet-stream", head + x.tobytes(), length)


KINDS = {"png": upload, "tensor": tensor}


def written(folder: Path, requests: list[bytes]) -> Path:
    """The folder with these requests, a file each."""
    folder.mkdir()
    for i, one in enumerate(requests):
        (folder / f"{i:05}").write_bytes(one)
    return folder


class Service:
    """A process that listens, and what it takes."""

    def __init__(self, words: list[str], log: Path) -> None:
        variables = os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
        self._log = log.open("ab")
        start = log.stat().st_size
        self.process = subprocess.Popen(words, env=variables, stdout=self._log, stderr=subprocess.STDOUT)
        until = time.monotonic() + 120
        while b"listening on" not in (said := log.read_bytes()[start:]):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{' '.join(words)} does not listen: {said.decode()[-500:]}")
            time.sleep(0.02)
        self.port = int(said.split(b"listening on", 1)[1].split()[0].rsplit(b":", 1)[1])

    def memory_mb(self) -> float:
        """What it holds in memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)

    def processor_seconds(self) -> float:
        """What it has computed, in all of its threads."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICKS

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        self._log.close()
        return code


@contextmanager
def running(words: list[str], log: Path) -> Iterator[Service]:
    """A service for the block."""
    service = Service(words, log)
    try:
        yield service
    finally:
        service.end()


def serve(export: Path, *more: str, port: int = 0) -> list[str]:
    """The command that serves an export with one thread."""
    return [sys.executable, "-m", "oddgan", "serve", str(export), "--port", str(port), "--threads", "1", *more]


def drive(port: int, folder: Path, clients: int, seconds: float, warm: float = 1.0) -> dict:
    """What clients in a process of their own saw."""
    words = [sys.executable, "-m", "benchmarks.studies.http_clients", str(port), str(folder), "--clients", str(clients)]
    words += ["--seconds", str(seconds), "--warm", str(warm)]
    return dict(json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
