"""Flows through a network's gateway, as its log has them: numbers, categories and four kinds of attack, drawn."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .dice import Dice

if TYPE_CHECKING:
    from ...rows.tables import TableRows

NORMAL = "benign"
BENIGN, EACH = 2_500, 60
NUMBERS = ("duration", "bytes_out", "bytes_in", "packets_out", "packets_in", "recent", "failed_share")
CATEGORIES = ("protocol", "service", "state", "encrypted")
COLUMNS = ("duration", "protocol", "service", "state", "encrypted", *NUMBERS[1:])

Columns = dict[str, NDArray]  # type: ignore[type-arg]

# protocol, share of all flows, share encrypted, median seconds, bytes out, bytes in, recent flows of the host
SERVICES = {
    "https": ("tcp", 0.44, 1.0, 6.0, 2_400, 42_000, 9),
    "http": ("tcp", 0.10, 0.0, 2.0, 700, 14_000, 6),
    "dns": ("udp", 0.25, 0.0, 0.03, 62, 160, 14),
    "mail": ("tcp", 0.08, 0.85, 3.0, 30_000, 1_500, 2),
    "ssh": ("tcp", 0.04, 1.0, 90.0, 9_000, 24_000, 1),
    "ntp": ("udp", 0.05, 0.0, 0.04, 48, 48, 1),
    "ping": ("icmp", 0.04, 0.0, 0.02, 84, 84, 2),
}
ENDS = {
    "tcp": (("closed", "reset", "refused", "open"), (0.93, 0.03, 0.02, 0.02)),
    "other": (("done", "silent"), (49, 1)),
}


def flows() -> "tuple[TableRows, NDArray[np.str_]]":
    """2,740 flows of 11 columns; the classes are `benign` (2,500) and the attacks, 60 each, mixed."""
    from ...rows.tables import TableRows

    parts = [
        _benign(Dice(443, 0), BENIGN),
        *[attack(Dice(443, i), EACH) for i, attack in enumerate(ATTACKS.values(), 1)],
    ]
    kinds = np.repeat([NORMAL, *ATTACKS], [BENIGN, *[EACH] * len(ATTACKS)]).astype(np.str_)
    order = np.argsort(Dice(443, 99).uniform(0, 1, len(kinds)), kind="stable")
    columns = {name: np.concatenate([part[name] for part in parts])[order] for name in COLUMNS}
    values = np.empty((len(kinds), len(COLUMNS)))
    texts: list[tuple[str, ...]] = []
    for i, name in enumerate(COLUMNS):
        known: tuple[str, ...] = ()
        found = columns[name]
        if name in CATEGORIES:
            first = np.unique(found, return_index=True)[1]
            known = tuple(found[np.sort(first)].tolist())
            found = np.array([known.index(value) for value in found.tolist()], float)
        values[:, i] = found
        texts.append(known)
    kinds_of = tuple("category" if name in CATEGORIES else "number" for name in COLUMNS)
    return TableRows(values, COLUMNS, kinds_of, tuple(texts)), kinds[order]  # type: ignore[arg-type]


def _spread(dice: Dice, middle: NDArray[np.float64] | float, size: float, n: int) -> NDArray[np.float64]:
    return middle * np.exp(size * dice.normal(n))


def _benign(dice: Dice, n: int) -> Columns:
    services = list(SERVICES)
    service = dice.chosen(services, [SERVICES[one][1] for one in services], n)
    protocol = np.array([SERVICES[one][0] for one in service.tolist()])
    facts = np.array([SERVICES[one][2:] for one in service.tolist()], float)
    state = np.where(protocol == "tcp", dice.chosen(*ENDS["tcp"], n), dice.chosen(*ENDS["other"], n))
    busy = dice.normal(n)  # a longer flow carries more, and more both ways
    duration = _spread(dice, facts[:, 1] * np.exp(0.7 * busy), 0.5, n)
    out, back = (_spread(dice, facts[:, i] * np.exp(0.6 * busy), 0.35, n) for i in (2, 3))
    fixed = np.isin(service, ["ntp", "ping"])
    out, back = np.where(fixed, facts[:, 2], out), np.where(fixed, facts[:, 3], back)
    broken = np.isin(state, ["refused", "silent"])
    recent = np.rint(_spread(dice, facts[:, 4], 0.5, n))
    failed = np.where(dice.uniform(0, 1, n) < 0.12, dice.uniform(0, 0.3, n), 0.0)
    return _finished(
        dice,
        service=service,
        protocol=protocol,
        state=state,
        encrypted=np.where(dice.uniform(0, 1, n) < facts[:, 0], "yes", "no"),
        duration=np.where(broken, duration * 0.01, duration),
        bytes_out=np.where(broken, 60.0, out),
        bytes_in=np.where(broken, 0.0, back),
        recent=recent,
        failed_share=failed,
    )


def _finished(dice: Dice, **columns: NDArray) -> Columns:  # type: ignore[type-arg]
    """With whole bytes and the packets that carry them, and shares of two digits."""
    n = len(columns["duration"])
    columns["duration"] = np.round(columns["duration"], 3)
    columns["failed_share"] = np.round(columns["failed_share"], 2)
    for way in ("out", "in"):
        size = columns[f"bytes_{way}"] = np.rint(columns[f"bytes_{way}"])
        columns[f"packets_{way}"] = np.where(size > 0, 1 + np.rint(size / _spread(dice, 900, 0.15, n)), 0)
    return columns


def _like(dice: Dice, n: int, usual: str, **changed: NDArray) -> Columns:  # type: ignore[type-arg]
    """Benign flows of the `usual` service, but for what an attack changes."""
    many = _benign(dice, 60 * n)
    rows = np.flatnonzero((many["service"] == usual) & np.isin(many["state"], ["closed", "done"]))[:n]
    columns = {name: found[rows] for name, found in many.items() if not name.startswith("packets")}
    return _finished(dice, **{**columns, **changed})


def _port_scan(dice: Dice, n: int) -> Columns:
    """Many short attempts, most of them refused."""
    refused = dice.uniform(0, 1, n) < 0.8
    return _like(
        dice,
        n,
        "http",
        service=dice.chosen(["http", "ssh", "mail", "https"], [3, 3, 2, 2], n),
        state=np.where(refused, "refused", "reset"),
        duration=_spread(dice, 0.01, 0.8, n),
        bytes_out=np.full(n, 60.0),
        bytes_in=np.where(refused, 0.0, 60.0),
        recent=np.rint(_spread(dice, 22, 0.6, n)),
        failed_share=dice.uniform(0.25, 1, n),
    )


def _brute_force(dice: Dice, n: int) -> Columns:
    """Log-ins one after the other: each is an ordinary session of ssh, but short and one of many."""
    return _like(
        dice,
        n,
        "ssh",
        duration=_spread(dice, 4.0, 0.5, n),
        bytes_out=_spread(dice, 1_900, 0.15, n),
        bytes_in=_spread(dice, 2_300, 0.15, n),
        recent=np.rint(_spread(dice, 7, 0.6, n)),
    )


def _exfiltration(dice: Dice, n: int) -> Columns:
    """More goes out than comes in, by a service that is used the other way."""
    return _like(dice, n, "https", bytes_out=_spread(dice, 60_000, 0.9, n), bytes_in=_spread(dice, 5_000, 0.6, n))


def _tunnel(dice: Dice, n: int) -> Columns:
    """Name queries that carry something else: longer than names are."""
    return _like(
        dice,
        n,
        "dns",
        bytes_out=_spread(dice, 480, 0.35, n),
        bytes_in=_spread(dice, 900, 0.4, n),
        recent=np.rint(_spread(dice, 30, 0.4, n)),
    )


ATTACKS: dict[str, Callable[[Dice, int], Columns]] = {
    "port scan": _port_scan,
    "brute force": _brute_force,
    "exfiltration": _exfiltration,
    "tunnel": _tunnel,
}
