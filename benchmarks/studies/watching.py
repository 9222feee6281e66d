"""What a look at a watched folder costs once its pictures are done: benchmarks/results/watching.jsonl.

    python -m benchmarks.studies.watching [--pictures 200000]

Files are empty and were all scored, so that a look only lists them and asks the record. Seconds are medians of `LOOKS`;
`restart_seconds` is reading the record when the process starts again, `megabytes` what it takes in memory then.
"""

import argparse
import json
import statistics
import tempfile
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from oddgan.cli.record import Record
from oddgan.cli.watching import Watching

from . import RESULTS, say, versions

FILE = RESULTS / "watching.jsonl"
EACH = 1000  # pictures of a folder
LOOKS = 5


def written(root: Path, record: Path, pictures: int) -> None:
    """Files, and a line of the record for each."""
    with Record(record, "model") as kept:
        for i in range(pictures):
            name = f"{i // EACH:04}/{i:07}.png"
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            about = path.stat()
            kept.add(name, about.st_size, about.st_mtime_ns, [{"score": 1.0, "p_value": 0.5, "verdict": "normal"}])


def measured(pictures: int) -> dict[str, Any]:
    """The line of a folder with so many pictures."""
    stub: Any = SimpleNamespace(how=SimpleNamespace(detector=SimpleNamespace(block_size=64)))
    with tempfile.TemporaryDirectory() as folder:
        root, record = Path(folder) / "pictures", Path(folder) / "results.jsonl"
        root.mkdir()
        written(root, record, pictures)
        began = time.perf_counter()
        with Record(record, "model") as kept:
            restart = time.perf_counter() - began
            assert len(kept) == pictures
            watching, seconds = Watching(root, kept, stub, stub, poll=1.0), []
            for _ in range(LOOKS):
                began = time.perf_counter()
                watching.look(lambda: False)
                seconds.append(time.perf_counter() - began)
        tracemalloc.start()
        with Record(record, "model"):
            held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    return {
        "pictures": pictures,
        "look_seconds": round(statistics.median(seconds), 3),
        "restart_seconds": round(restart, 3),
        "megabytes": round(held / 1e6, 1),
        "versions": versions("python"),
    }


def main() -> None:
    """Measure one size and put its line in place of an older one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=200_000)
    line = measured(parser.parse_args().pictures)
    say(f"{line}")
    older = FILE.read_text("utf-8").splitlines() if FILE.exists() else []
    kept = [one for one in older if json.loads(one)["pictures"] != line["pictures"]]
    FILE.write_text("".join(one + "\n" for one in (*kept, json.dumps(line))), "utf-8")


if __name__ == "__main__":
    main()
