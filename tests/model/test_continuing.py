"""Training on: more updates, and new normals beside known ones."""

import numpy as np
import pytest
import torch

import oddgan
from oddgan.cautions import CalibrationWarning
from oddgan.errors import ArtifactError, DataError, ParameterError
from oddgan.preprocessing import fingerprints


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


def test_rows_of_every_earlier_training_are_known(fitted, rows):
    new = np.random.default_rng(1).normal(size=(100, 6))
    once = fitted.continue_fit(new, updates=2)
    assert once.training_["continued"][0]["known"] == 0
    assert np.isin(fitted.model_.trained_on, once.model_.trained_on).all()
    both = np.concatenate([rows[:200], new])
    twice = once.continue_fit(both, updates=2)
    assert twice.training_["continued"][1]["known"] == len(once.model_.trained_on)
    known = rows[:200][np.isin(prints(fitted, rows[:200]), fitted.model_.trained_on)]
    with pytest.warns(CalibrationWarning, match="equal training rows"):
        fitted.continue_fit(new, updates=2, calibrate=known)
    with pytest.warns(CalibrationWarning, match="equal training rows"):
        once.recalibrate(known)


def test_known_rows_without_a_fingerprint_are_warned_of(monkeypatch, rows):
    monkeypatch.setattr(fingerprints, "AT_MOST", 100)
    det = oddgan.GANomaly(updates=2, width=8, random_state=0, device="cpu").fit(rows[:200])
    with pytest.warns(CalibrationWarning, match="knows 100 of its training rows"):
        on = det.continue_fit(rows, updates=2)
    assert "sampled-rows" in [one["code"] for one in on.training_["warnings"]]
    on = det.continue_fit(rows[:200], updates=2, calibrate=rows[200:])
    assert "sampled-rows" not in [one["code"] for one in on.training_["warnings"]]


class Unstarted(oddgan.hooks.Hook):
    def on_start(self, moment):
        raise AssertionError("it trains")


def test_rows_that_are_missing_are_asked_for_before_training(fitted, rows):
    tuned = oddgan.EGBAD(updates=2, width=8, random_state=0, device="cpu", score_by="combined").fit(rows[:200])
    for det, known in ((tuned, tuned), (fitted, fitted)):
        known = rows[:200][np.isin(prints(det, rows[:200]), det.model_.trained_on)]
        one_new = np.concatenate([known, rows[200:201]])
        with pytest.raises(DataError, match=f"all but 1 of {len(one_new)} rows of X"):
            det.continue_fit(one_new, updates=2, hooks=[Unstarted()])
        if det is tuned:
            with pytest.raises(DataError, match="none is left to tune with"):
                det.continue_fit(known, updates=2, calibrate=rows[201:], hooks=[Unstarted()])
        on = det.continue_fit(one_new, updates=2, calibrate=rows[201:221], tune=rows[221:])
        assert on.training_["rows"] == len(one_new)


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
