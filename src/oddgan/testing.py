"""Laws that every detector must keep, for detectors of your own as well.

    from oddgan.testing import check_detector, small
    check_detector(small(MyDetector), pictures)
    check_detector(small(MyDetector), table)

Each law is a function of a detector and normal rows X; it raises `AssertionError` that says what broke. A detector that
is fitted to X already is not fitted again where one fit is enough: give several laws one fitted detector, and they take
a fraction of the time. Laws of training hold of themselves for a detector that trains no networks.
"""

import copy
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import numpy as np
import torch
from sklearn.base import clone
from torch import nn

from . import detectors, preprocessing, training
from .detector import Detector, NeuralDetector
from .errors import ParameterError
from .hooks import Hook, Moment
from .kit.recipe import AUTO
from .model import fitting
from .parameters import Declared, alternatives, declared
from .rows import open_rows
from .verdict import ALONE, MAP_TERMS

SMALL = {
    "updates": 20,
    "encoder_updates": 10,
    "batch_size": 16,
    "block_size": 16,
    "width": 8,
    "seg_width": 8,
    "critic_steps": 2,
    "steps": 4,
    "starts": 2,
    "trees": 10,
    "calibrate_fraction": 0.05,
    "random_state": 0,
    "device": "cpu",
}
"""A configuration that trains in a blink. So few calibration rows make the automatic false-alarm rate high enough for
scikit-learn's `check_outliers_train`, which wants at least one training row called an anomaly."""

EXPECTED_FAILED_CHECKS: dict[str, str] = {}
"""scikit-learn checks that a detector may fail, with the reason, for `check_estimator(expected_failed_checks=...)`."""


def small(cls: type[Detector], **changes: Any) -> Detector:
    """A small, quick configuration of a detector class, for tests."""
    known = {name: value for name, value in SMALL.items() if name in cls._get_param_names()}
    return cls(**{**known, **changes})


class FakeBatch:
    """A source of rows and noise for `step`, to hold a detector to its paper without training.

    `rows`: a tensor (b, ...), given at every call of `x`; or the shape of a row, for six fresh rows at every call.
    `noise`: a tensor (b, latent_dim), given at every call of `z` (within -1 and 1 for the uniform prior); None: drawn
    afresh. What was handed out is kept in `given`, `drawn` and `priors`. `update`, `first`: as in a training batch.
    """

    def __init__(self, rows: torch.Tensor | Sequence[int], noise: torch.Tensor | None = None) -> None:
        self._random = torch.Generator().manual_seed(3)
        self._rows, self._noise = rows, noise
        self.given: list[torch.Tensor] = []
        self.drawn: list[torch.Tensor] = []
        self.priors: list[str] = []
        self.update = self.first = 0

    @property
    def rows(self) -> torch.Tensor:
        """The rows that every call of `x` gives."""
        assert isinstance(self._rows, torch.Tensor), "fresh rows are given at every call: see `given`"
        return self._rows

    @property
    def noise(self) -> torch.Tensor:
        """The noise that every call of `z` gives."""
        assert self._noise is not None, "fresh noise is drawn at every call: see `drawn`"
        return self._noise

    def x(self) -> torch.Tensor:
        """A minibatch of rows."""
        fixed = isinstance(self._rows, torch.Tensor)
        self.given.append(self.rows if fixed else torch.randn(6, *self._rows, generator=self._random))
        return self.given[-1]

    def z(self, latent_dim: int, prior: str = "normal") -> torch.Tensor:
        """Noise (b, latent_dim)."""
        self.priors.append(prior)
        if self._noise is not None:
            assert latent_dim == self._noise.shape[1], f"noise of {latent_dim} numbers, not {self._noise.shape[1]}"
            self.drawn.append(self._noise if prior == "normal" else self._noise.clamp(-1, 1))
        else:
            size = len(self._rows) if isinstance(self._rows, torch.Tensor) else 6
            self.drawn.append(torch.randn(size, latent_dim, generator=self._random))
        return self.drawn[-1]

    def whole(self, x: torch.Tensor, groups: int = 1) -> torch.Tensor:
        """x: there is one process."""
        del groups
        return x

    def random(self, seed: int) -> np.random.Generator:
        """The generator of a seed."""
        return np.random.default_rng(seed)


