"""What a service tells Prometheus."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

from ..verdict.two_samples import p_value
from .batching import Batcher
from .limits import Memory
from .models import Models, Results, Served

LEAST = 10  # rows on either side of a test of distributions
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
OF = ("model", "version")


class Window:
    """The scores and verdicts of the most recent rows of a model, and how they compare with calibration rows."""

    def __init__(self, model: Served, most: int) -> None:
        self.model = model
        self._scores: deque[float] = deque(maxlen=most)
        self._flags: deque[bool] = deque(maxlen=most)
        self._seen = 0
        self._lock = threading.Lock()
        self._known: tuple[int, float | None] = (0, None)  # the test takes a while: once for each number of rows seen

    def add(self, results: Results) -> None:
        """These rows."""
        with self._lock:
            self._scores.extend(results.score.tolist())
            self._flags.extend(results.is_anomaly.tolist())
            self._seen += len(results.score)

    def read(self) -> tuple[int, float | None, float | None]:
        """How many rows there are, the share of anomalies among them, and the p-value of the test that their p-values
        are uniform (Kolmogorov and Smirnov, two samples): None of fewer than 10 rows."""
        with self._lock:
            seen, scores, flags = self._seen, np.array(self._scores), np.array(self._flags)
        calibration = self.model.calibration.scores
        if min(len(scores), len(calibration)) < LEAST:
            return len(scores), None, float(flags.mean()) if len(flags) else None
        if self._known[0] != seen:
            self._known = seen, p_value(scores, calibration)
        return len(scores), self._known[1], float(flags.mean())


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self, models: Models, batchers: dict[Served, Batcher], memory: Memory, window: int) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        more: dict[str, Any] = {"registry": self.registry}
        self.models, self.batchers, self.memory = models, batchers, memory
        self.windows = {model: Window(model, window) for model in models}
        self.requests = Histogram(
            "oddgan_request_seconds",
            "Seconds from a request's head to its answer, by route and status.",
            ("route", "status"),
            buckets=SECONDS,
            **more,
        )
        self.refused = Counter("oddgan_refused", "Requests that were refused, by reason.", ("reason",), **more)
        self.verdicts = Counter("oddgan_verdicts", "Rows that were scored, by verdict.", (*OF, "verdict"), **more)
        self.batches = Histogram("oddgan_batch_rows", "Rows that were scored together.", OF, buckets=ROWS, **more)
        self.scoring = Histogram(
            "oddgan_scoring_seconds", "Seconds that a batch took to score.", OF, buckets=SECONDS, **more
        )
        self.replaced = Counter("oddgan_workers_replaced", "Processes that died and were replaced.", **more)
        for model in models:
            for verdict in ("normal", "anomaly"):
                self.verdicts.labels(*of(model), verdict)
            self.batches.labels(*of(model))
        self.registry.register(self)

    def add(self, model: Served, results: Results) -> None:
        """Rows that were answered."""
        flagged = int(results.is_anomaly.sum())
        self.verdicts.labels(*of(model), "anomaly").inc(flagged)
        self.verdicts.labels(*of(model), "normal").inc(len(results.score) - flagged)
        self.windows[model].add(results)

    def add_batch(self, model: Served, rows: int, seconds: float) -> None:
        """A batch that was scored."""
        self.batches.labels(*of(model)).observe(rows)
        self.scoring.labels(*of(model)).observe(seconds)

    def describe(self) -> Iterator[Any]:
        """Nothing: what `collect` gives is not asked for before there is a service."""
        return iter(())

    def collect(self) -> Iterator[Any]:
        """What is measured when it is asked for."""
        held = GaugeMetricFamily("oddgan_held_bytes", "Bytes of bodies and decoded pictures that are held.")
        held.add_metric((), self.memory.held)
        yield held
        info = InfoMetricFamily("oddgan_model", "The models that are served.", labels=OF)
        gauges = {
            name: GaugeMetricFamily(f"oddgan_{name}", text, labels=OF)
            for name, text in {
                "queue_rows": "Rows that wait to be scored.",
                "threshold": "A row scored above it is an anomaly.",
                "false_alarm_rate": "Share of normal rows that may be called anomalies.",
                "recent_rows": "Rows that the next two are measured on.",
                "recent_flagged_share": "Share of anomalies among recent rows; due is the false-alarm rate.",
                "recent_uniformity_p": "p-value of the test that the p-values of recent rows are uniform, as those of "
                "rows like the calibration rows are; small: rows have changed, or many are anomalies.",
            }.items()
        }
        for model in self.models:
            labels, facts = of(model), model.facts()
            info.add_metric(labels, {name: facts[name] for name in ("detector", "platform", "kind")})
            rows, uniformity, flagged = self.windows[model].read()
            found = {
                "queue_rows": self.batchers[model].rows,
                "threshold": facts["threshold"],
                "false_alarm_rate": facts["false_alarm_rate"],
                "recent_rows": rows,
                "recent_flagged_share": flagged,
                "recent_uniformity_p": uniformity,
            }
            for name, value in found.items():
                if value is not None:
                    gauges[name].add_metric(labels, value)
        yield info
        yield from gauges.values()

    def text(self) -> bytes:
        """All of it in Prometheus's format."""
        return bytes(generate_latest(self.registry))


def of(model: Served) -> tuple[str, str]:
    """The labels of a model."""
    return model.name, str(model.version)
