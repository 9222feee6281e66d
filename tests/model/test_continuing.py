"""Training on: more updates, and new normals beside known ones."""

import numpy as np
import pytest
import torch

import oddgan
from oddgan.errors import ArtifactError, DataError, ParameterError


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(240, 6))


@pytest.fixture(scope="module")
def fitted(rows):
    return oddgan.GANomaly(updates=40, width=8, random_state=0, device="cpu").fit(rows[:200])


def numbers(det):
    return {name: value.clone() for name, value in det.net_.state_dict().items()}


def test_networks_go_on_from_where_they_were_and_the_model_stays(fitted, rows):
    before = numbers(fitted)
    on = fitted.continue_fit(rows, updates=15)
    assert all(torch.equal(value, before[name]) for name, value in numbers(fitted).items())
    far = max(float((numbers(on)[name] - before[name]).abs().max()) for name in before if "weight" in name)
    assert 0 < far < 0.1  # of Adam, 15 steps of 2e-4 each: a new start would be elsewhere
    assert on.training_["updates"] == {"game": 40, "game, continued 1": 15}
    assert on.history_["update"][-1] == 15
    assert on.history_["stage"][0] == "game"
    assert len({len(column) for column in on.history_.values()}) == 1
    again = fitted.continue_fit(rows, updates=15)
    assert np.array_equal(again.anomaly_score(rows), on.anomaly_score(rows))
    twice = on.continue_fit(rows, updates=5)
    assert list(twice.training_["updates"]) == ["game", "game, continued 1", "game, continued 2"]
    assert len(twice.training_["continued"]) == 2


def test_known_rows_stay_in_training_and_others_calibrate(fitted, rows):
    on = fitted.continue_fit(rows, updates=2)
    assert np.isin(fitted.model_.trained_on, on.model_.trained_on).all()
    assert on.training_["continued"][0]["known"] == len(fitted.model_.trained_on)
    held_before = 200 - len(fitted.model_.trained_on)
    assert on.n_calibrate_ == round(0.2 * (40 + held_before))
    assert on.training_["rows"] == len(on.model_.trained_on)
    assert not any(one["code"] == "rows-on-both-sides" for one in on.training_["warnings"])


def test_groups_with_known_rows_stay_in_training(fitted, rows):
    groups = np.arange(240) // 6  # nearly every group of the first 200 has a row that was trained on
    on = fitted.continue_fit(rows, updates=2, groups=groups)
    assert on.n_calibrate_ <= 7
    assert on.training_["rows"] >= 200


def test_what_is_needed(fitted, rows):
    known = rows[:200][np.isin(prints(fitted, rows[:200]), fitted.model_.trained_on)]
    with pytest.raises(DataError, match="trained on all"):
        fitted.continue_fit(known, updates=2)
    on = fitted.continue_fit(known, updates=2, calibrate=rows[200:], tune=rows[200:])
    assert on.n_calibrate_ == 40
    with pytest.raises(ParameterError, match="for how long"):
        fitted.continue_fit(rows)
    with pytest.raises(ParameterError, match="PCA trains no networks"):
        oddgan.PCA(random_state=0).fit(rows).continue_fit(rows, updates=2)
    with pytest.raises(DataError, match="6 features"):
        fitted.continue_fit(rows[:, :5], updates=2)


def prints(det, X):
    from oddgan.model.continuing import fingerprints_of
    from oddgan.rows import open_rows

    return fingerprints_of(det.model_, open_rows(X))


def test_it_can_be_resumed_saved_and_slowed(fitted, rows, tmp_path):
    class Broken(oddgan.hooks.Hook):
        def on_update(self, moment):
            if moment.update == 8:
                raise RuntimeError("broken off")

    whole = fitted.continue_fit(rows, updates=15)
    path = tmp_path / "c.ckpt"
    with pytest.raises(RuntimeError, match="broken off"):
        fitted.continue_fit(rows, updates=15, checkpoint=path, checkpoint_seconds=0, hooks=[Broken()])
    with pytest.raises(ArtifactError, match="another run"):
        oddgan.GANomaly(updates=15, width=8, random_state=0, device="cpu").fit(rows, checkpoint=path)
    resumed = fitted.continue_fit(rows, updates=15, checkpoint=path)
    assert np.array_equal(resumed.anomaly_score(rows), whole.anomaly_score(rows))
    whole.save(tmp_path / "m.oddgan")
    loaded = oddgan.load(tmp_path / "m.oddgan")
    assert np.array_equal(loaded.anomaly_score(rows), whole.anomaly_score(rows))
    assert loaded.continue_fit(rows, updates=2).training_["continued"][1]["updates"] == 2
    still = numbers(fitted.continue_fit(rows, updates=15, lr=0.0))
    same = [torch.equal(value, still[name]) for name, value in numbers(fitted).items() if name.endswith("weight")]
    assert sum(same) >= len(same) / 2  # batch normalisation's are estimated anew


def test_every_stage_goes_on(rows):
    pictures = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
    det = oddgan.FAnoGAN(
        updates=4, encoder_updates=3, width=8, batch_size=8, critic_steps=1, random_state=0, device="cpu"
    )
    on = det.fit(pictures).continue_fit(pictures, updates=2)
    assert [count for name, count in on.training_["updates"].items() if "continued" in name] == [2, 2]
