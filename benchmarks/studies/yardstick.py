"""How well simulated anomalies agree with true ones as a yardstick that needs no label.

    ODDGAN_DATA=... python -m benchmarks.studies.yardstick [--only DETECTOR,...] [--cases CASE,...] [--updates 300]
    python -m benchmarks.studies.yardstick --table

Whoever has only normal rows can still compare configurations: hold some normals out, make simulated anomalies of them
(`oddgan.simulate`), and see which configuration separates the two best. `oddgan.advice.best_exposure` chooses so. Here
many configurations are judged in both ways, by the simulated AUROC (held-out normals against four simulated anomalies
of each) and by the true one (the test of a public set), and the two rankings are compared.

A configuration is a detector and a form of its score: each of its own terms, and for pictures the three terms of its
standardised anomaly map, smoothed by the default and by Gaussians of 1/128 to 1/16 of the side of the networks'
pictures or of a tile; for tables a scaling of the columns as well. All forms of a detector come from one fit, with the
same training, tuning and held-out rows for all detectors. Held-out rows set the threshold too. The test's labels choose
nothing. DRAEM and OCR-GAN have trained on simulated anomalies of their own, which may favour them on simulated ones:
they are marked, and correlations are given with and without them.
"""

import argparse
import os
import platform
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, lines_of, run

from . import ADBENCH, RESULTS, of_each_class, say, versions

FILE = RESULTS / "yardstick.jsonl"
FORM = fields("data", "detector", "scaling", "updates", "form")
SEED = 0
EACH = 4  # simulated anomalies of each held-out normal
HELD, TUNED = 0.2, 0.1  # shares of the normals that are held out and tuned on, as by `Detector.fit`
UPDATES = 300  # of GANomaly and DRAEM on pictures
OCRGAN_UPDATES = 200
TABLE_UPDATES = 500  # of GANomaly on tables
TABLE_ROWS, TABLE_TEST = 2_000, 500  # normals to train on, and test rows of each class, at most
BLURS = (128, 64, 32, 16)  # sigmas: the side divided by these
LEAST_BLUR = 0.25  # pixels; a narrower Gaussian leaves a map as it is
SCALINGS = ("standard", "minmax", "quantile")
SIMULATES = ("draem", "ocrgan")  # detectors that train on simulated anomalies


Some = np.ndarray | list[np.ndarray]
"""A table (n, k), or pictures (H, W, C), which need not have one size."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Normals to train on, to tune on, and held out; simulated anomalies of the latter, with their kinds (n,); the test
    and its labels."""

    train: Some
    tune: Some
    held: Some
    simulated: Some
    kinds: np.ndarray
    test: Some
    labels: np.ndarray


@dataclass(frozen=True)
class Case:
    """A data set. `load`: all training rows, test rows and labels. `side`: of the networks' pictures or a tile in
    pixels, 0 of a table. `train`, `held`, `test`: the most normals, the most of them held out, and the most test rows
    of each class. `settings`: of every detector on it."""

    load: Callable[[], tuple[Any, Any, np.ndarray]]
    side: int = 0
    train: int = 2_000
    held: int = 200
    test: int = 300
    settings: dict[str, Any] = field(default_factory=dict)


def pictures(name: str, anomaly: str | None = None) -> tuple[Any, Any, np.ndarray]:
    """A set of pictures under ODDGAN_DATA, or scikit-learn's digits."""
    import oddgan
    from oddgan.rows import open_rows

    split = oddgan.data.load(name, anomaly={anomaly} if anomaly else None)
    return open_rows(split.train), open_rows(split.test), np.asarray(split.labels)


def table(name: str) -> tuple[Any, Any, np.ndarray]:
    """A table of ADBench, without copies of rows: half of the normals are for training, all else for the test."""
    from oddgan.papers import adbench
    from oddgan.papers.protocols import TASKS

    made = TASKS["dte-adbench"](adbench.read(name), "clean", name, SEED)
    return made.train, made.test, made.labels


