"""What training pictures looked like: size, brightness, contrast, sharpness, colour, how much is black or burnt out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np

from ..errors import ArtifactError
from ..rows.pictures import PictureRows
from ..rows.threads import threaded
from ..verdict.uniformity import Finding, distance, same_distribution
from .pictures import PicturePreprocessor
from .profile_tests import EFFECT, LEVEL, count_above, share_rises

SIDE = 256  # pixels a side that are looked at, evenly spaced, of a larger picture
MEASURES = (
    "mean",
    "contrast",
    "sharpness",
    "dark",
    "bright",
    "balance",
    "least",
    "largest",
    "height",
    "width",
    "channels",
)
BEYOND = 0.1  # of the span of training values, by which others are beyond it
SHARE = 0.2  # of new pictures that must differ in size, or in the range of their values
VISIBLE = {"mean": 0.02, "contrast": 0.01, "sharpness": 0.0, "dark": 0.05, "bright": 0.05, "balance": 0.03}
"""Differences of the medians that matter: of the span of values, of the share of pixels, or of the mean."""
RELATIVE = {"contrast": 0.1, "sharpness": 0.15}
"""And relative to the training pictures' median."""
TESTS = len(VISIBLE) + 6  # beside these: height, width, channels, smallest and largest values, and their scale
WORDS = {
    "mean": ("exposure", "darker", "brighter", "look at lamp, shutter and gain"),
    "contrast": ("contrast", "of less contrast", "of more contrast", "look at lamp, haze, and how pictures are stored"),
    "sharpness": ("sharpness", "less sharp", "sharper", "look at focus, motion and compression"),
    "dark": ("saturation", "less often black", "more often black", "look at lamp and black level"),
    "bright": ("saturation", "less often burnt out", "more often burnt out", "look at lamp, shutter and gain"),
    "balance": ("colour", "bluer", "redder", "look at lamp and white balance"),
}
BROUGHT = {"gain": ("mean",), "contrast": ("mean", "contrast", "sharpness")}
"""What the model evens out, by its `exposure`."""


UNITS = {
    "mean": ", of the range of values",
    "contrast": ", of the range of values",
    "sharpness": ", edges beside contrast",
    "dark": ", as a share of pixels",
    "bright": ", as a share of pixels",
    "balance": ", red less blue beside the mean",
}

