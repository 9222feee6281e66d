"""GANomaly against its paper (Akcay et al., 2018), without training: every term against a formula written here."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from oddgan import papers, testing
from oddgan.detectors.ganomaly import GANomaly
from oddgan.networks import encoder
from oddgan.testing import FakeBatch


@pytest.fixture(params=["pictures", "table"])
def game(request):
    """A detector, fresh networks in training mode, and a batch that always gives the same rows."""
    torch.manual_seed(0)
    shape = (1, 16, 12) if request.param == "pictures" else (7,)
    det = GANomaly(latent_dim=5, width=4, w_adv=1.5, w_con=40.0, w_enc=3.0)
    net = torch.nn.ModuleDict(det.build(shape)).train()

    return det, net, FakeBatch(torch.randn(6, *shape))


def terms(game):
    det, net, batch = game
    torch.manual_seed(1)
    moves = list(det.step(net, batch))
    return moves


def test_generator_terms_are_the_papers(game):
    det, net, batch = game
    (losses,) = terms(game)
    assert set(losses) == {"G", "D"}
    x = batch.rows
    with torch.no_grad():
        z = net.G.encoder(x)
        x_hat = net.G.decoder(z)
        z_hat = net.G.encoder2(x_hat)
        f_x, f_hat = net.D(x)[1], net.D(x_hat)[1]
    adv = det.w_adv * ((f_x - f_hat) ** 2).reshape(6, -1).mean(1)  # equation 1, row by row
    con = det.w_con * (x - x_hat).abs().reshape(6, -1).mean(1)  # equation 2
    enc = det.w_enc * ((z - z_hat) ** 2).reshape(6, -1).mean(1)  # equation 3
    for name, expected in {"adv": adv, "con": con, "enc": enc}.items():
        torch.testing.assert_close(losses["G"][name].detach(), expected, rtol=1e-4, atol=1e-6)


def test_discriminator_terms_are_half_the_cross_entropies(game):
    _, net, batch = game
    losses = terms(game)[0]
    x = batch.rows
    with torch.no_grad():
        real = torch.sigmoid(net.D(x)[0])
        fake = torch.sigmoid(net.D(net.G.decoder(net.G.encoder(x)))[0])
    torch.testing.assert_close(losses["D"]["real"].detach(), -0.5 * torch.log(real), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses["D"]["fake"].detach(), -0.5 * torch.log(1 - fake), rtol=1e-4, atol=1e-5)


def test_feature_matching_ignores_the_discriminators_verdict(game):
    """A published bug compares D's outputs. Scaling D's head must change D's loss and leave `adv` unchanged."""
    before = terms(game)
    with torch.no_grad():
        for p in game[1].D.head.parameters():
            p.mul_(5.0)
    after = terms(game)
    assert torch.equal(before[0]["G"]["adv"], after[0]["G"]["adv"])
    assert not torch.allclose(before[0]["D"]["real"], after[0]["D"]["real"])


def test_feature_matching_uses_the_discriminators_features(game):
    before = terms(game)
    with torch.no_grad():
        for p in game[1].D.trunk.parameters():
            p.add_(0.1)
    after = terms(game)
    assert not torch.allclose(before[0]["G"]["adv"], after[0]["G"]["adv"])
    assert torch.equal(before[0]["G"]["con"], after[0]["G"]["con"])
    assert torch.equal(before[0]["G"]["enc"], after[0]["G"]["enc"])


def test_the_two_encoders_have_separate_weights(game):
    """A published bug shares one encoder. Changing the second must change `enc` and nothing else."""
    before = terms(game)
    with torch.no_grad():
        for p in game[1].G.encoder2.parameters():
            p.add_(0.1)
    after = terms(game)
    assert not torch.allclose(before[0]["G"]["enc"], after[0]["G"]["enc"])
    for term in ("adv", "con"):
        assert torch.equal(before[0]["G"][term], after[0]["G"][term])


def test_both_encoders_and_the_decoder_are_trained(game):
    """A published bug computes gradients for the decoder alone."""
    losses = terms(game)[0]["G"]
    total = sum(t.mean() for t in losses.values())
    gradients = torch.autograd.grad(total, list(game[1].G.parameters()))
    assert all(g.abs().max() > 0 for g in gradients)
    _, net, batch = game
    alone = torch.autograd.grad(terms((game[0], net, batch))[0]["G"]["enc"].mean(), net.G.encoder.parameters())
    assert all(g.abs().max() > 0 for g in alone), "the latent loss reaches the first encoder through both of its ends"


