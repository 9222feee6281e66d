"""The models of a service: opened, named, and asked."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import ParameterError
from ..rows import PictureRows, Rows, TableRows
from ..rows.pictures import NamedPictures
from ..verdict.calibration import ROUNDING
from .limits import Refusal

if TYPE_CHECKING:
    from ..model.explanation import Explanation

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
VERSION = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, eq=False)
class Results:
    """What was found of n rows: `score`, `p_value`, `is_anomaly` (n,); the `explanation` of a batch in which they are
    the rows from `start` on, where they were explained; of tables the `shares` (n, k), where there are any."""

    score: np.ndarray
    p_value: np.ndarray
    is_anomaly: np.ndarray
    explanation: "Explanation | None" = None
    start: int = 0
    shares: np.ndarray | None = None

    def map(self, i: int) -> np.ndarray | None:
        """The anomaly map of picture i, (H, W) float32."""
        if self.explanation is None or self.explanation.anomaly_map is None or self.shares is not None:
            return None
        return np.asarray(self.explanation.anomaly_map[self.start + i], np.float32)

    def regions(self, i: int) -> list[dict[str, Any]]:
        """The regions of picture i, as JSON has them; none where the model has no threshold of maps."""
        if self.explanation is None or self.shares is not None or self.explanation.map_threshold is None:
            return []
        return [one.to_json() for one in self.explanation.regions(self.start + i)]


@dataclass(frozen=True, eq=False)
class Served:
    """A model under a name and a version. `scorer`: a `oddgan.runtime.Scorer` or a fitted detector."""

    name: str
    version: int
    scorer: Any
    path: str = ""

    @property
    def like(self) -> Any:
        """What rows the model takes: its preprocessor."""
        return self.scorer.model_.preprocessor

    @property
    def pictures(self) -> bool:
        """Whether it takes pictures; else a table."""
        return bool(self.like.kind == "pictures")

    @cached_property
    def detector(self) -> str:
        """The name of the detector."""
        return str(self.scorer.info()["detector"])

    @property
    def platform(self) -> str:
        """What computes it, in a word for metadata."""
        info = self.scorer.info() if hasattr(self.scorer, "pipeline") else {}
        return f"oddgan_{info.get('runtime', 'torch')}"

    @property
    def locates(self) -> bool:
        """Whether there are maps, or shares of columns."""
        return bool(self.scorer.locates)

    @property
    def calibration(self) -> Any:
        """What its verdicts are made of."""
        return self.scorer.model_.calibration

    def facts(self) -> dict[str, Any]:
        """What a client may want to know, JSON-able."""
        like = self.like
        return {
            "name": self.name,
            "version": str(self.version),
            "detector": self.detector,
            "platform": self.platform,
            "kind": like.kind,
            "takes": like.describe(),
            "columns": [] if self.pictures else list(like.names),
            "kinds": list(like.kinds),
            "locates": self.locates,
            "threshold": float(self.scorer.threshold_),
            "false_alarm_rate": float(self.scorer.false_alarm_rate_),
            "map_threshold": self.scorer.model_.map_threshold,
        }

    def compute(self, several: Sequence[Any], explained: bool) -> list[Results]:
        """The results of the rows of several requests, which are scored together."""
        counts = [len(rows) for rows in several]
        whole = together(several)
        found, shares = None, None
        if not explained or not self.locates:
            score = self.scorer.anomaly_score(whole)
        elif self.pictures:
            found = self.scorer.explain(whole)
            score = found.score
        else:
            score, shares = self.scorer.score_and_shares(whole)
        p_value = self.scorer.p_value_of(score)
        flagged = p_value <= self.scorer.false_alarm_rate_ + ROUNDING
        results, start = [], 0
        for n in counts:
            at = slice(start, start + n)
            own = None if shares is None else shares[at]
            results.append(Results(score[at], p_value[at], flagged[at], found, start, own))
            start += n
        return results


def together(several: Sequence[Any]) -> Rows:
    """The rows of several requests as one: pictures, or rows of tables that were matched with one model."""
    if isinstance(several[0], TableRows):
        first = several[0]
        if len(several) == 1:
            return first
        values = np.concatenate([rows.values for rows in several])
        return TableRows(values, first.columns, first.kinds, first.texts)
    pictures = [picture for rows in several for picture in rows]
    return PictureRows(NamedPictures(range(len(pictures)), lambda i: f"picture {i}", pictures))


class Models:
    """Models by name and version. Raises `ParameterError` where two have the same, and where there are none."""

    def __init__(self, served: Iterable[Served]) -> None:
        self.by_name: dict[str, dict[int, Served]] = {}
        for one in served:
            versions = self.by_name.setdefault(one.name, {})
            if one.version in versions:
                raise ParameterError(
                    f"{one.path or one.name}: there is a model {one.name} of version {one.version} already; say "
                    f"{one.name}:{max(versions) + 1}={one.path or 'PATH'}, or give it another name"
                )
            versions[one.version] = one
        if not self.by_name:
            raise ParameterError("no model to serve: give at least one")

    def __iter__(self) -> Any:
        return (one for versions in self.by_name.values() for _, one in sorted(versions.items()))

    def get(self, name: str, version: str | None = None) -> Served:
        """The model of this name, in its highest version where none is asked for. Raises `Refusal` 404."""
        versions = self.by_name.get(name)
        if versions is None:
            raise Refusal(404, f"there is no model {name!r:.120}; there are {', '.join(self.by_name)}", "unknown")
        if not version:
            return versions[max(versions)]
        if not VERSION.fullmatch(version) or int(version) not in versions:
            known = ", ".join(map(str, sorted(versions)))
            raise Refusal(404, f"model {name} has no version {version!r:.40}; there are {known}", "unknown")
        return versions[int(version)]

    def only(self) -> Served:
        """The model, where there is one name. Raises `Refusal` 400 where there are several."""
        if len(self.by_name) > 1:
            raise Refusal(400, f"there are several models: ask /models/NAME/score; {', '.join(self.by_name)}")
        return self.get(next(iter(self.by_name)))


def named(text: str) -> tuple[str, int, Path]:
    """Name, version and path of "PATH", "NAME=PATH" or "NAME:VERSION=PATH". Raises `ParameterError`."""
    before, sign, after = text.partition("=")
    if not sign or Path(text).exists():
        path = Path(text)
        name, version = path.name.removesuffix(".oddgan"), "1"
    else:
        path = Path(after)
        name, _, version = before.partition(":")
        version = version or "1"
    if not NAME.fullmatch(name):
        raise ParameterError(
            f"{text}: {name!r} is no name for a model (letters, digits, _ . -); say NAME={path}, for instance "
            f"model={path}"
        )
    if not VERSION.fullmatch(version):
        raise ParameterError(f"{text}: a version is a whole number from 1 on, as in {name}:2={path}")
    return name, int(version), path


def opened(
    models: Iterable[str | Path] | Mapping[str, Any],
    *,
    false_alarm_rate: float | None = None,
    block_size: int | None = None,
    convert: bool = False,
    device: str | None = None,
    threads: int | None = None,
) -> list[Served]:
    """Models from what a user names: paths of model files and exports, "NAME=PATH" or "NAME:VERSION=PATH"; or a mapping
    from names (with or without a version) to paths, fitted detectors or scorers.

    Raises `ArtifactError` for a file that is no model, `ParameterError` for a name that is none, or an option that does
    not fit the model.
    """
    if isinstance(models, Mapping):
        pairs = [(f"{name}=", value) for name, value in models.items()]
    else:
        pairs = [("", value) for value in models]
    found = []
    for prefix, value in pairs:
        if isinstance(value, str | Path):
            name, version, path = named(f"{prefix}{value}")
            scorer = _loaded(path, device, threads)
        else:
            name, version, path = named(f"{prefix}object")
            scorer, path = value, Path(name)
        if block_size is not None:
            scorer = scorer.with_block_size(block_size)
        elif hasattr(scorer, "pipeline") and scorer.info()["runtime"] == "openvino":
            scorer = scorer.with_block_size(1)  # it rounds by the number of rows, and an answer is to be that row's own
        if false_alarm_rate is not None:
            scorer = scorer.with_false_alarm_rate(false_alarm_rate)
        if convert and scorer.model_.preprocessor.kind == "pictures":
            scorer = scorer.with_conversion()
        found.append(Served(name, version, scorer, str(path)))
    return found


def _loaded(path: Path, device: str | None, threads: int | None) -> Any:
    """The scorer of an export, or the detector in a model file."""
    from ..runtime import Scorer, is_export

    if path.is_dir() or is_export(path):
        if device not in (None, "auto", "cpu"):
            raise ParameterError(f"device={device}: {path} is an export, which is computed on the CPU")
        return Scorer(path, threads=threads)
    from .. import detectors

    detector = detectors.load(path, device=device)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    return cast(Any, detector)
