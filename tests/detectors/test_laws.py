"""The laws of `oddgan.testing` and scikit-learn's own, for every detector; and planted faults that must break them."""

import numpy as np
import pytest
import torch
from sklearn.utils.estimator_checks import check_estimator

from oddgan import detectors, testing, training
from oddgan.detector import NeuralDetector
from oddgan.detectors.anogan import AnoGAN
from oddgan.detectors.fanogan import FAnoGAN
from oddgan.detectors.ganomaly import GANomaly
from oddgan.detectors.vae import VAE
from oddgan.errors import TrainingError
from oddgan.hooks import Hook
from oddgan.kit.losses import bce, l1, l2
from oddgan.kit.recipe import ALL as ALL_TERMS
from oddgan.training import Stage

ALL = [detectors.get(name) for name in detectors.names()]
OF_TABLES = [cls for cls in ALL if "table" in cls.kinds]
TRAINED = [cls for cls in ALL if issubclass(cls, NeuralDetector)]
EVERY_LOCAL = {cls for cls in ALL if cls not in TRAINED or cls in (AnoGAN, GANomaly)}


def each_or_slow(classes, soon):
    """All classes; those that are not among `soon`, from which they differ in their step alone, are slow tests."""
    return [pytest.param(cls, id=cls.__name__, marks=() if cls in soon else pytest.mark.slow) for cls in classes]


@pytest.fixture(scope="module")
def fitted():
    """`fitted(cls, X)`: the detector's one fit to the pictures, or to the table; laws leave it as it is."""
    made = {}

    def fitted(cls, X):
        key = cls, X.ndim
        if key not in made:
            made[key] = testing.small(cls).fit(X)
        return made[key]

    return fitted


def held(law, detector, X):
    """The law; for most trained detectors with one value of `local`, since rows are compared with their neighbours by
    the same code, whosever terms ("ratio") or features (the others) they have."""
    if law is testing.neighbours_judge_alike and type(detector) not in EVERY_LOCAL:
        law(detector, X, ["distance" if X.ndim == 2 else "ratio"])
    else:
        law(detector, X)


