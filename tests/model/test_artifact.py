"""Model files: exact, whole, and refused when they cannot be trusted."""

import json
import os
import stat
import struct
import zipfile

import numpy as np
import pytest

import oddgan
from oddgan import testing
from oddgan.detectors.ganomaly import GANomaly
from oddgan.errors import ArtifactError, OutputError, ParameterError
from oddgan.model import archive as artifact


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    random = np.random.default_rng(0)
    det = testing.small(GANomaly).fit(random.normal(size=(60, 4)))
    path = tmp_path_factory.mktemp("models") / "model.oddgan"
    det.save(path)
    return path


def rewrite(source, target, change):
    """Copy a model with its manifest and arrays changed, checksums made to fit."""
    manifest, arrays = artifact.read(source)
    change(manifest, arrays)
    artifact.write(
        target, {k: v for k, v in manifest.items() if k not in ("format", "format_version", "files")}, arrays
    )
    return target


def test_the_manifest_can_be_read_by_people_and_their_tools(model):
    with zipfile.ZipFile(model) as archive:
        assert archive.namelist() == ["manifest.json", "tensors.safetensors"]
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["format"] == "oddgan-model"
    assert manifest["detector"] == "GANomaly"
    assert manifest["parameters"]["width"] == 8
    described = {name: manifest["preprocessing"][name] for name in ("kind", "columns", "kinds", "scaling")}
    assert described == {"kind": "table", "columns": None, "kinds": ["number"] * 4, "scaling": "standard"}
    assert manifest["calibration"]["rows"] == 3
    assert manifest["training"]["updates"] == {"game": 20}
    assert set(manifest["versions"]) == {"python", "torch", "numpy", "scikit-learn"}
    assert manifest["history"]["G.con"]
    assert len(manifest["files"]["tensors.safetensors"]["sha256"]) == 64


def test_a_flipped_bit_anywhere_is_noticed(model, tmp_path):
    whole = model.read_bytes()
    damaged = tmp_path / "damaged.oddgan"
    for start, size in content(model):
        for place in np.linspace(start, start + size, 20, endpoint=False).astype(int):
            damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(ArtifactError, match=r"damaged\.oddgan"):
                oddgan.load(damaged)


def content(model):
    """Where each member's content lies in the archive, and its size, by the archive's own index."""
    with zipfile.ZipFile(model) as archive:
        for member in archive.infolist():
            header = model.read_bytes()[member.header_offset :][:30]
            yield member.header_offset + 30 + sum(struct.unpack("<HH", header[26:30])), member.file_size


def test_one_seed_gives_one_file_byte_for_byte(tmp_path, monkeypatch):
    X = np.random.default_rng(0).normal(size=(30, 3))
    for name, now in (("a.oddgan", 1_774_570_000), ("b.oddgan", 1_795_770_000)):  # 27 March and 27 November 2026
        monkeypatch.setattr("time.time", lambda now=now: now)
        oddgan.PCA(random_state=0).fit(X).save(tmp_path / name)
    assert (tmp_path / "a.oddgan").read_bytes() == (tmp_path / "b.oddgan").read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_noticed(share, model, tmp_path):
    whole, cut = model.read_bytes(), tmp_path / "cut.oddgan"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ArtifactError, match=r"cut\.oddgan: .*(damaged|not an oddgan model)"):
        oddgan.load(cut)


def test_a_newer_format_is_refused(model, tmp_path):
    with zipfile.ZipFile(model) as archive:
        manifest, tensors = json.loads(archive.read("manifest.json")), archive.read("tensors.safetensors")
    newer = tmp_path / "newer.oddgan"
    with zipfile.ZipFile(newer, "w") as archive:
        archive.writestr("manifest.json", json.dumps({**manifest, "format_version": 99, "oddgan": "9.0"}))
        archive.writestr("tensors.safetensors", tensors)
    with pytest.raises(ArtifactError, match=r"format 99, written by oddgan 9\.0, is newer .* upgrade"):
        oddgan.load(newer)