def test_the_discriminators_update_is_that_on_a_detached_reconstruction(game):
    """Both losses come from one pass; D's gradients must be those for a detached x_hat, and not reach G."""
    _, net, batch = game
    losses = terms(game)[0]["D"]
    params = list(net.D.parameters())
    together = torch.autograd.grad(sum(t.mean() for t in losses.values()), params, retain_graph=True)
    with torch.no_grad():
        x_hat = net.G(batch.rows)[1]
    real, fake = net.D(batch.rows)[0], net.D(x_hat)[0]
    alone = torch.autograd.grad(0.5 * F.softplus(-real).mean() + 0.5 * F.softplus(fake).mean(), params)
    for mine, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-3, atol=1e-6)


class TinyDiscriminatorLoss(GANomaly):
    """D has won: its loss is below the 1e-5 at which the authors' code re-initialises it."""

    def step(self, net, batch):
        for losses in super().step(net, batch):
            yield {**losses, "D": {name: 1e-9 * term for name, term in losses["D"].items()}}


def test_the_discriminator_is_not_reinitialised(pictures):
    det = testing.small(TinyDiscriminatorLoss, lr={"G": 1e-3, "D": 0.0}, ema=0.0).fit(pictures)
    start = testing.small(TinyDiscriminatorLoss, lr={"G": 1e-3, "D": 0.0}, ema=0.0, updates=1).fit(pictures)
    assert det.history_["D.real"][-1] < 1e-5
    for mine, first in zip(det.net_.D.parameters(), start.net_.D.parameters(), strict=True):
        assert torch.equal(mine, first)


def test_score_in_each_published_form(game):
    det, net, batch = game
    net.eval()
    with torch.no_grad():
        z = net.G.encoder(batch.rows)
        x_hat = net.G.decoder(z)
        gap = (z - net.G.encoder2(x_hat)).numpy().astype(np.float64)
        scores = det.score_rows(net, batch.rows)
    np.testing.assert_allclose(scores["latent_l1"], np.abs(gap).sum(1), rtol=1e-4)
    np.testing.assert_allclose(scores["latent_l2"], np.sqrt((gap**2).sum(1)), rtol=1e-4)
    np.testing.assert_allclose(scores["latent_mse"], (gap**2).mean(1), rtol=1e-4)
    residual = (batch.rows - x_hat).abs().reshape(6, -1).mean(1)
    np.testing.assert_allclose(scores["residual"], residual, rtol=1e-4)


def test_score_is_not_rescaled_and_uses_evaluation_mode(pictures):
    """The authors' code scales by the test set's range and leaves batch normalisation in training mode."""
    det = testing.small(GANomaly, score_by="latent_mse").fit(pictures)
    assert not any(module.training for module in det.net_.modules())
    few = det.anomaly_score(pictures[:3])
    assert np.array_equal(few, det.anomaly_score(pictures)[:3])
    assert det.anomaly_score(255 - pictures).max() != 1.0


@pytest.mark.parametrize("form", ["latent_l1", "latent_l2", "latent_mse", "residual", "feature"])
def test_score_by_names_the_term(form, pictures):
    det = testing.small(GANomaly, score_by=form).fit(pictures)
    explained = det.explain(pictures[:5])
    assert np.array_equal(explained.score, explained.terms[form])


def test_combined_score_weights_terms_by_tuning_rows(pictures):
    det = testing.small(GANomaly, score_by="combined", calibrate_fraction=0.2).fit(pictures)
    explained = det.explain(pictures)
    assert set(det.model_.combination.tuning) == {"latent_l1", "residual"}
    by_hand = sum(
        (explained.terms[name] - middle) / spread for name, (middle, spread) in det.model_.combination.tuning.items()
    )
    np.testing.assert_allclose(explained.score, by_hand)
    with_own = testing.small(GANomaly, score_by="combined").fit(pictures[:40], tune=pictures[40:])
    residual = with_own.explain(pictures[40:]).terms["residual"]
    assert with_own.model_.combination.tuning["residual"][0] == pytest.approx(np.median(residual))


