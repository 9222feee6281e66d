"""How well the defaults find anomalies, over seeds, beside the nearest neighbour on the same pixels.

    ODDGAN_DATA=... python -m benchmarks.studies.quality [digits|mvtec-bottle-256|hazelnut-toy|thyroid ...]
    python -m benchmarks.pages.quality         # docs/results.md

Every run uses a detector's defaults, which were chosen on other data (`ganomaly_defaults`), trains on normal rows
alone, takes the last step, and uses test labels only for the figures at the end.
"""

import platform
import sys

from oddgan.evaluation.runner import Attempt, Job, Record, fields, run

from ..speed.peers.rows import as_networks_see
from . import RESULTS, say, versions

FILE = RESULTS / "quality.jsonl"
FORM = fields("run")
SEEDS = (0, 1, 2)
DIGITS = [("digits", str(d)) for d in range(10)]
SETS = {"digits": DIGITS, **{name: [(name, None)] for name in ("mvtec-bottle-256", "hazelnut-toy", "thyroid")}}


def measure(name: str, source: str, anomaly: str | None, seed: int, attempt: Attempt) -> dict:
    """One line: fit, evaluate, and the nearest neighbour's figure on the same rows."""
    import torch
    from sklearn.metrics import roc_auc_score
    from sklearn.neighbors import NearestNeighbors

    import oddgan

    split = oddgan.data.load(source, anomaly={anomaly} if anomaly else None)
    fit = attempt.fit(oddgan.GANomaly(random_state=seed), split.train)
    det = fit.detector
    evaluation = oddgan.evaluate(det, split)
    flat = [as_networks_see(det, part).flatten(1).numpy() for part in (split.train, split.test)]
    distance, _ = NearestNeighbors(n_neighbors=1).fit(flat[0]).kneighbors(flat[1])
    return {
        "run": name,
        "source": source,
        "anomaly": anomaly,
        "seed": seed,
        "auroc": evaluation.estimates["auroc"].value,
        "auprc": evaluation.estimates["average_precision"].value,
        "chance_auprc": evaluation.estimates["average_precision"].chance,
        "false_alarms": float(evaluation.is_anomaly[~evaluation.labels].mean()),
        "asked_false_alarms": evaluation.false_alarm_rate,
        "detected": float(evaluation.is_anomaly[evaluation.labels].mean()),
        "terms": {k: float(roc_auc_score(evaluation.labels, v)) for k, v in evaluation.terms.items()},
        "pixel": dict(evaluation.pixel),
        "nearest_neighbour": float(roc_auc_score(evaluation.labels, distance[:, 0])),
        "rows": {"train": len(split.train), "test": len(split.test), "anomalous": int(evaluation.labels.sum())},
        "networks": det.preprocessor_.describe(),
        "seconds": None if fit.seconds is None else round(fit.seconds, 1),
        "threads": torch.get_num_threads(),
        "versions": versions("python"),
        "machine": f"{platform.machine()}, {det.training_['device']}, {det.training_['precision']}",
    }


def jobs(names: list[str]) -> list[Job[dict]]:
    """A job for each seed and data set, and for each digit of the digits."""
    found = []
    for seed in SEEDS:
        for source, anomaly in [pair for name in names or SETS for pair in SETS[name]]:
            name = f"GANomaly {source} {anomaly or ''} {seed}".replace("  ", " ")
            found.append(
                Job(
                    key=FORM.key({"run": name}),
                    title=name,
                    run=lambda attempt, of=(name, source, anomaly, seed): measure(*of, attempt),
                )
            )
    return found


if __name__ == "__main__":
    run(
        jobs(sys.argv[1:]),
        Record(FILE, FORM),
        summary=lambda line: f"AUROC {line['auroc']:.3f}, nearest neighbour {line['nearest_neighbour']:.3f}",
        report=say,
    )
