"""The rows and the noise of a training step."""

import numpy as np
import pytest
import torch

from oddgan.training import Batch, World, key


def drawn(batch, batches):
    return torch.cat([batch.x() for _ in range(batches)])[:, 0].int().tolist()


def test_every_batch_is_full_and_every_epoch_has_every_row_once(rows, settings):
    batch = Batch(rows(10), settings(batch_size=4), 0)
    numbers = drawn(batch, 15)
    assert len(numbers) == 60
    for start in range(0, 60, 10):
        assert sorted(numbers[start : start + 10]) == list(range(10))


def test_epochs_are_counted_when_they_are_complete(rows, settings):
    batch = Batch(rows(10), settings(batch_size=4), 0)
    epochs = []
    for _ in range(5):
        batch.x()
        epochs.append(batch.epoch)
    assert (epochs, batch.drawn) == ([0, 0, 1, 1, 2], 5)


def test_a_batch_is_at_most_as_large_as_the_set(rows, settings):
    batch = Batch(rows(3), settings(batch_size=64), 0)
    assert (batch.size, sorted(drawn(batch, 1)), len(batch.z(2))) == (3, [0, 1, 2], 3)


def test_the_order_is_keyed_by_seed_stage_and_epoch(rows, settings):
    first = drawn(Batch(rows(20), settings(), 0), 10)
    assert first == drawn(Batch(rows(20), settings(), 0), 10)
    assert first[:20] != first[20:]
    assert first[:20] == np.random.default_rng([3, 0, 0]).permutation(20).tolist()
    assert first != drawn(Batch(rows(20), settings(), 1), 10)
    assert first != drawn(Batch(rows(20), settings(seed=4), 0), 10)


def test_a_batch_resumes_where_it_was(rows, settings):
    whole = Batch(rows(10), settings(), 0)
    numbers = drawn(whole, 9)
    resumed = Batch(rows(10), settings(), 0)
    resumed.drawn = 5
    assert drawn(resumed, 4) == numbers[20:]


def test_noise_has_the_batchs_size_and_the_priors_range(rows, settings):
    batch = Batch(rows(100), settings(batch_size=64), 0)
    assert batch.z(7).shape == (64, 7)
    assert batch.z(50).abs().max() > 1
    assert batch.z(50, "uniform").abs().max() <= 1


def test_processes_share_a_batch(rows, settings):
    whole = drawn(Batch(rows(10), settings(), 0), 1)
    shards = [Batch(rows(10), settings(), 0, World(rank, 2)) for rank in (0, 1)]
    assert [drawn(shard, 1) for shard in shards] == [whole[::2], whole[1::2]]
    assert [len(shard.z(1)) for shard in shards] == [2, 2]
    assert [shard.epoch for shard in shards] == [0, 0]


def test_keys_differ_by_any_part_and_fit_a_seed():
    keys = {key(seed, stage, t) for seed in range(5) for stage in range(2) for t in range(50)}
    assert len(keys) == 500
    assert all(0 <= one < 2**63 for one in keys)
    assert key(1, 2, 3) == key(1, 2, 3)


@pytest.mark.parametrize("n", [1, 5])
def test_small_sets_make_full_batches_too(rows, settings, n):
    batch = Batch(rows(n), settings(batch_size=4), 0)
    assert all(len(batch.x()) == min(4, n) for _ in range(6))
