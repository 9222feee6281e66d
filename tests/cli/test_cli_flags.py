"""What flags say: a value, "none", or nothing."""

import numpy as np
import pytest

import oddgan as package
from oddgan import data
from oddgan.cli.flags import parsed


def test_none_is_a_value_and_a_missing_flag_is_not():
    given = {"tile": "none", "size": None, "stride": "none", "latent_dim": "7", "exposure": "none"}
    assert parsed(package.GANomaly, given) == {"tile": None, "stride": None, "latent_dim": 7, "exposure": "none"}


@pytest.fixture
def unlike(tmp_path):
    """Pictures that are unlike each other, which are recommended to be looked at in tiles."""
    blocks = np.random.default_rng(0).integers(0, 256, (8, 16, 16), dtype=np.uint8)
    np.save(tmp_path / "x.npy", blocks.repeat(8, 1).repeat(8, 2))
    return tmp_path / "x.npy"


@pytest.mark.parametrize(("words", "tile"), [((), 64), (("--tile", "none"), None), (("--tile=32",), 32)])
@pytest.mark.filterwarnings("ignore::oddgan.cautions.DataWarning")
def test_whole_pictures_may_be_asked_for(oddgan, unlike, tmp_path, words, tile):
    assert package.recommended(data.rows(unlike)).tile == 64
    small = ("--updates", "2", "--width", "4", "--batch-size", "2", "--threads", "1")
    ran = oddgan("train", unlike, *small, *words, "-o", "m.oddgan")
    assert ran.code == 0, ran.err
    det = package.load(tmp_path / "m.oddgan")
    assert (type(det), det.tile) == (package.DRAEM, tile)
