"""Stages that end before their budget does, and in which state; losses on held-out rows."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from oddgan.cautions import TrainingWarning
from oddgan.errors import ParameterError, TrainingError
from oddgan.hooks import Hook
from oddgan.training import Batch, Stage, Watch, lookout, run
from oddgan.training.budget import Budget
from oddgan.training.checkpoint import Checkpoint
from oddgan.training.history import Recorder


def networks(depth=1):
    torch.manual_seed(0)
    layers = [nn.Linear(1, 1) for _ in range(depth)]
    return nn.ModuleDict({"G": nn.Sequential(*layers, nn.Dropout(0.2)), "N": nn.BatchNorm1d(1)})


def game(turn=10**9, loss=lambda close: -close):
    """G learns x until update `turn`, from which on its loss is another function of the distance."""

    def step(net, batch):
        x = batch.x() / 10
        close = (net["G"](net["N"](x)) - x + 0.1 * torch.randn_like(x)).square()
        yield {"G": {"con": close if batch.update < turn else loss(close)}, "N": {"con": close}}

    return Stage("game", ("G", "N"), step)


class Stops(Hook):
    def __init__(self, at, error=None):
        self.at, self.error = at, error

    def on_update(self, moment):
        if moment.update == self.at:
            if self.error:
                raise self.error
            moment.stop("enough")


class Once(Checkpoint):
    """A checkpoint that is written after update `at` of its process, and at a stage's end."""

    def __init__(self, path, at=0):
        super().__init__(path, {})
        self.left = at

    def due(self):
        self.left -= 1
        return self.left == 0


def broken_off(path, at, run):
    """The checkpoint of a run that was broken off an update after it was written."""
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=Once(path, at), hooks=[Stops(at + 1, KeyboardInterrupt())])
    return Once(path)


