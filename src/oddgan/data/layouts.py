"""Recognise the layout of a folder of pictures.

    flat            pictures directly inside: all of them normal
    MVTec AD        train/good  test/good  test/KIND ...  ground_truth/KIND/NAME_mask.png
    train and test  train/0.normal  test/0.normal  test/1.abnormal
    by name         normal/, good/ or OK/, and abnormal/, bad/, NG/, anomaly/, defect/, with kinds as subfolders
    by class        any subfolders, where the caller says which classes are normal: some of them, or all

Masks are in ground_truth/, masks/ or beside their pictures (see `oddgan.data.mask_folders`), under the picture's name
or as NAME_mask, in folders like the pictures' or in none. A name may end in _dir, as normal_dir/, mask_dir/. Case does
not matter. A folder that only contains one of these layouts is recognised too.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..rows.masks import MASKS, without_masks
from ..rows.picture_files import Pictures, Progress
from ..rows.places import grouped, joined
from ..rows.scan import scan
from .layout_errors import UNDERSTOOD, check_one_set, flags, listed, not_understood
from .mask_folders import below as below_inside
from .mask_folders import check_are_pictures, split_masks
from .masks import Masks, check_sizes, match_masks, placed, stem_of
from .split import Split, counts, normal_classes

NORMAL = frozenset({"normal", "normals", "good", "ok"})
ANOMALOUS = frozenset(
    {
        *{"abnormal", "abnormals", "bad", "nok", "ng", "odd", "anomaly", "anomalies", "anomalous"},
        *{"defect", "defects", "defective", "faulty"},
    }
)
PARTS = frozenset({"train", "test"}) | MASKS
KNOWN = NORMAL | ANOMALOUS | {"train", "test"}

TEST_SHARE = 0.2
"""The share of normal/ that is held out for the test where the folder has no test part."""


@dataclass
class _Parts:
    """What a layout says about each picture, by its path below the folder."""

    layout: str
    train: Sequence[str] = ()
    test: dict[str, str] = field(default_factory=dict)  # picture: kind
    anomalous: set[str] = field(default_factory=set)  # those of `test` that are anomalous
    inside: str = ""  # the folder that the masks' paths mirror
    remarks: list[str] = field(default_factory=list)


def load_folder(
    root: Path,
    name: str,
    normal: Collection[str] | None = None,
    anomaly: Collection[str] | None = None,
    *,
    all_rows: bool = False,
    channels_from: Sequence[str] = (),
) -> Split:
    """The pictures below `root`, divided as its layout says. `all_rows`: all of them are for the test. `channels_from`:
    see `Pictures.grouped`. Raises `DataError` for an unknown or ambiguous layout."""
    found = scan(root)
    places: dict[str, str] = {}
    if channels_from:
        kept = without_masks(found.pictures)
        files = grouped(kept, channels_from, str(root))
        places = {name: joined(str(root / name), [str(root / one) for one in parts]) for name, parts in files.items()}
        found.pictures = sorted([*files, *set(found.pictures).difference(kept)])
    if not found.pictures:
        held = f"only {found.ignored()}" if found.others else "nothing"
        raise DataError(f"{root}: no pictures here, {held}; give a folder with PNG, JPEG, BMP, TIFF or WebP pictures")
    chosen = normal is not None or anomaly is not None
    classes = {one.strip() for names in (normal, anomaly) for name in _names(names) for one in [name, *name.split(",")]}
    classes = {_lower(name) for name in classes if name}
    pictures, truth = split_masks(root, found.pictures, classes, lambda top: _plain(top) in KNOWN)
    if not pictures:
        raise DataError(f"{root}: masks and no pictures; put normal pictures into train/good")
    base, groups, direct = _see_through(pictures, classes)
    where = str(root / base) if base else str(root)
    every = classes == {"all"} and not anomaly and "all" not in groups
    if not direct and (every or not chosen):
        check_one_set(where, base, groups)
    if {"train", "test"} & groups.keys() and not direct:
        parts = _train_and_test(where, base, groups, normal, anomaly, all_rows)
    elif every:
        parts = _Parts("folders by class, all of them normal" if groups else "flat folder", train=pictures)
    elif not direct and (chosen or (NORMAL | ANOMALOUS) & {_plain(top) for top in groups}):
        parts = _by_name(where, base, groups, normal, anomaly, all_rows)
    elif direct and not groups and not chosen:
        parts = _Parts("flat folder", train=direct)
    else:
        raise not_understood(where, groups, direct, chosen)
    if all_rows:
        parts = _whole(parts, base)
    elif len(parts.train) < 2 and groups.keys() != {"test"}:
        raise DataError(f"{where}: too few normal pictures for training ({len(parts.train)}); add some")
    if parts.anomalous:
        check_are_pictures(root, found.others)
    return _split(root, name, where, base, parts, truth, found.ignored(), places)


def without_unreadable(split: Split, progress: Progress | None = None) -> Split:
    """`split` without the pictures that cannot be used, which `skipped` then names: those that cannot be read, and
    those of another depth or number of channels than most training pictures. Decodes all, in threads."""
    train, test, masks = split.train, split.test, split.masks
    skipped: list[tuple[str, str]] = []
    usual = _usual(next((part for part in (train, test) if isinstance(part, Pictures)), None))
    if isinstance(train, Pictures):
        bad = dict(train.find_unreadable(progress=progress))
        bad |= _unlike(train, usual, bad)
        skipped += [(train.name(i), reason) for i, reason in sorted(bad.items())]
        train = train.subset([i for i in range(len(train)) if i not in bad])
        if len(train) < 2:
            raise DataError(f"{split.name}: {len(bad)} of {len(train) + len(bad)} normal pictures cannot be used")
    keep = None
    if isinstance(test, Pictures):
        bad = dict(masks.find_unreadable()) if isinstance(masks, Masks) else {}
        bad |= dict(test.find_unreadable(progress=progress))
        bad |= _unlike(test, usual, bad)
        skipped += [(test.name(i), reason) for i, reason in sorted(bad.items())]
        keep = [i for i in range(len(test)) if i not in bad]
        test = test.subset(keep)
    if not skipped:
        return split
    return replace(
        split,
        train=train,
        test=test,
        labels=split.labels if split.labels is None or keep is None else split.labels[keep],
        kinds=split.kinds if split.kinds is None or keep is None else tuple(split.kinds[i] for i in keep),
        masks=masks.subset(keep) if isinstance(masks, Masks) and keep is not None else masks,
        note=f"{split.note}; of these unusable and skipped: {len(skipped):,}",
        skipped=tuple(skipped),
    )


def _usual(pictures: Pictures | None) -> tuple[int, str] | None:
    """The number of channels and the type that most of these pictures have, by their headers."""
    if pictures is None:
        return None
    found = [head for head in map(pictures.try_header, range(len(pictures))) if head is not None]
    return Counter((head[2], head[3]) for head in found).most_common(1)[0][0] if found else None


def _unlike(pictures: Pictures, usual: tuple[int, str] | None, known: Collection[int]) -> dict[int, str]:
    """Why pictures that differ from the usual ones cannot be used, by number; without those that are `known` to be
    unusable."""
    found = {}
    for i in range(len(pictures)):
        head = None if i in known else pictures.try_header(i)
        if usual is not None and head is not None and (head[2], head[3]) != usual:
            found[i] = (
                f"it is {head[3]} with {head[2]} channel{'s' * (head[2] > 1)}, and most training pictures are "
                f"{usual[1]} with {usual[0]}"
            )
    return found


def _see_through(pictures: Sequence[str], classes: set[str]) -> tuple[str, dict[str, list[str]], list[str]]:
    """(the folder around it all, pictures by the lower-case name of their top folder, pictures in none)."""
    base = ""
    while True:
        groups: dict[str, list[str]] = {}
        direct = []
        for path in pictures:
            top, slash, _ = path[len(base) :].partition("/")
            if slash:
                groups.setdefault(_lower(top), []).append(path)
            else:
                direct.append(path)
        if direct or len(groups) > 1 or any(_plain(top) in NORMAL | ANOMALOUS | PARTS | classes for top in groups):
            return base, groups, direct
        base += pictures[0][len(base) :].partition("/")[0] + "/"


def _train_and_test(
    where: str,
    base: str,
    groups: Mapping[str, list[str]],
    normal: Collection[str] | None,
    anomaly: Collection[str] | None,
    all_rows: bool,
) -> _Parts:
    chosen = normal is not None or anomaly is not None
    inside = {part: _by_top(groups.get(part, ()), f"{base}{part}/") for part in ("train", "test")}
    is_normal = _judge(where, {top for tops in inside.values() for top in tops if top}, normal, anomaly)
    parts = _Parts("MVTec AD layout" if "good" in inside["train"] else "train/test layout", inside=f"{base}test/")
    train = inside["train"]
    if not train:
        parts.layout = "test part alone"
    elif set(train) == {""}:
        parts.train = train[""]  # pictures directly in train/: all normal
    elif "" in train:
        raise DataError(f"{where}: train/ holds pictures and folders of pictures; move all of them into train/good")
    else:
        parts.train = [path for top, paths in train.items() if is_normal(top) for path in paths]
        if not parts.train:
            raise DataError(f"{where}: train/ holds {listed(train)} and no normal pictures; name them train/good")
        if left := [f"train/{top}" for top in train if not is_normal(top)]:
            parts.remarks.append(f"{listed(left)} not used")
    if "" in inside["test"]:
        raise DataError(
            f"{where}: pictures directly in test/ may be normal or anomalous; move them into test/good or test/KIND"
        )
    if chosen and not all_rows and all(is_normal(top) for tops in inside.values() for top in tops if top):
        parts.remarks.append("every class is normal, test/ not used")
        return parts
    for top, paths in inside["test"].items():
        called = paths[0][len(parts.inside) :].partition("/")[0]  # as it is written, in upper or lower case
        parts.test |= dict.fromkeys(paths, "good" if is_normal(top) and not chosen else called)
        if not is_normal(top):
            parts.anomalous.update(paths)
    if unused := [top for top in groups if top not in PARTS]:
        parts.remarks.append(f"{listed(unused)} not used")
    return parts


def _by_name(
    where: str,
    base: str,
    groups: Mapping[str, list[str]],
    normal: Collection[str] | None,
    anomaly: Collection[str] | None,
    all_rows: bool,
) -> _Parts:
    chosen = normal is not None or anomaly is not None
    if not chosen and (strange := [top for top in groups if _plain(top) not in NORMAL | ANOMALOUS]):
        raise DataError(
            f"{where}: beside {listed(groups.keys() - set(strange))} there is {listed(strange)}, which may be normal "
            f"or anomalous; move kinds of defects into abnormal/, or name the normal folders "
            f"({flags([top for top in groups if _plain(top) in NORMAL])}); {UNDERSTOOD}"
        )
    is_normal = _judge(where, set(groups), normal, anomaly)
    parts = _Parts("folders by class" if chosen else "normal and abnormal folders", inside=base)
    if chosen and all(map(is_normal, groups)):
        parts.layout = "folders by class, all of them normal"
        parts.train = [path for paths in groups.values() for path in paths]
        return parts
    good = {path: _after_top(path, base) for top, paths in groups.items() if is_normal(top) for path in paths}
    if not good and not all_rows:
        raise DataError(f"{where}: {listed(groups)} but no normal pictures; put them into normal/")
    held = _held_out(good) if good else set()
    parts.train = [path for path in good if path not in held]
    for top, paths in groups.items():
        for path in paths:
            if not is_normal(top):
                parts.anomalous.add(path)
                kind, slash, _ = _after_top(path, base).partition("/")
                parts.test[path] = kind if slash and not chosen else path[len(base) :].partition("/")[0]
            elif path in held:
                parts.test[path] = path[len(base) :].partition("/")[0] if chosen else "good"
    parts.remarks.append(f"a fixed {TEST_SHARE:.0%} of the normals is held out for the test")
    return parts


def _judge(
    where: str, tops: set[str], normal: Collection[str] | None, anomaly: Collection[str] | None
) -> Callable[[str], bool]:
    """Whether a folder of this name holds normal pictures."""
    if normal is None and anomaly is None:
        return lambda top: _plain(top) in NORMAL

    normals = normal_classes(
        where,
        tops,
        None if normal is None else [_lower(name) for name in _names(normal)],
        None if anomaly is None else [_lower(name) for name in _names(anomaly)],
    )
    return lambda top: top in normals


def _lower(name: str) -> str:
    """In lower case, with composed accents, as systems differ in both."""
    return unicodedata.normalize("NFC", name).lower()


def _names(given: Collection[str] | None) -> list[str]:
    """One name, several or none."""
    return [] if given is None else [given] if isinstance(given, str) else [str(name) for name in given]


def _held_out(good: Mapping[str, str]) -> set[str]:
    """The normal pictures that are held out for the test, chosen by a hash of each file's name.

    So they stay the same when pictures are added, and on every machine. At least one picture is held out and at least
    one is not, however few there are.
    """
    place = {path: _place(relative) for path, relative in good.items()}
    ordered = sorted(good, key=lambda path: (place[path], path))
    held = {path for path in ordered if place[path] < TEST_SHARE}
    return (held | {ordered[0]}) - {ordered[-1]}


def _place(relative: str) -> float:
    """A number in [0, 1) that depends on the name alone, whether its accents are composed or not."""
    name = unicodedata.normalize("NFC", relative).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(name).digest()[:6], "big") / 2**48


def _whole(parts: _Parts, base: str) -> _Parts:
    """The same with every picture in the test part."""
    kinds = dict.fromkeys(parts.train, "good") | parts.test
    if parts.layout.startswith("folders by class"):
        kinds = {path: path[len(base) :].partition("/")[0] for path in kinds}
    remarks = [one for one in parts.remarks if "held out" not in one]
    inside = parts.inside if set(parts.test) == set(kinds) else base
    return replace(parts, train=[], test=kinds, inside=inside, remarks=remarks)


def _split(
    root: Path,
    name: str,
    where: str,
    base: str,
    parts: _Parts,
    truth: dict[str, str],
    ignored: str,
    places: Mapping[str, str],
) -> Split:
    def pictures(paths: Iterable[str]) -> Pictures:
        return Pictures((places.get(path, str(root / path)) for path in paths), root=root)

    train = pictures(sorted(parts.train)) if parts.train else None
    paths = sorted(parts.test)
    remarks = [*parts.remarks, ignored]
    if not paths:
        assert train is not None
        remarks = [f"masks not used: {len(truth):,}" if truth else "", *remarks]
        note = "; ".join(filter(None, [f"{parts.layout}: {len(train):,} normal for training, no test part", *remarks]))
        return Split(name=name, train=train, note=note)
    test = pictures(paths)
    if parts.layout == "flat folder":
        note = "; ".join(filter(None, [f"flat folder: {len(test):,} pictures for the test, without labels", ignored]))
        return Split(name=name, train=None, test=test, note=note)
    labels = np.array([path in parts.anomalous for path in paths])
    kinds = tuple(parts.test[path] for path in paths)
    masks = None
    if truth:
        below = {path: path[len(parts.inside) :] for path in paths}
        mirrored = _mirrored(truth, parts, below, where)
        matched = match_masks({below[path]: path in parts.anomalous for path in paths}, list(mirrored), where)
        files = [str(root / mirrored[matched[below[path]]]) if below[path] in matched else None for path in paths]
        masks = Masks(test, files, labels)
        remarks.insert(0, check_sizes(masks, {i: test.name(i) for i in range(len(test))}))
    several = len({kind for kind, anomalous in zip(kinds, labels, strict=True) if anomalous})
    detail = "".join([f", {several} kinds" if several > 1 else "", ", masks" if masks is not None else ""])
    summary = counts(0 if train is None else len(train), labels).removesuffix(")") + detail + ")"
    note = "; ".join(filter(None, [f"{parts.layout}: {summary}", *remarks]))
    return Split(name=name, train=train, test=test, labels=labels, kinds=kinds, masks=masks, note=note)


def _mirrored(truth: Mapping[str, str], parts: _Parts, below: Mapping[str, str], where: str) -> dict[str, str]:
    """The masks by the paths of their pictures below the folder of pictures; masks of training pictures are left
    out."""
    known = {below[path]: path in parts.anomalous for path in below}
    trained = {path[len(parts.inside) :] if path.startswith(parts.inside) else path: False for path in parts.train}
    ours = {below_inside(key, parts.inside): mask for mask, key in truth.items()}
    at = placed(list(ours), {**trained, **known}, where)
    tested, others = {stem_of(path) for path in known}, {stem_of(path) for path in trained}
    kept = {mask: stem for mask, stem in at.items() if stem in tested or stem not in others}
    taken: dict[str, str] = {}
    for mask, stem in kept.items():
        if stem in taken:
            raise DataError(f"{where}: {taken[stem]} and {mask} are masks of one picture; remove one of them")
        taken[stem] = mask
    return {f"{stem}.mask" if stem in tested else mask: ours[mask] for stem, mask in taken.items()}


def _by_top(paths: Iterable[str], prefix: str) -> dict[str, list[str]]:
    """Pictures by the lower-case folder below `prefix`, whose case is ignored; "" for pictures in no folder."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        top, slash, _ = path[len(prefix) :].partition("/")
        groups.setdefault(_lower(top) if slash else "", []).append(path)
    return groups


def _after_top(path: str, base: str) -> str:
    return path[len(base) :].partition("/")[2]


def _plain(top: str) -> str:
    """ "0.normal", "1_abnormal", "normal_dir" and "Good" without their number and "dir", in lower case."""
    return re.sub(r"[._ -]+dirs?$", "", re.sub(r"^\d+[._ -]+", "", _lower(top)))
