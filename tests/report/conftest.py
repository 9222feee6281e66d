"""Evaluations to report on, made without a detector."""

import dataclasses

import numpy as np
import pytest

from oddgan import metrics
from oddgan.evaluation import Evaluation, Example, Kind
from oddgan.evaluation.latent import LatentMap
from oddgan.verdict import Guarantee


def _example(group, row, e, **more):
    rng = np.random.default_rng(row)
    views = {
        "picture": rng.integers(0, 255, (8, 10), dtype=np.uint8),
        "reconstruction": rng.integers(0, 255, (8, 8), dtype=np.uint8),
        "anomaly_map": rng.random((8, 10), dtype=np.float32),
        "mask": np.arange(80).reshape(8, 10) < 12,
    }
    facts = {
        "group": group,
        "row": row,
        "name": e["names"][row],
        "score": float(e["scores"][row]),
        "p_value": float(e["p_values"][row]),
        "is_anomaly": bool(e["is_anomaly"][row]),
        "label": bool(e["labels"][row]),
        "kind": e["kinds"][row],
    }
    return Example(**facts | views | more)


@pytest.fixture
def evaluation():
    """60 pictures, 20 of them anomalous, of kinds whose names HTML and Markdown must escape."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) >= 40
    scores = rng.random(60) + labels * 0.8
    kinds = ("good",) * 40 + ("a|b",) * 10 + ("<b>scratch</b>",) * 10
    e = {
        "names": tuple(f"test/{i:03}<script>.png" for i in range(60)),
        "scores": scores,
        "p_values": np.clip(1.02 - scores, 0.01, 1),
        "is_anomaly": scores > 1,
        "labels": labels,
        "kinds": kinds,
    }
    estimates = {
        name: metrics.bootstrap(name, labels, scores, 50) for name in ("auroc", "average_precision", "auprc_trapezoid")
    }
    rates = metrics.rates(labels, e["is_anomaly"])
    by_kind = tuple(
        Kind(
            kind=kind,
            is_anomaly=kind != "good",
            n=kinds.count(kind),
            n_flagged=3,
            flagged=metrics.wilson(3, kinds.count(kind)),
            auroc=None if kind == "good" else estimates["auroc"],
            median_score=0.5,
        )
        for kind in ("good", "a|b", "<b>scratch</b>")
    )
    history = {
        "stage": ["first"] * 3 + ["second"] * 3,
        "epoch": [1, 2, 3] * 2,
        "update": [5, 10, 15] * 2,
        "G.adv": [1.0, 0.5, 0.25, None, None, None],
        "E.izi": [None, None, None, float("nan"), 2.0, 1.0],
        "D.real": [0.7] * 6,
    }
    return Evaluation(
        data="toy & co",
        note="40 normal, 20 anomalous",
        detector={
            "detector": "GANomaly",
            "oddgan": "0.1.0",
            "parameters": {"lr": 0.0002, "size": None, "layers": list(range(20)), "nested": {"a": float("nan")}},
            "tuning": {},
            "versions": {"torch": "2.13.0"},
        },
        **e,
        terms={"con": scores, "broken": np.full(60, np.nan)},
        estimates=estimates,
        rates=rates,
        by_kind=by_kind,
        pixel={"pixel_auroc": 0.91, "aupro_0.3": 0.8123, "aupro_0.05": 0.5},
        n_masks=60,
        threshold=1.0,
        false_alarm_rate=0.02,
        false_alarm_range=(0.001, 0.06),
        n_calibrate=49,
        guarantee=Guarantee(0.02, 49, "49 normal rows", 0.001, 0.06).paragraphs,
        history=history,
        warnings=("only <20> anomalous rows",),
        examples=(
            _example("most anomalous", 59, e),
            _example("miss", 41, e),
            _example("false alarm", 3, e, mask=None, picture=np.full((8, 10, 3), 200, np.uint8)),
        ),
        map_scale=0.5,
        latent=LatentMap(np.arange(60), rng.normal(size=(60, 2)), (0.5, 0.25)),
        calibration=np.sort(rng.random(49)),
    )


@pytest.fixture
def unlabelled(evaluation):
    """The same rows, unlabelled and of a table."""
    example = dataclasses.replace(
        evaluation.examples[0],
        label=None,
        kind=None,
        picture=None,
        reconstruction=None,
        anomaly_map=None,
        mask=None,
        columns=(("pressure <bar>", 0.75), ("flow", 0.1)),
    )
    return dataclasses.replace(
        evaluation,
        labels=None,
        kinds=None,
        estimates={},
        rates=None,
        by_kind=(),
        pixel={},
        n_masks=0,
        warnings=(),
        history={},
        latent=None,
        examples=(example,),
    )
