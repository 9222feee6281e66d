"""Which settings of GANomaly to make the default: AUROC of every score on development data.

    ODDGAN_DATA=... python benchmarks/ganomaly_defaults.py [mnist8|mnist28|fashion28]

Development data are MNIST's digits 1, 4 and 9 and Fashion-MNIST's classes 1, 4 and 9, each held out as the anomaly;
nothing that oddgan reports elsewhere is measured on them. Each line of the result file is one run; runs that are there
already are not made again. Settings are tried one at a time around the first.
"""

import gzip
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

import oddgan
from oddgan.preprocessing.pictures import _resize

RESULTS = Path(__file__).parent / "results" / "ganomaly_defaults.jsonl"
SETS = {"mnist8": ("mnist", 8, 1300), "mnist28": ("mnist", 28, 4000), "fashion28": ("fashion-mnist", 28, 4000)}
SETTINGS = [
    {},
    {"latent_dim": 2},
    {"latent_dim": 4},
    {"latent_dim": 16},
    {"latent_dim": 32},
    {"ema": 0.999},
    {"lr": 1e-3},
    {"w_con": 10.0},
    {"w_enc": 20.0},
    {"w_adv": 10.0},
    {"updates": 6000},
]


def rows(name: str, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The training part of an IDX data set, resized to side x side."""
    folder = Path(os.environ["ODDGAN_DATA"]) / name
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        pictures = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return np.stack([_resize(p[..., None], (side, side))[..., 0] for p in pictures]), labels


def main() -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    done = {json.loads(line)["run"] for line in RESULTS.read_text().splitlines()} if RESULTS.exists() else set()
    for which in sys.argv[1:] or SETS:
        name, side, n = SETS[which]
        pictures, labels = rows(name, side)
        for settings in SETTINGS:
            for anomaly in (1, 4, 9):
                run = f"{which} {anomaly} {json.dumps(settings)}"
                if run in done:
                    continue
                random = np.random.default_rng(anomaly)
                normal = random.permutation(np.flatnonzero(labels != anomaly))
                train, test = pictures[normal[:n]], pictures[normal[n : n + 1000]]
                odd = pictures[random.permutation(np.flatnonzero(labels == anomaly))[:1000]]
                width = 64 if side == 8 else 32
                det = oddgan.GANomaly(random_state=0, **{"width": width, **settings}).fit(train)
                truth = np.repeat([0, 1], [len(test), len(odd)])
                terms = det.explain(np.concatenate([test, odd])).terms
                neighbours = NearestNeighbors(n_neighbors=1).fit(train.reshape(n, -1).astype(float))
                distance, _ = neighbours.kneighbors(np.concatenate([test, odd]).reshape(len(truth), -1).astype(float))
                line = {
                    "run": run,
                    "set": which,
                    "anomaly": anomaly,
                    "settings": settings,
                    "auroc": {k: round(float(roc_auc_score(truth, v)), 4) for k, v in terms.items()},
                    "nearest_neighbour": round(float(roc_auc_score(truth, distance[:, 0])), 4),
                    "versions": {"oddgan": oddgan.__version__, "torch": torch.__version__},
                }
                with RESULTS.open("a") as file:
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
