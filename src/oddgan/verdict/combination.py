"""From terms to one score: which terms count, on which scale, and compared with which reference rows."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import ArtifactError
from .calibration import Calibration
from .maps import MAP_TERMS, MapScale
from .patches import PatchMemory
from .reference import Reference
from .views import Views

Kept = Reference | Views | PatchMemory
"""What new rows are compared with: training rows, training rows in several views, or patches of training pictures."""

ALONE = ("density", "distance", "views")
"""Values of `local` that stand in place of a detector's own terms."""


@dataclass(frozen=True, eq=False)
class Combination:
    """How a row's score follows from its terms and embeddings.

    `local`: how rows are compared with `reference` rows, or "off". `names`: the detector's terms that the score is made
    of. `tuning`: of each term that is summed, its median and median absolute deviation over tuning rows.
    """

    local: str
    names: tuple[str, ...]
    reference: Kept | None = None
    tuning: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def asked(self) -> tuple[str, ...]:
        """The terms that the detector must compute for a score."""
        return () if self.local in ALONE else tuple(name for name in self.names if name not in MAP_TERMS)

    @property
    def by_map(self) -> bool:
        """Whether the score is made of standardised maps, alone or beside other terms."""
        return any(name in MAP_TERMS for name in self.names)

    @property
    def by_peak(self) -> bool:
        """Whether the score is the peak of the map, so that both have one threshold."""
        return self.scored == ("map_max",)

    def map_threshold(self, scale: MapScale | None, calibration: Calibration) -> float | None:
        """Above this value a place of a map on this scale is anomalous, at the false-alarm rate in force; None where
        maps have no scale."""
        if scale is None:
            return None
        return calibration.threshold if self.by_peak else scale.threshold(calibration.rate)

    @property
    def scored(self) -> tuple[str, ...]:
        """The terms that the score is made of, those of the reference rows included."""
        if self.local in ALONE:
            return (self.local,)
        return tuple(f"{name}_ratio" for name in self.names) if self.local == "ratio" else self.names

    def terms(self, given: Mapping[str, np.ndarray], embeddings: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """A block's terms (b,) float64 by name: those `given`, and those that the reference rows give rise to."""
        terms = dict(given)
        if self.reference is None or isinstance(self.reference, PatchMemory):  # that makes maps
            return terms
        if isinstance(self.reference, Views):
            terms["views"] = self.reference.surprise(embeddings)
        elif self.local == "density":
            terms["density"] = self.reference.outlier_factor(embeddings)
        elif self.local == "distance":
            terms["distance"] = self.reference.distance(embeddings)
        else:
            ratios = self.reference.ratio(embeddings, given)
            terms |= {f"{name}_ratio": value for name, value in ratios.items()}
        return terms

    def score(self, terms: Mapping[str, np.ndarray]) -> np.ndarray:
        """The anomaly score (n,) float64 from its terms. A value that overflowed is as anomalous as can be, not
        normal."""
        names = self.scored
        if len(names) > 1:
            scaled = [(terms[name] - self.tuning[name][0]) / self.tuning[name][1] for name in names]
            score = functools.reduce(np.add, scaled)
        else:
            score = terms[names[0]]
        return np.where(np.isnan(score), np.inf, score)

    @property
    def needs_tuning(self) -> bool:
        """Whether the score is a sum of several terms, which are brought to one scale on tuning rows."""
        return len(self.scored) > 1

    def tuned(self, terms: Mapping[str, np.ndarray]) -> "Combination":
        """The same with the scales of these tuning rows' terms, (n,) by name."""
        tuning: dict[str, tuple[float, float]] = {}
        for name in self.scored:
            middle = float(np.median(terms[name]))
            deviation = float(np.median(np.abs(terms[name] - middle)))
            tuning[name] = (middle, deviation if deviation > 0 else 1.0)
        return replace(self, tuning=tuning)

    @classmethod
    def from_manifest(
        cls, local: str, names: tuple[str, ...], tuning: Mapping[str, Any], reference: Kept | None
    ) -> "Combination":
        """The combination that a model file describes. Raises `ArtifactError` when its parts do not agree."""
        scales = {name: (float(middle), float(deviation)) for name, (middle, deviation) in tuning.items()}
        result = cls(local, names, reference, scales)
        if result.needs_tuning and (missing := set(result.scored) - scales.keys()):
            raise ArtifactError(f"the tuning of the term {min(missing)} is missing")
        if not all(math.isfinite(middle) and 0 < deviation < math.inf for middle, deviation in scales.values()):
            raise ArtifactError("the tuning is not a finite number and a positive one of each term")
        if (reference is None) != (local == "off"):
            raise ArtifactError(f"local is {local}, and reference rows are {'missing' if local != 'off' else 'there'}")
        if local == "ratio" and isinstance(reference, Reference) and (missing := set(names) - reference.terms.keys()):
            raise ArtifactError(f"the reference rows lack the term {min(missing)}")
        return result
