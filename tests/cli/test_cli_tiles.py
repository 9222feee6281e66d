"""Pictures larger than the network, from the command line: train, score with maps, evaluate."""

import csv
import json

import numpy as np
import pytest
from cli_small import SMALL, picture, pixels
from PIL import Image

import oddgan as library


@pytest.fixture
def parts(tmp_path):
    """12 pictures of three sizes to train on; 3 good ones and 3 with a spot to test, and masks of the spots."""
    for part, count in (("train/good", 12), ("test/good", 3), ("test/spot", 3)):
        for i in range(count):
            shown = np.tile(picture(100 * len(part) + i), (4, 5 + i % 3))
            mask = np.zeros_like(shown)
            mask[20:24, 30:34] = 255
            if part == "test/spot":
                save(tmp_path / "parts/ground_truth/spot" / f"{i}_mask.png", mask)
                shown[mask > 0] = 255
            save(tmp_path / "parts" / part / f"{i}.png", shown)
    return tmp_path / "parts"


def save(path, shown):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(shown).save(path)


def test_tiles_from_training_to_evaluation(oddgan, parts, tmp_path):
    trained = oddgan("train", parts, "--tile", 32, "--stride", 16, "--top-tiles", 2, "-o", "m", *SMALL)
    assert trained.code == 0, trained.err
    assert "tiles of 32x32, one every 16, of pictures of any size -> 32x32 grey" in trained.out + trained.err
    det = library.load(tmp_path / "m", device="cpu")
    assert (det.tile, det.stride, det.top_tiles) == (32, 16, 2)

    scored = oddgan("score", "m", parts / "test", "--maps", "maps", "-o", "scores.csv")
    assert scored.code == 0, scored.err
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = det.explain([pixels(parts / "test" / row["path"]) for row in rows])
    assert [row["score"] for row in rows] == [f"{score:.9g}" for score in expected.score]
    assert [row["p_value"] for row in rows] == [f"{p:.9g}" for p in expected.p_value]
    for row in rows:
        assert pixels(tmp_path / "maps" / row["path"]).shape[:2] == pixels(parts / "test" / row["path"]).shape

    judged = oddgan("evaluate", "m", parts, "--json", "r.json", "--report", "r.html")
    assert judged.code == 0, judged.err
    assert json.loads((tmp_path / "r.json").read_text())["pixel"]["pixel_auroc"] is not None


def test_a_picture_smaller_than_a_tile_is_named(oddgan, parts):
    save(parts / "train/good/small.png", picture(0))
    ran = oddgan("train", parts, "--tile", 32, "-o", "m", *SMALL)
    assert ran.code == 2
    assert "small.png: 16x12 pixels, which is smaller than a tile of 32x32" in ran.complaint
