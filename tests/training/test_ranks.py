"""Two processes that train one model: the same networks in both, and those of one process with the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import ranks_games
import torch
from ranks_games import GAMES, OTHERS, PICTURES, SMALL, RankedGANomaly
from torch.nn import functional as F

from oddgan.cautions import TrainingWarning
from oddgan.errors import ParameterError
from oddgan.ranks import SINGLE, World, random_of, shared, whole

forked = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")

# Of what the loop adds up in another order. Adam's first step is the learning rate in size whatever the gradient's: a
# weight whose true gradient is 0 may go either way, so weights are compared as a whole.
HISTORY, SCORES, WEIGHTS = 2e-5, 2e-5, 1e-4


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, ranks_games.__file__, folder], timeout=300, capture_output=True, text=True, env=environment
    )
    assert run.returncode == 0, run.stderr
    first, second = (torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1))
    return first, second, folder


def assert_same(a, b):
    """To the last bit."""
    for mine, other in zip(a["weights"], b["weights"], strict=True):
        assert mine.keys() == other.keys()
        assert all(torch.equal(mine[name], other[name]) for name in mine)
    assert a["history"] == b["history"]
    assert a["threshold"] == b["threshold"]
    assert a["facts"] == b["facts"]
    np.testing.assert_array_equal(a["scores"], b["scores"])


def distance(a, b):
    """Of all weights, relative to their length."""
    pairs = [(a[name].double(), b[name].double()) for name in a if a[name].is_floating_point()]
    return float(sum((x - y).square().sum() for x, y in pairs) / sum(y.square().sum() for _, y in pairs)) ** 0.5


@forked
@pytest.mark.parametrize("name", [*GAMES, *OTHERS])
def test_both_processes_end_with_one_model(two, name):
    first, second, _ = two
    assert_same(first["games"][name], second["games"][name])
    if name != "neighbours":
        assert first["games"][name]["facts"]["processes"] == 2


@forked
@pytest.mark.parametrize("name", GAMES)
def test_two_processes_train_as_one_with_the_whole_batch(two, name):
    together, alone = two[0]["games"][name], ranks_games.fitted(name)
    assert together["history"].keys() == alone["history"].keys()
    for term, values in alone["history"].items():
        if "." in term:
            given = [[np.nan if v is None else v for v in column] for column in (together["history"][term], values)]
            np.testing.assert_allclose(*given, rtol=HISTORY, atol=1e-6)
    assert distance(together["weights"][0], alone["weights"][0]) < WEIGHTS
    np.testing.assert_allclose(together["scores"], alone["scores"], rtol=SCORES, atol=SCORES * alone["scores"].max())
    expected = {**alone["facts"], "processes": 2}
    assert {**together["facts"], "warnings": None} == {**expected, "warnings": None}


@forked
def test_reduced_precision_gives_the_same_up_to_its_rounding(two):
    together, alone = two[0]["games"]["bfloat16"], ranks_games.fitted("bfloat16")
    assert distance(together["weights"][0], alone["weights"][0]) < 0.02


@forked
def test_gradients_of_gradients_pass_between_processes(two):
    for mine, alone in zip(two[0]["penalised"], ranks_games.penalised(), strict=True):
        torch.testing.assert_close(mine, alone, rtol=1e-9, atol=1e-12)


@forked
def test_a_run_goes_on_to_the_same_bits(two):
    first, second, _ = two
    assert first["broken off"] == ("OddganError", "broken off")
    kind, words = second["broken off"]
    assert kind == "DistributedError"
    assert "process 1 of 2 has lost another one" in words
    assert first["kept"]
    for found in (first, second):
        assert_same(found["resumed"], first["uninterrupted"])


@forked
def test_a_process_that_dies_ends_the_other_and_leaves_the_checkpoint(two, monkeypatch, tmp_path):
    first, second, folder = two
    kind, words = first["died"]
    assert kind == "DistributedError"
    assert "process 0 of 2 has lost another one" in words
    assert f"the checkpoint {folder / 'run'} is kept" in words
    assert "died" not in second
    monkeypatch.setenv("RANKS_TEST", "")
    kept = tmp_path / "run"
    kept.write_bytes((folder / "run").read_bytes())
    with pytest.warns(TrainingWarning, match="begun with 2 processes and goes on with 1") as given:
        det = RankedGANomaly(**SMALL).fit(PICTURES, checkpoint=kept)
    assert "other-processes" in [one.message.code for one in given if isinstance(one.message, TrainingWarning)]
    assert distance(det.net_.state_dict(), first["uninterrupted"]["weights"][0]) < WEIGHTS


@forked
def test_process_0_decides_for_all(two):
    first, second, _ = two
    assert_same(first["stopped"], second["stopped"])
    assert first["stopped"]["facts"]["stopped"]["elbo"]["why"] == "enough"
    assert first["stopped"]["facts"]["updates"] == {"elbo": 4}
    assert (first["seen"], second["seen"]) == ([1, 2, 3, 4], [])
    assert_same(first["random"], second["random"])


@forked
def test_what_cannot_be_trained_together_is_said_in_both(two):
    for found in two[:2]:
        assert found["uneven"] == (
            "ParameterError",
            "batches of 15 rows cannot be divided equally among 2 processes: set batch_size=14",
        )
        assert found["another lr"][0] == "ParameterError"
        assert "process 1 was given another lr than process 0" in found["another lr"][1]
        assert "process 1 was given another checkpoint than process 0" in found["one checkpoint"][1]
        assert found["rate"][0] == "ParameterError"
        assert "calibration rows" in found["rate"][1]
        assert found["drifted"][0] == "DistributedError"
        assert "the networks of processes 0 and 1 differ" in found["drifted"][1]
        assert found["left"]


# --- shares of a batch, without processes -----------------------------------------------------------------------------


def shares(draw, rows=8, size=2):
    """What each of `size` processes draws for its share, from the same state."""
    found = []
    for rank in range(size):
        torch.manual_seed(0)
        with shared(World(rank, size), rows):
            found.append(draw(rows // size))
    return found


def whole_draw(draw, rows=8):
    torch.manual_seed(0)
    return draw(rows)


ROWS = torch.arange(8 * 3 * 2 * 2.0).reshape(8, 3, 2, 2)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "draw",
    [
        lambda n: torch.rand(n, 3),
        lambda n: torch.randn((n, 20)),
        lambda n: torch.randn(size=(n,), dtype=torch.float64),
        lambda n: torch.randint(9, (n, 2)),
        lambda n: torch.randint(-3, 9, size=(n,)),
        torch.rand_like,
        torch.randn_like,
        lambda x: torch.randint_like(x, 5),
        lambda x: F.dropout(x + 1, 0.5),
        lambda x: F.dropout2d(x + 1, 0.5),
        lambda x: torch.nn.Dropout(0.3)(x + 1),
    ],
)
def test_draws_are_shares_of_those_for_the_whole_batch(draw, layout):
    def drawn(n):
        try:
            return draw(n)
        except (TypeError, AttributeError):
            return draw(rows[:n] if n == 8 else rows[shares_of(n)])

    def shares_of(n):
        return slice(n * turn.pop(0), None) if len(turn) == 1 else slice(0, n * (1 + turn.pop(0)))

    rows, turn = ROWS.contiguous(memory_format=layout), [0, 1]
    assert torch.equal(torch.cat(shares(drawn)), whole_draw(drawn))


def test_draws_for_several_kinds_of_rows_are_shared_kind_by_kind():
    first, second = shares(lambda n: torch.rand(3 * n, 2))
    expected = whole_draw(lambda n: torch.rand(3 * n, 2)).unflatten(0, (3, 8))
    assert torch.equal(
        torch.stack([first.unflatten(0, (3, 4)), second.unflatten(0, (3, 4))], 1).flatten(1, 2), expected
    )


def test_draws_that_are_of_no_rows_are_the_same_everywhere():
    for draw in (lambda n: torch.rand(5), lambda n: torch.randint(9, ()), lambda n: torch.randperm(7)):
        first, second = shares(draw)
        assert torch.equal(first, second)
        assert torch.equal(first, whole_draw(draw))


def test_numpys_draws_are_each_processs_own():
    first, second = shares(lambda n: random_of(3).random())
    assert first != second
    assert random_of(3).random() == np.random.default_rng(3).random()


def test_one_process_shares_nothing():
    x = torch.zeros(4, 2)
    assert whole(x) is x
    assert SINGLE.decided(lambda: x) is x
    assert SINGLE.every(x) == [x]
    SINGLE.check_same([x], "now")
    with pytest.raises(ParameterError, match="cannot be divided equally among 4 processes: use at most 3 processes"):
        World(0, 4).shard(np.arange(3))


@pytest.mark.slow
def test_torchrun_trains_from_the_command_line(tmp_path):
    random = np.random.default_rng(0)
    np.save(tmp_path / "rows.npy", random.normal(size=(80, 4)))
    words = ["train", "rows.npy", "--detector", "ganomaly", "--width=8", "--updates=20", "--batch-size=16"]
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            "-m",
            "oddgan",
            *words,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("\ntrained ") == 1
    assert "20 updates of game in 2 processes" in run.stdout
    assert sorted(p.name for p in Path(tmp_path).iterdir()) == ["rows.npy", "rows.oddgan"]
