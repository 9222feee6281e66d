"""Checkpoints that are damaged, or forged so that their checksum is right."""

import hashlib

import numpy as np
import pytest
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
