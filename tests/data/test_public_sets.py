"""Public sets in their own formats, and how they are fetched."""

import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from oddgan.data import datasets, fetch, labelled, load, public, public_pictures, public_tables, rows
from oddgan.errors import DataError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ODDGAN_DATA", str(tmp_path))
    return tmp_path


def cifar10(monkeypatch: pytest.MonkeyPatch, left_out: str = "") -> bytes:
    """An archive in the published format with 4 pictures per part, with its checksum instead of the published one."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for i, name in enumerate(public_pictures.CIFAR10_PARTS):
            if name == left_out:
                continue
            records = np.zeros((4, 3073), np.uint8)
            records[:, 0] = [0, 1, 8, 9]
            records[:, 1:1025] = 10 * i  # red
            records[:, 2049:] = 200  # blue
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = records.nbytes
            archive.addfile(member, io.BytesIO(records.tobytes()))
    monkeypatch.setattr(public_pictures, "CIFAR10_SUM", hashlib.sha256(content.getvalue()).hexdigest())
    return content.getvalue()


def test_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "cifar10").mkdir()
    (root / "cifar10" / public_pictures.CIFAR10_FILE).write_bytes(cifar10(monkeypatch))
    held = labelled("cifar10")
    assert held.rows.shape == (24, 32, 32, 3)
    assert held.trained == 20
    assert held.classes[:4].tolist() == ["airplane", "automobile", "ship", "truck"]
    assert held.rows[23, 5, 7].tolist() == [50, 0, 200]  # red of the last part, no green, blue
    split = load("cifar10", normal={"ship"})
    assert len(split.train) == 5  # type: ignore[arg-type]
    assert split.labels is not None
    assert split.labels.tolist() == [True, True, False, True]
    assert len(rows("cifar10")) == 4


def test_a_damaged_archive(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = root / "cifar10" / public_pictures.CIFAR10_FILE
    file.parent.mkdir()
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz is missing"):
        labelled("cifar10")
    file.write_bytes(cifar10(monkeypatch)[:-20])
    with pytest.raises(DataError, match="its checksum differs"):
        labelled("cifar10")
    file.write_bytes(cifar10(monkeypatch, left_out="test_batch.bin"))
    with pytest.raises(DataError, match="is not the binary version of CIFAR-10"):
        labelled("cifar10")


def test_svhn(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "svhn").mkdir()
    sums = {}
    for name, n in (("train_32x32.mat", 5), ("test_32x32.mat", 3)):
        pictures = np.zeros((32, 32, 3, n), np.uint8)
        pictures[1, 2, 0] = np.arange(n)
        savemat(root / "svhn" / name, {"X": pictures, "y": np.arange(10, 10 - n, -1)[:, None]})
        sums[name] = hashlib.md5((root / "svhn" / name).read_bytes()).hexdigest()
    monkeypatch.setattr(public_pictures, "SVHN_SUMS", sums)
    held = labelled("svhn")
    assert held.rows.shape == (8, 32, 32, 3)
    assert held.trained == 5
    assert held.rows[:5, 1, 2, 0].tolist() == [0, 1, 2, 3, 4]
    assert held.classes[:3].tolist() == ["0", "9", "8"]  # a nought is class 10 there
    (root / "svhn/train_32x32.mat").write_bytes(b"")
    with pytest.raises(DataError, match="its checksum differs"):
        labelled("svhn")


def kdd_line(service: str, kind: str, difficulty: int) -> str:
    return ",".join(["0", "tcp", service, "SF", *["1"] * 37, kind, str(difficulty)])


def test_nsl_kdd(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "nsl-kdd").mkdir()
    train = [kdd_line("http", "normal", 20), kdd_line("ftp", "neptune", 21), kdd_line("http", "normal", 3)]
    test = [kdd_line("smtp", "normal", 20), kdd_line("ftp", "saint", 7)]
    for name, lines in (("KDDTrain+.txt", train), ("KDDTest+.txt", test)):
        (root / "nsl-kdd" / name).write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"KDDTrain\+\.txt: holds 3 rows, not the 125,973 published"):
        labelled("nsl-kdd")
    monkeypatch.setattr(public_tables, "NSL_KDD_FILES", {"KDDTrain+.txt": 3, "KDDTest+.txt": 2})
    split = load("nsl-kdd")
    assert len(split.train) == 2  # type: ignore[arg-type]
    assert split.labels is not None
    assert split.labels.tolist() == [False, True]
    held = labelled("nsl-kdd").rows
    assert held.column("service").tolist() == ["http", "ftp", "http", "smtp", "ftp"]  # type: ignore[union-attr]
    assert held.shape == (5, 41)
    (root / "nsl-kdd/KDDTest+.txt").unlink()
    with pytest.raises(DataError, match=r"KDDTest\+\.txt is missing; get it from https://www\.unb\.ca"):
        labelled("nsl-kdd")


def test_a_system_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ODDGAN_DATA", raising=False)
    place = tmp_path / "packaged"
    place.mkdir()
    from dataclasses import replace

    packaged = replace(public._PUBLIC["fashion-mnist"], package=str(place))
    monkeypatch.setitem(public._PUBLIC, "fashion-mnist", packaged)
    info = {one.name: one for one in datasets()}["fashion-mnist"]
    assert info.found
    assert info.where == str(place)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """Files that a local server provides, as the home of CIFAR-10."""
    files: dict[str, bytes] = {}

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = files.get(self.path)
            self.send_response(404 if content is None else 200)
            cut = self.path.endswith("cut")
            self.send_header("Content-Length", str(len(content or b"") + 9 * cut))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    from dataclasses import replace

    def at(name: str) -> None:
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        monkeypatch.setitem(public._PUBLIC, "cifar10", replace(public._PUBLIC["cifar10"], urls=(url,)))

    at(public_pictures.CIFAR10_FILE)
    files["at"] = at  # type: ignore[assignment]
    yield files
    server.shutdown()
    server.server_close()


def test_fetch(root: Path, home: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    content = home["/" + public_pictures.CIFAR10_FILE] = cifar10(monkeypatch)
    reported: list[tuple[str, int, int | None]] = []
    assert fetch("cifar10", lambda *what: reported.append(what)) == root / "cifar10"
    assert reported[-1] == (public_pictures.CIFAR10_FILE, len(content), len(content))
    assert len(labelled("cifar10").rows) == 24
    assert [path.name for path in root.iterdir()] == ["cifar10"]
    home.pop("/" + public_pictures.CIFAR10_FILE)
    assert fetch("cifar10") == root / "cifar10"  # it is there: nothing is fetched


def test_nothing_is_left_of_a_fetch_that_failed(
    root: Path, home: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"cannot be reached \(.*Not Found.*\); fetch it by hand"):
        fetch("cifar10")
    home["/" + public_pictures.CIFAR10_FILE] = cifar10(monkeypatch) + b"more"
    with pytest.raises(DataError, match="its checksum differs"):
        fetch("cifar10")
    home["/cut"] = b"half"
    home["at"]("cut")  # type: ignore[operator]
    with pytest.raises(DataError, match=r"is incomplete|cannot be reached"):
        fetch("cifar10")
    assert list(root.iterdir()) == []
    for name in ("nsl-kdd", "digits", "cifar"):
        with pytest.raises(DataError, match=rf"{name}: cannot be fetched by its name; mnist, .* can"):
            fetch(name)
    monkeypatch.delenv("ODDGAN_DATA")
    with pytest.raises(DataError, match="set ODDGAN_DATA=FOLDER"):
        fetch("mnist")


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "thyroid", "arrhythmia", "kdd99"])
def test_the_published_files(real_data: Path, name: str) -> None:
    info = {one.name: one for one in datasets()}[name]
    held = labelled(name)
    assert len(held.rows) == len(held.classes) == info.rows
    assert tuple(held.rows.shape[1:]) == info.shape
