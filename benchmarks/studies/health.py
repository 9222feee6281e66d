"""Which trainings went wrong without a word: indicators of good trainings and of trainings broken on purpose.

    ODDGAN_DATA=... python -m benchmarks.studies.health [--part development|correction|test] [--only KIND,...]
    python -m benchmarks.studies.health --table      # hits and false alarms of the rules as they are, without training
    python -m benchmarks.pages.health                # docs/explanation/health.md

A line holds all indicators (`oddgan.model.health`) of one training, so that rules (`oddgan.model.symptoms`) are judged
again without training. The rules' limits were set on the part "development" and corrected once on the part
"correction"; the part "test", of other data and other seeds, came last and changed nothing. Labels say which trainings
count as good (AUROC of at least 0.75 on labelled test rows), and nothing else.
"""

import argparse
import os
import platform
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from typing import Any

import numpy as np
from torch import Tensor, nn

from oddgan.evaluation.runner import Attempt, Job, Record, fields, lines_of, run
from oddgan.report import markdown

from . import RESULTS, say, versions

FILE = RESULTS / "health.jsonl"
FORM = fields("part", "detector", "data", "kind", "seed")
FAIR = 0.75  # the AUROC from which a training counts as good
HARMED = 0.05  # of AUROC lost to the good training: then a broken one did harm
DETECTORS = (
    "ganomaly", "egbad", "alad", "fanogan", "dcgan", "vae", "skipganomaly", "ocgan", "contrad", "dsebm", "dagmm"
)  # fmt: skip
PLAIN = ("pca", "knn", "lof", "isolationforest", "oneclasssvm")
DATA = {
    "development": ("digit 0", "digits but 9", "cancer", "mixture 0"),
    "correction": (
        "digit 6", "digits but 4", "mixture 1", "wine", "adbench cardiotocography", "adbench pageblocks",
        "adbench satimage-2",
    ),
    "test": (
        "digit 2", "digits but 7", "mixture 2", "adbench stamps", "adbench landsat", "adbench waveform",
        "adbench lymphography",
    ),
}  # fmt: skip
NARROW = {
    "development": ("adbench vertebral",),
    "correction": ("adbench skin",),
    "test": ("adbench mammography",),
}
"""Tables of few columns, for good trainings alone: networks may well reconstruct all rows there."""
SEEDS = {"development": (0, 1), "correction": (2, 3), "test": (4, 5)}
MOST_TRAIN, MOST_TEST = 1_000, 1_000
MANY = 8  # detectors, of which every second is broken in this way
MOST_LINES = 20  # of a history that a line keeps

