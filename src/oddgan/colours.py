"""How anomaly maps are shown: which values, in which colours.

The colours are those of matplotlib's colour map "inferno", from 0.35 to 0.87 of its range.

Without its ends: black would darken pixels that are barely anomalous, and pale yellow would be lost on white. inferno
was made by Nathaniel J. Smith and Stéfan van der Walt, who released it under CC0 (public domain). With the table stored
here, the package does not need matplotlib.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from .errors import ParameterError
from .verdict.regions import threshold_in

STRONGEST = 0.85  # opacity of the heat where the map reaches vmax: the picture is still visible
FAINTEST, FULLEST = 0.5, 2.0  # times the threshold: where heat begins, and where it is at full strength
NEARLY = 0.9  # of the threshold: a map that was enlarged has a lower peak


@lru_cache(maxsize=1)
def inferno() -> np.ndarray:
    """(256, 3) uint8, read-only: RGB from the weakest to the strongest heat."""
    return np.frombuffer(bytes.fromhex(_TABLE), dtype=np.uint8).reshape(256, 3)


@dataclass(frozen=True)
class Shades:
    """How values of anomaly maps are shown: none at `low` and below, in full strength at `high` and above, with a line
    around what is above `threshold`. One for all pictures that are to be compared. Raises `ParameterError` where `high`
    is not above `low`."""

    high: float
    low: float = 0.0
    threshold: float | None = None

    def __post_init__(self) -> None:
        if not self.high > self.low:
            raise ParameterError(f"shades of a heat map: high={self.high} must be above low={self.low}")

    @classmethod
    def of(cls, threshold: float, fullest: float = FULLEST) -> "Shades":
        """For standardised maps, whose anomalous places are above `threshold`; `fullest`: times the threshold that is
        shown in full strength."""
        if not threshold > 0:  # no map stands out from what is usual
            return cls(1.0, 0.0, threshold)
        return cls(max(fullest, 1.01 * FAINTEST) * threshold, FAINTEST * threshold, threshold)

    def shown_in(self, anomaly_map: np.ndarray) -> "Shades":
        """For a flagged picture: these, with a line around what is above its own threshold (`threshold_in`); or, where
        its map is far below the common one, such as show its peak in full strength."""
        if self.threshold is None:
            return self
        own, peak = threshold_in(anomaly_map, self.threshold), float(np.max(anomaly_map))
        if own == self.threshold or own > NEARLY * self.threshold or not peak > 0:
            return replace(self, threshold=own)
        return Shades(peak, FAINTEST * peak, own)

    def heat(self, anomaly_map: np.ndarray) -> np.ndarray:
        """How strongly each place of a map (H, W) is shown, (H, W) float32 from 0 to 1."""
        relative = (np.asarray(anomaly_map, dtype=np.float32) - self.low) / (self.high - self.low)
        return np.asarray(np.clip(np.nan_to_num(relative), 0.0, 1.0))

    def layer(self, anomaly_map: np.ndarray) -> np.ndarray:
        """The heat of a map (H, W) as a layer to be laid over its picture, (H, W, 4) uint8: colours and opacity."""
        heat = self.heat(anomaly_map)
        opacity = np.rint(255 * STRONGEST * heat).astype(np.uint8)
        return np.dstack([inferno()[np.rint(heat * 255).astype(np.intp)], opacity])


_TABLE = (
    "7f1e6c801f6c801f6c82206c82206c84206b84206b85216b85216b87216b87216b88226a88226a8a226a8a226a8c23698c23698d2369"
    "8d23698f24699025689025689225689225689326679326679526679526679727669727669827669827669a28659a28659b29649b2964"
    "9d29649d29649f2a639f2a63a02a63a22b62a22b62a32c61a32c61a52c60a52c60a62d60a62d60a82e5fa82e5fa92e5ea92e5eab2f5e"
    "ab2f5ead305dad305dae305cae305cb0315bb0315bb1325ab1325ab3325ab43359b43359b63458b63458b73557b73557b93556b93556"
    "ba3655ba3655bc3754bc3754bd3853bd3853bf3952bf3952c03a51c03a51c13a50c13a50c33b4fc33b4fc43c4ec63d4dc63d4dc73e4c"
    "c73e4cc83f4bc83f4bca404aca404acb4149cb4149cc4248cc4248ce4347ce4347cf4446cf4446d04545d04545d24644d24644d34743"
    "d34743d44842d54a41d54a41d74b3fd74b3fd84c3ed84c3ed94d3dd94d3dda4e3cda4e3cdb503bdb503bdd513add513ade5238de5238"
    "df5337df5337e05536e05536e15635e15635e25734e35933e35933e45a31e45a31e55c30e55c30e65d2fe65d2fe75e2ee75e2ee8602d"
    "e8602de9612be9612bea632aea632aeb6429eb6429eb6628eb6628ec6726ec6726ed6925ee6a24ee6a24ef6c23ef6c23ef6e21ef6e21"
    "f06f20f06f20f1711ff1711ff1731df1731df2741cf2741cf3761bf3761bf37819f37819f47918f47918f57b17f57d15f57d15f67e14"
    "f67e14f68013f68013f78212f78212f78410f78410f8850ff8850ff8870ef8870ef8890cf8890cf98b0bf98b0bf98c0af98c0af98e09"
    "f98e09fa9008fa9207fa9207fa9407fa9407fb9606fb9606fb9706fb9706fb9906fb9906fb9b06fb9b06fb9d07fb9d07fc9f07fc9f07"
    "fca108fca108fca309fca309fca50afca50afca60cfca80dfca80dfcaa0ffcaa0ffcac11fcac11fcae12fcae12fcb014fcb014fcb216"
    "fcb216fcb418fcb418fbb61afbb61afbb81dfbb81dfbba1ffbba1ffbbc21fbbc21fbbe23fac026fac026fac228fac228fac42afac42a"
    "fac62dfac62df9c72ff9c72f"
)