PICTURES = {
    "mvtec-bottle-256": Case(lambda: pictures("mvtec-bottle-256"), 64),
    "hazelnut-toy": Case(lambda: pictures("hazelnut-toy"), 64),
    "deeppcb": Case(lambda: pictures("deeppcb"), 64, 90, 16, 30, settings={"channels": 1, "tile": 64, "stride": 64}),
    "bridge-cracks": Case(lambda: pictures("bridge-cracks"), 16),
    **{f"digits {digit}": Case(lambda digit=digit: pictures("digits", digit), 8) for digit in "058"},
}
TABLES = {name: Case(lambda name=name: table(name), train=TABLE_ROWS, test=TABLE_TEST) for name in ADBENCH}
CASES = PICTURES | TABLES

ON_PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "pca 0.95": ("pca", {"components": 0.95}),
    "pca 64": ("pca", {"components": 64}),
    "knn": ("knn", {"max_rows": 2_000}),
    "patchcore": ("patchcore", {}),
    "ganomaly": ("ganomaly", {"updates": UPDATES}),
    "draem": ("draem", {"updates": UPDATES}),
    "ocrgan": ("ocrgan", {"updates": OCRGAN_UPDATES}),
}
ON_TABLES: dict[str, tuple[str, dict[str, Any]]] = {
    "knn": ("knn", {"local": "views"}),
    "lof": ("lof", {}),
    "isolationforest": ("isolationforest", {}),
    "pca": ("pca", {}),
    "ganomaly": ("ganomaly", {"updates": TABLE_UPDATES}),
}


@dataclass(frozen=True)
class Configured:
    """A detector on a data set, to be fitted once. `scaling`: of a table's columns, None of pictures."""

    case: str
    name: str
    scaling: str | None
    updates: int | None

    @property
    def pictures(self) -> bool:
        """Whether the rows are pictures."""
        return CASES[self.case].side > 0

    @property
    def kind(self) -> str:
        """The detector's name in the registry."""
        return (ON_PICTURES if self.pictures else ON_TABLES)[self.name][0]

    def unfitted(self) -> Any:
        """The detector."""
        from oddgan import detectors

        settings = (ON_PICTURES if self.pictures else ON_TABLES)[self.name][1] | CASES[self.case].settings
        if self.updates is not None:
            settings |= {"updates": self.updates}
        if self.scaling is not None:
            settings |= {"scaling": self.scaling}
        return detectors.get(self.kind)(random_state=SEED, **settings)

    def own(self) -> list[str]:
        """The detector's own terms, and "combined" where there are any to combine."""
        from oddgan import detectors
        from oddgan.kit.recipe import AUTO
        from oddgan.parameters import declared
        from oddgan.verdict import MAP_TERMS

        kind = declared(detectors.get(self.kind))["score_by"].type
        return [name for name in _choices(kind) if name not in (AUTO, *MAP_TERMS)]

    def blurs(self) -> dict[str, float | None]:
        """What follows a map term in a form's name, and its sigma in pixels; None: the default."""
        side = CASES[self.case].side
        return {"": None} | {f" 1/{part}": side / part for part in BLURS if side / part >= LEAST_BLUR}

    def forms(self) -> list[str]:
        """All forms of the score."""
        from oddgan.verdict import MAP_TERMS

        if self.pictures:
            return [*self.own(), *(f"{term}{blur}" for blur in self.blurs() for term in MAP_TERMS)]
        views = ["views"] if ON_TABLES[self.name][1].get("local") == "views" else []
        return [*self.own(), *views]


def _choices(kind: Any) -> list[str]:
    """The values of a `Literal`, or of those in a union."""
    from typing import get_args

    found: list[str] = []
    for one in get_args(kind):
        found += [one] if isinstance(one, str) else _choices(one)
    return found


