"""EGBAD against its paper and code (Zenati et al., 2018), without training: every term against a formula."""

import types

import numpy as np
import pytest
import torch
from torch import nn

from oddgan import papers, testing
from oddgan.detectors.egbad import EGBAD
from oddgan.kit.recipe import ALL
from oddgan.testing import FakeBatch

SHAPES = {"pictures": (1, 16, 12), "table": (7,)}


def game(cls, kind, **parameters):
    """A detector, fresh networks in training mode with dropout off, and batches."""
    torch.manual_seed(0)
    det = cls(latent_dim=3, width=4, **{"w_residual": 0.0, **parameters})
    net = nn.ModuleDict(det.build(SHAPES[kind])).train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    with torch.no_grad():
        for p in net.D.head.parameters():
            p.add_(0.3 * torch.randn_like(p))  # away from the start, at which all verdicts are nearly equal
    return det, net, FakeBatch(SHAPES[kind])


def near(actual, expected):
    torch.testing.assert_close(actual.detach().float(), expected.detach(), rtol=1e-4, atol=1e-5)


def check_losses(cls, kind):
    """D: -log D(x, E(x)) - log(1 - D(G(z), z)); G: -log D(G(z), z); E: -log(1 - D(x, E(x))), and nothing else."""
    det, net, batch = game(cls, kind)
    first, second = det.step(net, batch)
    assert set(first) == {"D"}
    assert set(second) == {"G", "E"}, "G and E move together"
    assert len(batch.given) == len(batch.drawn) == 2, "G and E have a batch of their own"
    (x1, x2), (z1, z2) = batch.given, batch.drawn
    with torch.no_grad():
        real = [torch.sigmoid(net.D(x, net.E(x))[0]) for x in (x1, x2)]
        fake = [torch.sigmoid(net.D(net.G(z), z)[0]) for z in (z1, z2)]
    assert set(first["D"]) == {"real", "fake"}
    near(first["D"]["real"], -torch.log(real[0]))
    near(first["D"]["fake"], -torch.log(1 - fake[0]))
    assert set(second["G"]) == set(second["E"]) == {"adv"}, "a term that was not requested"
    near(second["G"]["adv"], -torch.log(fake[1]))
    near(second["E"]["adv"], -torch.log(1 - real[1]))