def state(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def equal(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def train(net, stage, rows, settings, held_out=0, patience=None, **how):
    watch = Watch(rows(held_out) if held_out else None, patience)
    history = run(net, [stage], rows(40), settings, watch=watch, **how)
    return history, watch.stopped


# --- held-out losses --------------------------------------------------------------------------------------------------


def test_validation_changes_no_bit_and_adds_to_the_history(rows, settings):
    plain, watched = networks(), networks()
    alone, _ = train(plain, game(), rows, settings(updates=200))
    history, stopped = train(watched, game(), rows, settings(updates=200), held_out=8)
    assert equal(state(plain), state(watched))
    assert {name: column for name, column in history.items() if not name.startswith("val.")} == alone
    assert set(history) - set(alone) == {"val.G.con", "val.N.con"}
    taken = [update for update, loss in zip(history["update"], history["val.G.con"], strict=True) if loss is not None]
    assert len(taken) in range(6, 10)  # two batches are played, and so 24 updates lie between at least
    assert taken[-1] == 200
    assert stopped == {}


def test_held_out_losses_are_those_of_the_networks_in_evaluation_mode(rows, settings):
    net = networks()
    history, _ = train(net, game(loss=lambda close: close), rows, settings(updates=200, ema=0.0), held_out=4)
    x = rows(4).batch(torch.arange(4).numpy()) / 10
    expected = float((net["G"](net["N"](x)) - x).square().mean())
    assert history["val.G.con"][-1] == pytest.approx(expected, abs=0.03)  # but for the noise, which is the same always
    again, _ = train(networks(), game(), rows, settings(updates=200, lr=0.0), held_out=4)
    losses = [loss for loss in again["val.N.con"] if loss is not None]
    assert len(losses) > 2
    # weights at rest: only the statistics of N move on
    assert max(losses[2:]) - min(losses[2:]) < 0.02


def test_a_step_that_cannot_be_played_on_held_out_rows_is_not_validated(rows, settings):
    def step(net, batch):
        if not net["G"].training:
            raise RuntimeError("no")
        yield from game().step(net, batch)

    stage = Stage("game", ("G", "N"), step)
    plain, tried = networks(), networks()
    train(plain, stage, rows, settings(updates=60))
    history, _ = train(tried, stage, rows, settings(updates=60), held_out=4)
    assert equal(state(plain), state(tried))
    assert not [name for name in history if name.startswith("val.")]
    with pytest.raises(ParameterError, match=r"early_stopping=2: stage game cannot be played on held-out rows \(no\)"):
        train(networks(), stage, rows, settings(updates=60), held_out=4, patience=2)


# --- divergence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [lambda close: close * math.nan, lambda close: -close * 1e9], ids=["nan", "exploding"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_stage_that_diverges_ends_in_its_last_good_state(loss, ema, rows, settings):
    net, good = networks(3), networks(3)
    with pytest.warns(TrainingWarning, match=r"diverged by update \d+ of stage game: the loss G.con is .*; lower the"):
        history, stopped = train(net, game(125, loss), rows, settings(updates=200, ema=ema))
    facts = stopped["game"]
    assert facts["reason"] == "diverged"
    assert facts["kept"] == 120
    assert 125 < facts["update"] <= 180
    assert "(now 0.1)" in facts["why"]
    train(good, game(), rows, settings(updates=120, ema=ema))
    assert equal(state(net), state(good))
    assert all(math.isfinite(loss) for loss in history["G.con"])


def test_without_a_good_state_it_is_an_error(rows, settings):
    for loss in (lambda close: close * math.nan, lambda close: -close * 1e9):
        with pytest.raises(TrainingError, match="diverged by update"):
            train(networks(), game(5, loss), rows, settings(updates=200))


def test_one_row_beyond_all_others_is_no_explosion(rows, settings):
    """Every batch has it, and its loss outweighs that of all others."""

    def step(net, batch):
        close = (net["G"](net["N"](batch.x() / 10))).square()[:, 0]
        far = torch.zeros_like(close)
        far[0] = 1e9 if batch.update > 50 else 0
        yield {"G": {"con": close + far}, "N": {"con": close}}

    _, stopped = train(networks(), Stage("game", ("G", "N"), step), rows, settings(updates=200))
    assert stopped == {}


def test_weights_that_end_not_finite_are_found(rows, settings):
    """The last loss was taken before the move that broke them."""

    def step(net, batch):
        close = (net["G"](net["N"](batch.x() / 10))).square()
        close.register_hook(lambda gradient: gradient * (math.nan if batch.update == 199 else 1))
        yield {"G": {"con": close}}

    stage = Stage("game", ("G",), step)
    net = networks()
    with pytest.warns(TrainingWarning, match="by update 200 of stage game: weights are not finite"):
        _, stopped = train(net, stage, rows, settings(updates=200))
    assert stopped["game"]["kept"] == 190
    assert all(value.isfinite().all() for value in net.state_dict().values())


# --- hooks and Ctrl-C -------------------------------------------------------------------------------------------------


def test_a_hook_ends_the_stage_as_the_budget_would(rows, settings):
    stopped, whole = networks(), networks()
    with pytest.warns(TrainingWarning, match=r"ended by a hook at update 7 of stage game \(enough\)"):
        history, facts = train(stopped, game(), rows, settings(updates=50, ema=0.0), hooks=[Stops(7)])
    assert train(whole, game(), rows, settings(updates=7, ema=0.0))[0] == history
    assert equal(state(stopped), state(whole))
    assert facts == {"game": {"reason": "stopped-by-hook", "update": 7, "kept": 7, "why": "enough"}}


@pytest.mark.filterwarnings("ignore::oddgan.cautions.TrainingWarning")
def test_only_the_stage_under_way_ends(rows, settings):
    stages = [game(), Stage("again", ("G",), lambda net, batch: iter([{"G": {"c": net["G"](batch.x())}}]))]
    watch = Watch()
    history = run(networks(), stages, rows(40), settings(updates=30), hooks=[Stops(12)], watch=watch)
    assert dict(zip(history["stage"], history["update"], strict=True)) == {"game": 12, "again": 12}

    class First(Hook):
        def on_epoch(self, moment):
            if moment.stage == "game":
                moment.stop("one is enough")

        def on_end(self, moment):
            moment.stop("too late to say")

    history = run(networks(), stages, rows(40), settings(updates=30), hooks=[First()], watch=watch)
    assert dict(zip(history["stage"], history["update"], strict=True)) == {"game": 10, "again": 30}


# --- patience ---------------------------------------------------------------------------------------------------------

PATIENT = {"held_out": 4, "patience": 3}


def worse(close):
    return -0.01 * close


def turning(rows, settings, net, **how):
    """Training is in vain from update 80 on, and there is a validation every ten."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookout, "SPACING", 10)
        how = {"settings": settings(updates=200, lr=0.01, ema=0.5), **PATIENT, **how}
        return train(net, game(80, worse), rows, **how)


def test_a_stage_ends_when_its_held_out_loss_falls_no_more(rows, settings):
    net, best = networks(), networks()
    history, stopped = turning(rows, settings, net)
    facts = stopped["game"]
    losses = {u: v for u, v in zip(history["update"], history["val.G.con"], strict=True) if v is not None}
    assert facts == {"reason": "early-stopping", "update": max(losses), "kept": min(losses, key=losses.get)}
    assert facts["kept"] == list(losses)[-1 - PATIENT["patience"]]
    assert 0 < facts["kept"] < facts["update"] < 200
    train(best, game(80, worse), rows, settings(updates=facts["kept"], lr=0.01, ema=0.5))
    assert equal(state(net), state(best))


def test_a_resumed_stage_has_the_patience_that_was_left(rows, settings, tmp_path):
    whole, resumed = networks(), networks()
    history, stopped = turning(rows, settings, whole)
    kept = broken_off(tmp_path / "run", stopped["game"]["kept"] + 15, partial(turning, rows, settings, networks()))
    assert kept.read()["watch"]["failures"] == 1
    assert turning(rows, settings, resumed, checkpoint=kept) == (history, stopped)
    assert equal(state(whole), state(resumed))
    assert turning(rows, settings, resumed, checkpoint=kept) == (history, stopped)


def test_a_checkpoint_of_an_earlier_version_is_resumed(rows, settings, tmp_path):
    whole, resumed = networks(), networks()
    train(whole, game(), rows, settings(updates=60))
    kept = broken_off(tmp_path / "run", 30, partial(train, networks(), game(), rows, settings(updates=60)))
    old = kept.read()
    del old["watch"]
    kept.write(old)
    train(resumed, game(), rows, settings(updates=60), checkpoint=kept)
    assert equal(state(whole), state(resumed))


@pytest.mark.parametrize(
    "change",
    [
        {"kept": {"update": 1, "net": {}, "averages": []}},
        {"kept": {"update": 1}},
        {"lowest": "low"},
        {"explosions": {}},
        {"stopped": {"game": {}}},
        {"part": None},
    ],
    ids=str,
)
def test_a_forged_lookout_is_refused(change, rows, settings, tmp_path):
    kept = broken_off(tmp_path / "run", 60, partial(turning, rows, settings, networks()))
    forged = kept.read()
    forged["watch"].update(change)
    kept.write(forged)
    with pytest.raises(ValueError, match="does not fit the networks; delete it"):
        turning(rows, settings, networks(), checkpoint=kept)


def test_there_must_be_something_to_go_by(rows, settings):
    with pytest.raises(ParameterError, match="early_stopping=3: there are no held-out rows"):
        train(networks(), game(), rows, settings(), patience=3)


@pytest.mark.parametrize(("updates", "line"), [(2000, 10), (2000, 100), (2000, 5000), (400, 30), (100, 10), (30, 10)])
def test_a_stage_is_looked_at_about_twenty_times(updates, line, rows, settings):
    """Evenly, and at the ends of lines of the history where there are such."""
    under_way = lookout.Lookout(Watch(), networks(), game(), 0, settings(), None, Recorder({}, game(), settings()))
    seen = []
    for update in range(1, updates + 1):
        reached = lookout.POINTS * update / updates
        if under_way._due(update, reached, line=update % line == 0):
            under_way.part, under_way.looked = int(reached), update
            seen.append(update)
    assert len(seen) >= min(13, updates // 10)
    assert len(seen) <= 20
    if line <= updates / 20:
        assert all(update % line == 0 for update in seen)


def test_the_nearest_limit_says_how_much_is_done(rows, settings):
    batch = Batch(rows(40), settings(), 0)
    batch.drawn = 15  # of 4 rows each: one and a half epochs
    for budget, share in [((200, None, None), 0.1), ((200, 2, None), 0.75), ((None, 2, 1.0), 0.9), ((20, 2, 1.0), 1.0)]:
        assert Budget(*budget).share(20, batch, 54.0) == pytest.approx(share)