def check_detector(detector: Detector, X: Any) -> None:
    """Hold `detector` (unfitted, in a small configuration) to every law, on normal rows X (at least 40)."""
    fitted = clone(detector).fit(X)
    for law in LAWS:
        law(fitted, X)


def gradients_reach_their_player(detector: Detector, X: Any) -> None:
    """Every move's loss reaches every parameter of its player, except those declared `without_gradient`."""
    for stage, net, batch in _stages(detector, X):
        moved = set()
        for losses in stage.step(net, batch):
            for player, terms in losses.items():
                assert player in stage.players, f"{player} moves in stage {stage.name} but is not one of its players"
                moved.add(player)
                total = torch.stack([term.float().mean() for term in terms.values()]).sum()
                names, params = zip(*net[player].named_parameters(), strict=True)
                for name, gradient in zip(
                    names, torch.autograd.grad(total, params, allow_unused=True, retain_graph=True), strict=True
                ):
                    exempt = f"{player}.{name}" in detector.without_gradient
                    reached = gradient is not None and bool(gradient.abs().max() > 0)
                    assert reached or exempt, (
                        f"no gradient reaches {player}.{name}; declare it `without_gradient` or fix the loss"
                    )
                    assert not (reached and exempt), f"a gradient reaches {player}.{name}, declared `without_gradient`"
        assert moved == set(stage.players), f"players {set(stage.players) - moved} of {stage.name} never move"


def only_players_move(detector: Detector, X: Any) -> None:
    """A stage leaves every network alone that is not its player, the statistics of batch normalisation included."""
    for stage, net, batch in _stages(detector, X):
        before = {name: value.clone() for name, value in net.state_dict().items()}
        training.run(net, [stage], batch.rows, batch.settings)
        for name, value in net.state_dict().items():
            if name.split(".")[0] not in stage.players:
                assert torch.equal(before[name], value), f"{name} moved in stage {stage.name} and is not its player's"


