"""OCR-GAN against its paper (Liang et al., 2023), without training: every term against a formula written here."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from oddgan import testing
from oddgan.detectors.ocrgan import OCRGAN
from oddgan.errors import ParameterError
from oddgan.kit.recipe import ALL
from oddgan.networks import ocrgan
from oddgan.simulate import cut_paste as simulated
from oddgan.testing import FakeBatch

SHAPE = (3, 18, 12)
WEIGHTS = {"w_adv": 1.5, "w_con": 40.0, "w_lat": 3.0, "w_paste": 2.0, "lam": 0.8}


def game(cls=OCRGAN, **changes):
    """A detector, fresh networks in training mode, and a batch."""
    torch.manual_seed(0)
    det = cls(latent_dim=5, width=4, **{**WEIGHTS, **changes})
    return det, nn.ModuleDict(det.build(SHAPE)).train(), FakeBatch(torch.rand(6, *SHAPE) * 2 - 1)


def mean(rows):
    return rows.reshape(len(rows), -1).mean(1)


def log(logit):
    return torch.log(torch.sigmoid(logit))


# --- losses and scores ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"decoupling": "saturated"}, {"selection": "random"}, {"w_lat_d": 0.5}])
def test_terms_are_the_papers(changes):
    det, net, batch = game(**changes)
    torch.manual_seed(1)
    (losses,) = det.step(net, batch)
    x = batch.rows
    torch.manual_seed(1)
    with torch.no_grad():
        saturated = changes.get("decoupling") == "saturated"
        lap, res = (ocrgan.decouple_saturated if saturated else ocrgan.decouple)(x)
        lap_hat, res_hat = net.G(lap, res)
        whole, whole_hat = lap + res, lap_hat + res_hat
        (real, f_real), (fake, f_fake) = net.D(whole), net.D(whole_hat)
        pasted, _ = net.D(simulated.cut_paste(x)[0])
    expected = {
        "G": {
            "adv": -1.5 * log(fake),
            "con": 40 * mean((whole - whole_hat).abs()),
            "lat": 3 * mean((f_real - f_fake) ** 2),
        },
        "D": {"real": -log(real), "fake": -log(-fake), "paste": -2 * log(-pasted)},
    }
    if "w_lat_d" in changes:
        expected["D"]["lat"] = 0.5 * mean((f_real - f_fake) ** 2)
    assert {player: set(terms) for player, terms in losses.items()} == {k: set(v) for k, v in expected.items()}
    for player, terms in expected.items():
        for name, value in terms.items():
            torch.testing.assert_close(losses[player][name].detach(), value, rtol=1e-4, atol=1e-5)


def test_features_are_the_latent_and_not_the_verdict():
    """Scaling D's head must change the adversarial terms and leave `lat` unchanged."""
    det, net, batch = game()
    (before,) = det.step(net, batch)
    with torch.no_grad():
        net.D.head.weight.mul_(5)
    (after,) = det.step(net, batch)
    torch.testing.assert_close(before["G"]["lat"], after["G"]["lat"])
    assert not torch.allclose(before["G"]["adv"], after["G"]["adv"], rtol=1e-6)


