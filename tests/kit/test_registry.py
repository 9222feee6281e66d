"""Detectors by name: of oddgan, of other packages, of one's own."""

from importlib.metadata import EntryPoint

import pytest

import oddgan
from oddgan import detectors, kit, testing
from oddgan.detectors.pca import PCA
from oddgan.errors import ArtifactError, ParameterError
from oddgan.kit import registry


def test_a_taken_name_is_refused():
    with pytest.raises(ParameterError, match=r"GANomaly: the name is taken by the detector in oddgan\.detectors\.gano"):
        type("GANomaly", (PCA,), {"__module__": "elsewhere"})
    with pytest.raises(ParameterError, match="the name is taken"):
        type("knn", (PCA,), {"__module__": "elsewhere"})  # names are the same in any case
    assert detectors.get("ganomaly") is oddgan.GANomaly


def test_a_class_of_ones_own_may_be_defined_anew_and_no_other_takes_its_name():
    type("Mine", (PCA,), {"__module__": "notebook"})
    again = type("Mine", (PCA,), {"__module__": "notebook"})
    assert detectors.get("mine") is again
    with pytest.raises(ParameterError, match="taken by the detector in notebook"):
        type("Mine", (PCA,), {"__module__": "another"})


def test_an_unknown_name_says_what_to_do(tmp_path, table):
    with pytest.raises(ParameterError, match=r"'nonsense' is unknown; there are adgan, .*import its module first"):
        detectors.get("nonsense")
    cls = type("Gone", (PCA,), {"__module__": "gone"})
    testing.small(cls).fit(table).save(tmp_path / "gone.oddgan")
    registry._classes.pop("gone")
    with pytest.raises(ArtifactError, match=r"gone\.oddgan: detector 'Gone' is unknown.*import its module first"):
        oddgan.load(tmp_path / "gone.oddgan")


def test_bases_are_no_detectors():
    for name in ("Detector", "NeuralDetector", "EstimatorDetector", "Recipe"):
        with pytest.raises(ParameterError, match="unknown"):
            detectors.get(name)


def test_detectors_of_other_packages_are_found_by_their_entry_points(tmp_path, table, monkeypatch):
    (tmp_path / "foreign_package.py").write_text(
        "from oddgan.kit import detector\nfrom oddgan.detectors.pca import PCA\n\n@detector\nclass Foreign(PCA):\n"
        '    """A detector of another package."""\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("foreign", "foreign_package:Foreign", registry.GROUP)
    monkeypatch.setattr(registry, "_entry_points", lambda: {"foreign": point})
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    assert "foreign" in detectors.names()
    with pytest.raises(ParameterError, match="taken by the detector in foreign_package"):
        type("Foreign", (PCA,), {"__module__": "elsewhere"})
    fitted = testing.small(detectors.get("foreign")).fit(table)
    fitted.save(tmp_path / "m.oddgan")
    assert type(oddgan.load(tmp_path / "m.oddgan")).__module__ == "foreign_package"


def test_every_name_of_the_kit_is_there():
    for name in kit.__all__:
        assert getattr(kit, name) is not None
    assert set(kit.__all__) <= set(dir(kit))
    with pytest.raises(AttributeError):
        _ = kit.nonsense


def test_a_detectors_docstring_documents_its_parameters():
    doc = oddgan.GANomaly.__doc__
    for section in ("\nParameters\n----------\n", "\nOther Parameters\n----------------\n"):
        assert doc.count(section) == 1
    for name in oddgan.GANomaly._get_param_names():
        assert f"\n{name} : " in doc
    assert "latent_dim : int or None, default None\n    Size of z" in doc
