"""Which settings of GANomaly to make the default: AUROC of every score, and of sums of them, on development data.

    ODDGAN_DATA=... python -m benchmarks.studies.ganomaly_defaults [mnist8|fashion28]
    python -m benchmarks.studies.ganomaly_defaults --table     # the table on GANomaly's page

Development data are classes 1, 4 and 9 of MNIST and of Fashion-MNIST, each once as the anomaly among all classes and
once as the only normal class; nothing that oddgan reports elsewhere is measured on them. Settings are tried one at a
time around the first. Sums add terms on the scale (median, median absolute deviation) of held-out normal rows.
"""

import gzip
import itertools
import json
import os
import platform
import sys
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

import oddgan
from oddgan.evaluation.runner import Attempt, Job, Record, fields, lines_of, run
from oddgan.preprocessing.resizing import resize
from oddgan.report import markdown

from . import RESULTS, say, versions

FILE = RESULTS / "ganomaly_defaults.jsonl"
FORM = fields("run")
PROTOCOLS = {"odd": "one class anomalous", "one": "one class normal"}  # as keys of lines name them
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


@lru_cache(maxsize=1)
def rows(name: str, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The training set of an IDX data set, resized to side x side."""
    folder = Path(os.environ["ODDGAN_DATA"]) / name
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        pictures = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return np.stack([resize(p[..., None], (side, side))[..., 0] for p in pictures]), labels


def measure(name: str, which: str, protocol: str, digit: int, settings: dict, attempt: Attempt) -> dict:
    """One line: AUROC of every score."""
    source, side, n, _, _ = SETS[which]
    pictures, labels = rows(source, side)
    random = np.random.default_rng(digit)
    anomalous = labels == digit if protocol == "odd" else labels != digit
    normal = random.permutation(np.flatnonzero(~anomalous))
    n = min(n, len(normal) - 1500)
    train, tune, test = np.split(pictures[normal[: n + 1500]], [n, n + 500])
    anomalies = pictures[random.permutation(np.flatnonzero(anomalous))[:1000]]
    unfitted = oddgan.GANomaly(random_state=0, score_by="latent_l1", **{"ema": 0.0, "width": 64, **settings})
    det = attempt.fit(unfitted, train).detector
    truth = np.repeat([0, 1], [len(test), len(anomalies)])
    terms, normals = det.explain(np.concatenate([test, anomalies])).terms, det.explain(tune).terms
    scaled = {}
    for term, values in terms.items():
        middle = np.median(normals[term])
        scaled[term] = (values - middle) / np.median(np.abs(normals[term] - middle))
    scores = {**terms, **{total: sum(scaled[part] for part in parts) for total, parts in SUMS.items()}}
    flat = [p.reshape(len(p), -1).astype(float) for p in (train, np.concatenate([test, anomalies]))]
    distance, _ = NearestNeighbors(n_neighbors=1).fit(flat[0]).kneighbors(flat[1])
    return {
        "run": name,
        "settings": settings,
        "auroc": {term: round(float(roc_auc_score(truth, score)), 4) for term, score in scores.items()},
        "nearest_neighbour": round(float(roc_auc_score(truth, distance[:, 0])), 4),
        "versions": versions("python"),
        "machine": platform.machine(),
    }


def jobs(names: list[str]) -> list[Job[dict]]:
    """A job for each data set, protocol, setting and class."""
    found = []
    for which in names or SETS:
        _, _, _, protocols, tried = SETS[which]
        for protocol, settings, digit in itertools.product(protocols, tried, (1, 4, 9)):
            name = f"{which} {protocol} {digit} {json.dumps(settings)}"
            found.append(
                Job(
                    key=FORM.key({"run": name}),
                    title=name,
                    run=lambda attempt, of=(name, which, protocol, digit, settings): measure(*of, attempt),
                )
            )
    return found


def table() -> str:
    """Mean AUROC over the three classes, by protocol and setting, as a Markdown table."""
    groups = defaultdict(list)
    for line in lines_of(FILE, FORM):
        which, protocol, _, _ = line["run"].split(" ", 3)
        if line["settings"] in SETS[which][-1]:
            groups[which, protocol, json.dumps(line["settings"])].append(line)
    shown = ("latent_l1", "residual", "feature", "latent+residual", "latent+residual+feature")
    rows = []
    for (which, protocol, settings), lines in groups.items():
        words = ", ".join(f"{k}={v:g}" for k, v in json.loads(settings).items()) or "the paper's, latent an eighth"
        cells = [f"{np.mean([line['auroc'][name] for line in lines]):.3f}" for name in shown]
        neighbour = f"{np.mean([line['nearest_neighbour'] for line in lines]):.3f}"
        rows.append([f"{which}, {PROTOCOLS[protocol]}", words, *cells, neighbour])
    return markdown.table(["data", "setting", *shown, "1-NN"], rows, numbers_from=2)


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        print(table())
    else:
        run(
            jobs(sys.argv[1:]),
            Record(FILE, FORM),
            summary=lambda line: f"AUROC {line['auroc']['latent_l1']:.3f} by latent_l1",
            report=say,
        )
