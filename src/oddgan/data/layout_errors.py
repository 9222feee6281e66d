"""What is said of folders of pictures whose layout is not understood."""

import shlex
from collections.abc import Collection, Iterable, Mapping

from ..errors import DataError

UNDERSTOOD = (
    "understood are: pictures directly inside (all normal), train/good with test/good and test/KIND, "
    "or normal/ with abnormal/"
)

MOST_NAMED = 4  # folders that a message proposes as classes by name


def listed(tops: Iterable[str]) -> str:
    """ "bad/, good/ and 3 more"."""
    names = sorted(tops)
    return ", ".join(f"{top}/" for top in names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def flags(tops: Collection[str]) -> str:
    """The words of a command that make these folders the normal ones."""
    if len(tops) > MOST_NAMED:
        return "--normal NAME,..."
    if any("," in top for top in tops):
        return " ".join(f"--normal {shlex.quote(top)}" for top in sorted(tops))
    return f"--normal {shlex.quote(','.join(sorted(tops)))}"


def not_understood(where: str, groups: Mapping[str, list[str]], direct: list[str], chosen: bool) -> DataError:
    """What to do about a folder with these folders and with pictures directly inside. `chosen`: classes were named."""
    held = [f"{len(direct):,} pictures directly inside"] if direct else []
    held += [listed(groups)] if groups else []
    if chosen and not groups:
        return DataError(f"{where}: {held[0]} have no classes; leave normal and anomaly out")
    if groups and all(top.startswith(("train_", "train-", "test_", "test-")) for top in groups):
        old = min(groups)
        return DataError(
            f"{where}: {held[0]} can be understood in several ways: move {old}/ to {old[:5].rstrip('_-')}/"
            f"{old[5:].lstrip('_-')}, and so on; {UNDERSTOOD}"
        )
    if groups and not direct:
        return DataError(
            f"{where}: {held[0]} can be understood in several ways: say which folders hold normal pictures "
            f"({flags(groups)}, or --normal all if all of them do); {UNDERSTOOD}"
        )
    return DataError(
        f"{where}: {' and '.join(held)} can be understood in several ways: say --normal all if all of them are normal; "
        f"{UNDERSTOOD}"
    )


def check_one_set(where: str, base: str, groups: Mapping[str, list[str]]) -> None:
    """Raise `DataError` where every folder holds a data set of its own, with normal pictures and others."""
    if len(groups) < 2:
        return
    for paths in groups.values():
        inside = {path[len(base) :].split("/")[1].lower() for path in paths if path[len(base) :].count("/") > 1}
        if not any(
            pair <= inside for pair in ({"train", "test"}, {"good", "bad"}, {"normal", "abnormal"}, {"ok", "ng"})
        ):
            return
    first = min(groups.values())[0][len(base) :].partition("/")[0]
    raise DataError(f"{where}: {listed(groups)} are data sets of their own; name one of them, as {where}/{first}")
