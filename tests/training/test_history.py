"""The history of a run."""

import pytest
import torch

from oddgan.errors import TrainingError
from oddgan.training import Stage
from oddgan.training.history import HISTORY_EVERY, Recorder

STAGE = Stage("game", ("G", "D"), lambda net, batch: iter(()))


@pytest.fixture
def recorder(settings):
    return Recorder({"stage": [], "epoch": [], "update": []}, STAGE, settings(lr={"G": 0.1, "D": 0.02}))


def play(recorder, value, player="D"):
    recorder.add(player, {"adv": torch.tensor(value)})
    recorder.since += 1


def test_a_line_holds_the_means_over_all_moves_since_the_last(recorder):
    recorder.add("D", {"real": torch.tensor([1.0, 3.0]), "fake": torch.tensor([5.0])})
    recorder.add("D", {"real": torch.tensor([4.0, 4.0]), "fake": torch.tensor([6.0])})
    recorder.add("G", {"adv": torch.tensor(7.0)})
    recorder.since = 1
    recorder.add_line(epoch=2, update=5)
    assert recorder.history == {
        "stage": ["game"],
        "epoch": [2],
        "update": [5],
        "D.real": [3.0],
        "D.fake": [5.5],
        "G.adv": [7.0],
    }
    assert recorder.last() == {"D.real": 3.0, "D.fake": 5.5, "G.adv": 7.0}
    assert (recorder.sums, recorder.since) == ({}, 0)


def test_terms_that_a_stage_lacks_are_none(recorder, settings):
    play(recorder, [1.0])
    recorder.add_line(1, 1)
    later = Recorder(recorder.history, Stage("encoder", ("E",), STAGE.step), settings())
    play(later, [2.0], "E")
    later.add_line(1, 1)
    assert later.history["D.adv"] == [1.0, None]
    assert later.history["E.adv"] == [None, 2.0]
    assert later.last() == {"E.adv": 2.0}


def test_an_epoch_ends_with_a_line_of_ten_updates_or_more(recorder):
    lines = []
    for update in range(1, 31):
        play(recorder, [1.0])
        if recorder.close_epoch(epoch=update // 4, update=update):
            lines.append(update)
    assert lines[0] == HISTORY_EVERY
    assert recorder.history["update"] == lines == [10, 20, 30]
    assert recorder.history["epoch"] == [2, 5, 7]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error_that_names_it(recorder, loss):
    play(recorder, [1.0])
    recorder.check_finite(1)
    play(recorder, [loss])
    with pytest.raises(
        TrainingError, match=r"by update 2 of stage game: the loss D\.adv is (nan|inf); .*\(now 0\.02\)"
    ):
        recorder.check_finite(2)
