"""Averaged weights, and the statistics that belong to them."""

import pytest
import torch
from torch import nn

from oddgan.training import Batch
from oddgan.training.averages import STATISTICS_BATCHES, Averages, refresh_statistics


def test_averages_follow_the_weights_with_a_decay_that_grows_to_ema():
    weight = nn.Parameter(torch.zeros(2))
    averages = Averages([weight], 0.5)
    expected = 0.0
    for update in range(20):
        with torch.no_grad():
            weight.fill_(update + 1.0)
        averages.follow(update)
        decay = min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * (update + 1)
        assert averages.values[0].tolist() == pytest.approx([expected] * 2, rel=1e-6)
    averages.replace_weights()
    assert weight.tolist() == averages.values[0].tolist()


def test_without_a_decay_the_last_weights_stay():
    weight = nn.Parameter(torch.ones(2))
    averages = Averages([weight], 0.0)
    averages.follow(0)
    averages.replace_weights()
    assert (averages.values, weight.tolist()) == ([], [1.0, 1.0])


def test_statistics_are_a_plain_average_over_an_epoch_of_the_game(rows, settings):
    norm = nn.BatchNorm1d(1).train()
    norm.running_mean.fill_(99.0)
    net = nn.Sequential(norm)

    def play(batch):
        yield {"G": {"x": net(batch.x())}}

    batch = Batch(rows(8), settings(), 0)
    refresh_statistics(net.modules(), play, batch)
    assert batch.drawn == 2  # of 4 rows
    assert float(norm.running_mean) == pytest.approx(3.5)
    assert norm.momentum == 0.1


def test_a_game_without_rows_ends(rows, settings):
    norm, played = nn.BatchNorm1d(1).train(), []

    def play(batch):
        played.append(1)
        assert len(played) <= STATISTICS_BATCHES
        yield {"G": {"x": norm(batch.z(1))}}

    refresh_statistics([norm], play, Batch(rows(8), settings(), 0))
    assert len(played) == STATISTICS_BATCHES
    assert norm.momentum == 0.1


def test_networks_without_statistics_play_nothing(rows, settings):
    batch = Batch(rows(8), settings(), 0)
    refresh_statistics(nn.Sequential(nn.Linear(1, 1)).modules(), lambda batch: pytest.fail("played"), batch)
    assert batch.drawn == 0
