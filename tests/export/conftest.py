"""What the tests of exports share: a model's graph takes the longest to make, so it is made once."""

import copy

import numpy as np
import pytest

import oddgan
from oddgan import testing


def shown(n=60, seed=0, colours=0):
    """Grey pictures, (n, 24, 20) uint8, or of three colours."""
    random = np.random.default_rng(seed)
    ramp = np.linspace(0, 150, 20) * random.uniform(0.5, 1, (n, 1, 1)) + random.uniform(0, 60, (n, 24, 1))
    grey = (ramp + random.uniform(0, 20, (n, 24, 20))).astype(np.uint8)
    return np.stack([grey, 255 - grey, grey // 2], -1) if colours else grey


def mixed(n=80, seed=0):
    """A frame of numbers, of which some are missing, texts and booleans."""
    pandas = pytest.importorskip("pandas")
    random = np.random.default_rng(seed)
    frame = pandas.DataFrame(random.normal(size=(n, 3)) * [1, 1e3, 1e-2] + [0, 1e5, 1], columns=list("abc"))
    frame["kind"] = random.choice(["x", "y", "z"], n)
    frame["flag"] = random.random(n) > 0.5
    frame.loc[3:9, "b"] = np.nan
    return frame


CASES = {
    "map": (lambda: testing.small(oddgan.GANomaly, score_by="map_max", calibrate_fraction=0.3), shown),
    "tiles": (lambda: testing.small(oddgan.PCA, tile=16, size=8, calibrate_fraction=0.3), shown),
    "region of colours, converted": (
        lambda: testing.small(
            oddgan.PCA, size=12, convert=True, roi=(2, 4, 14, 16), exposure="gain", calibrate_fraction=0.3
        ),
        lambda: shown(colours=3),
    ),
    "patches": (lambda: testing.small(oddgan.PatchCore, calibrate_fraction=0.3), shown),
    "mixed": (
        lambda: testing.small(
            oddgan.GANomaly,
            local="ratio",
            near="both",
            neighbours=3,
            scaling="robust",
            log_tails=True,
            score_by="combined",
            calibrate_fraction=0.3,
        ),
        mixed,
    ),
}


@pytest.fixture(scope="session")
def once():
    """`graph_of` that makes the graph of each model once, however often the model is exported."""
    from oddgan.export import graph

    held = {}

    def of(model):
        key = id(model.net), id(model.preprocessor)
        if key not in held:
            held[key] = model, graph.graph_of(model)
        return copy.deepcopy(held[key][1])

    return of


@pytest.fixture(autouse=True)
def _graphs_once(once, monkeypatch):
    from oddgan.export import exporting

    monkeypatch.setattr(exporting, "graph_of", once)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Of each case: the detector, its rows, the folder of its export, and what was compared."""
    from oddgan.export import export

    held = {}

    def of(name):
        if name not in held:
            detector, rows = CASES[name][0](), CASES[name][1]()
            detector.fit(rows)
            folder = tmp_path_factory.mktemp("export") / "model"
            held[name] = detector, rows, folder, export(detector, folder, rows)
        return held[name]

    return of


@pytest.fixture(scope="session")
def judged(tmp_path_factory):
    """A detector of a table with groups, strata, categories and a column called "location", its rows, their groups and
    strata, and the folder of its export."""
    from oddgan.export import export

    pandas = pytest.importorskip("pandas")
    random = np.random.default_rng(0)
    frame = pandas.DataFrame({"location": random.normal(size=80), "kind": random.choice(["x", "location"], 80)})
    frame["b"] = random.random(80)
    frame.loc[3:9, "b"] = np.nan
    groups, strata = np.arange(80) // 2, np.where(np.arange(80) % 3 > 0, "a", "b")
    folder = tmp_path_factory.mktemp("export") / "model"
    detector = testing.small(oddgan.PCA, calibrate_fraction=0.4).fit(frame, groups=groups, strata=strata)
    export(detector, folder, frame, groups=groups)
    return detector, frame, groups, strata, folder