def check_scores(cls, kind):
    """Norms are sums; the paper's cross-entropy is on (x, E(x)), the code's on (x_hat, E(x)); alpha weights L1."""
    det, net, batch = game(cls, kind, alpha=0.8)
    net.eval()
    x = batch.x()
    with torch.no_grad():
        z_hat = net.E(x)
        x_hat = net.G(z_hat)
        (real, f_real), (fake, f_fake) = net.D(x, z_hat), net.D(x_hat, z_hat)
        scores = det.score_rows(net, x)
    residual = np.abs((x - x_hat).reshape(6, -1).numpy()).sum(1)
    feature = np.abs((f_real - f_fake).numpy()).sum(1)
    sigma, sigma_code = np.log1p(np.exp(-real.numpy())), np.log1p(np.exp(-fake.numpy()))
    expected = {"residual": residual, "feature": feature, "sigma": sigma, "sigma_code": sigma_code}
    expected["paper_fm"] = 0.8 * residual + 0.2 * feature
    expected["paper_sigma"] = 0.8 * residual + 0.2 * sigma
    expected["code_sigma"] = 0.8 * residual + 0.2 * sigma_code
    assert set(scores) == {*expected, "x_hat"}
    for name, value in expected.items():
        np.testing.assert_allclose(scores[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert torch.equal(scores["x_hat"], x_hat)


@pytest.mark.parametrize("kind", SHAPES)
def test_losses_are_the_papers(kind):
    check_losses(EGBAD, kind)


@pytest.mark.parametrize("kind", SHAPES)
def test_scores_are_the_papers_and_the_codes(kind):
    check_scores(EGBAD, kind)


# --- planted bugs of published code -----------------------------------------------------------------------------------


class ResidualUnasked(EGBAD):
    """anomaly-toolbox: the residual is added to the encoder's loss."""

    def step(self, net, batch):
        first, second = super().step(net, batch)
        x = batch.given[-1]
        con = (x - net.G(net.E(x))).abs().flatten(1).mean(1)
        yield from (first, {**second, "E": {**second["E"], "con": con}})


class LeastSquares(EGBAD):
    """masataka46: (D - label)^2 in place of the cross-entropy."""

    def step(self, net, batch):
        list(super().step(net, batch))
        (x1, x2), (z1, z2) = batch.given, batch.drawn
        yield {"D": {"real": (net.D(x1, net.E(x1))[0] - 1) ** 2, "fake": net.D(net.G(z1), z1)[0] ** 2}}
        yield {"G": {"adv": (net.D(net.G(z2), z2)[0] - 1) ** 2}, "E": {"adv": net.D(x2, net.E(x2))[0] ** 2}}


class LabelsNotSwapped(EGBAD):
    """The encoder helps the discriminator: a frequent question of users of the authors' code."""

    def step(self, net, batch):
        first, second = super().step(net, batch)
        real, _ = net.D(batch.given[-1], net.E(batch.given[-1]))
        yield from (first, {**second, "E": {"adv": nn.functional.softplus(-real)}})


class OneBatch(EGBAD):
    """The discriminator's rows and latents are used again for G and E."""

    def step(self, net, batch):
        x, z = batch.x(), batch.z(3)
        yield from super().step(net, types.SimpleNamespace(x=lambda: x, z=lambda *_: z, whole=batch.whole))


class MovesInTurn(EGBAD):
    """G is updated before E's loss is computed."""

    def step(self, net, batch):
        first, second = super().step(net, batch)
        yield from (first, {"G": second["G"]}, {"E": second["E"]})


class AlphaReversed(EGBAD):
    """anomaly-toolbox: alpha weights the discrimination loss, not the residual."""

    def score_rows(self, net, x, names=ALL):
        terms = super().score_rows(net, x, names)
        return {**terms, "paper_fm": self.alpha * terms["feature"] + (1 - self.alpha) * terms["residual"]}


class MeansForSums(EGBAD):
    """masataka46: means where the authors' code has sums, which changes the effect of alpha."""

    def score_rows(self, net, x, names=ALL):
        terms = super().score_rows(net, x, names)
        return {**terms, "residual": terms["residual"] / x[0].numel()}


class CodeForPaper(EGBAD):
    """The authors' code under the paper's name: D's input is the reconstruction's pair."""

    def score_rows(self, net, x, names=ALL):
        terms = super().score_rows(net, x, names)
        return {**terms, "sigma": terms["sigma_code"], "paper_sigma": terms["code_sigma"]}


class OnePass(EGBAD):
    """D sees real and generated pairs in one pass: batch normalisation mixes them."""

    def step(self, net, batch):
        _, second = super().step(net, batch)
        (x, _), (z, _) = batch.given, batch.drawn
        logit, _ = net.D(torch.cat([x, net.G(z)]), torch.cat([net.E(x), z]))
        real, fake = logit.chunk(2)
        yield from ({"D": {"real": nn.functional.softplus(-real), "fake": nn.functional.softplus(fake)}}, second)


BUGS = [
    (ResidualUnasked, check_losses, "not requested"),
    (LeastSquares, check_losses, "not close"),
    (LabelsNotSwapped, check_losses, "not close"),
    (OneBatch, check_losses, "a batch of their own"),
    (MovesInTurn, check_losses, "together|too many values"),
    (OnePass, check_losses, "not close"),
    (AlphaReversed, check_scores, "paper_fm"),
    (MeansForSums, check_scores, "residual"),
    (CodeForPaper, check_scores, "sigma"),
]


@pytest.mark.parametrize(("cls", "check", "message"), BUGS, ids=lambda v: getattr(v, "__name__", ""))
def test_planted_bugs_are_caught(cls, check, message):
    with pytest.raises((AssertionError, ValueError), match=message):
        check(cls, "pictures")


class BatchStatistics(EGBAD):
    """masataka46: batch normalisation uses batch statistics at test time."""

    def score_rows(self, net, x, names=ALL):
        norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.train()
        terms = super().score_rows(net, x, names)
        for norm in norms:
            norm.eval()
        return terms


class ScaledByBatch(EGBAD):
    """anomaly-toolbox: scores divided by their batch's norm."""

    def score_rows(self, net, x, names=ALL):
        terms = super().score_rows(net, x, names)
        return {**terms, "paper_fm": terms["paper_fm"] / terms["paper_fm"].norm()}


@pytest.mark.parametrize("cls", [BatchStatistics, ScaledByBatch])
def test_scores_that_depend_on_their_batch_are_caught(cls, pictures):
    with pytest.raises(AssertionError, match="row"):
        testing.rows_are_independent(testing.small(cls, score_by="paper_fm", updates=3), pictures)


# --- the survey's training cases --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SHAPES)
def test_feature_matching_compares_means_over_the_batch(kind):
    """G and E have one loss: the survey's third and fourth cases."""
    det, net, batch = game(EGBAD, kind, train_by="features")
    first, second = det.step(net, batch)
    x, z = batch.given[1], batch.drawn[1]
    with torch.no_grad():
        f_real, f_fake = net.D(x, net.E(x))[1].numpy(), net.D(net.G(z), z)[1].numpy()
    gap = ((f_real.mean(0) - f_fake.mean(0)) ** 2).mean()
    assert set(first["D"]) == {"real", "fake"}
    for player in ("G", "E"):
        assert set(second[player]) == {"adv"}
        assert second[player]["adv"].item() == pytest.approx(gap, rel=1e-4)
        gradients = torch.autograd.grad(second[player]["adv"], list(net[player].parameters()), retain_graph=True)
        assert all(g.abs().max() > 0 for g in gradients)


def test_feature_matching_ignores_the_discriminators_verdict():
    losses = []
    for factor in (1.0, 5.0):
        det, net, batch = game(EGBAD, "pictures", train_by="features")
        with torch.no_grad():
            for p in net.D.head.parameters():
                p.mul_(factor)
        losses.append(list(det.step(net, batch)))
    assert torch.equal(losses[0][1]["G"]["adv"], losses[1][1]["G"]["adv"])
    assert not torch.allclose(losses[0][0]["D"]["real"], losses[1][0]["D"]["real"])


@pytest.mark.parametrize("train_by", ["bce", "features"])
@pytest.mark.parametrize("kind", SHAPES)
def test_the_residual_trains_generator_and_encoder(kind, train_by):
    det, net, batch = game(EGBAD, kind, w_residual=2.5, train_by=train_by)
    _, second = det.step(net, batch)
    x = batch.given[1]
    with torch.no_grad():
        con = 2.5 * (x - net.G(net.E(x))).abs().reshape(6, -1).mean(1)
    for player in ("G", "E"):
        assert set(second[player]) == {"adv", "con"}
        near(second[player]["con"], con)
        total = second[player]["con"].mean()
        gradients = torch.autograd.grad(total, list(net[player].parameters()), retain_graph=True)
        assert all(g.abs().max() > 0 for g in gradients)


# --- priors, networks, configurations ---------------------------------------------------------------------------------


def test_prior_is_used_in_training_and_in_generating():
    for prior in ("normal", "uniform"):
        det, net, batch = game(EGBAD, "table", prior=prior)
        list(det.step(net, batch))
        assert batch.priors == [prior] * 2
        seen = []
        net.G.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        assert det.sample(net.eval(), 500).shape == (500, 7)
        assert (seen[0].abs().max() <= 1) == (prior == "uniform")
        assert float(seen[0].std()) == pytest.approx(1.0 if prior == "normal" else 3**-0.5, rel=0.05)


def test_combined_score_adds_residual_and_features(pictures):
    det = testing.small(EGBAD, score_by="combined", updates=3, calibrate_fraction=0.2).fit(pictures)
    explained = det.explain(pictures)
    tuning = det.model_.combination.tuning
    assert set(tuning) == {"residual", "feature"}
    by_hand = sum((explained.terms[name] - middle) / spread for name, (middle, spread) in tuning.items())
    np.testing.assert_allclose(explained.score, by_hand)


def layers(net, *inputs):
    """Units or channels of every layer in execution order, and the number of parameters."""
    found = []
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.register_forward_hook(lambda _, __, output: found.append(output.shape[1]))
    net.eval()(*inputs)
    return found, sum(p.numel() for p in net.parameters())


def test_networks_without_convolutions_are_donahues():
    """z enters G's and D's second layer, and E ends in the prior's range."""
    det = papers.detector("egbad", "mnist", variant="donahue")
    net = det.build((1, 28, 28))
    x, z = torch.randn(3, 1, 28, 28), torch.rand(3, 50) * 2 - 1
    found, count = layers(net["G"], z)
    assert found == [1024, 1024, 784]
    assert count == 50 * 1024 + 2 * 1024 + (1024 + 50) * 1024 + 2 * 1024 + 1024 * 784 + 784
    assert layers(net["E"], x)[0] == [1024, 1024, 50]
    assert layers(net["D"], x, z)[0] == [1024, 1024, 1]
    with torch.no_grad():
        assert net["E"](1e4 * x).abs().max() <= 1
        assert net["G"](z).shape == (3, 1, 28, 28)
        assert net["G"](z).abs().max() <= 1
        with_no_first = net["G"].second(torch.cat([torch.zeros(3, 1024), z], 1))
        assert not torch.allclose(with_no_first[0], with_no_first[1]), "z reaches the second layer by itself"
    unbounded = EGBAD(networks="mlp", width=4, latent_dim=3).build((7,))
    assert unbounded["G"].eval()(1e3 * torch.randn(3, 3)).abs().max() > 1
    assert unbounded["E"].eval()(1e5 * torch.randn(3, 7)).abs().max() > 1


@pytest.mark.parametrize("kind", ["pictures", "table"])
def test_networks_without_convolutions_keep_the_laws(kind, request):
    X = request.getfixturevalue(kind)
    for prior in ("normal", "uniform"):
        det = testing.small(EGBAD, networks="mlp", prior=prior, updates=3)
        testing.gradients_reach_their_player(det, X)
        testing.rows_are_independent(det, X)


@pytest.mark.parametrize(
    ("dataset", "shape", "latent_dim", "batch_size", "ema", "found"),
    [
        ("mnist", (1, 28, 28), 200, 100, 0.999, ([32, 64, 128, 200], [1024, 6272, 64, 1], [64, 64, 512, 1024, 1])),
        ("kdd99", (121,), 32, 50, 0.9999, ([64, 32], [64, 128, 121], [128, 128, 128, 1])),
    ],
)
@pytest.mark.parametrize(
    ("variant", "score"), [("paper", "paper_sigma"), ("code", "paper_fm"), ("code_sigma", "code_sigma")]
)
def test_the_papers_configurations_have_names(dataset, shape, latent_dim, batch_size, ema, found, variant, score):
    det = papers.detector("egbad", dataset, variant=variant, random_state=3)
    assert isinstance(det, EGBAD)
    assert (det.latent_dim, det.batch_size, det.ema, det.score_by) == (latent_dim, batch_size, ema, score)
    assert (det.lr, det.beta1, det.alpha, det.w_residual, det.train_by) == (1e-5, 0.5, 0.9, 0.0, "bce")
    assert (det.prior, det.networks, det.random_state) == ("normal", "egbad", 3)
    net = det.build(shape)
    x, z = torch.randn(2, *shape), torch.randn(2, latent_dim)
    assert tuple(layers(net[name], *inputs)[0] for name, inputs in (("E", (x,)), ("G", (z,)), ("D", (x, z)))) == found
    if dataset == "kdd99":  # every layer of the source has a bias: nothing is left out of its count
        counts = {"E": 121 * 64 + 64 + 64 * 32 + 32, "G": 32 * 64 + 64 + 64 * 128 + 128 + 128 * 121 + 121}
        counts["D"] = 121 * 128 + 128 + 32 * 128 + 128 + 256 * 128 + 128 + 128 + 1
        assert {name: sum(p.numel() for p in net[name].parameters()) for name in counts} == counts
