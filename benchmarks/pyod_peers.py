"""PyOD's AnoGAN and ALAD, with their defaults, on the splits of `detectors.py`.

    ODDGAN_DATA=... python benchmarks/pyod_peers.py --rows FOLDER          # in oddgan's environment: writes the rows
    PYODS_PYTHON benchmarks/pyod_peers.py --measure FOLDER [--seeds 0,1,2]  # in one with pyod==3.6.7

PyOD takes flat rows: pictures are flattened, with values in [-1, 1]; tables are standardised as oddgan does. Its
detectors are told that a share of 1e-5 of the training rows is odd, since none is.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "pyod.jsonl"


def write_rows(folder: Path) -> None:
    """The rows of every case as oddgan's networks see them, flattened."""
    import oddgan
    from detectors import CASES

    folder.mkdir(parents=True, exist_ok=True)
    for case, rows in CASES.items():
        train, test, labels = rows()
        prepared = oddgan.PCA(random_state=0).fit(train)
        seen = [
            np.concatenate(
                [x.flatten(1).numpy() for x, _, _ in prepared._blocks(prepared._rows(part), lambda net, x: {})]
            )
            for part in (train, test)
        ]
        np.savez(folder / f"{case}.npz", train=seen[0], test=seen[1], labels=labels)
        print(case, seen[0].shape, seen[1].shape, flush=True)


def measure(folder: Path, seeds: list[int]) -> None:
    """Fit and score PyOD's detectors; one line a run."""
    import pyod
    import torch
    from pyod.models.alad import ALAD
    from pyod.models.anogan import AnoGAN
    from sklearn.metrics import roc_auc_score

    torch.set_num_threads(1)
    done = set()
    if RESULTS.exists():
        done = {(r["detector"], r["case"], r["seed"]) for r in map(json.loads, RESULTS.read_text().splitlines())}
    for cls in (ALAD, AnoGAN):
        for seed in seeds:
            for path in sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_size):
                run = (f"PyOD {cls.__name__}", path.stem, seed)
                if run in done:
                    continue
                rows = np.load(path)
                torch.manual_seed(seed)
                np.random.seed(seed)  # noqa: NPY002  # PyOD draws from the legacy generator
                started = time.process_time()
                line: dict = dict(zip(("detector", "case", "seed"), run, strict=True))
                det = cls(contamination=1e-5).fit(rows["train"].astype(np.float64))
                trained = time.process_time()
                scores = np.asarray(det.decision_function(rows["test"].astype(np.float64))).ravel()
                line["auroc"] = float(roc_auc_score(rows["labels"], np.nan_to_num(scores)))
                line["cpu_seconds_to_train"] = round(trained - started, 2)
                line["cpu_milliseconds_to_score_a_row"] = round(1000 * (time.process_time() - trained) / len(scores), 3)
                line["threads"] = 1
                line["versions"] = {"pyod": pyod.__version__, "torch": torch.__version__}
                line["machine"] = f"{platform.machine()}, {os.cpu_count()} cores shared with other work"
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print(*run, line["auroc"], line["cpu_seconds_to_train"], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--measure", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    given = parser.parse_args()
    if given.rows:
        write_rows(given.rows)
    elif given.measure:
        measure(given.measure, [int(seed) for seed in given.seeds.split(",")])
    else:
        sys.exit(__doc__)