# --- rows ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def rows_of(case: str) -> Rows:
    """The rows of a data set, divided; kept for the next detector."""
    mine = CASES[case]
    train, test, labels = mine.load()
    random = np.random.default_rng([SEED, len(train)])
    order = random.permutation(len(train))[: mine.train]
    held = min(mine.held, max(1, round(HELD * len(order))))
    tune = min(mine.held // 2, max(1, round(TUNED * len(order))))
    parts = np.split(order, [held, held + tune])
    normals = [_taken(train, np.sort(numbers)) for numbers in parts]
    some = of_each_class(labels, mine.test, random)
    simulated, kinds = (of_pictures if mine.side else of_tables)(normals[0], normals[2])
    return Rows(normals[2], normals[1], normals[0], simulated, kinds, _taken(test, some), labels[some])


def _taken(rows: Any, numbers: np.ndarray) -> Some:
    """Those rows: of a table as an array, of pictures as a list."""
    return rows[numbers] if isinstance(rows, np.ndarray) else [rows[int(i)] for i in numbers]


def of_pictures(held: list[np.ndarray], train: list[np.ndarray]) -> tuple[Some, np.ndarray]:
    """`EACH` simulated anomalies of each picture (H, W, C), the kinds in turn, and their kinds (n,)."""
    from oddgan.simulate import pictures as simulate

    random = np.random.default_rng(SEED)
    whole = held[0].dtype == np.uint8
    values = (0.0, 255.0) if whole else (float(min(map(np.min, train))), float(max(map(np.max, train))))
    kinds = [simulate.KINDS[i % len(simulate.KINDS)] for i in range(EACH * len(held))]
    made = [simulate.anomalous(held[i // EACH], random, kind, value_range=values)[0] for i, kind in enumerate(kinds)]
    return made, np.array(kinds)


def of_tables(held: np.ndarray, train: np.ndarray) -> tuple[Some, np.ndarray]:
    """`EACH` simulated anomalies of each row (n, k), and their kinds."""
    from oddgan.rows import open_rows
    from oddgan.simulate import tables as simulate

    del train
    random = np.random.default_rng(SEED)
    made = [simulate.anomalous(open_rows(held), random) for _ in range(EACH)]
    return np.concatenate([rows.values for rows, _ in made]), np.concatenate([kinds for _, kinds in made])


# --- scores of all forms by one fit -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Together:
    """Several `RowMaps` that are given the same raw maps."""

    maps: tuple[Any, ...]

    def add(self, block: Any, raw: Any) -> None:
        """Add the raw maps of a block's parts to each."""
        for one in self.maps:
            one.add(block, raw)


def scores(model: Any, of: Configured, rows: Rows) -> dict[str, dict[str, np.ndarray]]:
    """The scores (n,) of every form, of the rows "held", "simulated" and "test"; maps are standardised by tuning rows
    and "combined" terms are scaled by them, as `Detector.fit` does."""
    from oddgan.model.fitting import map_blurs
    from oddgan.model.maps import RowMaps
    from oddgan.rows import open_rows
    from oddgan.verdict import Combination

    preprocessor, recipe = model.preprocessor, model.recipe
    own = tuple(name for name in of.own() if name != "combined")
    terms_of = Combination("off", own, model.combination.reference)

    def terms(X: Some, maps: dict[str, Any]) -> dict[str, np.ndarray]:
        together = Together(tuple(maps.values())) if maps else None
        return model.computer.pooled(preprocessor.parts(open_rows(X)), preprocessor, terms_of, together)

    usual = {}
    if of.pictures:
        for name, sigma in of.blurs().items():
            sigmas = map_blurs(recipe, preprocessor) if sigma is None else (sigma,)
            usual[name] = RowMaps(preprocessor, blurs=sigmas, learn=len(rows.tune), places=not recipe.map_has_scale)
    tuning = terms(rows.tune, usual) if usual or "combined" in of.own() else {}
    combined = Combination("off", recipe.combined_terms).tuned(tuning) if "combined" in of.own() else None
    found = {}
    for part, X in (("held", rows.held), ("simulated", rows.simulated), ("test", rows.test)):
        maps = {name: RowMaps(preprocessor, one.scale) for name, one in usual.items()}
        mine = terms(X, maps)
        if combined is not None:
            mine["combined"] = combined.score(mine)
        mine |= {f"{term}{name}": value for name, one in maps.items() for term, value in one.terms.items()}
        found[part] = {form: np.where(np.isnan(mine[form]), np.inf, mine[form]) for form in of.forms()}
    return found


_fitted: dict[Configured, dict[str, dict[str, Any]]] = {}


def measure(of: Configured, form: str, attempt: Attempt) -> dict[str, Any]:
    """One line. The detector is fitted for the first of its forms, and all of them are kept for the next jobs."""
    if of not in _fitted:
        _fitted.clear()
        _fitted[of] = lines(of, attempt)
    return _fitted[of][form]


def lines(of: Configured, attempt: Attempt) -> dict[str, dict[str, Any]]:
    """The lines of all forms: fit, score, and the figures."""
    import torch

    torch.set_num_threads(1)
    rows = rows_of(of.case)
    fit = attempt.fit(of.unfitted(), rows.train, tune=rows.tune, calibrate=rows.held)
    made = scores(fit.detector.model_, of, rows)
    spent = fit.processor_seconds
    counts = {name: len(getattr(rows, name)) for name in ("train", "tune", "held", "simulated", "test")}
    shared = {
        "rows": counts | {"anomalous": int(rows.labels.sum())},
        "cpu_seconds_to_train": None if spent is None else round(spent, 2),
        "threads": torch.get_num_threads(),
        "versions": versions("python"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores shared with other work",
    }
    return {
        form: {
            "data": of.case,
            "kind": "pictures" if of.pictures else "table",
            "detector": of.name,
            "scaling": of.scaling,
            "updates": of.updates,
            "form": form,
            "seed": SEED,
            "trained_on_simulated": of.kind in SIMULATES,
            **figures(*(made[part][form] for part in ("held", "simulated", "test")), rows),
            **shared,
        }
        for form in of.forms()
    }


def figures(held: np.ndarray, simulated: np.ndarray, test: np.ndarray, rows: Rows) -> dict[str, Any]:
    """AUROC of simulated and of true anomalies, and what is caught of them at the threshold of the held-out scores."""
    from oddgan.metrics import auroc
    from oddgan.verdict import Calibration

    def against_held(some: np.ndarray) -> float:
        labels = np.arange(len(held) + len(some)) >= len(held)
        return round(auroc(labels, np.concatenate([held, some])), 6)

    calibration = Calibration.of(held, "auto")
    flagged = test > calibration.threshold
    return {
        "simulated": against_held(simulated),
        "true": round(auroc(rows.labels, test), 6),
        "by_kind": {str(kind): against_held(simulated[rows.kinds == kind]) for kind in np.unique(rows.kinds)},
        "caught": {
            "simulated": round(float((simulated > calibration.threshold).mean()), 6),
            "true": round(float(flagged[rows.labels].mean()), 6),
        },
        "false_alarms": round(float(flagged[~rows.labels].mean()), 6),
        "asked_false_alarms": round(calibration.rate, 6),
    }


def jobs(
    names: Iterable[str] | None = None, cases: Iterable[str] | None = None, updates: int = UPDATES
) -> list[Job[dict]]:
    """A job for each data set, detector, scaling and form: all forms of a fit together."""
    chosen = None if names is None else set(names)
    found = []
    for of in configured(CASES if cases is None else cases, updates):
        if chosen is not None and not chosen & {of.name, of.kind}:
            continue
        for form in of.forms():
            place = {"data": of.case, "detector": of.name, "scaling": of.scaling, "updates": of.updates, "form": form}
            found.append(
                Job(
                    key=FORM.key(place),
                    title=", ".join(str(value) for value in place.values() if value is not None),
                    run=lambda attempt, of=of, form=form: measure(of, form, attempt),
                )
            )
    return found


def configured(cases: Iterable[str], updates: int = UPDATES) -> list[Configured]:
    """All detectors on these data sets."""
    found = []
    for case in cases:
        side = CASES[case].side
        for scaling in (None,) if side else SCALINGS:
            for name, (kind, settings) in (ON_PICTURES if side else ON_TABLES).items():
                if side and settings.get("components", 0) >= side * side:
                    continue  # every picture would be reconstructed exactly
                budget = settings.get("updates")
                if side and kind in ("ganomaly", "draem"):
                    budget = updates
                found.append(Configured(case, name, scaling, budget))
    return found


# --- the tables ---------------------------------------------------------------------------------------------------

Lines = list[dict[str, Any]]


def agreement(some: Lines, kind: str | None = None) -> float | None:
    """Spearman's correlation of simulated and true AUROC; of one kind of simulated anomalies if it is given. None of
    fewer than three lines, or where one of the two is the same in all."""
    from scipy.stats import rankdata

    pairs = [(line["simulated"] if kind is None else line["by_kind"].get(kind), line["true"]) for line in some]
    ranks = [rankdata(values) for values in zip(*(pair for pair in pairs if pair[0] is not None), strict=True)]
    if not ranks or len(ranks[0]) < 3 or any(np.ptp(one) == 0 for one in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def choice(some: Lines) -> tuple[float, float, float]:
    """True AUROC of what the yardstick chooses (the mean of those that are equal to it), of the best and the median
    line."""
    top = max(line["simulated"] for line in some)
    true = [line["true"] for line in some]
    return (
        float(np.mean([line["true"] for line in some if line["simulated"] == top])),
        max(true),
        float(np.median(true)),
    )


def grouped(some: Lines, *names: str) -> list[Lines]:
    """Lines by the values of these fields."""
    found: dict[tuple, Lines] = defaultdict(list)
    for line in some:
        found[tuple(line[name] for name in names)].append(line)
    return list(found.values())


def by_forms(some: Lines) -> list[Lines]:
    """The forms of each fit."""
    return grouped(some, "data", "detector", "scaling", "updates")


def by_scales(some: Lines) -> list[Lines]:
    """What differs in scale alone: in the Gaussian that smooths a map, or in the scaling of a table's columns."""
    maps = [line | {"form": line["form"].split()[0]} for line in some if " 1/" in line["form"]]
    rows = [line for line in some if line["scaling"] is not None]
    return grouped(maps, "data", "detector", "updates", "form") + grouped(rows, "data", "detector", "updates", "form")


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of those that there are."""
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def shown(figures: dict[str, float | None]) -> list[str]:
    """Figures in a table: correlations with two decimals and others with three."""
    return [
        "" if value is None else f"{value:.{2 if name.startswith('rho') else 3}f}" for name, value in figures.items()
    ]


def without(some: Lines) -> Lines:
    """Those lines whose detector has seen no simulated anomaly in training."""
    return [line for line in some if not line["trained_on_simulated"]]


def of_data(some: Lines) -> dict[str, float | None]:
    """The figures of a data set."""
    alone = without(some)
    chosen, best, median = choice(some)
    found = {
        "rho": agreement(some),
        "rho of forms": mean(agreement(one) for one in by_forms(alone)),
        "rho of scales": mean(agreement(one) for one in by_scales(alone)),
        "chosen": chosen,
        "best": best,
        "median": median,
        "regret": best - chosen,
        "gain": chosen - median,
    }
    chosen, best, median = choice(alone) if alone else (np.nan, np.nan, np.nan)
    more = {"rho": agreement(alone), "regret": best - chosen, "gain": chosen - median}
    return found | {f"{name} without †": value if alone else None for name, value in more.items()}


def of_detector(some: Lines) -> dict[str, float | None]:
    """The figures of a detector, means over data sets; it chooses among its own forms (and, of tables, scalings)."""
    choices = [choice(one) for one in grouped(some, "data")]
    return {
        "rho of forms": mean(agreement(one) for one in by_forms(some)),
        "rho of scales": mean(agreement(one) for one in by_scales(some)),
        "regret": mean(best - chosen for chosen, best, _ in choices),
        "gain": mean(chosen - median for chosen, _, median in choices),
        **{f"{what} AUROC": mean(line[what] for line in some) for what in ("simulated", "true")},
        **{f"{what} caught": mean(line["caught"][what] for line in some) for what in ("simulated", "true")},
        "false alarms": mean(line["false_alarms"] for line in some),
    }


def of_simulated(name: str, sets: list[Lines]) -> dict[str, float | None]:
    """The figures of one kind of simulated anomaly, means over data sets."""
    return {
        "rho": mean(agreement(one, name) for one in sets),
        "rho without †": mean(agreement(without(one), name) for one in sets),
        "simulated AUROC": mean(line["by_kind"].get(name) for one in sets for line in one),
    }


def text() -> str:
    """The tables, in Markdown. Raises `ValueError` where nothing was run."""
    everything = list(lines_of(FILE, FORM))
    if not everything:
        raise ValueError(f"{FILE} has no line: run the study first")
    parts = [
        "Spearman's correlation (rho) of simulated and true AUROC over configurations: a detector and a form of its "
        "score. *Of forms*: over the forms of one fit, mean over detectors. *Of scales*: over the Gaussians that "
        "smooth a map, or the three scalings of a table, mean over detectors and terms. By data set, both are without "
        "†. *Chosen*: true AUROC of the configuration with the highest simulated one (the mean of equal ones), beside "
        "the *best* and the *median* configuration. *Regret*: best minus chosen. *Gain*: chosen minus median. †: "
        "DRAEM and OCR-GAN train on simulated anomalies. Empty: fewer than three values, or all equal."
    ]
    for kind, title in (("pictures", "Pictures"), ("table", "Tables")):
        if some := [line for line in everything if line["kind"] == kind]:
            parts += [f"## {title}", *tables(some)]
    return "\n\n".join(parts) + "\n"


def tables(some: Lines) -> list[str]:
    """The tables of pictures or of tables: by data set, by detector, and by kind of simulated anomaly."""
    sets, marked = grouped(some, "data"), len(without(some)) < len(some)

    def made(first: list[str], rows: list[tuple[list[str], dict[str, float | None]]]) -> str:
        from oddgan.report import markdown

        kept = [name for name in rows[0][1] if marked or "†" not in name]
        return markdown.table(
            [*first, *kept], [[*cells, *shown({name: row[name] for name in kept})] for cells, row in rows]
        )

    by_data = [([one[0]["data"], str(len(one))], of_data(one)) for one in sets]
    figures = [row for _, row in by_data]
    means = {name: mean(row[name] for row in figures) for name in figures[0]}
    above, below = (sum(sign * row["gain"] > 0 for row in figures) for sign in (1, -1))
    by_detector = [
        ([called(one[0]), str(len(grouped(one, "data")))], of_detector(one))
        for one in grouped(some, "detector", "updates")
    ]
    kinds = sorted({name for line in some for name in line["by_kind"]})
    return [
        made(["data", "configurations"], [*by_data, (["**mean**", ""], means)]),
        f"The choice is above the median in {above} of {len(sets)} data sets, and below it in {below}.",
        "By detector, means over data sets:",
        made(["detector", "data sets"], by_detector),
        "By kind of simulated anomaly, means over data sets:",
        made(["kind"], [([name], of_simulated(name, sets)) for name in kinds]),
    ]


def called(line: dict[str, Any]) -> str:
    """What to call a line's detector, with its mark."""
    updates = "" if line["updates"] is None else f", {line['updates']} updates"
    return f"{line['detector']}{updates}{' †' if line['trained_on_simulated'] else ''}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="detectors, by name, with commas")
    parser.add_argument(
        "--cases", help=f"some of {', '.join(CASES)}, with commas; pictures or tables means all of these"
    )
    parser.add_argument("--updates", type=int, default=UPDATES, help="of GANomaly and DRAEM on pictures")
    parser.add_argument("--table", action="store_true", help="print the tables of what was run, and run nothing")
    options = parser.parse_args()
    if options.table:
        print(text(), end="")
        return
    cases: list[str] = []
    for name in options.cases.split(",") if options.cases else list(CASES):
        cases += {"pictures": list(PICTURES), "tables": list(TABLES)}.get(name, [name])
    run(
        jobs(options.only.split(",") if options.only else None, cases, options.updates),
        Record(FILE, FORM),
        summary=lambda line: f"AUROC simulated {line['simulated']:.3f}, true {line['true']:.3f}",
        report=say,
    )


if __name__ == "__main__":
    main()
