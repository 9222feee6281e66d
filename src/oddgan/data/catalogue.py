"""What is known about the data sets that have a name: `catalogue.toml`, checked and typed."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

Test = Literal["published", "fifth of normals", "half of normals", "half of rows"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One data set. The head of `catalogue.toml` explains the fields."""

    kind: str
    rows: int
    shape: tuple[int, ...]
    licence: str
    test: Test
    library: str | None = None
    home: str = ""
    files: str = ""
    urls: tuple[str, ...] = ()
    folder: str | None = None
    package: str | None = None
    normal: tuple[str, ...] | None = None
    anomaly: tuple[str, ...] | None = None
    how: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    anomalies: int = 0
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


def _read() -> dict[str, Entry]:
    text = resources.files(__package__).joinpath("catalogue.toml").read_text("utf-8")

    def frozen(value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    return {
        name: Entry(**{key: frozen(value) for key, value in facts.items()})
        for name, facts in tomllib.loads(text).items()
    }


CATALOGUE = _read()
"""All data sets that have a name, in the order in which they are listed."""
