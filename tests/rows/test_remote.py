"""Data at addresses: copied once, kept while it is as it was, and no secret in any message."""

import errno
import os
import sys

import fsspec
import numpy as np
import pytest
from PIL import Image

import oddgan
from oddgan.errors import DataError, MissingExtra, OutputError, without_secrets
from oddgan.rows import open_rows, remote


@pytest.fixture(autouse=True)
def memory(monkeypatch, tmp_path):
    monkeypatch.setenv("ODDGAN_CACHE", str(tmp_path / "cache"))
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    yield fs
    fs.store.clear()


@pytest.fixture
def copied(memory, monkeypatch):
    """Paths of the files that were copied."""
    found = []
    get = type(memory).get_file
    monkeypatch.setattr(
        type(memory), "get_file", lambda fs, path, *a, **k: found.append(path) or get(fs, path, *a, **k)
    )
    return found


def picture(seed, size=(12, 12)):
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def put_pictures(fs, *names):
    import io

    for i, name in enumerate(names):
        out = io.BytesIO()
        Image.fromarray(picture(i)).save(out, "png")
        fs.pipe_file(name, out.getvalue())


def test_a_folder_of_pictures_is_read_as_its_copy_is(memory):
    put_pictures(memory, "/lake/parts/a.png", "/lake/parts/deep/b.png")
    rows = open_rows("memory://lake/parts")
    assert [rows.name(i) for i in range(2)] == ["a.png", "deep/b.png"]
    np.testing.assert_array_equal(rows[1][..., 0], picture(1))


def test_what_was_copied_is_not_copied_again(memory, copied):
    put_pictures(memory, "/lake/parts/a.png", "/lake/parts/b.png")
    oddgan.data.rows("memory://lake/parts")
    assert len(copied) == 2
    put_pictures(memory, "/lake/parts/b.png")  # another picture under an old name
    memory.rm_file("/lake/parts/a.png")
    again = oddgan.data.rows("memory://lake/parts")
    assert copied[2:] == ["/lake/parts/b.png"]
    np.testing.assert_array_equal(again[0], picture(0))
    assert len(again) == 1


def test_layouts_are_understood(memory):
    put_pictures(memory, *(f"/x/train/good/{i}.png" for i in range(4)), "/x/test/good/0.png", "/x/test/cut/1.png")
    split = oddgan.data.load("memory://x")
    assert len(split.train) == 4
    assert split.kinds == ("cut", "good")


def test_a_table_is_trained_on_and_scored_as_a_file_is(memory, tmp_path):
    X = np.random.default_rng(0).normal(size=(80, 3))
    text = "a,b,c\n" + "".join(",".join(map(repr, row)) + "\n" for row in X.tolist())
    memory.pipe_file("/flows.csv", text.encode())
    (tmp_path / "flows.csv").write_text(text)
    det = [
        oddgan.PCA(components=2, random_state=0).fit(oddgan.data.load(source).train)
        for source in ("memory://flows.csv", str(tmp_path / "flows.csv"))
    ]
    np.testing.assert_array_equal(det[0].anomaly_score("memory://flows.csv"), det[1].anomaly_score(X_frame(X)))


def X_frame(X):
    import pandas as pd

    return pd.DataFrame(X, columns=list("abc"))


def put_shard(fs, name, seed):
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        shown = io.BytesIO()
        Image.fromarray(picture(seed)).save(shown, "png")
        about = tarfile.TarInfo(f"{seed}.png")
        about.size = shown.tell()
        shown.seek(0)
        tar.addfile(about, shown)
    fs.pipe_file(name, out.getvalue())


def test_numbered_shards_at_an_address(memory):
    for i in range(2):
        put_shard(memory, f"/lake/s-{i}.tar", i)
    rows = open_rows("memory://lake/s-{0..1}.tar")
    np.testing.assert_array_equal(rows[1][..., 0], picture(1))
    assert len(rows) == 2


