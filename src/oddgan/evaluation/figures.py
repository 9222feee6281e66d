"""The figures that evaluations, comparisons and reproduced tables state: names, headings and formats, once for all."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """How a figure is shown.

    `head`: its heading, in full; `short`: the heading of a narrow column. `share`: a report writes it as a percentage.
    `time`: stated as the median with three digits, since the first run of a process also pays for loading and warm-up;
    every other figure is stated as the mean with three decimals. `chance`: what guessing reaches, where that is the
    same for all data.
    """

    head: str
    short: str = ""
    share: bool = False
    time: bool = False
    chance: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "short", self.short or self.head)

    def spelt(self, value: float | None) -> str:
        """The value as text; a dash where there is none or it is not finite."""
        known = value is not None and math.isfinite(value)
        return f"{value:.3g}" if self.time and known else number(value)


def number(value: float | None) -> str:
    """Three decimals; a dash where there is no finite value."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.3f}"


_AVERAGE_PRECISION = Figure(head="AUPRC (average precision)", short="AUPRC")
_AUPRO = Figure(head="AUPRO up to 30% false-alarm pixels", short="AUPRO (to 30%)", chance=0.15)

FIGURES = {
    "auroc": Figure(head="AUROC", chance=0.5),
    "of_kinds": Figure(head="mean AUROC over kinds", short="mean over kinds", chance=0.5),
    "least_kind": Figure(head="lowest AUROC of a kind", short="worst kind", chance=0.5),
    "auprc": _AVERAGE_PRECISION,
    "average_precision": _AVERAGE_PRECISION,
    "auprc_trapezoid": Figure(head="AUPRC (trapezoid)"),
    "auprc_at_10": Figure(head="AUPRC at 10% anomalies", chance=0.1),
    "chance_auprc": Figure(head="AUPRC of guessing"),
    "pixel_auroc": Figure(head="pixel AUROC", chance=0.5),
    "aupro": _AUPRO,
    "aupro_0.3": _AUPRO,
    "aupro_0.05": Figure(head="AUPRO up to 5%", short="AUPRO (to 5%)", chance=0.025),
    "detected": Figure(head="detection rate", short="detected", share=True),
    "false_alarms": Figure(head="false-alarm rate", short="false alarms", share=True),
    "asked": Figure(head="requested false-alarm rate", short="requested", share=True),
    "precision": Figure(head="precision"),
    "recall": Figure(head="recall"),
    "f1": Figure(head="F1"),
    "precision_at_percentile": Figure(head="precision"),
    "recall_at_percentile": Figure(head="recall"),
    "f1_at_percentile": Figure(head="F1"),
    "seconds_to_train": Figure(head="seconds to train", time=True),
    "seconds_to_score": Figure(head="seconds to score 1000 rows", short="seconds to score 1000", time=True),
    "milliseconds_a_batch": Figure(head="ms per batch", time=True),
}
"""Every figure by name, in the order of columns.

"of_kinds" and "least_kind" are of the AUROC of each kind of simulated anomaly against all normal rows
(`oddgan.evaluation.unlabelled`). Records of comparisons and reproduced tables call average precision "auprc" and AUPRO
up to 0.3 "aupro"; an evaluation names the definition: "average_precision", "aupro_0.3". "detected" and "false_alarms"
are the shares of anomalous and of normal test rows flagged at the threshold that was set, without labels, for the rate
"asked". Figures "at_percentile" take their threshold from the test's own scores, as the source does; "precision",
"recall" and "f1" take the calibrated one, set on held-out normals for 1 false alarm in 100, or the least that their
number allows. "seconds_to_train" is None for a run that was interrupted and resumed.
"""
