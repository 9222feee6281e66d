"""Checkpoints that are damaged, or forged so that their checksum is right."""

import hashlib

import numpy as np
import pytest
import torch
from mutations import mutants, within

from oddgan import testing
from oddgan.detectors.ganomaly import GANomaly
from oddgan.errors import ArtifactError
from oddgan.training.checkpoint import Checkpoint


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The checkpoint of a run that was broken off, and its rows."""
    path = tmp_path_factory.mktemp("runs") / "run.ckpt"
    X = np.random.default_rng(0).normal(size=(60, 4))
    with pytest.raises(testing._BrokenOff):
        testing.small(GANomaly).fit(X, checkpoint=path, checkpoint_seconds=0, hooks=[testing._Break("game")])
    return path, X


@pytest.mark.parametrize("n", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damage_anywhere_is_an_error_of_the_checkpoint(n, written, tmp_path):
    """With the checksum as it was, and with one that fits: then it may also be a state that is read."""
    whole, damaged = written[0].read_bytes(), tmp_path / "run.ckpt"
    mine = Checkpoint.identity_in(written[0])
    refused = 0
    for mutant in mutants(whole, n // 2, seed=0):
        damaged.write_bytes(mutant)
        with pytest.raises(ArtifactError, match=r"run\.ckpt: not an oddgan checkpoint"), within(5):
            Checkpoint(damaged, mine).read()
    for mutant in mutants(whole[32:], n // 2, seed=1):
        damaged.write_bytes(hashlib.sha256(mutant).digest() + mutant)
        try:
            with within(5):
                Checkpoint(damaged, mine).read()
        except ArtifactError:
            refused += 1
    assert refused > n // 10


def _set(*keys, to):
    def change(state):
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = to(state[keys[-1]]) if callable(to) else to

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("stage", to=7),
        _set("net", "D.head.weight", to=lambda value: value[:, :1]),
        lambda state: state["net"].pop("D.head.weight"),
        _set("averages", to=lambda values: values[:-1]),
        _set("averages", 0, to=torch.zeros(())),
        _set("optimisers", to={}),
        _set("optimisers", "D", to=None),
        _set("optimisers", "D", "state", 0, "exp_avg", to=torch.zeros(1)),
        _set("optimisers", "D", "state", 0, "exp_avg", to="x"),
        _set("optimisers", "D", "state", 0, "step", to=torch.zeros(2)),
        lambda state: state["optimisers"]["D"]["state"][0].pop("exp_avg_sq"),
        _set("optimisers", "D", "state", to={}),
        _set("sums", to=lambda sums: dict.fromkeys(sums, torch.zeros(2, dtype=torch.float16))),
    ],
)
def test_a_forged_state_is_refused_when_it_is_resumed(change, written, tmp_path):
    """With an error that names the file; or it trains, where only the course of training differs."""
    path, mine = tmp_path / "run.ckpt", Checkpoint.identity_in(written[0])
    state = Checkpoint(written[0], mine).read()
    change(state)
    Checkpoint(path, mine).write(state)
    try:
        testing.small(GANomaly).fit(written[1], checkpoint=path)
    except ArtifactError as error:
        assert "run.ckpt: " in str(error)  # noqa: PT017  # some states are as good as others


def test_options_of_an_optimiser_are_the_runs_own(written, tmp_path):
    path, mine = tmp_path / "run.ckpt", Checkpoint.identity_in(written[0])
    whole = testing.small(GANomaly).fit(written[1])
    state = Checkpoint(written[0], mine).read()
    state["optimisers"]["D"]["param_groups"][0].update(lr="fast", amsgrad=True, betas=None)
    Checkpoint(path, mine).write(state)
    testing._assert_same_model(whole, testing.small(GANomaly).fit(written[1], checkpoint=path), "a resumed run")
