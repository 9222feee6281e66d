"""Checkpoints: those of other runs are refused with every difference, and damaged or forged ones with one error."""

import hashlib
import io
import zipfile
from pathlib import Path

import pytest
import torch

from oddgan.errors import ArtifactError
from oddgan.training.checkpoint import TUNED_ON, Checkpoint, seed_of


def signed(content):
    return hashlib.sha256(content).digest() + content


def identity(path):
    return Checkpoint.identity_in(path)


def test_every_difference_from_another_run_is_named_with_the_ways_on(tmp_path):
    Checkpoint(tmp_path / "c", {"width": 8, "lr": 0.1, "units": "1-" * 100, "gone": 1}).write(state())
    with pytest.raises(ArtifactError) as caught:
        Checkpoint(tmp_path / "c", {"width": 16, "lr": 0.1, "units": "", "new": [1, 2]}).read()
    message = str(caught.value)
    assert "width was 8, now 16" in message
    assert "gone was 1, now none" in message
    assert "new was none, now [1, 2]" in message
    assert "units was 1-1-" in message
    assert "lr" not in message
    assert "--fresh" in message
    assert "delete the file" in message
    assert len(message) < len(str(tmp_path)) + 400


def test_a_checkpoint_from_before_a_part_of_the_identity_goes_on(tmp_path):
    Checkpoint(tmp_path / "c", {"width": 8}).write(state())
    assert Checkpoint(tmp_path / "c", {"width": 8, TUNED_ON: 7}).read() is not None
    Checkpoint(tmp_path / "d", {"width": 8, TUNED_ON: 7}).write(state())
    for now in ({"width": 8, TUNED_ON: 8}, {"width": 8}):
        with pytest.raises(ArtifactError, match="checksum of tuning rows was 7"):
            Checkpoint(tmp_path / "d", now).read()


def state(**changes):
    """A state as `StageRun.state` gives it."""
    return {
        "stage": 0,
        "update": 2,
        "drawn": 2,
        "ended": False,
        "seconds": 1.5,
        "net": {"G.weight": torch.ones(2)},
        "averages": [torch.ones(2)],
        "optimisers": {"G": {}},
        "sums": {"G.adv": torch.ones(2)},
        "since": 2,
        "history": {"stage": [], "epoch": [], "update": []},
        **changes,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"stage": "game"},
        {"stage": -1},
        {"update": 1.5},
        {"drawn": True},
        {"ended": 1},
        {"seconds": float("nan")},
        {"net": [torch.ones(2)]},
        {"net": {"G.weight": 1}},
        {"averages": [1.0]},
        {"averages": None},
        {"optimisers": []},
        {"sums": {"G.adv": torch.ones(3)}},
        {"sums": {"G.adv": torch.ones(2, dtype=torch.complex64)}},
        {"since": 1},
        {"history": {}},
        {"history": {"stage": ["game"], "epoch": [], "update": []}},
        {"history": {"stage": ["game"], "epoch": ["1"], "update": [1]}},
        {"history": {"stage": [], "epoch": [], "update": [], "G.adv": [[]]}},
    ],
    ids=str,
)
def test_a_forged_state_is_refused_when_it_is_read(changes, tmp_path):
    path = tmp_path / "run.ckpt"
    Checkpoint(path, {}).write(state())
    assert Checkpoint(path, {}).read()["update"] == 2
    Checkpoint(path, {}).write(state(**changes))
    with pytest.raises(ArtifactError, match=r"run\.ckpt: not an oddgan checkpoint, or damaged; delete it"):
        Checkpoint(path, {}).read()


@pytest.mark.parametrize("name", list(state()))
def test_a_state_without_a_part_is_refused_when_it_is_read(name, tmp_path):
    path, lacking = tmp_path / "run.ckpt", state()
    del lacking[name]
    Checkpoint(path, {}).write(lacking)
    with pytest.raises(ArtifactError, match="not an oddgan checkpoint"):
        Checkpoint(path, {}).read()


@pytest.mark.parametrize("content", [None, [], 1, {"identity": 1, "state": {}}, {"identity": {1: 2}, "state": {}}])
def test_what_is_no_checkpoint_is_refused(content, tmp_path):
    file = io.BytesIO()
    torch.save(content, file)
    for data in (signed(file.getvalue()), signed(b""), signed(b"PK"), b"", file.getvalue()):
        (tmp_path / "run.ckpt").write_bytes(data)
        for read in (Checkpoint(tmp_path / "run.ckpt", {}).read, lambda: identity(tmp_path / "run.ckpt")):
            with pytest.raises(ArtifactError, match="not an oddgan checkpoint"):
                read()


def test_a_compressed_checkpoint_is_refused_before_it_takes_memory(tmp_path):
    file = io.BytesIO()
    torch.save({"identity": {}, "state": state(net={"G.weight": torch.zeros(1_000_000)})}, file)
    small = io.BytesIO()
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in whole.infolist():
            archive.writestr(member.filename, whole.read(member))
    assert len(small.getvalue()) < 100_000
    (tmp_path / "run.ckpt").write_bytes(signed(small.getvalue()))
    with pytest.raises(ArtifactError, match="not an oddgan checkpoint"):
        Checkpoint(tmp_path / "run.ckpt", {}).read()


def test_code_in_a_checkpoint_does_not_run(tmp_path):
    class Runs:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    file = io.BytesIO()
    torch.save({"identity": {}, "state": state(extra=Runs())}, file)
    (tmp_path / "run.ckpt").write_bytes(signed(file.getvalue()))
    with pytest.raises(ArtifactError, match="not an oddgan checkpoint"):
        Checkpoint(tmp_path / "run.ckpt", {}).read()
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_that_vanishes_is_none(tmp_path, monkeypatch):
    """A finished run removes its file, perhaps between two looks of another."""
    monkeypatch.setattr(Path, "exists", lambda _: True)
    assert Checkpoint(tmp_path / "gone", {}).read() is None
    assert identity(tmp_path / "gone") is None
    assert isinstance(seed_of(None, tmp_path / "gone"), int)


def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be read"):
        Checkpoint(tmp_path, {}).read()


def test_what_fails_while_a_state_is_restored_names_the_file(tmp_path):
    with (
        pytest.raises(ArtifactError, match=r"run\.ckpt: does not fit the networks"),
        Checkpoint(tmp_path / "run.ckpt", {}).restoring(),
    ):
        raise RuntimeError("size mismatch")
