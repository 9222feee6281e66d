"""What the graph is made of computes what the model does: intake, networks, terms and maps, detector by detector."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import oddgan
from oddgan import detectors, testing
from oddgan.detectors.dsebm import descend, slope
from oddgan.errors import ParameterError
from oddgan.export.graph import Whole, graph_of
from oddgan.export.resizing import Resizing
from oddgan.rows import open_rows
from oddgan.runtime import intake
from oddgan.runtime.pipeline import MAP, SHARES, TERM, X_HAT

SCIKIT = ("isolationforest", "knn", "lof", "oneclasssvm")
SEARCH = {"start": "encoder", "steps": 0, "starts": 1}
EXPORTED = [name for name in detectors.names() if name not in (*SCIKIT, "adgan")]


@pytest.mark.parametrize("source", [(20, 12), (33, 41), (8, 9), (300, 257), (64, 64)])
@pytest.mark.parametrize("fixed", [False, True])
def test_eight_bits_are_resized_to_the_bits_of_the_library(source, fixed):
    random, size = np.random.default_rng(0), (16, 24)
    x = torch.from_numpy(random.integers(0, 256, (2, *source, 3), dtype=np.uint8))
    theirs = F.interpolate(x.permute(0, 3, 1, 2), size=size, mode="bilinear", antialias=True)
    ours = Resizing(size, source if fixed else None, whole=True)(x)
    assert torch.equal(ours, theirs.float())


@pytest.mark.parametrize("source", [(20, 12), (33, 41), (8, 9)])
def test_real_values_are_resized_alike(source):
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, *source, 1)).astype(np.float32))
    theirs = F.interpolate(x.permute(0, 3, 1, 2), size=(16, 24), mode="bilinear", antialias=True)
    assert torch.allclose(Resizing((16, 24), None, whole=False)(x), theirs, atol=1e-5)
    maps = intake.resized(x.permute(0, 3, 1, 2).numpy(), (16, 24))
    assert np.allclose(maps, theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", ["table", "pictures"])
@pytest.mark.parametrize("name", EXPORTED)
def test_every_detector_gives_its_terms(name, kind, table, pictures):
    cls = detectors.get(name)
    if kind not in cls.kinds:
        pytest.skip(f"not for a {kind}")
    X = table if kind == "table" else pictures
    model = testing.small(cls, **(SEARCH if name == "anogan" else {})).fit(X[:40]).model_
    rows = open_rows(X[:16])
    whole = Whole(model).eval()
    raw = model.preprocessor.raw(rows) if kind == "table" else torch.from_numpy(X[:16, ..., None])
    with torch.no_grad():
        found = whole.results(raw)
    block = next(iter(model.preprocessor.parts(rows).blocks(16)))
    theirs = model.computer.found(block.x)
    if whole.own:  # PatchCore's terms are made of these
        assert len(found) == 2
        return
    for term in model.combination.asked:
        assert np.allclose(found[TERM + term].numpy(), theirs.terms[term], rtol=1e-4), term
    if theirs.x_hat is not None and kind == "table":
        shares = model.preprocessor.shares(model.preprocessor.heat(block.x, theirs.x_hat))
        assert np.allclose(found[SHARES].numpy(), shares, atol=1e-4)
    elif theirs.x_hat is not None:
        assert np.allclose(found[X_HAT].numpy(), theirs.x_hat.numpy(), atol=1e-4)
        assert np.allclose(found[MAP].numpy(), theirs.raw_maps(block.x, model.preprocessor).numpy(), atol=1e-4)


@pytest.mark.parametrize("shape", [(5,), (1, 11, 9), (3, 16, 8)])
def test_the_gradient_of_an_energy_is_written_out(shape):
    energy = oddgan.DSEBM(width=4, experts=6).build(shape)["E"].eval()
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    for one, other in zip(slope(energy, x), descend(energy, x), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", [*SCIKIT, "adgan", "anogan"])
def test_what_cannot_be_exported_says_what_to_take_instead(name, table):
    detector = testing.small(detectors.get(name)).fit(table)
    with pytest.raises(ParameterError, match=rf"{type(detector).__name__} cannot be exported: .*take"):
        graph_of(detector.model_)
