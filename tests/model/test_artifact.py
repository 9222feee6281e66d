"""Model files: exact, whole, and refused when they cannot be trusted."""

import json
import os
import resource
import stat
import struct
import zipfile

import numpy as np
import pytest
import torch

import oddgan
from oddgan import detectors, testing
from oddgan.detectors.ganomaly import GANomaly
from oddgan.errors import ArtifactError, OutputError, ParameterError
from oddgan.model import archive as artifact
from oddgan.model import artifact as saved


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


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Models of other kinds, by name."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("others")
    table, pictures = random.normal(size=(60, 4)), random.integers(0, 256, (44, 16, 16), dtype=np.uint8)
    made = {
        "ratio": testing.small(GANomaly, local="ratio", neighbours=3).fit(table),
        "quantile": oddgan.KNN(scaling="quantile", random_state=0).fit(table),
        "pictures": testing.small(GANomaly, width=4).fit(pictures),
    }
    for name, detector in made.items():
        detector.save(folder / f"{name}.oddgan")
    return {name: folder / f"{name}.oddgan" for name in made}


def _array(name, change):
    def forge(manifest, arrays):
        array = arrays[name].copy()
        arrays[name] = result if (result := change(array)) is not None else array

    return forge


def _first(value):
    def put(array):
        array.reshape(-1)[0] = value

    return put


def _without(*keys):
    def change(manifest, arrays):
        place = manifest
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]

    return change


def _off(manifest, arrays):
    manifest["parameters"].update(local="off", neighbours=10, score_by="residual")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ratio", _array("net.D.head.weight", _first(np.nan)), "weights D.head.weight are not finite"),
        ("ratio", _array("net.D.head.weight", _first(np.inf)), "weights D.head.weight are not finite"),
        ("ratio", _array("net.D.head.weight", lambda a: a.astype(np.float64)), "are of type torch.float64"),
        ("ratio", _array("preprocessing.center", _first(np.nan)), "columns and their scales"),
        ("ratio", _array("preprocessing.scale", _first(0)), "columns and their scales"),
        ("ratio", _array("preprocessing.blank", lambda a: a[:, None]), "columns and their scales"),
        ("quantile", _array("preprocessing.knots", lambda a: a[:, ::-1]), "columns and their scales"),
        ("quantile", _array("preprocessing.ranks", _first(np.nan)), "columns and their scales"),
        ("quantile", _array("net.M.rows", lambda a: a[:0]), "1 are needed at least"),
        ("ratio", _set("neighbourhood", to=None), "reference rows are missing"),
        ("ratio", _off, "the score is made of"),
        ("ratio", _set("neighbourhood", "neighbours", to=10**9), "reference rows are incomplete"),
        ("ratio", _set("neighbourhood", "block_size", to=2**30), "what no training rows give"),
        ("ratio", _array("neighbourhood.features.0", lambda a: a[:, :1]), r"\[1\] features, and the networks give"),
        ("ratio", _array("neighbourhood.density", _first(-1)), "what no training rows give"),
        ("ratio", lambda _, arrays: arrays.pop("neighbourhood.term.residual"), "lack the term residual"),
        ("ratio", _without("tuning", "residual_ratio"), "tuning of the term residual_ratio is missing"),
        ("ratio", _set("tuning", "residual_ratio", to=[0, 0]), "tuning is not a finite number and a positive"),
        ("ratio", _array("calibration.scores", lambda a: a.astype(np.float32)), "sorted list of finite numbers"),
        ("ratio", _set("calibration", "false_alarm_rate", to=2), "between 0 and 1"),
        ("ratio", _set("history", to=[1]), "parts do not agree"),
        ("ratio", _set("history", "stage", to=["game"]), "columns of equal length"),
        ("ratio", _set("training", "updates", to={"game": "many"}), "facts about the training"),
        ("ratio", _array("training.rows", lambda a: a.astype(np.float64)), "fingerprints of training rows"),
        ("ratio", _set("parameters", "beta1", to=10**400), "is beyond what networks compute with"),
        ("pictures", _set("preprocessing", "size", to=[8.5, 16]), "8.5 in place of a whole number"),
        ("pictures", _set("preprocessing", "value_range", to=[0, 1e308]), "inconsistent"),
        ("pictures", _set("preprocessing", "value_range", to=[0, 1e-320]), "inconsistent"),
        ("pictures", _set("preprocessing", "size", to=[10**9, 10**9]), "inconsistent"),
        ("pictures", _set("preprocessing", "native_size", to="any"), "preprocessing of pictures"),
    ],
)
def test_a_forged_model_is_refused(name, change, message, others, tmp_path):
    with pytest.raises(ArtifactError, match=message) as caught:
        oddgan.load(rewrite(others[name], tmp_path / "forged.oddgan", change)).anomaly_score(np.zeros((2, 4)))
    assert str(caught.value).startswith(f"{tmp_path / 'forged.oddgan'}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [12_000, 100_000, 10**9, 10**15])
@pytest.mark.parametrize("name", ["width", "latent_dim"])
def test_networks_that_the_file_has_no_numbers_for_take_no_memory(name, value, others, tmp_path):
    forged = rewrite(others["pictures"], tmp_path / "forged.oddgan", _set("parameters", name, to=value))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ArtifactError, match="parts do not agree"):
        oddgan.load(forged)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB; the networks take 1.1 GB


