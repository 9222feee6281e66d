"""What training rows of a table looked like: each column's values, range, missing share and categories."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..errors import ArtifactError
from ..rows.tables import TableRows
from ..verdict.uniformity import Finding, distance, same_distribution
from .prepared import spread
from .profile_tests import EFFECT, LEVEL, all_equal, all_new, count_above, named, share_rises
from .table_sums import Chosen
from .tables import TablePreprocessor

NUMBERS = 2**16  # of training values that are kept: of at most MOST rows, and at least LEAST_KEPT
MOST, LEAST_KEPT = 500, 64
CATEGORIES = 4_096  # values of a column of which all are known; of one with more nothing is said
BEYOND, MISSING, UNSEEN = 0.2, 0.1, 0.1  # shares of new rows from which on a finding matters
CONSTANT = 20  # new rows that say whether a column is constant
FITS = 0.25  # distance of distributions up to which new values, put right, are like training values
FINE = 1e-6  # of a column's range: smaller differences are rounding
PERMUTED = 64  # columns among which an exchange is looked for
SHOWN = 3  # unseen values that a finding shows
HASHED = 52  # bits of a text's hash: a float64 holds it exactly


def hashed(text: str) -> float:
    """A text as a number: equal texts have equal numbers."""
    return float(
        int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) >> (64 - HASHED)
    )


@dataclass(frozen=True, eq=False)
class TableProfile:
    """`preprocessor`: the model's, of k columns. `rows`: training rows. `sample`: (m, k) float64, numbers of some of
    them, each column sorted, NaN at its end for missing ones. `low`, `high`, `mean`, `deviation`: (k,) over all, NaN
    where there is none. `missing`: (k,) int64. Of categories `hashes` (c,) float64, `counts` (c,) int64, column i's
    from `starts`[i] on, and `whole`: (k,) bool, whether all of them are there."""

    preprocessor: TablePreprocessor
    rows: int
    sample: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    missing: np.ndarray
    hashes: np.ndarray
    counts: np.ndarray
    starts: np.ndarray
    whole: np.ndarray

    @classmethod
    def learn(cls, rows: TableRows, train: np.ndarray, preprocessor: TablePreprocessor) -> Self:
        """Look at the training rows with these numbers (m,)."""
        k = len(preprocessor.kinds)
        some = train[spread(len(train), int(np.clip(NUMBERS // k, LEAST_KEPT, MOST)))]
        sample = np.full((len(some), k), np.nan)
        low, high, mean, deviation = np.full((4, k), np.nan)
        looked, drawn = Chosen(rows.values, train), rows.values[some]
        missing, whole, starts = looked.seen.gone, np.ones(k, bool), [0]
        figures = None if looked.held is not None else (looked.seen.least, looked.seen.most, *looked.moments())
        found = [(np.empty(0), np.empty(0, np.int64))]
        often = looked.counts({i: len(rows.texts[i]) for i, one in enumerate(preprocessor.kinds) if one == "category"})
        for i, kind in enumerate(preprocessor.kinds):
            size = 0
            if kind == "category":
                counts = often[i]
                codes = np.flatnonzero(counts)
                whole[i] = len(codes) <= CATEGORIES
                if whole[i]:
                    hashes = np.array([hashed(rows.texts[i][code]) for code in codes], np.float64)
                    order, size = np.argsort(hashes), len(codes)
                    found.append((hashes[order], counts[codes][order]))
            elif missing[i] < len(train):
                if figures is None and looked.held is not None:
                    values = np.ascontiguousarray(looked.held[:, i])
                    low[i], high[i] = np.nanmin(values), np.nanmax(values)
                    mean[i], deviation[i] = np.nanmean(values), np.nanstd(values)
                elif figures is not None:
                    low[i], high[i], mean[i], deviation[i] = (figure[i] for figure in figures)
                sample[:, i] = np.sort(drawn[:, i].astype(np.float64))
            starts.append(starts[-1] + size)
        hashes, counts = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return cls(
            preprocessor,
            len(train),
            *(sample, low, high, mean, deviation, missing),
            *(hashes, counts, np.array(starts), whole),
        )

    def measured(self, rows: TableRows, numbers: np.ndarray, words: dict[float, str]) -> np.ndarray:
        """Those rows (m, k) float64: numbers, NaN where they are missing, and hashes of categories. `words`: gets some
        of the texts, by their hashes."""
        values = np.array(rows.values[numbers], dtype=np.float64)
        for i, kind in enumerate(self.preprocessor.kinds):
            if kind != "category":
                continue
            texts = rows.texts[i] if rows.texts else ()
            places = values[:, i]
            codes = np.unique(places[~np.isnan(places)]).astype(int)
            known = {code: hashed(texts[code]) for code in codes if code < len(texts)}
            for code, one in known.items():
                if len(words) < CATEGORIES:
                    words[one] = texts[code]
            values[:, i] = [known.get(int(place), np.nan) if place == place else np.nan for place in places]
        return values

    def differences(self, measured: np.ndarray, words: Mapping[float, str]) -> list[Finding]:
        """How new rows, as `measured` (m, k), differ from training rows."""
        columns = [_Column(self, i, measured[:, i], words) for i in range(len(self.preprocessor.kinds))]
        level = LEVEL / sum(2 if one.kind == "category" else 6 for one in columns)
        found: dict[str, dict[str, float]] = {}
        for one in columns:
            for code, figure in one.differs(level):
                found.setdefault(code, {})[one.name] = figure
        examples = {one.name: one.examples for one in columns if one.examples}
        shifted = [one for one in columns if one.name in found.get("shifted-columns", {})]
        together = list(self._together(columns, shifted))
        if together:
            for code in ("shifted-columns", "out-of-range", "constant-column"):
                found.pop(code, None)
        return [*together, *(self._finding(code, where, examples) for code, where in found.items())]

    def _finding(self, code: str, where: Mapping[str, float], examples: Mapping[str, str]) -> Finding:
        names = sorted(where, key=lambda name: -where[name])
        shown = examples if code == "unseen-categories" else {}
        columns = named(
            [f"{name} ({where[name]:.0%} of {OF.get(code, 'the rows')}{shown.get(name, '')})" for name in names]
        )
        figures = {"largest": max(where.values()), "columns": len(where)}
        return Finding(code, MESSAGES[code].format(columns=columns), tuple(names), figures)

    def _together(self, columns: "list[_Column]", shifted: "list[_Column]") -> Iterator[Finding]:
        """What explains that many columns are elsewhere."""
        varied = [one for one in columns if one.varied]
        if not shifted or 2 * len(shifted) < len(varied):
            permuted = self._permuted(shifted)
            yield from [permuted] if permuted else []
            return
        ways = (
            ("standardised", lambda one: (one.mean, one.deviation)),
            ("scaled to 0 ... 1", lambda one: (one.low, one.high - one.low)),
            ("scaled to -1 ... 1", lambda one: ((one.low + one.high) / 2, (one.high - one.low) / 2)),
            ("scaled by median and quartiles", lambda one: one.quartiles),
        )
        for way, terms in ways:
            fitting = [one for one in shifted if one.apart_if(*terms(one)) <= FITS]
            if len(fitting) >= 0.8 * len(shifted):
                yield Finding(
                    "twice-normalised",
                    f"{len(fitting):,} of {len(varied):,} columns ({named([one.name for one in fitting])}) look as if "
                    f"they had been {way} before: the model does that itself; give rows in the units of training",
                    tuple(one.name for one in fitting),
                    {"columns": len(fitting), "of": len(varied)},
                )
                return
        normalised = [one for one in shifted if abs(one.mean) < 0.2 and 0.8 < one.deviation < 1.25]
        if len(normalised) >= 0.8 * len(shifted) and sum(_far(one.new) for one in normalised) >= 0.8 * len(shifted):
            yield Finding(
                "not-normalised",
                f"training rows were standardised and these are not, in {len(normalised):,} of {len(varied):,} columns "
                f"({named([one.name for one in normalised])}): standardise them in the same way, or train on raw rows",
                tuple(one.name for one in normalised),
                {"columns": len(normalised), "of": len(varied)},
            )
            return
        permuted = self._permuted(shifted)
        yield from [permuted] if permuted else []

    def _permuted(self, shifted: "list[_Column]") -> Finding | None:
        if not 2 <= len(shifted) <= PERMUTED:
            return None
        from scipy.optimize import linear_sum_assignment

        apart = np.array([[distance(one.new, other.old) for other in shifted] for one in shifted])
        rows, places = linear_sum_assignment(apart)
        if apart[rows, places].max() > FITS or (places == rows).any():
            return None
        pairs = [f"{shifted[i].name} holds what {shifted[j].name} held" for i, j in zip(rows, places, strict=True)]
        return Finding(
            "columns-permuted",
            f"{len(shifted):,} columns seem to be exchanged ({named(pairs)}): give columns in the order of training",
            tuple(one.name for one in shifted),
            {"columns": len(shifted)},
        )

    def to_manifest(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What a model file keeps: readable facts, and arrays."""
        return {"kind": "table", "rows": self.rows}, {name: getattr(self, name) for name in ARRAYS}

    @classmethod
    def from_manifest(
        cls, facts: dict[str, Any], arrays: dict[str, np.ndarray], preprocessor: TablePreprocessor
    ) -> Self:
        """The inverse of `to_manifest`. Raises `ArtifactError` where the arrays do not agree."""
        found = cls(preprocessor, facts["rows"], **{name: arrays[name] for name in ARRAYS})
        k = len(preprocessor.kinds)
        agree = (
            type(found.rows) is int
            and found.rows > 0
            and all(getattr(found, name).dtype == dtype for name, dtype in ARRAYS.items())
            and found.sample.ndim == 2
            and found.sample.shape[1] == k
            and all(
                getattr(found, name).shape == (k,) for name in ("low", "high", "mean", "deviation", "missing", "whole")
            )
            and found.starts.shape == (k + 1,)
            and found.hashes.shape == found.counts.shape == (found.starts[-1],)
            and found.starts[0] == 0
            and (np.diff(found.starts) >= 0).all()
            and (found.counts > 0).all()
            and ((found.missing >= 0) & (found.missing <= found.rows)).all()
            and not any(
                np.isinf(one).any() for one in (found.sample, found.low, found.high, found.mean, found.deviation)
            )
        )
        if not agree:
            raise ArtifactError("the profile of training rows and the table's columns do not agree")
        return found


