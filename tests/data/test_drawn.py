"""Sets that oddgan draws: the same bits everywhere, exact masks, and a mean grey level that says nothing."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from oddgan.data import Pictures, datasets, labelled, load, rows, write
from oddgan.data.drawn import DRAWN
from oddgan.data.drawn.dice import Dice, even, step
from oddgan.data.drawn.flows import ATTACKS, COLUMNS
from oddgan.data.drawn.tissue import KINDS as LESIONS
from oddgan.data.drawn.tissue import section
from oddgan.data.drawn.washers import KINDS as DEFECTS
from oddgan.data.drawn.washers import washer
from oddgan.errors import DataError, OutputError
from oddgan.metrics import auroc


def digest(*arrays: np.ndarray) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def test_the_bits_never_change() -> None:
    assert (
        digest(*[part for i, kind in enumerate(("good", *DEFECTS)) for part in washer(i, kind)]) == "86dd844c615db434"
    )
    assert (
        digest(*[part for i, kind in enumerate(("good", *LESIONS)) for part in section(i, kind)]) == "e46f6033b3c8fa78"
    )
    held = labelled("flows")
    assert digest(held.rows.values, held.classes.astype("U20")) == "c28614fa2492d96b"  # type: ignore[union-attr]


def test_draws() -> None:
    first, again = Dice(5, 1), Dice(5, 1)
    assert np.array_equal(first.normal((3, 4)), again.normal((3, 4)))
    assert not np.array_equal(Dice(5, 2).normal(4), Dice(5, 1).normal(4))
    many = Dice(5).normal(100_000)
    assert abs(many.mean()) < 0.02
    assert many.std() == pytest.approx(1, abs=0.02)
    inside = Dice(6).uniform(2, 3, 100_000)
    assert inside.min() >= 2
    assert inside.max() < 3
    assert inside.mean() == pytest.approx(2.5, abs=0.01)
    shares = np.unique(Dice(7).chosen(["a", "b"], [3, 1], 10_000), return_counts=True)[1] / 10_000
    assert shares == pytest.approx([0.75, 0.25], abs=0.02)
    assert step(np.array([-1.0, 0.0, 1.0])).tolist() == [1.0, 0.5, 0.0]
    angles = np.array([-np.pi, np.pi])
    assert np.ptp(Dice(8).waves(angles, 5)) < 1e-9  # periodic
    assert np.diff(sorted(even(i) for i in range(100, 150))).max() < 0.04  # of any 50 in a row


@pytest.mark.parametrize("kind", DEFECTS)
def test_a_defects_mask_is_what_was_drawn(kind: str) -> None:
    """The same part without the defect differs inside the mask alone, but for what nobody sees."""
    for number in range(3):
        (marked, mask), (plain, none) = washer(number, kind), washer(number)
        change = np.abs(marked.astype(int) - plain).max(axis=2)
        assert change[~mask].max() <= 7  # VISIBLE times the strongest lamp, and rounding
        assert change[mask].min() >= 1
        assert 20 < mask.sum() < 1_000
        assert not none.any()


@pytest.mark.parametrize("kind", LESIONS)
def test_a_lesions_mask_is_what_was_drawn(kind: str) -> None:
    for number in range(3):
        (marked, mask), (plain, none) = section(number, kind), section(number)
        change = np.abs(marked.astype(int) - plain)
        assert change[~mask].mean() < 0.5
        assert change[mask].mean() > 10
        assert 20 < mask.sum() < 600
        assert not none.any()


@pytest.mark.parametrize(
    ("name", "kinds", "train", "good"), [("washers", DEFECTS, 200, 40), ("tissue", LESIONS, 400, 60)]
)
def test_the_mean_grey_level_tells_nothing(name: str, kinds: tuple[str, ...], train: int, good: int) -> None:
    split = load(name)
    assert len(split.train) == train  # type: ignore[arg-type]
    assert split.labels is not None
    assert int((~split.labels).sum()) == good
    assert set(split.kinds or ()) == {"good", *kinds}
    assert split.masks is not None
    assert [bool(mask.any()) for mask in split.masks if mask is not None] == split.labels.tolist()
    assert isinstance(split.test, np.ndarray)
    greys = split.test.reshape(len(split.test), -1)
    assert auroc(split.labels, greys.mean(axis=1)) == pytest.approx(0.5, abs=0.1)
    assert auroc(split.labels, greys.std(axis=1)) == pytest.approx(0.5, abs=0.1)
    assert rows(name).shape == split.test.shape  # type: ignore[union-attr]
    info = next(one for one in datasets() if one.name == name)
    held = labelled(name)
    assert (info.found, info.rows, info.shape) == (True, len(held.rows), held.rows.shape[1:])
    assert not held.rows.flags.writeable  # type: ignore[union-attr]


def test_other_classes_may_be_normal() -> None:
    split = load("tissue", anomaly={"fluid"})
    assert split.labels is not None
    assert int(split.labels.sum()) == 20
    assert split.masks is not None
    assert [bool(np.any(mask)) for mask in split.masks] == split.labels.tolist()
    assert len(load("tissue", all_rows=True).test) == 520  # type: ignore[arg-type]


def test_pictures_are_written_as_a_folder(tmp_path: Path) -> None:
    place = tmp_path / "sections"
    write("tissue", place)
    by_name, by_path = load("tissue"), load(str(place))
    assert "MVTec AD layout: 400 normal for training, 120 for test (60 anomalous, 3 kinds, masks)" in by_path.note
    assert isinstance(by_path.train, Pictures)
    assert np.array_equal(by_path.train[399], by_name.train[399])  # type: ignore[index]
    assert isinstance(by_path.test, Pictures)
    assert by_path.masks is not None
    assert by_name.masks is not None
    for kind in LESIONS:
        here, there = (split.kinds.index(kind) for split in (by_path, by_name))  # type: ignore[union-attr]
        assert np.array_equal(by_path.test[here], by_name.test[there])  # type: ignore[index]
        assert np.array_equal(by_path.masks[here], by_name.masks[there])  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="is there already"):
        write("tissue", place)
    with pytest.raises(DataError, match="digits: is not drawn by oddgan"):
        write("digits", tmp_path / "digits")


def test_flows_are_written_as_a_table(tmp_path: Path) -> None:
    """By name and by file the same rows are for training."""
    with pytest.raises(OutputError, match=r"ends in \.csv"):
        write("flows", tmp_path / "flows")
    write("flows", tmp_path / "flows.csv")
    by_name, by_path = load("flows"), load(tmp_path / "flows.csv", label="class", normal={"benign"})
    for part in ("train", "test"):
        ours, theirs = getattr(by_name, part), getattr(by_path, part)
        assert ours.columns == theirs.columns == COLUMNS
        assert ours.kinds == theirs.kinds
        for column in COLUMNS:
            assert ours.column(column).tolist() == theirs.column(column).tolist()
    assert by_name.kinds == by_path.kinds
    assert set(by_name.kinds or ()) == {"benign", *ATTACKS}


def test_no_single_column_tells_attacks_apart() -> None:
    split = load("flows")
    for i, kind in enumerate(split.test.kinds):  # type: ignore[union-attr]
        if kind == "number":
            found = auroc(split.labels, split.test.values[:, i])  # type: ignore[union-attr,arg-type]
            assert 0.25 < found < 0.75, COLUMNS[i]


def test_every_drawn_set_is_in_the_catalogue() -> None:
    assert {one.name for one in datasets() if one.where == "oddgan"} == DRAWN
