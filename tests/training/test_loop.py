"""One stage under way: the order of a move, and resuming between updates."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from oddgan.errors import TrainingError
from oddgan.hooks import Hook
from oddgan.training import Stage, World, run
from oddgan.training.budget import Budget
from oddgan.training.checkpoint import Checkpoint
from oddgan.training.loop import StageRun


def networks():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {"G": nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)), "D": nn.Linear(1, 1)}
    )


def step(net, batch):
    x = batch.x()
    yield {"D": {"real": (net["D"](x) - net["G"](x)).square()}}
    yield {"G": {"adv": net["D"](net["G"](batch.z(1))).square(), "con": (net["G"](x) - x).square()}}


GAME = Stage("game", ("G", "D"), step)


@dataclass(frozen=True)
class Recorded(World):
    """One process that records the gradients it has to average, and the weights at that time."""

    seen: list = field(default_factory=list)

    def average(self, params, terms=None):
        self.seen.append([(p.detach().clone(), p.grad.clone()) for p in params])


def stage_run(rows, settings, world):
    return StageRun(networks(), GAME, 0, rows(10), settings(), Budget(3, None, None), {"epoch": [], "stage": []}, world)


def test_gradients_are_averaged_after_backward_and_before_the_step(rows, settings):
    world = Recorded()
    under_way = stage_run(rows, settings, world)
    before = [p.detach().clone() for p in under_way.params["D"]]
    under_way.update()
    D, G = world.seen
    assert all(torch.equal(weight, old) for (weight, _), old in zip(D, before, strict=True))
    assert all(gradient.abs().sum() > 0 for _, gradient in [*D, G[0]])
    assert not all(map(torch.equal, before, under_way.params["D"]))
    assert len(G) == len(under_way.params["G"])


def test_a_checkpoint_holds_the_keys_of_earlier_versions(rows, settings):
    under_way = stage_run(rows, settings, World())
    keys = "stage update drawn ended seconds net averages optimisers sums since history"
    assert list(under_way.state()) == [*keys.split(), "watch"]


def test_a_resumed_run_ends_in_the_bits_of_an_uninterrupted_one(rows, settings, tmp_path):
    class Stop(Hook):
        def on_update(self, moment):
            if moment.update == 13:
                raise KeyboardInterrupt

    stages = [GAME, Stage("decoder", ("G",), lambda net, batch: iter([{"G": {"c": net["G"](batch.x())}}]), updates=5)]
    whole, resumed = networks(), networks()
    history = run(whole, stages, rows(10), settings(updates=25))
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run(networks(), stages, rows(10), settings(updates=25), checkpoint=Checkpoint(path, {}, 0.0), hooks=[Stop()])
    assert run(resumed, stages, rows(10), settings(updates=25), checkpoint=Checkpoint(path, {}, 0.0)) == history
    assert history["stage"] == ["game"] * 3 + ["decoder"]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_move_of_a_network_that_is_no_player_is_an_error(rows, settings):
    with pytest.raises(TrainingError, match="its step moves D, which is not among its players G; name it in"):
        run(networks(), [Stage("game", ("G",), step)], rows(10), settings())