@pytest.mark.parametrize("address", ["memory://lake/day-{01..02}/s-{0..1}.tar", "memory://lake/day-{01..02}/s-0.tar"])
def test_numbered_folders_of_shards_at_an_address(memory, address):
    for i in range(4):
        put_shard(memory, f"/lake/day-{1 + i // 2:02}/s-{i % 2}.tar", i)
    rows = open_rows(address)
    assert [rows.name(i).rpartition("/")[2] for i in range(len(rows))] == [
        f"{i}.png" for i in range(0, 4, 1 if "s-{" in address else 2)
    ]
    np.testing.assert_array_equal(rows[len(rows) - 1][..., 0], picture(3 if "s-{" in address else 2))


@pytest.mark.parametrize("address", ["https://x.example/s.tar?part={0..3}", "memory://lake/{1..2}/rows.csv"])
def test_ranges_are_of_archives_in_their_path(address):
    with pytest.raises(DataError, match=r"a range is of \.tar archives, in their path"):
        remote.local(address)


def test_a_local_address_is_the_path(tmp_path):
    assert remote.local(f"file://{tmp_path}/x.npy") == tmp_path / "x.npy"
    assert remote.local(f"file://{tmp_path}/{{1..2}}/x.tar") == tmp_path / "{1..2}/x.tar"
    assert not (tmp_path / "cache").exists()


def test_the_command_line_takes_addresses(memory, tmp_path, monkeypatch):
    from oddgan.cli import main

    memory.pipe_file("/f.csv", b"a,b\n" + b"".join(f"{i},{i * i % 7}\n".encode() for i in range(60)))
    monkeypatch.chdir(tmp_path)
    assert not main(["train", "memory://f.csv", "--detector", "pca", "--components", "1"])
    assert (tmp_path / "f.oddgan").is_file()


def test_what_is_missing_is_said_in_one_line(monkeypatch):
    with pytest.raises(DataError, match="memory://none: there is nothing at this address"):
        open_rows("memory://none")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingExtra, match=r"reading s3:// addresses needs s3fs: pip install s3fs"):
        open_rows("s3://bucket/parts")
    with pytest.raises(DataError, match=r"nonsense://x: .*nonsense"):
        open_rows("nonsense://x")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtra, match=r'needs fsspec: pip install "oddgan\[remote\]"'):
        open_rows("memory://x")


def test_no_message_holds_a_secret(monkeypatch):
    assert without_secrets("at s3://KEY:SECRET@bucket/x?token=T gone") == "at s3://***@bucket/x?*** gone"
    assert without_secrets("a/b: no ://address") == "a/b: no ://address"

    def refuse(address):
        raise OSError(f"403 for {address} (token T0K)")

    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    with pytest.raises(DataError) as raised:
        open_rows("s3://KEY:SECRET@bucket/x?token=T0K")
    assert not [secret for secret in ("KEY", "SECRET", "T0K") if secret in str(raised.value)]


def test_the_copy_is_named_as_the_address_is(memory):
    memory.pipe_file("/lake/day=1/rows.parquet", b"PAR1 cut")
    with pytest.raises(DataError, match=r"memory-lake-day=1-rows\.parquet-[0-9a-f]{16}/rows\.parquet: is not"):
        open_rows("memory://lake/day=1/rows.parquet")[0]
    name = remote._folder_name("s3://KEY:SECRET@lake/rows.csv?token=T")
    assert name.startswith("s3-lake-rows.csv-")
    assert name != remote._folder_name("s3://KEY:SECRET@lake/rows.csv?token=U")


def test_a_name_that_leads_out_of_the_folder_is_refused(memory, tmp_path):
    with pytest.raises(DataError, match="which no folder can hold"):
        remote._bring(memory, {"x/../../y": ("/y", {})}, tmp_path, "memory://x", whole=True)


def test_a_part_is_named_by_the_whole_name(memory, monkeypatch):
    put_pictures(memory, *(f"/lake/parts/{'x' * 120}{i}.png" for i in range(2)))
    parts = set()
    get = type(memory).get_file
    monkeypatch.setattr(type(memory), "get_file", lambda fs, path, to: parts.add(to) or get(fs, path, to))
    open_rows("memory://lake/parts")
    assert len(parts) == 2


