"""Which settings of GANomaly to make the default: AUROC of every score, and of sums of them, on development data.

    ODDGAN_DATA=... python benchmarks/ganomaly_defaults.py [mnist8|fashion28]
    python benchmarks/ganomaly_defaults.py --table     # the table on GANomaly's page

Development data are classes 1, 4 and 9 of MNIST and of Fashion-MNIST, each once as the anomaly among all classes
("odd") and once as the only normal class ("one"); nothing that oddgan reports elsewhere is measured on them. Each line
of the result file is one run; runs that are there already are not made again. Settings are tried one at a time around
the first. Sums add terms on the scale (median, median absolute deviation) of held-out normals.
"""

import gzip
import itertools
import json
import os
import platform
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

import oddgan
from oddgan.preprocessing.pictures import resize

RESULTS = Path(__file__).parent / "results" / "ganomaly_defaults.jsonl"
AROUND = [
    {},
    {"width": 32},
    {"latent_dim": 4},
    {"latent_dim": 16},
    {"ema": 0.999},
    {"lr": 1e-3},
    {"w_con": 10.0},
    {"w_enc": 20.0},
]
SETS = {  # data set, side, training rows, protocols, settings
    "mnist8": ("mnist", 8, 1300, ("odd", "one"), AROUND),
    "fashion28": ("fashion-mnist", 28, 4000, ("one",), [{"ema": 0.999, "width": 32}]),
}
SUMS = {
    "latent+residual+feature": ("latent_l1", "residual", "feature"),
    "latent+residual": ("latent_l1", "residual"),
    "residual+feature": ("residual", "feature"),
}


def rows(name: str, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The training part of an IDX data set, resized to side x side."""
    folder = Path(os.environ["ODDGAN_DATA"]) / name
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        pictures = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return np.stack([resize(p[..., None], (side, side))[..., 0] for p in pictures]), labels


def main() -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    done = {json.loads(line)["run"] for line in RESULTS.read_text().splitlines()} if RESULTS.exists() else set()
    for which in sys.argv[1:] or SETS:
        name, side, n, kinds, tried = SETS[which]
        pictures, labels = rows(name, side)
        for kind, settings, digit in itertools.product(kinds, tried, (1, 4, 9)):
            run = f"{which} {kind} {digit} {json.dumps(settings)}"
            if run in done:
                continue
            line = {"run": run, **measure(pictures, labels, kind, digit, n, settings)}
            with RESULTS.open("a") as file:
                file.write(json.dumps(line) + "\n")


def measure(pictures, labels, kind, digit, n, settings):
    """AUROC of every score of one run."""
    random = np.random.default_rng(digit)
    is_odd = labels == digit if kind == "odd" else labels != digit
    normal = random.permutation(np.flatnonzero(~is_odd))
    n = min(n, len(normal) - 1500)
    train, tune, test = np.split(pictures[normal[: n + 1500]], [n, n + 500])
    odd = pictures[random.permutation(np.flatnonzero(is_odd))[:1000]]
    det = oddgan.GANomaly(random_state=0, score_by="latent_l1", **{"ema": 0.0, "width": 64, **settings}).fit(train)
    truth = np.repeat([0, 1], [len(test), len(odd)])
    terms, normals = det.explain(np.concatenate([test, odd])).terms, det.explain(tune).terms
    scaled = {}
    for name, values in terms.items():
        middle = np.median(normals[name])
        scaled[name] = (values - middle) / np.median(np.abs(normals[name] - middle))
    scores = {**terms, **{name: sum(scaled[part] for part in parts) for name, parts in SUMS.items()}}
    flat = [p.reshape(len(p), -1).astype(float) for p in (train, np.concatenate([test, odd]))]
    distance, _ = NearestNeighbors(n_neighbors=1).fit(flat[0]).kneighbors(flat[1])
    return {
        "settings": settings,
        "auroc": {name: round(float(roc_auc_score(truth, score)), 4) for name, score in scores.items()},
        "nearest_neighbour": round(float(roc_auc_score(truth, distance[:, 0])), 4),
        "versions": {"oddgan": oddgan.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": platform.machine(),
    }


def table() -> str:
    """Mean AUROC over the three classes, by protocol and setting, as a Markdown table."""
    groups = defaultdict(list)
    for line in RESULTS.read_text().splitlines():
        row = json.loads(line)
        which, kind, _, _ = row["run"].split(" ", 3)
        if row["settings"] in SETS[which][-1]:
            groups[which, kind, json.dumps(row["settings"])].append(row)
    shown = ("latent_l1", "residual", "feature", "latent+residual", "latent+residual+feature")
    lines = [f"| data | setting | {' | '.join(shown)} | 1-NN |", "|---" * (len(shown) + 3) + "|"]
    for (which, kind, settings), rows in groups.items():
        words = ", ".join(f"{k}={v:g}" for k, v in json.loads(settings).items()) or "the paper's, latent an eighth"
        cells = [f"{np.mean([row['auroc'][name] for row in rows]):.3f}" for name in shown]
        neighbour = f"{np.mean([row['nearest_neighbour'] for row in rows]):.3f}"
        lines.append(f"| {which}, {kind} | {words} | {' | '.join(cells)} | {neighbour} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        print(table())
    else:
        main()
