"""oddgan's speed beside its peers', in one run.

    python -m benchmarks.speed                       # everything; hours
    python -m benchmarks.speed --only NAME,...       # some works; --list names them
    python -m benchmarks.speed --missing             # those that the result file does not have yet
    python -m benchmarks.pages.speed                 # docs/results/speed.md from the result file

Run it from the repository's root, on a machine that does nothing else. Both sides of a work run in turn, on the same
rows with the same networks and threads. Real data is read where ODDGAN_DATA points; PyOD is installed in an environment
of its own under .bench, or ODDGAN_PYOD_PYTHON names a Python that has it.
"""

import argparse
import datetime
import os
import platform
import shutil
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # or busy processes decide what is measured: see studies/threads

from . import Plan, Skip, Work, works
from .results import RESULTS, read, write

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 10


def all_works() -> dict[str, Work]:
    """Every work by name, in the order of the page."""
    found: dict[str, Work] = {}
    for module in sorted(iter_modules(works.__path__), key=lambda one: one.name):
        found |= import_module(f"{works.__name__}.{module.name}").WORKS
    return {name: found[name] for name in sorted(found)}


def circumstances(threads: int, load: float | None) -> dict:
    """What the figures depend on apart from the work: versions, the kind of machine, its load before."""
    import numpy
    import sklearn
    import torch

    import oddgan

    versions = {"python": platform.python_version(), "numpy": numpy.__version__, "scikit-learn": sklearn.__version__}
    return {
        "versions": {"oddgan": oddgan.__version__, "torch": torch.__version__, **versions},
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "bfloat16": torch.cpu._is_avx512_bf16_supported(),
        },
        "threads": threads,
        "load before": load,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def rounded(value):
    """JSON-able, with floats to six digits: more would be noise, and diffs of the result file stay readable."""
    if isinstance(value, dict):
        return {str(name): rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def verdict(entry: dict) -> str:
    """One line for the terminal."""
    from .timing import reached, shown

    if not entry.get("ratios"):
        return "measured"
    bound = "at least " if entry.get("bound") else ""
    goal = "" if entry.get("reach") is None else f"   to reach {entry['reach']}: {reached(entry)}"
    return f"{bound}{shown(entry['ratios'])} times{goal}"


def run(names: list[str], rounds: int, threads: int, file: Path, quick: bool) -> int:
    """Run the works one after the other and keep each result at once. Returns how many were skipped."""
    import torch

    known, skipped = all_works(), 0
    torch.set_num_threads(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # for processes that a work starts
    for name in names:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        started = time.monotonic()
        folder = Path(tempfile.mkdtemp(prefix="oddgan-bench-"))
        try:
            entry = known[name](Plan(rounds, threads, folder, ROOT / ".bench", quick))
        except Skip as reason:
            print(f"{name:24} skipped: {reason}", flush=True)
            skipped += 1
            continue
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        torch.set_num_threads(threads)  # a work may have changed it
        minutes = {"minutes": (time.monotonic() - started) / 60}
        entry = rounded(entry | circumstances(threads, load) | minutes | ({"quick": True} if quick else {}))
        write(file, read(file) | {name: entry})
        print(f"{name:24} {verdict(entry)}", flush=True)
    return skipped


def chosen(known: dict[str, Work], only: str | None) -> list[str]:
    """The names that `only` selects: a work's name, or a prefix of several names; without it, all."""
    if not only:
        return list(known)
    found: set[str] = set()
    for asked in only.split(","):
        these = [asked] if asked in known else [name for name in known if name.startswith(asked)]
        if not these:
            sys.exit(f"no work is called {asked!r}; there are {', '.join(known)}")
        found.update(these)
    return [name for name in known if name in found]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="NAME,...", help="some works, by name or by the beginning of names")
    parser.add_argument("--missing", action="store_true", help="the works that the result file does not have yet")
    parser.add_argument("--json", metavar="FILE", type=Path, default=RESULTS, help="the result file")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds of each work; {ROUNDS}")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch's threads; one for each core")
    parser.add_argument("--quick", action="store_true", help="check that everything runs; the figures mean nothing")
    parser.add_argument("--list", action="store_true", help="the works")
    options = parser.parse_args()
    if options.quick and options.json == RESULTS:
        options.json = ROOT / ".bench" / "quick.json"
    known = all_works()
    if options.list:
        print("\n".join(f"{name:24} {(work.__doc__ or '').splitlines()[0]}" for name, work in known.items()))
        return
    names = chosen(known, options.only)
    if options.missing:
        names = [name for name in names if name not in read(options.json)]
    if names and run(names, options.rounds, options.threads, options.json, options.quick) == len(names):
        sys.exit("nothing could be run")


if __name__ == "__main__":
    main()