def copies_of(tmp_path):
    (found,) = (tmp_path / "cache/remote").iterdir()
    return found


TORN = [
    *(b'["parts/b.p', b'["parts/b.png", "x"]', b'["parts/b.png", "x", null]', b'[[1], "x", 3]'),
    *(b"7\n", b"\xff\xfe]\n", b"[[]]"),
]


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_line_of_what_was_copied_is_passed_over(memory, tmp_path, torn):
    put_pictures(memory, "/lake/parts/a.png", "/lake/parts/b.png")
    open_rows("memory://lake/parts")
    index = copies_of(tmp_path) / "copied.jsonl"
    lines = index.read_bytes().splitlines(keepends=True)
    index.write_bytes(lines[0] + torn)
    assert len(open_rows("memory://lake/parts")) == 2
    assert index.read_bytes().splitlines()[-1] == lines[1].rstrip()
    written = index.read_bytes()
    open_rows("memory://lake/parts")
    assert index.read_bytes() == written


def test_a_copy_that_lost_bytes_is_copied_again(memory, tmp_path):
    put_pictures(memory, "/lake/parts/a.png")
    open_rows("memory://lake/parts")
    (copies_of(tmp_path) / "parts/a.png").write_bytes(b"")
    np.testing.assert_array_equal(open_rows("memory://lake/parts")[0][..., 0], picture(0))


def test_a_copy_that_fails_leaves_nothing(memory, tmp_path, monkeypatch):
    def fail(fs, path, to):
        with open(to, "wb") as out:
            out.write(b"half")
        raise ValueError("gone")

    put_pictures(memory, "/lake/a.png")
    monkeypatch.setattr(type(memory), "get_file", fail)
    with pytest.raises(DataError, match="gone"):
        open_rows("memory://lake/a.png")
    assert {path.name for path in copies_of(tmp_path).iterdir()} <= {"lock", "copied.jsonl"}


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "Access Denied"), OSError(errno.ECONNRESET, "reset")])
def test_the_cache_is_not_blamed_for_the_other_side(memory, monkeypatch, error):
    def fail(fs, path, to):
        raise error

    put_pictures(memory, "/lake/a.png")
    monkeypatch.setattr(type(memory), "get_file", fail)
    with pytest.raises(DataError, match=r"memory://lake/a\.png: cannot be read .*check address and credentials"):
        open_rows("memory://lake/a.png")


