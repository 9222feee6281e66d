"""Parameters are declared once; checks, parsing and spelling derive from that."""

import numpy as np
import pytest

import oddgan
from oddgan import detectors
from oddgan.detectors.ganomaly import GANomaly
from oddgan.errors import ParameterError
from oddgan.parameters import declared, spell


@pytest.mark.parametrize("cls", [detectors.get(name) for name in detectors.names()], ids=lambda cls: cls.__name__)
def test_declarations_and_the_constructor_agree(cls):
    defaults = cls().get_params()
    assert set(defaults) == set(declared(cls))
    for name, declaration in declared(cls).items():
        assert declaration.param.help
        declaration.check(defaults[name])
        if defaults[name] is not None:
            text = str(defaults[name]).lower() if isinstance(defaults[name], bool) else str(defaults[name])
            assert declaration.parse(text) == defaults[name]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("size", "64", 64),
        ("size", "64x48", (64, 48)),
        ("size", "none", None),
        ("roi", "none", None),
        ("roi", "1,2,30,40", (1, 2, 30, 40)),
        ("roi", "part.png", "part.png"),
        ("value_range", "0,4095", (0.0, 4095.0)),
        ("lr", "2e-4", 2e-4),
        ("lr", "G=2e-4,D=1e-4", {"G": 2e-4, "D": 1e-4}),
        ("convert", "true", True),
        ("false_alarm_rate", "auto", "auto"),
        ("false_alarm_rate", "0.05", 0.05),
        ("precision", "bfloat16", "bfloat16"),
        ("device", "cuda:1", "cuda:1"),
        ("random_state", "3", 3),
    ],
)
def test_parse(name, text, value):
    assert declared(GANomaly)[name].parse(text) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("size", "64x48x3", "expected a whole number, HEIGHTxWIDTH or none"),
        ("size", "4", "at least 8"),
        ("lr", "G=fast", "expected a number or NAME=NUMBER"),
        ("lr", "G=0.1,G=0.2", "expected a number or NAME=NUMBER"),
        ("ema", "1", "at least 0 and at most 0.99999"),
        ("precision", "float16", "'auto' | 'float32' | 'bfloat16'"),
        ("batch_size", "many", "a whole number"),
        ("convert", "perhaps", "true or false"),
    ],
)
def test_parse_refuses(name, text, message):
    with pytest.raises(ParameterError) as caught:
        declared(GANomaly)[name].parse(text)
    assert message in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dim": 0}, "latent_dim=0: must be at least 1"),
        ({"latent_dim": 2.5}, "latent_dim=2.5: expected a whole number or none"),
        ({"updates": True}, "updates=True"),
        ({"score_by": "latent"}, "score_by='latent': expected 'auto' | 'latent_l1'"),
        ({"lr": {"G": -1.0}}, "lr={'G': -1.0}: must be at least 0"),
        ({"lr": {"G": 1e-3}}, "lr names G but not D"),
        ({"block_size": 48}, "power of two"),
        ({"device": "abacus"}, "device='abacus': not on this machine"),
        ({"random_state": "monday"}, "random_state='monday'"),
        ({"random_state": -1}, "random_state=-1: must be at least 0"),
        ({"false_alarm_rate": 0.0001}, "needs at least 9999 calibration rows and there are"),
        ({"false_alarm_rate": 2}, "false_alarm_rate=2: must be at least 1e-09 and at most 0.999"),
        ({"false_alarm_rate": 0.0}, "must be at least 1e-09"),
        ({"lr": float("nan")}, "lr=nan: must be a finite number"),
        ({"minutes": float("inf")}, "must be a finite number"),
        ({"minutes": 0}, "must be at least 0.001"),
        ({"device": "meta"}, "device='meta': not on this machine"),
        ({"value_range": (3, 3)}, "the first value must be below the second"),
    ],
)
def test_fit_refuses_bad_parameters(changes, message, pictures):
    with pytest.raises(ParameterError) as caught:
        GANomaly(**{"updates": 1, "width": 4, **changes}).fit(pictures)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numpy_numbers_are_numbers(pictures, tmp_path):
    given = {"updates": np.int64(2), "width": np.int32(4), "w_con": np.float32(3), "random_state": np.int64(1)}
    det = GANomaly(**given, lr={"G": np.float64(1e-3), "D": 1e-3}).fit(pictures)
    det.save(tmp_path / "m.oddgan")
    assert oddgan.load(tmp_path / "m.oddgan").get_params() == det.get_params()


def test_spelling():
    assert spell(int | None) == "a whole number or none"
    assert spell(int | tuple[int, int] | None) == "a whole number, HEIGHTxWIDTH or none"
