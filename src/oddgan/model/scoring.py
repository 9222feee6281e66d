"""Scores of new rows: in blocks of one size, so that a row's score is a function of the row and the model alone."""

import copy
import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .. import machine
from ..errors import ParameterError
from ..parameters import declared, plain
from ..preprocessing import fingerprints
from ..preprocessing.pictures import PreparedPictures, resize_map
from ..preprocessing.prepared import SelectedRows
from ..preprocessing.tables import PreparedTable, TablePreprocessor
from ..preprocessing.tiles import Mosaic, PreparedTiles, Tile, TilePreprocessor, by_picture, mean_of_largest
from ..rows.pictures import PictureList
from ..rows.tables import TableRows
from ..verdict.calibration import Calibration
from . import inference
from .saving import Saveable

RowsOrTable = PictureList | TableRows
Prepared = PreparedPictures | PreparedTiles | PreparedTable
Ready = Prepared | SelectedRows  # rows that need no preprocessing

Compute = Callable[[Any, Tensor], dict[str, Tensor]]
"""From the networks and a block of rows to what is asked of each row, by name."""

X_HAT, VIEW = "x_hat", "view "  # what blocks hold beside terms; views are numbered
ALONE = ("density", "distance")  # values of `local` that stand in place of a detector's terms


@dataclass(frozen=True, eq=False)
class Explanation:
    """What is odd about n rows, and how odd.

    `score` (n,) float64, higher is odder; `p_value` (n,) float64 in (0, 1]; `is_anomaly` (n,) bool: p_value <= the
    false-alarm rate. `terms`: what a score can be made of, (n,) float64 by name. `reconstruction`: what the model makes
    of each row, in the user's units: (n, h, w[, C]) float32 at the model's size; with `tile` a list of n arrays
    (H, W[, C]) float32, each laid together from its tiles at its picture's own size; for tables (n, k) float64, or
    objects where a column holds text or true and false (None: missing). `anomaly_map`: for pictures a list of n arrays
    (H, W) float32 >= 0, each at its picture's own size; for tables one (n, k) float64 array, each column's share of the
    residual. Both are None for a detector that makes nothing of a row (`DCGAN`, an isolation forest). `trained_on` (n,)
    bool: whether the row equals a training row in all that the networks see of it, with `tile` in every pixel.
    `columns`: of tables, the k columns by the user's names, or "column 0" where there are none.
    """

    score: np.ndarray
    p_value: np.ndarray
    is_anomaly: np.ndarray
    terms: Mapping[str, np.ndarray]
    reconstruction: np.ndarray | list[np.ndarray] | None
    anomaly_map: list[np.ndarray] | np.ndarray | None
    trained_on: np.ndarray
    columns: tuple[str, ...] = ()

    def largest(self, i: int, most: int = 3) -> tuple[tuple[str, float], ...]:
        """The columns of a table that have the largest share in the residual of row i, and their shares, at most
        `most` of them. Nothing where there are no shares."""
        if not self.columns or self.anomaly_map is None:
            return ()
        shares = self.anomaly_map[i]
        return tuple((self.columns[c], float(shares[c])) for c in np.argsort(-shares, kind="stable")[:most])


