"""Which losses say how well a game goes: the table of all detectors."""

import numpy as np
import pytest
import torch
from torch import nn

from oddgan import detectors, machine, preprocessing, testing
from oddgan.detector import NeuralDetector
from oddgan.model import fitting
from oddgan.rows import open_rows
from oddgan.training import Stage
from oddgan.training.criterion import counted

NONE = {"game": ()}
COUNTED = {
    ("adgan", "table"): NONE,  # a critic and a generator, and nothing else
    ("alad", "table"): NONE,  # even its cycles are judged by discriminators
    ("anogan", "table"): NONE,
    ("anogan", "table", ("start", "encoder")): {"game": (), "encoder": ("E.izi",)},
    ("contrad", "table"): NONE,  # the contrast is D's, which G moves against
    ("contrad", "pictures"): NONE,
    ("dagmm", "table"): {"mixture": ("C.rec", "C.energy", "C.cov")},  # M's terms are C's
    ("dcgan", "table"): NONE,
    ("dcgan", "pictures"): NONE,
    ("draem", "pictures"): {"game": ("N.l2", "N.ssim", "N.focal")},
    ("dsebm", "table"): {"score matching": ("E.denoising",)},
    ("egbad", "table"): {"game": ("G.con",)},
    ("egbad", "table", ("w_residual", 0.0)): NONE,
    ("egbad", "table", ("train_by", "features")): {"game": ("G.con",)},
    ("fanogan", "table", ("encoder_loss", "ziz")): {"gan": (), "encoder": ("E.ziz",)},
    ("fanogan", "table"): {"gan": (), "encoder": ("E.izi", "E.feature")},
    ("ganomaly", "table"): {"game": ("G.con", "G.enc")},
    ("ganomaly", "pictures"): {"game": ("G.con", "G.enc")},
    ("ganomaly", "pictures", ("precision", "bfloat16")): {"game": ("G.con", "G.enc")},
    ("dcgan", "pictures", ("precision", "bfloat16")): NONE,
    ("ocgan", "table"): {"game": ("En.con",)},  # De's con is En's; C judges De without a gradient to it
    ("ocrgan", "pictures"): {"game": ("G.con",)},  # lat is a distance in D
    ("skipganomaly", "table"): {"game": ("G.con",)},
    ("skipganomaly", "pictures"): {"game": ("G.con",)},
    ("vae", "table"): {"elbo": ("E.nll", "E.kl")},  # G's nll is E's
}


def test_the_table_has_every_detector():
    trained = {name for name in detectors.names() if issubclass(detectors.get(name), NeuralDetector)}
    assert {name for name, *_ in COUNTED} == trained


@pytest.mark.parametrize("case", COUNTED, ids=str)
def test_losses_that_count(case, table, pictures):
    name, kind, *given = case
    recipe = testing.small(detectors.get(name), random_state=3, **dict(given)).fixed()
    rows = open_rows({"table": table, "pictures": np.repeat(np.repeat(pictures, 2, 1), 2, 2)}[kind])
    preprocessor = preprocessing.fit(rows, np.arange(len(rows)), recipe)
    prepared = preprocessor.prepare(rows, np.arange(len(rows)))
    with machine.sealed():
        torch.manual_seed(0)
        net = machine.place(nn.ModuleDict(recipe.build(preprocessor.shape)), torch.device("cpu")).eval()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        settings = fitting.settings_of(recipe, preprocessor.shape, 3, len(prepared))
        found = {s.name: counted(net, s, i, prepared, settings) for i, s in enumerate(recipe.stages())}
    assert found == COUNTED[case]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_a_loss_counts_once_though_players_weigh_it_otherwise(rows, settings):
    def step(net, batch):
        x = batch.x()
        con = (net["G"](net["E"](x)) - x).square()
        yield {"E": {"con": con, "size": net["E"](x).square()}, "G": {"con": 3 * con}}

    net = nn.ModuleDict({"E": nn.Linear(1, 2), "G": nn.Linear(2, 1)})
    found = counted(net, Stage("game", ("E", "G"), step), 0, rows(9), settings())
    assert found == ("E.con", "E.size")


def test_a_player_that_another_undoes_judges_it_without_a_gradient(rows, settings):
    """Outputs of G reach D cut off from the graph; nobody is moved on D's verdict."""

    def step(net, batch):
        x = batch.x()
        fake = net["G"](x)
        yield {"D": {"fake": net["D"](fake.detach()).square(), "real": (net["D"](x) - 1).square()}}
        yield {"G": {"con": (fake - x).square()}}

    net = nn.ModuleDict({"G": nn.Linear(1, 1), "D": nn.Linear(1, 1)})
    assert counted(net, Stage("game", ("G", "D"), step), 0, rows(9), settings()) == ("G.con",)
