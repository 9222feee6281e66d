"""The result file of the speed suite: an entry for each work, by name."""

import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parents[1] / "results" / "speed.json"


def read(path: Path = RESULTS) -> dict[str, dict]:
    """The entries of a result file by the name of the work; none where there is no file."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def write(path: Path, entries: dict[str, dict]) -> None:
    """Write the result file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(dict(sorted(entries.items())), indent=1, ensure_ascii=False) + "\n", "utf-8")
    part.replace(path)
