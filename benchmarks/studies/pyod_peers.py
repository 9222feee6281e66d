"""PyOD's AnoGAN and ALAD, with their defaults, on the splits of `detectors`.

    ODDGAN_DATA=... python -m benchmarks.studies.pyod_peers [--cases CASE,...] [--seeds 0,1,2]

PyOD runs in an environment of its own, as in the speed suite: it is made under .bench, or ODDGAN_PYOD_PYTHON names a
Python that has PyOD. It takes flat rows: pictures are flattened, with values in [-1, 1]; tables are standardised as by
oddgan. Its detectors are given a contamination of 1e-5, since no training row is anomalous.
"""

import argparse
import os
import platform
import tempfile
from pathlib import Path

from oddgan.evaluation.runner import Attempt, Job, Record, fields, run

from ..speed import Plan
from ..speed.peers.pyod_process import Peer
from ..speed.peers.rows import as_networks_see
from . import RESULTS, SEEDS, say
from .detectors import CASES, rows_of

FILE = RESULTS / "pyod.jsonl"
FORM = fields("detector", "case", "seed")
KEEP = Path(__file__).resolve().parents[2] / ".bench"


def measure(detector: str, case: str, seed: int, attempt: Attempt) -> dict:
    """One line: fit and score in PyOD's process, on the rows as oddgan's networks see them."""
    import oddgan

    train, test, labels = rows_of(case)
    prepared = oddgan.PCA(random_state=0).fit(train)
    seen = [as_networks_see(prepared, part).flatten(1).numpy() for part in (train, test)]
    with tempfile.TemporaryDirectory() as folder, Peer(Plan(1, 1, Path(folder), KEEP), *seen, labels) as peer:
        found = peer.fit(detector, seed)
    return {
        "detector": f"PyOD {detector}",
        "case": case,
        "seed": seed,
        "auroc": found["auroc"],
        "cpu_seconds_to_train": round(found["cpu_seconds_to_train"], 2),
        "cpu_milliseconds_to_score_a_row": round(1000 * found["cpu_seconds_to_score"] / len(labels), 3),
        "threads": 1,
        "versions": peer.versions,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores shared with other work",
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    options = parser.parse_args()
    places = [
        (detector, case, int(seed))
        for detector in ("ALAD", "AnoGAN")
        for seed in options.seeds.split(",")
        for case in options.cases.split(",")
    ]
    todo = [
        Job(
            key=FORM.key({"detector": f"PyOD {detector}", "case": case, "seed": seed}),
            title=f"PyOD {detector}, {case}, seed {seed}",
            run=lambda attempt, of=(detector, case, seed): measure(*of, attempt),
        )
        for detector, case, seed in places
    ]
    run(todo, Record(FILE, FORM), summary=lambda line: f"AUROC {line['auroc']:.3f}", report=say)


if __name__ == "__main__":
    main()