# --- data -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def rows_of(data: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal rows to train on, normal test rows, and anomalous ones: drawn by the seed."""
    from sklearn import datasets

    source, _, which = data.partition(" ")
    random = np.random.default_rng([seed, 16])
    if source in ("digit", "digits"):
        X, y = datasets.load_digits(return_X_y=True)
        X = np.minimum(X.reshape(-1, 8, 8) * 16, 255).astype(np.uint8)
        anomalous = y != int(which) if source == "digit" else y == int(which.removeprefix("but "))
    elif source == "mixture":  # of three clusters in a plane of five dimensions
        own = np.random.default_rng(int(which))
        X = np.concatenate([own.normal(size=(400, 3)) * 0.4 + own.normal(size=3) * 2 for _ in range(3)])
        X = X @ own.normal(size=(3, 8)) + 0.1 * own.normal(size=(len(X), 8))
        low, high = X.min(0), X.max(0)
        X, anomalous = np.concatenate([X, own.uniform(low, high, (300, 8))]), np.arange(len(X) + 300) >= len(X)
    elif source == "adbench":
        from oddgan.papers import adbench

        table = adbench.read(which)
        X, anomalous = table.rows, table.classes == "anomaly"
    else:
        X, y = {"wine": datasets.load_wine, "cancer": datasets.load_breast_cancer}[source](return_X_y=True)
        anomalous = y != 1
    normal, anomalies = X[~anomalous], X[anomalous]
    normal = normal[random.permutation(len(normal))]
    n = min(MOST_TRAIN, 3 * len(normal) // 4)
    return normal[:n], normal[n : n + MOST_TEST], anomalies[random.permutation(len(anomalies))[:MOST_TEST]]


# --- ways to break a training ---------------------------------------------------------------------------------------


class Deaf(nn.Module):
    """A network that does not see its input."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def forward(self, x: Tensor) -> Any:
        return self.inner(0.0 * x)


class Copying(nn.Module):
    """A generator that reconstructs whatever it is given: GANomaly's triple, or x_hat alone."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)

    def forward(self, x: Tensor) -> Any:
        if not hasattr(self.inner, "encoder2"):
            return 0.98 * x + 0.02 * self.inner(x)
        z = self.inner.encoder(x)
        x_hat = 0.98 * x + 0.02 * self.inner.decoder(z)
        return z, x_hat, self.inner.encoder2(x_hat)


def deaf_generator(nets: dict[str, nn.Module]) -> None:
    """Generated rows are one point."""
    if hasattr(nets.get("G"), "decoder"):
        nets["G"].decoder = Deaf(nets["G"].decoder)
    else:
        name = "De" if "De" in nets else "G"
        nets[name] = Deaf(nets[name])


def deaf_encoder(nets: dict[str, nn.Module]) -> None:
    """An encoder that ignores the row."""
    if hasattr(nets.get("G"), "encoder"):
        nets["G"].encoder = Deaf(nets["G"].encoder)
    else:
        name = "En" if "En" in nets else "E"
        nets[name] = Deaf(nets[name])


def copying(nets: dict[str, nn.Module]) -> None:
    """Reconstruction without a bottleneck."""
    nets["G"] = Copying(nets["G"])


@cache
def planted(cls: type, how: str) -> type:
    """A subclass of a detector that is broken by construction."""

    def build(self: Any, shape: Any) -> dict[str, nn.Module]:
        nets = cls.build(self, shape)
        {"collapsed": deaf_generator, "deaf": deaf_encoder, "copying": copying}[how](nets)
        return nets

    def score_rows(self: Any, net: Any, x: Tensor, names: Any = ()) -> dict[str, Tensor]:
        terms = cls.score_rows(self, net, x, names)
        return {name: value if value.ndim > 1 else 1 + 1e-9 * value.double() for name, value in terms.items()}

    body = {"score_rows": score_rows} if how == "constant" else {"build": build}
    return type(f"{how.capitalize()}{cls.__name__}", (cls,), {**body, "__doc__": cls.__doc__, "__module__": __name__})


GENERATES = ("ganomaly", "egbad", "alad", "fanogan", "dcgan", "vae", "ocgan", "contrad")
ENCODES = ("ganomaly", "egbad", "alad", "fanogan", "vae", "ocgan")
PLAYS = ("ganomaly", "egbad", "alad", "dcgan", "skipganomaly", "ocgan", "contrad")
BROKEN: dict[str, tuple[str, ...]] = {
    "lr x 1000": DETECTORS,
    "lr x 100": DETECTORS,
    "lr / 10000": DETECTORS,
    "30 updates": DETECTORS,
    "D frozen": PLAYS,
    "G frozen": (*PLAYS, "vae"),
    "G's lr x 100": PLAYS,
    "latent 1, width 2": ("ganomaly", "egbad", "alad", "fanogan", "vae", "ocgan", "dcgan"),
    "generator ignores z": GENERATES,
    "encoder ignores x": ENCODES,
    "reconstruction copies": ("ganomaly", "skipganomaly"),
    "30 % contaminated": DETECTORS,
    "40 rows memorised": DETECTORS,
    "constant scores": ("egbad", "dcgan", "vae"),
}
GOOD = ("good", "default", "plain")


def unfitted(detector: str, kind: str, seed: int, table: bool) -> Any:
    """The detector of a cell: "good" has a budget of seconds, "default" the defaults."""
    from oddgan import detectors

    cls = detectors.get(detector)
    if kind in ("default", "plain"):
        return cls(random_state=seed)
    usual = cls()
    chosen: dict[str, Any] = {"updates": 500}
    if not table:
        chosen = {"updates": 300, "width": {"fanogan": 4, "alad": 8}.get(detector, 16), "lr": 1e-3}
    if detector == "contrad":
        chosen["updates"] = 300
    lr = chosen.get("lr", usual.lr)
    players = dict.fromkeys(player for stage in usual.stages() for player in stage.players)
    critics = {player for player in players if player[0] in "DC"}
    makers = players.keys() & {"G", "De"}
    match kind:
        case "lr x 1000" | "lr x 100" | "lr / 10000":
            factor = {"lr x 1000": 1e3, "lr x 100": 1e2}.get(kind, 1e-4)
            chosen["lr"] = lr * factor
            if "encoder_lr" in cls._get_param_names():
                chosen["encoder_lr"] = usual.encoder_lr * factor
        case "30 updates":
            chosen["updates"] = 30
        case "D frozen" | "G frozen":
            still = critics if kind == "D frozen" else makers
            chosen["lr"] = {player: 0.0 if player in still else lr for player in players}
        case "G's lr x 100":
            chosen["lr"] = {player: lr * (100 if player in makers else 1) for player in players}
        case "latent 1, width 2":
            chosen |= {"latent_dim": 1, "width": 2}
        case "generator ignores z":
            cls = planted(cls, "collapsed")
        case "encoder ignores x":
            cls = planted(cls, "deaf")
        case "reconstruction copies":
            cls = planted(cls, "copying")
        case "constant scores":
            cls = planted(cls, "constant")
    known = cls._get_param_names()
    return cls(random_state=seed, **{name: value for name, value in chosen.items() if name in known})


def thinned(history: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Some lines of a history, with four digits."""
    n = len(history.get("stage", ()))
    some = np.unique(np.linspace(0, n - 1, min(n, MOST_LINES)).astype(int)) if n else []
    return {
        name: [float(f"{column[i]:.4g}") if isinstance(column[i], float) else column[i] for i in some]
        for name, column in history.items()
    }


def measure(part: str, detector: str, data: str, kind: str, seed: int, attempt: Attempt) -> dict[str, Any]:
    """One line: all indicators of a training, and its true AUROC."""
    from oddgan.errors import OddganError
    from oddgan.metrics import auroc

    train, test, anomalies = rows_of(data, seed)
    if kind == "30 % contaminated":
        random = np.random.default_rng(seed)
        n = min(len(anomalies) // 2, round(len(train) * 3 / 7))
        train = random.permutation(np.concatenate([train, anomalies[:n]]))
        anomalies = anomalies[n:]
    elif kind == "40 rows memorised":
        train = train[:40]  # of which a fifth is held out
    line: dict[str, Any] = {"part": part, "detector": detector, "data": data, "kind": kind, "seed": seed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = attempt.fit(unfitted(detector, kind, seed, table=train.ndim == 2), train)
        except (OddganError, RuntimeError, ValueError) as error:  # said loudly, which is what is asked for
            return {**line, "error": f"{type(error).__name__}: {error}"[:300]}
        scores = fit.detector.anomaly_score(np.concatenate([test, anomalies]))
    facts = fit.detector.training_
    finite = np.nan_to_num(scores, posinf=np.finfo(float).max, neginf=np.finfo(float).min)
    return {
        **line,
        "auroc": auroc(np.repeat([0, 1], [len(test), len(anomalies)]), finite),
        "health": {name: float(f"{value:.5g}") for name, value in facts["health"].items()},
        "history": thinned(fit.detector.history_),
        "codes": [one["code"] for one in facts["warnings"]],
        "rows": len(train),
        "seconds": None if fit.seconds is None else round(fit.seconds, 1),
        "versions": versions("python"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores shared with other work",
    }


def cells() -> Iterator[tuple[str, str, str, str, int]]:
    """Part, detector, data, kind and seed of every training: good ones of each detector on each data, broken ones of
    several detectors on data in turn."""
    for part, sets in DATA.items():
        seeds = SEEDS[part]
        for data in (*sets, *NARROW[part]):
            yield from ((part, detector, data, "good", seeds[0]) for detector in DETECTORS)
            yield from ((part, detector, data, "plain", seeds[0]) for detector in PLAIN)
            if not data.startswith("digits"):
                yield from ((part, detector, data, "default", seeds[1]) for detector in ("ganomaly", "vae", "dagmm"))
        turn = 0
        for kind, able in BROKEN.items():
            every = 2 if len(able) > MANY and (part != "development" or not kind.startswith("lr x")) else 1
            for place, detector in enumerate(able):
                if place % every == 0:
                    yield part, detector, sets[turn % len(sets)], kind, seeds[0]
                turn += 1


def jobs(parts: Iterable[str], kinds: Iterable[str]) -> list[Job]:
    """A job for each training, those of the development part first."""
    kinds = set(kinds)
    return [
        Job(
            key=FORM.key(dict(zip(("part", "detector", "data", "kind", "seed"), cell, strict=True))),
            title=", ".join(map(str, cell)),
            run=lambda attempt, of=cell: measure(*of, attempt),
        )
        for cell in cells()
        if cell[0] in parts and (not kinds or cell[3] in kinds)
    ]


# --- rules ----------------------------------------------------------------------------------------------------------

Line = dict[str, Any]


def codes(line: Line) -> list[str]:
    """What the rules as they are say of a line."""
    from oddgan.model import symptoms

    if "error" in line:
        return ["refused"]
    tied = ["tied-scores"] * (line["kind"] == "constant scores" and "tied-scores" in line["codes"])
    return [one.code for one in symptoms.of(line["health"])] + tied


def found(part: str | None = None) -> list[Line]:
    """The lines there are."""
    known = {one.key for one in jobs(DATA, ())}
    return [line for line in lines_of(FILE, FORM) if part in (None, line["part"]) and FORM.key(line) in known]


def good(line: Line) -> bool:
    """Whether a training with usual settings also has a fair AUROC."""
    return line["kind"] in GOOD and line.get("auroc", 0) >= FAIR


def harmed(line: Line, lines: list[Line]) -> bool:
    """Whether a broken training's AUROC is lower than the good one's of the same detector, data and seed."""
    usual = [
        one["auroc"]
        for one in lines
        if one["kind"] == "good" and all(one[name] == line[name] for name in ("part", "detector", "data", "seed"))
    ]
    return "error" in line or not usual or line["auroc"] < usual[0] - HARMED or line["auroc"] < 0.6


def share(lines: list[Line], said: Callable[[Line], bool] = lambda line: bool(codes(line))) -> str:
    """How many of the lines are warned of."""
    hits = sum(map(said, lines))
    return f"{hits} of {len(lines)}" + (f" ({100 * hits / len(lines):.0f} %)" if lines else "")


def table(part: str) -> str:
    """Hits by kind of breakage, and false alarms, of one part of the study."""
    lines = found(part)
    rows = []
    names = {
        "good, quick": ("good",),
        "good, by default": ("default",),
        "good, without networks": ("plain",),
        "good: all": GOOD,
    }
    broken = [line for line in lines if line["kind"] in BROKEN]
    for kind in (*BROKEN, "all"):
        some = [line for line in broken if kind in (line["kind"], "all")]
        rows.append([f"broken: {kind}", share(some), share([line for line in some if harmed(line, lines)])])
    for name, kinds in names.items():
        rows.append([name, share([line for line in lines if line["kind"] in kinds and good(line)]), ""])
    weak = [line for line in lines if line["kind"] in GOOD and not good(line)]
    rows.append([f"usual settings, AUROC below {FAIR:g}", share(weak), ""])
    return markdown.table(["training", "warned of", "warned of, of those that did harm"], rows)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=tuple(DATA), help="one part alone")
    parser.add_argument("--only", default="", help=f"some of {', '.join((*GOOD, *BROKEN))}".replace("%", "%%"))
    parser.add_argument("--table", action="store_true", help="judge the rules on the lines there are")
    options = parser.parse_args()
    if options.table:
        for part in DATA:
            say(f"{part}\n\n{table(part)}\n")
        return
    run(
        jobs([options.part] if options.part else DATA, filter(None, options.only.split(","))),
        Record(FILE, FORM),
        summary=lambda line: line.get("error") or f"AUROC {line['auroc']:.3f} {' '.join(codes(line))}",
        report=say,
    )


if __name__ == "__main__":
    main()