def test_the_cache_is_blamed_for_its_own(memory, tmp_path, monkeypatch):
    def fail(fs, path, to):
        raise error

    put_pictures(memory, "/lake/a.png")
    error = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(type(memory), "get_file", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        open_rows("memory://lake/a.png")
    error = PermissionError(errno.EACCES, "Permission denied", f"{copies_of(tmp_path)}/.x.part")
    with pytest.raises(OutputError, match="set ODDGAN_CACHE to a writable folder"):
        open_rows("memory://lake/a.png")
    (tmp_path / "file").touch()
    monkeypatch.setenv("ODDGAN_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="set ODDGAN_CACHE to a writable folder"):
        open_rows("memory://lake/a.png")


@pytest.fixture
def web(tmp_path):
    """A folder, and the address at which a server has it: with times of changes, without ETags."""
    import threading
    from functools import partial
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    pytest.importorskip("aiohttp")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    root = tmp_path / "web"
    root.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield root, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_query_of_a_url_is_no_part_of_the_name(web, tmp_path):
    root, address = web
    (root / "rows.csv").write_text("a,b\n" + "".join(f"{i},{i * i % 7}\n" for i in range(30)))
    (root / "cut.csv").write_text("a,b\n1\n")
    assert len(oddgan.data.rows(f"{address}/rows.csv?X-Amz-Signature=T0K")) == 30
    with pytest.raises(DataError, match=r"cut\.csv-[0-9a-f]{16}/cut\.csv: ") as raised:
        len(oddgan.data.rows(f"{address}/cut.csv?token=T0K"))
    assert "T0K" not in str(raised.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if "T0K" in str(path)]


def test_a_url_without_an_etag_is_copied_again_when_its_time_changes(web):
    root, address = web
    for time, text in [(1e9, "a,b\n1,2\n3,4\n"), (1e9 + 60, "a,b\n5,6\n7,8\n")]:
        (root / "rows.csv").write_text(text)
        os.utime(root / "rows.csv", (time, time))
        assert remote.local(f"{address}/rows.csv").read_text() == text


def test_what_has_neither_version_nor_time_is_copied_again(memory, monkeypatch, copied):
    info = type(memory).info
    monkeypatch.setattr(
        type(memory), "info", lambda fs, path: {k: v for k, v in info(fs, path).items() if k != "created"}
    )
    memory.pipe_file("/rows.csv", b"a,b\n1,2\n")
    copy = remote.local("memory://rows.csv")
    before = copy.stat()
    assert remote.local("memory://rows.csv").stat().st_ino == before.st_ino  # equal, and not replaced
    assert len(copied) == 2
    memory.pipe_file("/rows.csv", b"a,b\n3,4\n")
    assert remote.local("memory://rows.csv").read_bytes() == b"a,b\n3,4\n"
    assert [path.name for path in copy.parent.iterdir() if path.suffix == ".part"] == []


@pytest.mark.parametrize(
    ("change", "same"),
    [({}, True), ({"Last-Modified": "Tue"}, False), ({"ETag": None}, True), ({"size": 8}, False), ({"time": 9}, True)],
)
def test_what_makes_a_version(change, same):
    info = {"size": 7, "name": "x", "time": 5, "Last-Modified": "Mon"}
    assert (remote._version(info) == remote._version(info | change)) is same
    for key in ("Content-MD5", "modify", "modificationTime"):
        assert remote._version({key: "a"}) != remote._version({key: "b"})


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("https://USER:SECRET@x.example/a/rows.csv?token=T/0", ["x.example", "a", "rows.csv"]),
        ("https://USER:SECRET@x.example", ["x.example"]),
        ("https://x.example/rows.csv?T0K", ["x.example", "rows.csv"]),
        ("lake/what?.png", ["lake", "what?.png"]),
        ("lake/a.png?versionId=7", ["lake", "a.png"]),
    ],
)
def test_names_of_addresses(address, names):
    assert remote._names(address) == names


@pytest.mark.slow
def test_a_bucket_of_s3(monkeypatch, tmp_path):
    """Through s3fs, from a server that speaks S3; needs `pip install s3fs "moto[server]"`."""
    s3fs = pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        where = "http://{}:{}".format(*server.get_host_and_port())
        bucket = s3fs.S3FileSystem(key="KEY", secret="SECRET", endpoint_url=where, skip_instance_cache=True)
        monkeypatch.setitem(fsspec.config.conf, "s3", {"key": "KEY", "secret": "SECRET", "endpoint_url": where})
        bucket.mkdir("lake")
        put_pictures(bucket, *(f"lake/parts/{i:02}.png" for i in range(40)))
        det = oddgan.PCA(random_state=0).fit(open_rows("s3://lake/parts"))
        copies = next((tmp_path / "cache" / "remote").glob("s3-lake-parts-*/parts"))
        np.testing.assert_array_equal(det.anomaly_score("s3://lake/parts"), det.anomaly_score(copies))
        put_pictures(bucket, "lake/parts/39.png")  # as large as the older one, and another picture
        np.testing.assert_array_equal(open_rows("s3://lake/parts")[39][..., 0], picture(0))
        put_pictures(bucket, *["lake/parts/39.png"] * 2)
        np.testing.assert_array_equal(det.anomaly_score(["s3://lake/parts/39.png"]), det.anomaly_score([picture(1)]))
        with pytest.raises(DataError, match="s3://lake/none: there is nothing at this address"):
            open_rows("s3://lake/none")
    finally:
        server.stop()