Measured: TypeAlias = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class PictureProfile:
    """`found`: (m, MEASURES) float64, measures of training pictures, sorted one by one. `preprocessor`: the model's."""

    found: np.ndarray
    preprocessor: PicturePreprocessor

    MOST: ClassVar[int] = 256  # training pictures that are measured

    @classmethod
    def learn(cls, rows: PictureRows, train: np.ndarray, preprocessor: PicturePreprocessor) -> Self:
        """Measure the training pictures with these numbers (m,)."""
        empty = cls(np.empty((0, len(MEASURES))), preprocessor)
        return cls(np.sort(empty.measured(rows, train, {}), axis=0), preprocessor)

    def measured(self, rows: PictureRows, numbers: np.ndarray, words: dict[float, str]) -> np.ndarray:
        """The measures (m, MEASURES) of the pictures with these numbers, as they come, read in threads."""
        del words
        found = threaded(lambda i: self._measures(rows[i]), [int(i) for i in numbers])
        return np.array(list(found), np.float64).reshape(-1, len(MEASURES))

    def _measures(self, picture: np.ndarray) -> tuple[float, ...]:
        height, width, channels = picture.shape
        region = self.preprocessor.region
        mask = np.ones((height, width), dtype=bool)
        if region is not None:
            top, left, bottom, right = region.box((height, width))
            mask = region.at((height, width))[top:bottom, left:right]
            picture = picture[top:bottom, left:right]
        step = max(1, min(picture.shape[:2]) // SIDE)
        low, high = self.span
        inside = picture[::step, ::step].astype(np.float32)[mask[::step, ::step]]
        grey = inside.mean(axis=-1, dtype=np.float64)
        deviation = max(float(grey.std()), 1e-3 * (high - low))
        here, beside = (picture[a:b:step, a:b:step].astype(np.float32) for a, b in ((0, -1), (1, None)))
        balance = 0.0
        if channels == 3:
            red, _, blue = inside.mean(axis=0, dtype=np.float64)
            balance = float(red - blue) / max(abs(float(grey.mean())), 1e-3 * (high - low))
        return (
            float(grey.mean() - low) / (high - low),
            float(grey.std()) / (high - low),
            float(np.abs(here - beside).mean(axis=-1)[mask[:-1:step, :-1:step]].mean()) / deviation,
            float((inside <= low).mean()),
            float((inside >= high).mean()),
            balance,
            float(inside.min()),
            float(inside.max()),
            height,
            width,
            channels,
        )

    @property
    def span(self) -> tuple[float, float]:
        """Black and white: of 8 bits 0 and 255, else the range of training values."""
        return (0.0, 255.0) if self.preprocessor.dtype == "uint8" else self.preprocessor.value_range

    def differences(self, measured: np.ndarray, words: Mapping[float, str]) -> list[Finding]:
        """How new pictures, as `measured` (m, MEASURES), differ from training pictures."""
        del words
        new, old = (dict(zip(MEASURES, table.T, strict=True)) for table in (measured, self.found))
        values = list(self._scale(new, old)) or [*self._beyond(new, old), *self._light(new, old)]
        return [*self._shape(new, old), *values]

    def _shape(self, new: Measured, old: Measured) -> Iterator[Finding]:
        for name, what, unit in (
            ("height", "size", "pixels"),
            ("width", "size", "pixels"),
            ("channels", "channels", ""),
        ):
            one, two = new[name], old[name]
            if len(np.unique(two)) == 1 or name == "channels":
                differing = ~np.isin(one, two)
                k = int(differing.sum())
                found = k >= SHARE * len(one) and share_rises(k, len(one), 0, len(two)) < LEVEL / TESTS
            else:
                differing, found = np.ones(len(one), bool), _differ(one, two)
            if found:
                typical, usual = float(np.median(one[differing])), float(np.median(two))
                yield Finding(
                    what,
                    f"{differing.mean():.0%} of pictures have another {name} than training pictures ({typical:g} "
                    f"{unit or 'channels'}, and {usual:g} in training): they are converted, but were not trained on; "
                    "record them as then, or train on such pictures",
                    figures={"share": float(differing.mean()), "new": typical, "training": usual},
                )

    def _scale(self, new: Measured, old: Measured) -> Iterator[Finding]:
        """Values that were divided before, or were not."""
        low, high = self.span
        divided = "(by 255, for instance)"
        cases = (
            (
                "twice-normalised",
                high - low > 10,
                f"were divided {divided} before: give pictures as they were in training",
            ),
            (
                "not-normalised",
                high <= 1 + 1e-6,
                f"were not divided {divided} as training pictures were: divide them too",
            ),
        )
        for code, possible, fix in cases:
            now, then = (
                values["largest"] <= 1 + 1e-6 if code == "twice-normalised" else values["largest"] > 10
                for values in (new, old)
            )
            k, before, n, m = int(now.sum()), int(then.sum()), len(now), len(then)
            if possible and k >= 0.9 * n and share_rises(k, n, before, m) < LEVEL / TESTS:
                typical = float(np.median(new["largest"]))
                yield Finding(
                    code,
                    f"values reach {typical:.3g} where training pictures' reach {np.median(old['largest']):.3g}: it "
                    f"seems that they {fix}",
                    figures={"new": typical, "training": float(np.median(old["largest"]))},
                )

    def _beyond(self, new: Measured, old: Measured) -> Iterator[Finding]:
        if self.preprocessor.dtype == "uint8":
            return
        low, high = self.span
        for name, sign in (("least", -1.0), ("largest", 1.0)):
            one, two = sign * new[name], sign * old[name]
            k = int((one > two.max()).sum())
            far = float((one > two.max() + BEYOND * (high - low)).mean())
            if far >= SHARE and count_above(k, len(one), len(two)) < LEVEL / TESTS:
                typical, limit = float(np.median(new[name])), float(sign * two.max())
                yield Finding(
                    "out-of-range",
                    f"{far:.0%} of pictures hold values {'above' if sign > 0 else 'below'} those of all training "
                    f"pictures ({typical:.4g}; training ended at {limit:.4g}): look at gain, and at how they are read",
                    figures={"share": far, "new": typical, "training": limit},
                )

    def _light(self, new: Measured, old: Measured) -> Iterator[Finding]:
        even = BROUGHT.get(self.preprocessor.exposure, ())
        for name, least in VISIBLE.items():
            before, now = float(np.median(old[name])), float(np.median(new[name]))
            least = max(least, RELATIVE.get(name, 0.0) * abs(before))
            if name in even or abs(now - before) < least or not _differ(new[name], old[name]):
                continue
            code, lower, higher, fix = WORDS[name]
            yield Finding(
                code,
                f"pictures are {higher if now > before else lower} than training pictures (typically {now:.3g}, and "
                f"{before:.3g} in training{UNITS[name]}): {fix}, or train on such pictures",
                figures={"new": now, "training": before},
            )

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        medians = np.median(self.found, axis=0)
        typical = {name: float(f"{value:.6g}") for name, value in zip(MEASURES, medians, strict=True)}
        return {"kind": "pictures", "rows": len(self.found), "typical": typical}, {"found": self.found}

    @classmethod
    def from_manifest(
        cls, facts: dict[str, Any], arrays: dict[str, np.ndarray], preprocessor: PicturePreprocessor
    ) -> Self:
        """The inverse of `to_manifest`. Raises `ArtifactError` where the arrays are no such measures."""
        found = arrays["found"]
        table = found.ndim == 2 and found.dtype == np.float64 and found.shape[1] == len(MEASURES)
        if not table or len(found) != facts["rows"] or not len(found) or not np.isfinite(found).all():
            raise ArtifactError("the profile of training pictures is not a table of their measures")
        return cls(found, preprocessor)


def _differ(new: np.ndarray, old: np.ndarray) -> bool:
    """Whether most of the new values are elsewhere, and not by chance."""
    p = same_distribution(new, old) if distance(new, old) >= EFFECT else None
    return p is not None and p < LEVEL / TESTS