@pytest.mark.parametrize("shape", [(1, 16, 16), (40,)])
@pytest.mark.parametrize("name", detectors.names())
def test_every_detector_of_the_usual_width_can_be_built_for_what_its_file_holds(name, shape):
    """Spectral normalisation registers weights twice: they must not be taken for networks that the file lacks."""
    recipe = detectors.get(name)()
    if len(shape) == 1 and "table" not in recipe.kinds:
        return
    numbers = torch.nn.ModuleDict(recipe.build(shape)).state_dict()
    with saved._no_larger_than(numbers):
        recipe.build(shape)


def test_weights_whose_sum_overflows_are_finite(model, tmp_path):
    def change(manifest, arrays):
        arrays["net.D.head.weight"][:] = 3e38

    oddgan.load(rewrite(model, tmp_path / "m.oddgan", change))


@pytest.mark.parametrize("field", [6, 8, 10])  # version needed, flags ("encrypted" among them), method
def test_any_bit_of_the_archives_index_may_flip(field, model, tmp_path):
    """The model is refused by name, or it is the same: not every field matters."""
    whole, damaged = model.read_bytes(), tmp_path / "damaged.oddgan"
    X = np.zeros((2, 4))
    scores = oddgan.load(model).anomaly_score(X)
    for start in (whole.index(b"PK\x01\x02"), whole.rindex(b"PK\x01\x02")):
        for bit in range(16):
            place = start + field + bit // 8
            damaged.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit % 8)]) + whole[place + 1 :])
            try:
                found = oddgan.load(damaged)
            except ArtifactError as error:
                assert str(error).startswith(f"{damaged}: ")  # noqa: PT017  # either will do
            else:
                assert np.array_equal(found.anomaly_score(X), scores)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"format": "oddgan-model", "deep": ' + '{"a":' * 100_000 + "1" + "}" * 100_001,
        '{"format": "oddgan-model", "number": NaN}',
        '{"format": "oddgan-model", "number": 1e999}',
        '{"format": "oddgan-model", "number": ' + "9" * 5000 + "}",
        '{"format": "oddgan-model", "format_version": ' + "9" * 400 + "}",
        '{"format": "oddgan-model", "format_version": true}',
    ],
    ids=["lists", "objects", "nan", "infinity", "digits", "version", "true"],
)
def test_json_that_no_model_has_is_refused(text, tmp_path):
    with zipfile.ZipFile(tmp_path / "m.oddgan", "w") as archive:
        archive.writestr("manifest.json", text)
        archive.writestr("tensors.safetensors", b"")
    with pytest.raises(ArtifactError, match=r"m\.oddgan: ") as caught:
        oddgan.load(tmp_path / "m.oddgan")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_an_array_of_no_bytes_and_any_size_is_refused(model, tmp_path):
    manifest, arrays = artifact.read(model)
    arrays["calibration.scores"] = np.empty((0, 10**12))
    manifest = {k: v for k, v in manifest.items() if k not in ("format", "format_version", "files")}
    artifact.write(tmp_path / "m.oddgan", manifest, arrays)
    with pytest.raises(ArtifactError, match=r"calibration\.scores is too large for the file: 0x1000000000000"):
        oddgan.load(tmp_path / "m.oddgan")


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
