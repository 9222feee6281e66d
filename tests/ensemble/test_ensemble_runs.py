"""A run that is broken off goes on with the member it was at, and ends in the same bits."""

import json

import numpy as np
import pytest

from oddgan import testing
from oddgan.detectors.ganomaly import GANomaly
from oddgan.detectors.knn import KNN
from oddgan.ensemble import CrossConformal, Ensemble
from oddgan.errors import ArtifactError
from oddgan.hooks import Hook
from oddgan.model.ensemble_fitting import forget, is_kept

pytestmark = pytest.mark.filterwarnings("ignore::oddgan.cautions.OddganWarning")
GAME = {"updates": 20, "random_state": None}
MADE = {
    "ensemble": lambda: Ensemble([KNN(), *(testing.small(GANomaly, **GAME) for _ in range(2))], random_state=0),
    "folds": lambda: CrossConformal(testing.small(GANomaly, **GAME), folds=3, random_state=0),
}


class BrokenOff(Exception):
    pass


class Watching(Hook):
    """Notes the stages, and breaks the one called `stop` off at its twelfth update."""

    def __init__(self, stop=None):
        self.stop, self.stages, self.calibrated = stop, [], []

    def on_start(self, moment):
        self.stages.append(moment.stage)

    def on_update(self, moment):
        if moment.stage == self.stop and moment.update == 12:
            raise BrokenOff

    def on_calibrate(self, done, total):
        self.calibrated.append((done, total))


@pytest.mark.parametrize(("name", "second"), [("ensemble", "ganomaly-2, game"), ("folds", "fold 2, game")])
def test_a_run_that_was_broken_off_goes_on(name, second, table, tmp_path):
    kept, whole = tmp_path / "run.ckpt", MADE[name]().fit(table)
    with pytest.raises(BrokenOff):
        MADE[name]().fit(table, checkpoint=kept, checkpoint_seconds=0, hooks=[Watching(second)])
    finished = sorted(path.name for path in kept.iterdir())
    at = 3 if name == "ensemble" else 2
    assert finished == [*(f"{i}.oddgan" for i in range(1, at)), f"{at}.ckpt", "run.json"]

    watching = Watching()
    resumed = MADE[name]().fit(table, checkpoint=kept, hooks=[watching])
    assert watching.stages[0] == second
    assert len(watching.stages) == (1 if name == "ensemble" else 2)
    assert watching.calibrated[-1][0] == watching.calibrated[-1][1]
    np.testing.assert_array_equal(resumed.anomaly_score(table), whole.anomaly_score(table))
    assert resumed.info() == whole.info()

    done = Watching()
    again = MADE[name]().fit(table, checkpoint=kept, hooks=[done])
    assert done.stages == []
    np.testing.assert_array_equal(again.anomaly_score(table), whole.anomaly_score(table))
    assert is_kept(kept)
    forget(kept)
    assert not kept.exists()


def test_a_run_without_a_seed_keeps_the_one_it_drew(table, tmp_path):
    kept = tmp_path / "run.ckpt"
    with pytest.raises(BrokenOff):
        Ensemble(testing.small(GANomaly, **GAME), seeds=2).fit(
            table, checkpoint=kept, hooks=[Watching("ganomaly-2, game")]
        )
    seed = json.loads((kept / "run.json").read_text())["seed"]
    det = Ensemble(testing.small(GANomaly, **GAME), seeds=2).fit(table, checkpoint=kept)
    assert [one.recipe.random_state for one in det.model_.members.values()] == [seed, seed + 1]
    same = Ensemble(testing.small(GANomaly, **GAME), seeds=2, random_state=seed).fit(table)
    np.testing.assert_array_equal(det.anomaly_score(table), same.anomaly_score(table))


def test_another_run_is_refused_and_named(table, tmp_path):
    kept = tmp_path / "run.ckpt"
    Ensemble([KNN(k=3)], random_state=0).fit(table, checkpoint=kept)
    for made, X, differs in (
        (Ensemble([KNN(k=4)], random_state=0), table, "members"),
        (Ensemble([KNN(k=3)], random_state=0), table[:-1], "rows"),
        (CrossConformal(KNN(k=3), folds=2, random_state=0), table, "run and members"),
    ):
        with pytest.raises(ArtifactError, match=f"belongs to another run .its {differs}"):
            made.fit(X, checkpoint=kept)
    Ensemble([KNN(k=3)], random_state=0).fit(table, checkpoint=kept)
    with pytest.raises(ArtifactError, match="held out"):
        Ensemble([KNN(k=3)], random_state=0).fit(table, checkpoint=kept, calibrate=table)


def test_another_division_of_the_rows_is_another_run(table, tmp_path):
    kept = tmp_path / "run.ckpt"
    X, groups = table, np.arange(len(table)) // 4

    def fit(fraction=0.2, rate="auto", groups=groups, strata=None):
        det = Ensemble([KNN(k=3)], random_state=0, calibrate_fraction=fraction, false_alarm_rate=rate)
        return det.fit(X, checkpoint=kept, groups=groups, strata=strata)

    whole = fit()
    for changes in ({"fraction": 0.4}, {"groups": None}):
        with pytest.raises(ArtifactError, match="its division of the rows differ"):
            fit(**changes)
    np.testing.assert_array_equal(fit().p_value(table), whole.p_value(table))
    fit(strata=np.arange(len(table)) % 2, rate=0.25)  # calibrates the same members otherwise
    older = json.loads((kept / "run.json").read_text())
    del older["division of the rows"]
    (kept / "run.json").write_text(json.dumps(older))
    np.testing.assert_array_equal(fit().p_value(table), whole.p_value(table))


def test_a_numpy_integer_is_a_seed_when_a_run_goes_on(table, tmp_path):
    kept = tmp_path / "run.ckpt"
    Ensemble([KNN()], random_state=np.int64(1)).fit(table, checkpoint=kept)
    with pytest.raises(ArtifactError, match="its seed"):
        Ensemble([KNN()], random_state=np.int64(2)).fit(table, checkpoint=kept)


def test_what_is_no_run_is_refused(table, tmp_path):
    file, folder = tmp_path / "file.ckpt", tmp_path / "folder"
    file.write_bytes(b"something")
    folder.mkdir()
    (folder / "mine.txt").write_text("precious")
    for place in (file, folder):
        with pytest.raises(ArtifactError, match="no run of an ensemble"):
            Ensemble([KNN()], random_state=0).fit(table, checkpoint=place)
    assert not is_kept(folder)
    forget(file)
    forget(tmp_path / "nothing")
    assert not file.exists()


def test_a_finished_member_that_is_damaged_is_refused(table, tmp_path):
    kept = tmp_path / "run.ckpt"
    Ensemble([KNN()], random_state=0).fit(table, checkpoint=kept)
    (kept / "1.oddgan").write_bytes(b"PK damaged")
    with pytest.raises(ArtifactError, match=r"1\.oddgan: damaged"):
        Ensemble([KNN()], random_state=0).fit(table, checkpoint=kept)