@pytest.mark.parametrize("law", testing.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_laws_on_pictures(cls, law, pictures, fitted):
    held(law, fitted(cls, pictures), pictures)


@pytest.mark.parametrize("law", testing.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("cls", OF_TABLES, ids=lambda cls: cls.__name__)
def test_laws_on_tables(cls, law, table, fitted):
    held(law, fitted(cls, table), table)


@pytest.mark.parametrize("cls", each_or_slow(TRAINED, {FAnoGAN, GANomaly, VAE}))
def test_resume_is_exact_with_averaged_weights_and_bfloat16(cls, pictures):
    testing.resumed_runs_are_identical(testing.small(cls, ema=0.9, precision="bfloat16", updates=9), pictures)


@pytest.mark.parametrize("cls", each_or_slow(OF_TABLES, {FAnoGAN, GANomaly, VAE, *set(ALL) - set(TRAINED)}))
@pytest.mark.filterwarnings("ignore")  # scikit-learn warns of its own deprecations in these checks
def test_scikit_learn(cls):
    shorter = {"updates": 2, "encoder_updates": 2, "steps": 2, "starts": 1}  # some 60 fits
    known = {name: value for name, value in shorter.items() if name in cls._get_param_names()}
    results = check_estimator(
        testing.small(cls, **known),
        expected_failed_checks=testing.EXPECTED_FAILED_CHECKS,
        on_skip=None,
        on_fail=None,
    )
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert not failed
    # The one that skips itself asks for SCIPY_ARRAY_API, which concerns estimators that compute on foreign arrays.
    assert {r["check_name"] for r in results if r["status"] == "skipped"} <= {"check_array_api_input"}


class ForgetsEncoder(GANomaly):
    """A published fault: the encoder is never trained."""

    def step(self, net, batch):
        for losses in super().step(net, batch):
            yield {
                player: {name: term for name, term in terms.items() if name != "enc"}
                for player, terms in losses.items()
            }


class MovesTheOther(GANomaly):
    """Names a player that is not its stage's."""

    def stages(self):
        return (Stage("game", ("G",), self.step),)


class LooksAtTheBatch(GANomaly):
    """A published fault: scores scaled by their batch."""

    def score_rows(self, net, x, names=ALL_TERMS):
        terms = super().score_rows(net, x, names)
        terms["residual"] = terms["residual"] / terms["residual"].max()
        return terms


class StaysInTrainingMode(GANomaly):
    """A published fault: batch statistics at test time."""

    adapts_weights = True  # networks as they were trained: those for scoring have no statistics left to go wrong

    def score_rows(self, net, x, names=ALL_TERMS):
        net.train()
        result = super().score_rows(net, x, names)
        net.eval()
        return result


class UsesGlobalRandomness(GANomaly):
    def build(self, shape):
        np.random.normal()  # noqa: NPY002
        return super().build(shape)


class CountsThreads(GANomaly):
    """Scores follow the number of threads by more than rounding."""

    def score_rows(self, net, x, names=ALL_TERMS):
        terms = super().score_rows(net, x, names)
        return {name: value * (1 + 1e-4 * torch.get_num_threads()) for name, value in terms.items()}


@pytest.mark.parametrize(
    ("cls", "law", "message"),
    [
        (ForgetsEncoder, testing.gradients_reach_their_player, "no gradient reaches G.encoder2"),
        (LooksAtTheBatch, testing.rows_are_independent, "row"),
        (StaysInTrainingMode, testing.rows_are_independent, "row"),
        (CountsThreads, testing.threads_agree, "number of threads"),
        (UsesGlobalRandomness, testing.refits_are_identical, "NumPy's global generator"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_planted_faults_are_caught(cls, law, message, pictures):
    with pytest.raises(AssertionError, match=message):
        law(testing.small(cls), pictures)


def test_a_move_by_a_stranger_is_refused(pictures):
    with pytest.raises(TrainingError, match="moves D, which is not among its players G"):
        testing.small(MovesTheOther).fit(pictures)


class TwoStages(GANomaly):
    """An autoencoder, then its discriminator: two stages, each with the other's network frozen."""

    def stages(self):
        return (
            Stage("encode", ("G",), self.encode, updates=9),
            Stage("judge", ("D",), self.judge),
        )

    def encode(self, net, batch):
        x = batch.x()
        z, x_hat, z_hat = net.G(x)
        yield {"G": {"con": l1(x, x_hat), "enc": l2(z, z_hat)}}

    def judge(self, net, batch):
        x = batch.x()
        _, x_hat, _ = net.G(x)
        for _ in range(2):
            real, _ = net.D(batch.x())
            fake, _ = net.D(x_hat + 0.01 * torch.randn_like(x))
            yield {"D": {"gap": (real - 1) ** 2 + fake**2}}


@pytest.mark.parametrize("law", testing.LAWS, ids=lambda law: law.__name__)
def test_laws_over_several_stages(law, pictures):
    held(law, testing.small(TwoStages), pictures)


def test_each_stage_has_its_own_budget_and_history(pictures):
    det = testing.small(TwoStages).fit(pictures)
    assert det.training_["updates"] == {"encode": 9, "judge": 20}
    terms = {name for name in det.history_ if not name.startswith("val.")}
    assert terms == {"stage", "epoch", "update", "G.con", "G.enc", "D.gap"}
    last = det.history_["stage"].index("judge")
    assert det.history_["D.gap"][0] is None
    assert det.history_["G.con"][last] is None
    # D gives logits near 0 at first: (0 - 1)^2 + 0^2, whether it moves once or twice an update
    assert det.history_["D.gap"][last] == pytest.approx(1.0, abs=0.3)


class OneAfterTheOther(GANomaly):
    """The moves in two yields; D's sees a reconstruction made before G moved, as it does in one."""

    def step(self, net, batch):
        x = batch.x()
        z, x_hat, z_hat = net.G(x)
        (_, f_real), (_, f_fake) = net.D(x), net.D(x_hat)
        yield {"G": {"adv": l2(f_real, f_fake), "con": 50 * l1(x, x_hat), "enc": l2(z, z_hat)}}
        (real, _), (fake, _) = net.D(x), net.D(x_hat.detach())
        yield {"D": {"real": 0.5 * bce(real, 1.0), "fake": 0.5 * bce(fake, 0.0)}}


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_one_yield_and_two_end_in_the_same_weights(ema, pictures):
    X = np.repeat(np.repeat(pictures, 2, 1), 2, 2)  # large enough for batch normalisation in D
    models = [testing.small(cls, ema=ema).fit(X).net_.state_dict() for cls in (GANomaly, OneAfterTheOther)]
    for name, value in models[0].items():
        if "running" not in name and "num_batches" not in name:  # D's are updated twice as often
            torch.testing.assert_close(models[1][name], value, rtol=1e-5, atol=1e-6)


class Together(GANomaly):
    """Both players named in one yield, on losses that share a graph: no move may see the other's."""

    def step(self, net, batch):
        x = batch.x()
        z, x_hat, z_hat = net.G(x)
        fake, _ = net.D(x_hat)
        yield {"G": {"con": l1(x, x_hat), "enc": l2(z, z_hat), "adv": (fake - 1) ** 2}, "D": {"fake": fake**2}}


def test_players_of_one_yield_share_a_graph(pictures):
    """Equal to taking both gradients first and moving afterwards, which one yield per player is not."""
    det = testing.small(Together, updates=1, precision="float32", batch_size=64, ema=0.0)
    stage, net, batch = next(testing._stages(det, pictures))
    torch.manual_seed(0)
    expected = {}
    for losses in stage.step(net, batch):
        for player, terms in losses.items():
            total = sum(t.mean() for t in terms.values())
            params = dict(net[player].named_parameters())
            gradients = torch.autograd.grad(total, list(params.values()), retain_graph=True)
            for (name, value), g in zip(params.items(), gradients, strict=True):
                # Adam's first step is the learning rate times the gradient's sign
                expected[f"{player}.{name}"] = value.detach() - det.lr * g / (g.abs() + 1e-8)
    training.run(net, [stage], batch.rows, batch.settings)
    for name, value in net.named_parameters():
        torch.testing.assert_close(value.detach(), expected[name], rtol=0, atol=1e-6)


def test_hooks_see_every_update_and_change_nothing(pictures):
    seen = []

    class Watch(Hook):
        def on_start(self, moment):
            seen.append(("start", moment.update))

        def on_update(self, moment):
            seen.append(("update", moment.update))
            assert moment.total == 20

        def on_epoch(self, moment):
            seen.append(("epoch", moment.update))
            assert set(moment.losses) == {"G.adv", "G.con", "G.enc", "D.real", "D.fake"}

        def on_end(self, moment):
            seen.append(("end", moment.update))
            assert moment.seconds_left == 0

    watched = testing.small(GANomaly).fit(pictures, hooks=[Watch()])
    assert [s for s in seen if s[0] == "update"] == [("update", i) for i in range(1, 21)]
    assert seen[0] == ("start", 0)
    assert seen[-1] == ("end", 20)
    assert [s for s in seen if s[0] == "epoch"]
    testing._assert_same_model(watched, testing.small(GANomaly).fit(pictures), "a watched run")