@pytest.mark.parametrize("decoupling", ["signed", "saturated"])
def test_scores(decoupling):
    det, net, batch = game(decoupling=decoupling)
    net.eval()
    x = batch.rows
    with torch.no_grad():
        scores = det.score_rows(net, x)
        lap, res = det.decouple(x)
        whole, whole_hat = lap + res, torch.stack(net.G(lap, res)).sum(0)
        f, f_hat = net.D(whole)[1], net.D(whole_hat)[1]
    absolute, square, latent = mean((whole - whole_hat).abs()), mean((whole - whole_hat) ** 2), mean((f - f_hat) ** 2)
    expected = {"residual": absolute, "residual_mse": square, "latent": latent, "paper": 0.8 * square + 0.2 * latent}
    for name, value in expected.items():
        torch.testing.assert_close(scores[name], value, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(scores["map"], (whole - whole_hat).abs().mean(1))
    assert scores["map"].shape == (6, 18, 12)
    torch.testing.assert_close(scores["x_hat"], whole_hat + (decoupling == "saturated"))
    assert "map" not in det.score_rows(net, x, ("paper",))
    assert torch.equal(det.embed(net, x), f)


def test_signed_parts_are_the_picture_and_saturated_ones_are_darker():
    """What D sees as real, against the pasted pictures, which are not decoupled: the authors' differ by brightness."""
    smooth = torch.linspace(-0.5, 0.5, 12).expand(6, *SHAPE)
    for decoupling, gap in (("signed", 0.0), ("saturated", 1.0)):
        det, net, _ = game(decoupling=decoupling)
        seen = []
        net.D.register_forward_pre_hook(lambda _, args: seen.append(args[0]))  # noqa: B023
        list(det.step(net, FakeBatch(smooth)))
        assert float((smooth - seen[0]).mean()) == pytest.approx(gap, abs=0.02)
        assert float((smooth - seen[2]).median()) == 0.0


# --- players ----------------------------------------------------------------------------------------------------------


class ForgetsThePasted(OCRGAN):
    """A planted bug: D never sees pasted pictures."""

    def step(self, net, batch):
        self.w_paste = 0.0
        yield from super().step(net, batch)


class ReconstructsThePasted(OCRGAN):
    """A planted bug: G is trained on the pasted pictures, and so on the anomalies."""

    def step(self, net, batch):
        x, _ = simulated.cut_paste(batch.x())
        yield from super().step(net, FakeBatch(x))


class AddsUninitialisedNoise(OCRGAN):
    """A published bug: an uninitialised tensor is added to both inputs of G."""

    def decouple(self, x):
        return tuple(part + 0.3 for part in super().decouple(x))  # torch.empty may well give zeros in a test


def check_who_sees_what(cls):
    """G sees the parts of the rows; D the rows, their reconstructions and the pasted pictures."""
    det, net, batch = game(cls)
    by_g, by_d = [], []
    net.G.register_forward_hook(lambda _, args, result: by_g.append((args, result)))
    net.D.register_forward_pre_hook(lambda _, args: by_d.append(args[0]))
    torch.manual_seed(1)
    list(det.step(net, batch))
    ((given, made),) = by_g
    for part, expected in zip(given, ocrgan.decouple(batch.rows), strict=True):
        assert torch.equal(part, expected), "G sees something else"
    torch.manual_seed(1)
    pasted, _ = simulated.cut_paste(batch.rows)
    expected = (batch.rows, made[0] + made[1], pasted)
    assert len(by_d) == 3, "D sees no pasted pictures"
    for seen, theirs in zip(by_d, expected, strict=True):
        torch.testing.assert_close(seen, theirs)


class PullsTheOtherWay(OCRGAN):
    """A published bug: D is also trained on G's latent loss."""

    w_lat_d = 1.0

    def step(self, net, batch):
        self.w_lat_d = 1.0
        yield from super().step(net, batch)


class TrustsThePasted(OCRGAN):
    """A planted bug: pasted pictures count as real."""

    def step(self, net, batch):
        for losses in super().step(net, batch):
            verdict = net.D(simulated.cut_paste(batch.x())[0])[0]
            yield {**losses, "D": {**losses["D"], "paste": -2 * log(verdict)}}


def check_the_discriminator_moves_on_three_cross_entropies(cls):
    det, net, batch = game(cls)
    params = list(net.D.parameters())
    torch.manual_seed(1)
    (losses,) = det.step(net, batch)
    mine = torch.autograd.grad(sum(term.mean() for term in losses["D"].values()), params)
    torch.manual_seed(1)
    with torch.no_grad():
        whole_hat = torch.stack(net.G(*ocrgan.decouple(batch.rows))).sum(0)
    real, fake = net.D(batch.rows)[0], net.D(whole_hat)[0]
    pasted = net.D(simulated.cut_paste(batch.rows)[0])[0]
    total = -(log(real) + log(-fake) + 2 * log(-pasted)).mean()
    expected = torch.autograd.grad(total, params)
    gap = max(float((a - b).abs().max()) for a, b in zip(mine, expected, strict=True))
    assert gap < 1e-4, "D moves on something else"


class SelectsWithoutLearning(OCRGAN):
    """A published bug: the layers of channel selection are made anew at every pass."""

    def build(self, shape):
        self.selection = "random"
        return super().build(shape)


def check_selection_is_learned(cls):
    """G's reconstruction loss reaches every weight of every selection."""
    det, net, batch = game(cls)
    (losses,) = det.step(net, batch)
    params = list(net.G.selections.parameters())
    assert params, "selection has no weights"
    for gradient in torch.autograd.grad(losses["G"]["con"].mean(), params):
        assert gradient.abs().max() > 0, "selection is not trained"


class LosesDarkDetail(OCRGAN):
    """A published bug: detail is what is brighter than its surroundings."""

    def decouple(self, x):
        lap, res = super().decouple(x)
        return lap.clamp(min=0), res


def check_parts_add_up(cls):
    det, _, batch = game(cls)
    lap, res = det.decouple(batch.rows)
    assert float((lap + res - batch.rows).abs().max()) < 1e-6, "parts do not add up to the picture"


BUGS = [
    (ForgetsThePasted, check_who_sees_what, "no pasted"),
    (ReconstructsThePasted, check_who_sees_what, "G sees something else"),
    (AddsUninitialisedNoise, check_who_sees_what, "G sees something else"),
    (PullsTheOtherWay, check_the_discriminator_moves_on_three_cross_entropies, "moves on something else"),
    (TrustsThePasted, check_the_discriminator_moves_on_three_cross_entropies, "moves on something else"),
    (ForgetsThePasted, check_the_discriminator_moves_on_three_cross_entropies, "moves on something else"),
    (SelectsWithoutLearning, check_selection_is_learned, "no weights"),
    (LosesDarkDetail, check_parts_add_up, "do not add up"),
]


@pytest.mark.parametrize("check", {check: 0 for _, check, _ in BUGS})
def test_the_checks_accept_the_detector(check):
    check(OCRGAN)


@pytest.mark.parametrize(("bug", "check", "message"), BUGS)
def test_planted_bugs_are_caught(bug, check, message):
    with pytest.raises(AssertionError, match=message):
        check(bug)


class StartsTheDiscriminatorAnew(OCRGAN):
    """A published bug: D starts anew when its loss is nearly 0."""

    def step(self, net, batch):
        for losses in super().step(net, batch):
            yield {**losses, "D": {name: 1e-9 * term for name, term in losses["D"].items()}}
            net.D.load_state_dict(self.build((1, 11, 9))["D"].state_dict())


def keeps_the_discriminator(cls, pictures):
    """Whether a D that does not learn keeps its initial weights."""
    models = [testing.small(cls, lr={"G": 1e-3, "D": 0.0}, ema=0.0, updates=n).fit(pictures) for n in (1, 4)]
    weights = [list(model.net_.D.parameters()) for model in models]
    return all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_the_discriminator_is_not_reinitialised(pictures):
    assert keeps_the_discriminator(OCRGAN, pictures)
    assert not keeps_the_discriminator(StartsTheDiscriminatorAnew, pictures)


class ForgetsBatchStatistics(OCRGAN):
    """A published bug: after the first test, D is in evaluation mode for the rest of training."""

    def step(self, net, batch):
        net.D.eval()
        yield from super().step(net, batch)


def test_batch_statistics_are_followed_in_training_and_kept_in_scoring(pictures):
    norm = testing.small(OCRGAN, width=4, updates=3, size=16).fit(pictures).net_.D.trunk[3]
    frozen = testing.small(ForgetsBatchStatistics, width=4, updates=3, size=16).fit(pictures).net_.D.trunk[3]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean.abs().max() > 0
    assert frozen.running_mean.abs().max() == 0


@pytest.mark.parametrize("changes", [{"selection": "random"}, {"selection": "off", "decoupling": "saturated"}])
def test_laws_hold_for_the_authors_variants(changes, pictures):
    det = testing.small(OCRGAN, **changes).fit(pictures)
    for law in (
        testing.gradients_reach_their_player,
        testing.only_players_move,
        testing.rows_are_independent,
        testing.refits_are_identical,
        testing.saved_models_are_identical,
        testing.resumed_runs_are_identical,
    ):
        law(det, pictures)


class ScalesByTestRows(OCRGAN):
    """A published bug: scores are rescaled to 0 to 1 over the rows that are scored."""

    def score_rows(self, net, x, names=ALL):
        terms = super().score_rows(net, x, names)
        return {**terms, "paper": (terms["paper"] - terms["paper"].min()) / terms["paper"].max()}


@pytest.mark.parametrize("cls", [OCRGAN, ScalesByTestRows])
def test_rows_are_independent_in_colour(cls, pictures):
    colour = np.repeat(pictures[:48, :, :, None], 3, 3)
    det = testing.small(cls, updates=3, size=16, score_by="paper")
    if cls is OCRGAN:
        testing.rows_are_independent(det, colour)
    else:
        with pytest.raises(AssertionError, match="row"):
            testing.rows_are_independent(det, colour)


def test_tables_are_refused(table):
    with pytest.raises(ParameterError, match="OCRGAN is for pictures"):
        testing.small(OCRGAN).fit(table)


def test_there_is_nothing_to_generate_from(pictures):
    det = testing.small(OCRGAN, updates=3).fit(pictures)
    with pytest.raises(ParameterError, match="OCRGAN cannot generate"):
        det.generate(2)
    assert det.features(pictures).shape == (64, 12)


def test_planted_squares_are_found():
    random = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    phase = random.uniform(0, 2 * np.pi, (300, 1, 1))
    rows = 128 + 60 * np.sin(x / 4 + phase) * np.cos(y / 5 + phase) + random.normal(0, 4, (300, 32, 32))
    rows = rows.clip(0, 255).astype(np.uint8)
    places = random.integers(2, 24, (50, 2))
    squares = np.zeros((100, 32, 32), bool)
    for row, (i, j) in enumerate(places, 50):
        squares[row, i : i + 6, j : j + 6] = True
        rows[200 + row, i : i + 6, j : j + 6] = random.integers(0, 256)
    det = OCRGAN(width=4, updates=60, lr=1e-3, ema=0.9, random_state=0).fit(rows[:200])
    assert roc_auc_score(squares.any((1, 2)), det.anomaly_score(rows[200:])) > 0.9
    assert roc_auc_score(squares[50:].ravel(), np.ravel(det.anomaly_map(rows[250:]))) > 0.9