ARRAYS: dict[str, Any] = {
    "sample": np.float64,
    "low": np.float64,
    "high": np.float64,
    "mean": np.float64,
    "deviation": np.float64,
    "missing": np.int64,
    "hashes": np.float64,
    "counts": np.int64,
    "starts": np.int64,
    "whole": np.bool_,
}

OF = {"shifted-columns": "the distribution"}  # what the shares are of, if not of the rows
MESSAGES = {
    "shifted-columns": "most values are elsewhere than in training in {columns}: look at units, "
    "sensors and joins, or train on such rows",
    "out-of-range": "values are beyond all training values in {columns}: look at units and sensors, or "
    "train on such rows",
    "missing-values": "more values are missing than in training in {columns}: look at where they come from",
    "unseen-categories": "values that no training row had are in {columns}: check their spelling, or train "
    "on such rows",
    "constant-column": "all rows have one value, and training rows had several, in {columns}: look at whether it is "
    "still recorded",
}


class _Column:
    """One column: what it held in training, and what it holds now."""

    def __init__(self, profile: TableProfile, i: int, values: np.ndarray, words: Mapping[float, str]) -> None:
        self.kind, self.name = profile.preprocessor.kinds[i], profile.preprocessor.names[i]
        self.profile, self.i, self.n, self.words = profile, i, len(values), words
        self.new = values[~np.isnan(values)]
        sample = profile.sample[:, i]
        self.old = sample[~np.isnan(sample)]
        self.mean, self.deviation = float(profile.mean[i]), float(profile.deviation[i])
        self.low, self.high = float(profile.low[i]), float(profile.high[i])
        self.examples = ""

    @property
    def varied(self) -> bool:
        """Whether it is a column of numbers that differ."""
        return self.kind != "category" and self.low < self.high

    def apart_if(self, centre: float, scale: float) -> float:
        """How far new values would be from training values, had they been scaled by these and were put right."""
        unit = FINE * (self.high - self.low)  # what is equal but for rounding is equal
        return distance(np.rint((self.new * scale + centre) / unit), np.rint(self.old / unit))

    @property
    def quartiles(self) -> tuple[float, float]:
        low, middle, high = np.quantile(self.old, (0.25, 0.5, 0.75))
        return float(middle), float(high - low)

    def differs(self, level: float) -> Iterator[tuple[str, float]]:
        """The code of each finding and how much there is of it."""
        profile, i = self.profile, self.i
        gone, before = self.n - len(self.new), int(profile.missing[i])
        rise = gone / self.n - before / profile.rows
        if rise >= MISSING and share_rises(gone, self.n, before, profile.rows) < level:
            yield "missing-values", gone / self.n
        if not len(self.new):
            return
        if self.kind == "category":
            yield from self._unseen(level)
            return
        if self.varied and len(self.new) >= CONSTANT and self.new.min() == self.new.max():
            same = int((self.old == self.new[0]).sum())
            if same < len(self.old) and all_equal(len(self.new), same, len(self.old)) < level:
                yield "constant-column", 1.0
                return
        known = profile.rows - before
        for sign, limit in ((1.0, self.high), (-1.0, self.low)):
            k = int((sign * self.new > sign * limit).sum())
            if k >= BEYOND * self.n and known and count_above(k, len(self.new), known) < level:
                yield "out-of-range", k / self.n
        if not len(self.old):
            return
        middle = np.median(np.concatenate([self.new, self.old]))  # of both: it treats them alike
        for new, old in ((self.new, self.old), (np.abs(self.new - middle), np.abs(self.old - middle))):
            apart = distance(new, old)
            p = same_distribution(new, old) if apart >= EFFECT else None
            if p is not None and p < level:
                yield "shifted-columns", apart
                return

    def _unseen(self, level: float) -> Iterator[tuple[str, float]]:
        profile, i = self.profile, self.i
        if not profile.whole[i]:
            return
        part = slice(profile.starts[i], profile.starts[i + 1])
        hashes, counts = profile.hashes[part], profile.counts[part]
        values, here = np.unique(self.new, return_counts=True)
        seen = np.isin(values, hashes)
        k = int(here[~seen].sum())
        if k < UNSEEN * self.n:
            return
        both = np.zeros(len(hashes), np.int64)
        both[np.searchsorted(hashes, values[seen])] = here[seen]
        total = np.concatenate([counts + both, here[~seen]])
        if all_new(total, len(self.new), profile.rows - int(profile.missing[i]), k) < level:
            shown = [self.words.get(value, "?") for value in values[~seen][np.argsort(-here[~seen])][:SHOWN]]
            self.examples = f", such as {', '.join(map(repr, shown))}"
            yield "unseen-categories", k / self.n


def _far(values: np.ndarray) -> bool:
    """Whether values are not standardised."""
    return abs(float(values.mean())) > 1 or not 0.5 < float(values.std()) < 2