def _set(*keys, to):
    def change(manifest, arrays):
        place = manifest
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to

    return change


def test_a_manifest_that_was_edited_is_refused(model, tmp_path):
    with zipfile.ZipFile(model) as archive:
        manifest, tensors = json.loads(archive.read("manifest.json")), archive.read("tensors.safetensors")
    manifest["tuning"]["residual"][0] = 1000.0
    with zipfile.ZipFile(tmp_path / "edited.oddgan", "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr("tensors.safetensors", tensors)
    with pytest.raises(ArtifactError, match="was changed after it was written"):
        oddgan.load(tmp_path / "edited.oddgan")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("detector", to="os.system"), "detector 'os.system' is unknown; there are .*ganomaly"),
        (_set("parameters", "shell", to="rm"), "unknown parameter shell"),
        (_set("parameters", "width", to=16), "parts do not agree.*size mismatch"),
        (_set("parameters", "width", to="wide"), "width='wide'"),
        (_set("calibration", "threshold", to=-1.0), "threshold"),
        (_set("calibration", "false_alarm_rate", to=1e-9), "calibration rows"),
        (_set("preprocessing", "kind", to="sound"), "unknown kind of preprocessing 'sound'"),
        (_set("preprocessing", "columns", to=["a"]), "columns"),
        (lambda manifest, arrays: manifest.pop("training"), "training"),
        (lambda manifest, arrays: arrays.pop("net.D.head.weight"), "parts do not agree.*Missing key"),
        (lambda manifest, arrays: arrays.update(extra=np.zeros(1)), "the array extra belongs to none"),
    ],
)
def test_contradictions_are_refused(change, message, model, tmp_path):
    with pytest.raises(ArtifactError, match=message) as caught:
        oddgan.load(rewrite(model, tmp_path / "odd.oddgan", change))
    assert "odd.oddgan" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_model_is_said_so(tmp_path):
    for name, content in {"text.oddgan": b"hello", "empty.oddgan": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ArtifactError, match=f"{name}: not an oddgan model"):
            oddgan.load(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("manifest.json", "[1]")
    with pytest.raises(ArtifactError, match=r"other\.zip: is not an oddgan model"):
        oddgan.load(tmp_path / "other.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", " " * 10_000_000)
    with pytest.raises(ArtifactError, match="compressed"):
        oddgan.load(tmp_path / "bomb.zip")
    with pytest.raises(ArtifactError, match="no such file"):
        oddgan.load(tmp_path / "missing.oddgan")
    with pytest.raises(ArtifactError, match="cannot be read"):
        oddgan.load(tmp_path)


def test_nothing_is_half_written(model, tmp_path, monkeypatch):
    det = oddgan.load(model)
    target = tmp_path / "model.oddgan"
    target.write_bytes(b"the old one")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"model\.oddgan: cannot be written \(No space left on device\)"):
        det.save(target)
    assert target.read_bytes() == b"the old one"
    assert os.listdir(tmp_path) == ["model.oddgan"]
    with pytest.raises(OutputError, match="is a folder"):
        det.save(tmp_path)


def test_folders_on_the_way_are_made_and_the_umask_kept(model, tmp_path):
    path = tmp_path / "a" / "b" / "model.oddgan"
    before = os.umask(0o027)
    try:
        oddgan.load(model).save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_generator_as_seed_is_saved_as_what_it_gave(tmp_path, table):
    det = testing.small(GANomaly, random_state=np.random.RandomState(5)).fit(table)
    det.save(tmp_path / "m.oddgan")
    loaded = oddgan.load(tmp_path / "m.oddgan")
    assert loaded.random_state == det.training_["seed"]
    again = testing.small(GANomaly, random_state=loaded.random_state).fit(table)
    assert np.array_equal(again.anomaly_score(table), loaded.anomaly_score(table))


def test_the_device_can_be_chosen_anew(model):
    assert oddgan.load(model, device="cpu").device == "cpu"
    with pytest.raises(ParameterError, match="not on this machine"):
        oddgan.load(model, device="abacus")