def rows_are_independent(detector: Detector, X: Any) -> None:
    """A row scores the same alone, in any order and in any batch, to the last bit."""
    detector = _fitted(detector, X)
    scores = detector.anomaly_score(X)
    order = np.random.default_rng(0).permutation(len(X))
    assert np.array_equal(detector.anomaly_score(_take(X, order)), scores[order]), "scores depend on the order of rows"
    for i in (0, len(X) // 2, len(X) - 1):
        alone = detector.anomaly_score(_take(X, np.array([i])))
        assert alone[0] == scores[i], f"row {i} scores {alone[0]} alone and {scores[i]} in a batch"


def block_sizes_agree(detector: Detector, X: Any) -> None:
    """Scores in blocks of 1 and of more agree to the detector's `tolerance`, and verdicts agree beyond that."""
    detector = _fitted(detector, X)
    scores, single = detector.anomaly_score(X), detector.with_block_size(1).anomaly_score(X)
    _assert_agree(detector, scores, single, "scores depend on the block size")


def refits_are_identical(detector: Detector, X: Any) -> None:
    """The same seed gives the same bits, and the global generators are left as they were found."""
    first = _fitted(detector, X)
    torch.manual_seed(7)
    np.random.seed(7)  # noqa: NPY002  # the legacy generator is what must be left alone
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    second = clone(detector).fit(X)
    assert torch.equal(torch_before, torch.get_rng_state()), "fit moved torch's global generator"
    assert np.array_equal(numpy_before, np.random.get_state()[1]), "fit moved NumPy's global generator"  # type: ignore[index]  # noqa: NPY002
    _assert_same_model(first, second, "two fits with one seed")


def saved_models_are_identical(detector: Detector, X: Any) -> None:
    """A model that was saved and loaded scores, explains and generates the same bits."""
    detector = _fitted(detector, X)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.oddgan"
        detector.save(path)
        loaded = detectors.load(path)
    _assert_same_model(detector, loaded, "a saved and loaded model")
    mine, theirs = detector.anomaly_score(X), loaded.anomaly_score(X)
    assert np.array_equal(mine, theirs)
    assert np.array_equal(detector.model_.calibration.p_value(mine), loaded.model_.calibration.p_value(theirs))
    if detector.generates:
        assert np.array_equal(detector.generate(3), loaded.generate(3))


def resumed_runs_are_identical(detector: Detector, X: Any) -> None:
    """A run that is broken off in the middle of every stage and resumed gives the bits of one that was not."""
    if not isinstance(detector, NeuralDetector):
        return
    whole = _fitted(detector, X)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.ckpt"
        for stage in detector.stages():
            try:
                clone(detector).fit(X, checkpoint=path, checkpoint_seconds=0, hooks=[_Break(stage.name)])
            except _BrokenOff:
                continue
            raise AssertionError(f"stage {stage.name} has fewer than {_Break.AT} updates: too short to break off")
        resumed = clone(detector).fit(X, checkpoint=path)
    _assert_same_model(whole, resumed, "a resumed run")
    assert whole.history_ == resumed.history_, "a resumed run has another history"


def every_choice_of_score_is_a_term(detector: Detector, X: Any) -> None:
    """Whatever `score_by` may name is reported as a term, and nothing else is left out of the choice."""
    choices = set(get_args(declared(type(detector))["score_by"].type))
    found = _fitted(detector, X).explain(_take(X, np.arange(3)))
    terms = set(found.terms) - set(ALONE)
    choices -= {AUTO, *MAP_TERMS} if not terms & set(MAP_TERMS) else {AUTO}
    assert (found.reconstruction is not None) == detector.reconstructs, "`reconstructs` is not what score_rows does"
    assert choices - {"combined"} == terms, f"score_by offers {sorted(choices)}, but the terms are {sorted(terms)}"
    assert ("combined" in choices) == bool(detector.combined_terms), "score_by='combined' needs `combined_terms`"


def neighbours_judge_alike(detector: Detector, X: Any, locals_: Sequence[str] = ("ratio", *ALONE)) -> None:
    """Compared with its neighbours, a row scores the same alone, in a batch, and after saving and loading, by every
    value of `local` in `locals_`: all with the same networks."""
    trained = _fitted(detector, X)
    for local in locals_:
        fitted = _compared(trained, local, X)
        scores = fitted.anomaly_score(X)
        assert np.isfinite(scores).all(), f"local={local}: a score is not finite"
        assert fitted.anomaly_score(_take(X, np.array([1])))[0] == scores[1], f"{local}: scores depend on the batch"
        with tempfile.TemporaryDirectory() as folder:
            fitted.save(Path(folder) / "model.oddgan")
            loaded = detectors.load(Path(folder) / "model.oddgan")
        assert np.array_equal(loaded.anomaly_score(X), scores), f"local={local}: a loaded model scores otherwise"


def threads_agree(
    detector: Detector, X: Any, locals_: Sequence[str] = ("off", "ratio", *ALONE, "patches"), threads: int = 2
) -> None:
    """With one and with `threads` torch threads, scores of one model agree to the detector's `tolerance`, and verdicts
    agree beyond that, by every value of `local` in `locals_` that the detector takes for X: all with the same
    networks."""
    detector, some, before = _fitted(detector, X), _take(X, np.arange(16)), torch.get_num_threads()
    for local in locals_:
        try:
            fitted = detector if local == detector.local else _compared(detector, local, X)
        except ParameterError:  # patches of a table, or of a detector that locates nothing
            continue
        try:
            torch.set_num_threads(1)
            alone = fitted.anomaly_score(some)
            torch.set_num_threads(threads)
            together = fitted.anomaly_score(some)
        finally:
            torch.set_num_threads(before)
        _assert_agree(fitted, alone, together, f"local={local}: scores depend on the number of threads")


def later_parameters_wait(detector: Detector, X: Any) -> None:
    """What `set_params` says after a fit waits for the next fit: scores stay those that the threshold was set for."""
    detector = copy.copy(_fitted(detector, X))
    scores = detector.anomaly_score(X)
    others = {
        name: _another(declaration, getattr(detector, name)) for name, declaration in declared(type(detector)).items()
    }
    detector.set_params(**{name: value for name, value in others.items() if value is not None})
    assert np.array_equal(detector.anomaly_score(X), scores), "scores follow parameters that were set after the fit"


LAWS = (
    gradients_reach_their_player,
    only_players_move,
    rows_are_independent,
    block_sizes_agree,
    refits_are_identical,
    saved_models_are_identical,
    resumed_runs_are_identical,
    every_choice_of_score_is_a_term,
    neighbours_judge_alike,
    threads_agree,
    later_parameters_wait,
)


class _BrokenOff(Exception):
    pass


class _Break(Hook):
    """Breaks a stage off after its seventh update, at which a checkpoint has been written for the sixth."""

    AT = 7

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def on_update(self, moment: Moment) -> None:
        if moment.stage == self.stage and moment.update == self.AT:
            raise _BrokenOff


def _fitted(detector: Detector, X: Any) -> Detector:
    """`detector`, fitted to X unless it is fitted."""
    return detector if hasattr(detector, "model_") else detector.fit(X)


def _compared(fitted: Detector, local: str, X: Any) -> Detector:
    """Another fit to a few rows, by another value of `local`, which takes preprocessing and networks as they are."""
    other: Detector = clone(fitted).set_params(local=local, **({} if local == "off" else {"neighbours": 3}))
    held, rest = (_take(X, np.arange(*of)) for of in ((4,), (4, 16)))
    with (
        mock.patch.object(preprocessing, "fit", return_value=fitted.model_.preprocessor),
        mock.patch.object(fitting, "_trained", return_value=(fitted.net_, {}, {})),
    ):
        other.fit(rest, tune=held, calibrate=held)
    return other


def _stages(detector: Detector, X: Any) -> Iterator[tuple[training.Stage, nn.ModuleDict, training.Batch]]:
    """Each stage with networks of its own, as a fit would start them, and a source of batches."""
    if not isinstance(detector, NeuralDetector):
        return
    fitted = clone(detector).set_params(updates=1).fit(X)
    rows, preprocessor = open_rows(X), fitted.model_.preprocessor
    prepared = preprocessor.prepare(rows, np.arange(len(rows)))
    settings = fitting.settings_of(fitted, preprocessor.shape, 0, len(rows))
    for number, stage in enumerate(fitted.stages()):
        net = copy.deepcopy(fitted.net_)
        for name, module in net.items():
            module.train(name in stage.players).requires_grad_(name in stage.players)
        yield stage, net, training.Batch(prepared, settings, number)


def _another(declaration: Declared, value: Any) -> Any:
    """Another value that the parameter may have; None where none is found."""
    choices: list[Any] = [
        one for kind in alternatives(declaration.type) for one in get_args(kind) if isinstance(one, str)
    ]
    if isinstance(value, int | float) and not isinstance(value, bool):
        choices += [value * 2, value + 1, value / 2]
    for other in choices:
        try:
            declaration.check(other)
        except ParameterError:
            continue
        if other != value:
            return other
    return None


def _take(X: Any, numbers: np.ndarray) -> Any:
    return X.iloc[numbers] if hasattr(X, "iloc") else X[numbers]


def _assert_agree(detector: Detector, a: np.ndarray, b: np.ndarray, what: str) -> None:
    """Scores (n,) agree to the tolerance, and verdicts of rows that are farther than it from the threshold."""
    tolerance = detector.tolerance * np.abs(a).max()
    assert np.abs(a - b).max() <= tolerance, f"{what}, by {np.abs(a - b).max():.3g}, and {tolerance:.3g} is allowed"
    clear = np.abs(a - detector.threshold_) > tolerance
    verdicts = [(scores > detector.threshold_)[clear] for scores in (a, b)]
    assert np.array_equal(*verdicts), f"{what}: verdicts differ"


def _assert_same_model(a: Detector, b: Detector, what: str) -> None:
    mine, theirs = a.net_.state_dict(), b.net_.state_dict()
    assert mine.keys() == theirs.keys(), f"{what}: other networks"
    for name in mine:
        assert torch.equal(mine[name], theirs[name]), f"{what}: {name} differs"
    assert a.threshold_ == b.threshold_, f"{what}: another threshold"