def test_networks_at_32_pixels_are_the_authors():
    """Layer by layer, for one channel and a latent of 100, as in the authors' code."""
    net = GANomaly(latent_dim=100, width=64).build((1, 32, 32))
    enc = [tuple(m.weight.shape) for m in net["G"].encoder.modules() if isinstance(m, torch.nn.Conv2d)]
    assert enc == [(64, 1, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (100, 256, 4, 4)]
    dec = [tuple(m.weight.shape) for m in net["G"].decoder.modules() if isinstance(m, torch.nn.ConvTranspose2d)]
    assert dec == [(100, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 1, 4, 4)]
    head = [tuple(m.weight.shape) for m in net["D"].modules() if isinstance(m, torch.nn.Conv2d)]
    assert head == [(64, 1, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (1, 256, 4, 4)]
    names = [type(m).__name__ for m in net["G"].encoder.trunk]
    assert names == ["Conv2d", "LeakyReLU"] + ["Conv2d", "BatchNorm2d", "LeakyReLU"] * 2
    names = [type(m).__name__ for m in net["G"].decoder.layers]
    assert names == ["Spread", "BatchNorm2d", "ReLU"] + ["ConvTranspose2d", "BatchNorm2d", "ReLU"] * 2 + [
        "ConvTranspose2d",
        "Tanh",
    ]
    assert all(m.bias is None for m in net["G"].modules() if isinstance(m, torch.nn.Conv2d | torch.nn.ConvTranspose2d))
    slopes = {m.negative_slope for m in net["D"].modules() if isinstance(m, torch.nn.LeakyReLU)}
    assert slopes == {0.2}


def test_initial_weights_are_dcgans():
    torch.manual_seed(0)
    net = encoder((3, 64, 64), 100, 64)
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
        if isinstance(module, torch.nn.BatchNorm2d):
            assert float(module.weight.detach().mean()) == pytest.approx(1.0, abs=0.02)
            assert float(module.bias.detach().abs().max()) == 0.0


def test_features_are_the_inputs_of_the_last_layer():
    torch.manual_seed(0)
    discriminator = GANomaly(latent_dim=4, width=4).build((1, 12, 20))["D"].eval()
    logit, features = discriminator(torch.randn(3, 1, 12, 20))
    shape = discriminator.head.weight.shape[1:]
    again = F.conv2d(features.reshape(3, *shape), discriminator.head.weight).flatten()
    torch.testing.assert_close(logit, again)


def test_default_latent_is_a_bottleneck():
    """A latent of 100 is no bottleneck for an 8x8 picture."""
    for shape, expected in {(1, 8, 8): 8, (1, 28, 28): 98, (3, 64, 64): 100, (6,): 4}.items():
        assert len(GANomaly().build(shape)["Z"].mean) == expected


def test_generated_rows_follow_the_training_rows(table):
    """z is drawn from a normal distribution fitted to the training rows' z (a departure: GANomaly has no prior)."""
    det = testing.small(GANomaly, updates=300).fit(table)
    with torch.no_grad():
        z = det.features(table)
    covariance = (det.net_.Z.factor @ det.net_.Z.factor.T).numpy()
    np.testing.assert_allclose(covariance, np.cov(z.T), atol=0.5 * np.abs(np.cov(z.T)).max())
    made = det.generate(200)
    assert made.shape == (200, 5)
    assert (np.abs(made.mean(0) - table.mean(0)) < 0.5 * table.std(0)).all()
    assert not np.array_equal(made, det.generate(200, random_state=1))


@pytest.mark.parametrize(("variant", "score", "lr"), [("paper", "latent_l1", 2e-3), ("code", "latent_mse", 2e-4)])
def test_the_papers_configuration_has_a_name(variant, score, lr):
    det = papers.detector("ganomaly", "mnist", variant=variant, random_state=3)
    assert isinstance(det, GANomaly)
    assert (det.latent_dim, det.width, det.size, det.batch_size, det.epochs) == (100, 64, 32, 64, 15)
    assert (det.w_adv, det.w_con, det.w_enc, det.beta1) == (1.0, 50.0, 1.0, 0.5)
    assert (det.score_by, det.lr, det.random_state) == (score, lr, 3)


def test_every_configuration_can_be_built():
    for name, datasets in papers.configurations().items():
        for dataset, variants in datasets.items():
            for variant, content in variants.items():
                det = papers.detector(name, dataset, variant=variant)
                assert content["source"]
                assert set(content["remembered"]) <= set(content["parameters"])
                assert copy.copy(det).get_params() == det.get_params()


def test_unknown_configurations_list_the_known_ones():
    with pytest.raises(ValueError, match=r"detector 'nogan' has no configuration; choose among .*ganomaly"):
        papers.detector("nogan", "mnist")
    with pytest.raises(ValueError, match=r"data set 'kdd' .* cifar10, mnist"):
        papers.detector("ganomaly", "kdd")
    with pytest.raises(ValueError, match="has no parameter 'widht'"):
        papers.detector("ganomaly", "mnist", widht=3)
