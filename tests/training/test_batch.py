"""The rows and the noise of a training step."""

import numpy as np
import pytest
import torch
from torch import nn

from oddgan.hooks import Hook
from oddgan.training import Batch, Stage, World, key, run
from oddgan.training.checkpoint import Checkpoint

HOWS = ("light", "shift", "turn", "flip", "all")


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
    assert [drawn(shard, 1) for shard in shards] == [whole[:2], whole[2:]]
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


class Pictures:
    """Ten pictures as prepared rows."""

    def __init__(self):
        self.all = torch.rand(10, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def __len__(self):
        return len(self.all)

    def batch(self, numbers):
        return self.all[torch.from_numpy(numbers)]


def network():
    torch.manual_seed(0)
    return nn.ModuleDict({"G": nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1))})


def stages(seen):
    def step(net, batch):
        x, z = batch.x(), batch.z(2)
        seen.append((x, z))
        yield {"G": {"con": (net["G"](x) - x).square().flatten(1).mean(1)}}

    return [Stage("first", ("G",), step, updates=7), Stage("second", ("G",), step)]


class Stop(Hook):
    def __init__(self, at, stage):
        self.at, self.stage = at, stage

    def on_update(self, moment):
        if (moment.stage, moment.update) == (self.stage, self.at):
            raise KeyboardInterrupt


@pytest.mark.parametrize("how", HOWS)
def test_the_same_seed_gives_the_same_bits_also_if_the_run_is_resumed(how, settings, tmp_path):
    for place in (Stop(3, "first"), Stop(5, "second")):
        nets = [network() for _ in range(3)]
        for net in nets[:2]:
            run(net, stages([]), Pictures(), settings(updates=9, augment=how))
        saved = tmp_path / f"{place.stage}.ckpt"
        with pytest.raises(KeyboardInterrupt):
            run(network(), stages([]), Pictures(), settings(updates=9, augment=how),
                checkpoint=Checkpoint(saved, {}, 0.0), hooks=[place])  # fmt: skip
        run(nets[2], stages([]), Pictures(), settings(updates=9, augment=how), checkpoint=Checkpoint(saved, {}, 0.0))
        for name, value in nets[0].state_dict().items():
            assert torch.equal(value, nets[1].state_dict()[name]), name
            assert torch.equal(value, nets[2].state_dict()[name]), name


def test_noise_and_the_order_of_rows_are_those_of_a_run_without(settings):
    plain, off, varied = [], [], []
    run(network(), stages(plain), Pictures(), settings())
    run(network(), stages(off), Pictures(), settings(augment="none"))
    run(network(), stages(varied), Pictures(), settings(augment="light"))
    assert len(plain) == len(off) == len(varied)
    for (x, z), (same, z_off), (other, z_varied) in zip(plain, off, varied, strict=True):
        assert torch.equal(x, same)
        assert not torch.equal(x, other)
        torch.testing.assert_close(other, x, rtol=0, atol=0.2)
        assert torch.equal(z, z_off)
        assert torch.equal(z, z_varied)


@pytest.mark.parametrize("how", HOWS)
def test_a_varied_batch_depends_on_seed_stage_and_number_and_processes_share_it(settings, how):
    def batches(*given, n=3, **changes):
        batch = Batch(Pictures(), settings(**changes, augment=how), *given)
        return torch.stack([batch.x() for _ in range(n)])

    whole = batches(0)
    torch.rand(3)  # whatever was drawn before
    assert torch.equal(batches(0), whole)
    assert not torch.equal(batches(1), whole)
    assert not torch.equal(batches(0, seed=4), whole)
    for rank in (0, 1):
        torch.testing.assert_close(batches(0, World(rank, 2)), whole[:, 2 * rank : 2 * rank + 2], rtol=0, atol=1e-6)
    full = Batch(Pictures(), settings(batch_size=10, augment=how), 0)
    first, second = (sorted(x.flatten(1).sum(1).tolist()) for x in (full.x(), full.x()))
    assert first != second  # the same pictures, varied anew
    later = Batch(Pictures(), settings(augment=how), 0)
    later.drawn = 2
    assert torch.equal(later.x(), whole[2])
