"""The processes that train one model together."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from oddgan.training import World

PROCESSES = """
import os
import sys
import torch
from torch import nn
from oddgan.training import World

child = os.fork()  # what is loaded is loaded once
rank = 1 if child else 0
torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=rank, world_size=2)
moved, still = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
moved.grad = torch.tensor([1.0, 10.0]) * (rank + 1)
means = World(rank, 2).average([moved, still], {"a": torch.tensor([1.0, 3.0]) * rank, "b": torch.tensor(5.0)})
assert {name: float(mean) for name, mean in means.items()} == {"a": 1.0, "b": 5.0}
assert moved.grad.tolist() == [1.5, 15.0], moved.grad
assert still.grad is None
torch.distributed.destroy_process_group()
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_one_process_has_every_row_and_leaves_gradients_alone():
    assert World() == World(rank=0, size=1)
    assert World().shard(np.arange(5)).tolist() == [0, 1, 2, 3, 4]
    weight = nn.Parameter(torch.zeros(2))
    gradient = weight.grad = torch.tensor([1.0, 2.0])
    World().average([weight])
    assert weight.grad is gradient
    assert gradient.tolist() == [1.0, 2.0]


def test_shards_are_disjoint_and_cover_a_batch():
    shards = [World(rank, 3).shard(np.arange(9)).tolist() for rank in range(3)]
    assert shards == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_several_processes_average_their_gradients(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", PROCESSES, tmp_path / "meet"], timeout=120, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