class Scorer(Saveable):
    """The part of a detector that scores; rows reach it through `_rows`."""

    @abstractmethod
    def _rows(self, X: Any) -> RowsOrTable:
        """X as checked rows of the kind that the detector was fitted on."""

    # --- blocks and terms -------------------------------------------------------------------------------------------

    def _blocks(
        self, rows: RowsOrTable | Ready, compute: Compute
    ) -> Iterator[tuple[Tensor, list[tuple[int, int]], dict[str, Tensor]]]:
        """Rows in blocks of `block_size`: each block's rows (b, ...), their pictures' sizes, and what `compute`
        makes of them, by name.

        Pictures in tiles come here only as tiles that are rows of their own; else see `_tiles`.
        """
        size = self.fitted_parameters_["block_size"]
        for start in range(0, len(rows), size):
            chunk = np.arange(start, min(start + size, len(rows)))
            x, sizes = (rows.batch(chunk), []) if isinstance(rows, Ready) else self.preprocessor_.read(rows, chunk)  # type: ignore[arg-type]
            yield x, sizes, self._block(x, compute)

    def _block(self, x: Tensor, compute: Compute) -> dict[str, Tensor]:
        """What `compute` makes of rows x (b, ...), no more than a block of them, by name.

        Every block is padded to full size: kernels round differently by batch shape, and a row must not score
        differently for the company it keeps.
        """
        size = self.fitted_parameters_["block_size"] if self.pads_blocks else len(x)
        block = torch.zeros(size, *x.shape[1:], dtype=torch.float32)
        if x.ndim == 4:
            block = block.contiguous(memory_format=torch.channels_last)
        block[: len(x)] = x
        device, reduced = device_of(self.net_), self.fitted_parameters_.get("scoring_precision") == "bfloat16"
        with machine.sealed(), torch.no_grad():
            net = self.net_ if self.adapts_weights else inference.ready(self.net_)
            with machine.autocast(device, torch.bfloat16 if reduced else torch.float32):
                results = compute(net, block.to(device))
        return {name: value[: len(x)].cpu() for name, value in results.items()}

    def _tiles(
        self, pictures: Iterable[np.ndarray], compute: Compute
    ) -> Iterator[tuple[Tensor, list[Tile], dict[str, Tensor]]]:
        """The tiles of whole pictures in blocks, which may hold tiles of several: each block's tiles (b, C, h, w),
        where they were cut, and what `compute` makes of them, by name."""
        assert isinstance(self.preprocessor_, TilePreprocessor)
        for x, tiles in self.preprocessor_.chunks(pictures, self.fitted_parameters_["block_size"]):
            yield x, tiles, self._block(x, compute)

    def _view(self, net: Any, x: Tensor) -> dict[str, Tensor]:
        """A block's terms, its "x_hat", and, where rows are judged by their neighbours, its views."""
        return self._computed(net, x, self._as_fitted.score_rows(net, x))

    def _view_to_score(self, net: Any, x: Tensor) -> dict[str, Tensor]:
        """Of `_view`, what the score is made of, and "x_hat"."""
        results = self._as_fitted.score_rows(net, x)
        return self._computed(net, x, {name: results[name] for name in (*self._named(), "x_hat") if name in results})

    def _computed(self, net: Any, x: Tensor, given: Mapping[str, Any]) -> dict[str, Tensor]:
        results = {name: value if isinstance(value, Tensor) else value() for name, value in given.items()}
        recipe, parameters = self._as_fitted, self.fitted_parameters_
        if parameters["local"] != "off":
            views = (x,) if parameters["near"] == "rows" else recipe.embeddings(net, x)
            results |= {f"{VIEW}{i}": view.flatten(1) for i, view in enumerate(views)}
        return results

    def _terms_of(self, results: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
        """A block's terms, (b,) float64 by name, and those that its neighbours give rise to."""
        terms = {
            name: value.double().numpy()
            for name, value in results.items()
            if name != X_HAT and not name.startswith(VIEW)
        }
        if self.neighbourhood_ is not None:
            views = views_of(results)
            local = self.fitted_parameters_["local"]
            if local == "density":
                terms["density"] = self.neighbourhood_.outlier_factor(views)
            elif local == "distance":
                terms["distance"] = self.neighbourhood_.distance(views)
            else:
                ratios = self.neighbourhood_.ratio(views, terms)
                terms |= {f"{name}_ratio": value for name, value in ratios.items()}
        return terms

    def _pooled(self, blocks: Iterable[tuple[list[Tile], dict[str, np.ndarray]]]) -> dict[str, np.ndarray]:
        """The terms of pictures, (n,) float64 by name, from their tiles': of each, the mean of the largest."""
        top = self.fitted_parameters_["top_tiles"]
        return joined(
            {name: np.array([mean_of_largest(value, top)]) for name, value in terms.items()}
            for terms in by_picture(blocks)
        )

    def _terms(self, rows: RowsOrTable | Prepared) -> dict[str, np.ndarray]:
        """The terms that the score is made of, (n,) float64 by name."""
        if isinstance(self.preprocessor_, TilePreprocessor):
            blocks = self._tiles(whole_pictures(rows, self.preprocessor_), self._view_to_score)
            return self._pooled((tiles, self._terms_of(results)) for _, tiles, results in blocks)
        return joined(self._terms_of(results) for _, _, results in self._blocks(rows, self._view_to_score))

    def _named(self) -> tuple[str, ...]:
        """The names of `score_rows`' terms that the score is made of."""
        if self.fitted_parameters_["local"] in ALONE:
            return ()
        score_by: str = self.fitted_parameters_["score_by"]
        return self.combined_terms if score_by == "combined" else (score_by,)

    def _scored_terms(self) -> tuple[str, ...]:
        """The names of the terms that make up the score."""
        local = self.fitted_parameters_["local"]
        if local in ALONE:
            return (local,)
        return tuple(f"{name}_ratio" for name in self._named()) if local == "ratio" else self._named()

    def _score(self, terms: Mapping[str, np.ndarray]) -> np.ndarray:
        """The anomaly score (n,) float64 from its terms. What overflows is as odd as can be, not normal."""
        names = self._scored_terms()
        if len(names) > 1:
            score = np.sum([(terms[name] - self.tuning_[name][0]) / self.tuning_[name][1] for name in names], axis=0)
        else:
            score = terms[names[0]]
        return np.where(np.isnan(score), np.inf, score)

    def _scores(self, rows: RowsOrTable | Prepared) -> np.ndarray:
        return self._score(self._terms(rows))

    # --- the public face --------------------------------------------------------------------------------------------

    def anomaly_score(self, X: Any) -> np.ndarray:
        """How odd each row is, (n,) float64, higher is odder. A row's score depends on that row and the model alone.

        X: as for `fit`. Raises `DataError` for rows that do not fit the model, sklearn's `NotFittedError` before fit.
        """
        return self._scores(self._rows(X))

    def score_and_shares(self, X: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Of rows of a table: how odd each is, (n,) float64, and each column's share in that, (n, k) float64; None for
        a detector that cannot say. The same as `explain` says, without what else it says and takes longer for."""
        rows = self._rows(X)
        if not isinstance(self.preprocessor_, TablePreprocessor):
            raise ParameterError("the model takes pictures: ask explain or anomaly_map")
        gathered, given, made = [], [], []
        for x, _, results in self._blocks(rows, self._view_to_score):
            gathered.append(self._terms_of(results))
            if "x_hat" in results:
                given.append(x)
                made.append(results["x_hat"])
        shares = self.preprocessor_.shares((torch.cat(given) - torch.cat(made)).abs()) if made else None
        return self._score(joined(gathered)), shares

    def score_samples(self, X: Any) -> np.ndarray:
        """scikit-learn's sign: -anomaly_score(X)."""
        return -self.anomaly_score(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """threshold_ - anomaly_score(X), (n,) float64: below zero means anomaly."""
        return self.score_samples(X) - self.offset_

    def p_value(self, X: Any) -> np.ndarray:
        """Conformal p-values (n,) float64 against the calibration rows; see `oddgan.calibration` for what they hold."""
        scores = self.anomaly_score(X)
        return self.calibration_.p_value(scores)

    def predict(self, X: Any) -> np.ndarray:
        """+1 for normal rows, -1 for anomalies (p-value at most the false-alarm rate), (n,) int."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(self, X: Any) -> Explanation:
        """Everything about each row: score, p-value, verdict, terms, reconstruction and anomaly map."""
        rows = self._rows(X)
        if isinstance(self.preprocessor_, TilePreprocessor):
            return self._explained(*self._seen_in_tiles(rows, self.preprocessor_))
        gathered, restored, prints = [], [], []
        maps: list[np.ndarray] = []
        for x, sizes, results in self._blocks(rows, self._view):
            gathered.append(self._terms_of(results))
            prints.append(fingerprints.of_tensor(x))
            if "x_hat" not in results:
                continue
            residual = (x - results["x_hat"]).abs()
            if isinstance(self.preprocessor_, TablePreprocessor):
                maps.extend(self.preprocessor_.shares(residual))
            else:
                maps.extend(resize_map(m, size) for m, size in zip(residual.mean(1).numpy(), sizes, strict=True))
            restored.append(self.preprocessor_.restore(results["x_hat"]))
        columns = self.preprocessor_.names if isinstance(self.preprocessor_, TablePreprocessor) else ()
        return self._explained(
            joined(gathered),
            np.concatenate(restored) if restored else None,
            None if not maps else np.stack(maps) if columns else maps,
            np.concatenate(prints),
            columns,
        )

    def _seen_in_tiles(
        self, rows: RowsOrTable, preprocessor: TilePreprocessor
    ) -> tuple[dict[str, np.ndarray], list[np.ndarray] | None, list[np.ndarray] | None, np.ndarray]:
        """Of pictures in tiles: their terms, reconstructions, anomaly maps and fingerprints."""
        prints: list[int] = []
        maps, restored = Mosaic(preprocessor), Mosaic(preprocessor)

        def pictures() -> Iterator[np.ndarray]:
            for picture in whole_pictures(rows, preprocessor):
                prints.append(fingerprints.of_picture(picture))
                yield picture

        def blocks() -> Iterator[tuple[list[Tile], dict[str, np.ndarray]]]:
            for x, tiles, results in self._tiles(pictures(), self._view):
                if "x_hat" in results:
                    residual = (x - results["x_hat"]).abs().mean(1, keepdim=True)
                    maps.add(tiles, preprocessor.spread(residual)[:, 0].numpy())
                    restored.add(tiles, preprocessor.restore(preprocessor.spread(results["x_hat"])))
                yield tiles, self._terms_of(results)

        terms = self._pooled(blocks())
        return terms, restored.pictures or None, maps.pictures or None, np.array(prints, np.uint64)

    def _explained(
        self,
        terms: dict[str, np.ndarray],
        reconstruction: np.ndarray | list[np.ndarray] | None,
        anomaly_map: list[np.ndarray] | np.ndarray | None,
        prints: np.ndarray,
        columns: tuple[str, ...] = (),
    ) -> Explanation:
        score = self._score(terms)
        return Explanation(
            score=score,
            p_value=self.calibration_.p_value(score),
            is_anomaly=score > self.threshold_,
            terms=terms,
            reconstruction=reconstruction,
            anomaly_map=anomaly_map,
            trained_on=np.isin(prints, self.trained_on_),
            columns=columns,
        )

    def reconstruct(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """What the model makes of each row, in the user's units; see `Explanation.reconstruction`. Raises
        `ParameterError` for a detector that makes nothing of a row."""
        if not self.reconstructs:
            raise ParameterError(f"{type(self).__name__} reconstructs nothing: it only says how odd a row is")
        return self.explain(X).reconstruction  # type: ignore[return-value]

    def anomaly_map(self, X: Any) -> list[np.ndarray] | np.ndarray:
        """Where each row is odd; see `Explanation.anomaly_map`. Raises `ParameterError` for a detector that cannot
        say."""
        if not self.reconstructs:
            raise ParameterError(f"{type(self).__name__} locates nothing: it only says how odd a row is")
        return self.explain(X).anomaly_map  # type: ignore[return-value]

    def features(self, X: Any) -> np.ndarray:
        """The detector's view of each row as a vector, (n, k) float32; of a picture in tiles, the mean over them."""
        rows = self._rows(X)
        recipe = self._as_fitted

        def embed(net: Any, x: Tensor) -> dict[str, Tensor]:
            return {"z": recipe.embed(net, x)}

        if isinstance(self.preprocessor_, TilePreprocessor):
            found = self._tiles(whole_pictures(rows, self.preprocessor_), embed)
            return np.stack([of["z"].mean(0) for of in by_picture((t, {"z": r["z"].numpy()}) for _, t, r in found)])
        return np.concatenate([results["z"].numpy() for _, _, results in self._blocks(rows, embed)])

    def generate(self, n: int, *, random_state: int = 0) -> np.ndarray:
        """n new rows that look like training rows, in the user's units, as `Explanation.reconstruction` has them; with
        `tile`, tiles (n, h, w[, C]) at the model's size.
        Raises `ParameterError` for a detector that has nothing to draw from."""
        check_is_fitted(self, "threshold_")
        if n < 1:
            raise ParameterError(f"n={n}: ask for at least one row")
        with machine.sealed(), torch.no_grad():
            torch.manual_seed(random_state)
            return self.preprocessor_.restore(self._as_fitted.sample(self.net_, n).cpu())

    # --- the same model, otherwise used -----------------------------------------------------------------------------

    def with_false_alarm_rate(self, rate: float | Literal["auto"]) -> Self:
        """The same model with another threshold, without a new fit. Raises `ParameterError` when the calibration rows
        are too few for `rate`."""
        check_is_fitted(self, "threshold_")
        declared(type(self))["false_alarm_rate"].check(rate)
        other = copy.copy(self)
        other.false_alarm_rate = rate
        other.fitted_parameters_ = {**self.fitted_parameters_, "false_alarm_rate": plain(rate)}
        other._calibrated(Calibration.of(self.calibration_.scores, rate))
        return other

    def with_block_size(self, block_size: int) -> Self:
        """The same model, scoring `block_size` rows together: 1 for latency, 64 for throughput. Scores agree to
        the detector's `tolerance`."""
        other = copy.copy(self)
        other.block_size = block_size
        other.check_parameters()
        other.fitted_parameters_ = {**self.fitted_parameters_, "block_size": plain(block_size)}
        return other


def device_of(net: nn.ModuleDict) -> torch.device:
    """Where the networks are; the CPU for those without any number."""
    first = next(itertools.chain(net.parameters(), net.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def views_of(results: Mapping[str, Tensor]) -> list[np.ndarray]:
    """A block's views (b, k) float32 of its rows, which training rows are compared in."""
    return [view.float().numpy() for name, view in results.items() if name.startswith(VIEW)]


def whole_pictures(rows: RowsOrTable | Prepared, preprocessor: TilePreprocessor) -> Iterator[np.ndarray]:
    """Pictures that are to be cut into tiles, one after the other, (H, W, C)."""
    if isinstance(rows, PreparedTiles):
        return rows.whole()
    assert isinstance(rows, PictureList)  # what `_rows` gives for pictures
    return preprocessor.whole(rows)


def joined(blocks: Iterator[dict[str, np.ndarray]] | list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The terms of all blocks, (n,) float64 by name."""
    gathered: dict[str, list[np.ndarray]] = {}
    for block in blocks:
        for name, value in block.items():
            gathered.setdefault(name, []).append(value)
    return {name: np.concatenate(parts) for name, parts in gathered.items()}
