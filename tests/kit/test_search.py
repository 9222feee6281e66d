"""The latent search on objectives with known minima, and the independence of its rows."""

import copy
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from oddgan.errors import ParameterError
from oddgan.kit import search
from oddgan.kit.search import Adam, rate_at, refine, together
from oddgan.networks import adgan, anogan
from oddgan.networks.latent import Latent, latent_size


def test_adam_is_torchs():
    torch.manual_seed(0)
    mine, theirs = ([torch.randn(3, 4), torch.randn(5)] for _ in range(2))
    for a, b in zip(mine, theirs, strict=True):
        b.copy_(a)
    adam = Adam(mine, 0.5, 0.99)
    parts = zip(theirs, (0.1, 0.003), strict=True)
    reference = torch.optim.Adam([{"params": [p], "lr": rate} for p, rate in parts], betas=(0.5, 0.99))
    for _ in range(7):
        gradients = [torch.randn(3, 4), torch.randn(5)]
        adam.step(tuple(gradients), [0.1, 0.003])
        for p, gradient in zip(theirs, gradients, strict=True):
            p.grad = gradient
        reference.step()
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_rates_by_step():
    schedule = {"0": 0.01, "200": 0.001, "1000": 0.0005}
    assert [rate_at(schedule, t) for t in (0, 199, 200, 999, 1000)] == [0.01, 0.01, 0.001, 0.001, 0.0005]
    assert rate_at(0.3, 77) == 0.3
    for wrong in ({"10": 0.1}, {"0": 0.1, "later": 0.01}):
        with pytest.raises(ParameterError, match="name the steps at which they begin"):
            rate_at(wrong, 0)


def test_latent_size_is_a_bottleneck():
    assert [latent_size(shape, None) for shape in ((1, 8, 8), (1, 28, 28), (3, 64, 64), (6,))] == [8, 98, 100, 4]
    assert latent_size((6,), 50) == 50


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_prior_draws_from_its_distribution_and_stores_its_starts(kind):
    torch.manual_seed(0)
    prior = Latent(3, kind, starts=2)
    z = prior.draw(4000)
    assert z.shape == (4000, 3)
    assert float(z.abs().max() <= 1) == (kind == "uniform")
    assert float(z.std()) == pytest.approx(1.0 if kind == "normal" else 3**-0.5, abs=0.02)
    assert float(z.mean()) == pytest.approx(0.0, abs=0.02)
    assert prior.latent_dim == 3
    other = Latent(3, kind, starts=2)
    assert not torch.equal(other.starts, prior.starts)
    other.load_state_dict(prior.state_dict())
    assert torch.equal(other.starts, prior.starts)


def bowl(z):
    """Each row has its own minimum, with different curvatures along different directions."""
    goals = torch.linspace(-1, 1, len(z))[:, None]
    return ((z - goals).square() * torch.arange(1.0, z.shape[1] + 1)).sum(1) + 0.5


def test_every_row_finds_its_own_minimum():
    z, value = search.search(bowl, torch.zeros(5, 1, 3), steps=400, lr=0.05)
    torch.testing.assert_close(z, torch.linspace(-1, 1, 5)[:, None].expand(5, 3), atol=1e-2, rtol=0)
    torch.testing.assert_close(value, torch.full((5,), 0.5), atol=1e-3, rtol=0)
    torch.testing.assert_close(bowl(z), value)


def test_steps_are_adams_at_the_scheduled_rates():
    def last(z):
        seen.append(z.detach().clone())
        return bowl(z)

    seen = []
    schedule = {"0": 0.1, "3": 0.01}
    search.search(last, torch.zeros(2, 1, 3), steps=5, lr=schedule)
    z = torch.zeros(2, 3, requires_grad=True)
    adam = torch.optim.Adam([z])
    for t in range(6):
        torch.testing.assert_close(seen[t], z.detach())
        adam.param_groups[0]["lr"] = 0.1 if t < 3 else 0.01
        (z.grad,) = torch.autograd.grad(bowl(z).sum(), z)
        adam.step()
    assert len(seen) == 6


def test_without_steps_the_starts_are_evaluated():
    starts = torch.randn(4, 3, 2)
    z, value = search.search(bowl, starts, steps=0, lr=0.1)
    values = torch.stack([bowl(start) for start in starts.unbind(1)])
    assert torch.equal(value, values.min(0).values)
    assert torch.equal(z, starts[torch.arange(4), values.argmin(0)])


def test_the_best_point_counts_not_the_last():
    """Steps so large that the search overshoots the minimum and returns."""
    seen = []

    def noted(z):
        value = bowl(z)
        seen.append(value.detach())
        return value

    _, value = search.search(noted, torch.zeros(5, 1, 3), steps=9, lr=0.7)
    assert torch.equal(value, torch.stack(seen).min(0).values)
    assert (value < seen[-1]).any()


def test_every_start_is_searched_independently_and_the_best_counts():
    """A published bug: the optimiser's state of one search is carried over to the next."""
    torch.manual_seed(0)
    starts = torch.randn(6, 3, 2)
    _, together_ = search.search(bowl, starts, steps=6, lr=0.05)
    alone = [search.search(bowl, starts[:, [k]], steps=6, lr=0.05)[1] for k in range(3)]
    assert torch.equal(together_, torch.stack(alone).min(0).values)


def stairs(z):
    """Row 0 is flat and cannot improve; the others start far from their minima."""
    return torch.cat([0 * z[:1].sum(1) + 3, bowl(z[1:])])


def test_converged_rows_are_frozen_and_the_search_ends_with_the_last():
    calls = []

    def counted(z):
        calls.append(z.detach().clone())
        return stairs(z)

    starts = torch.full((4, 1, 2), 5.0)
    search.search(counted, starts, steps=300, lr=0.1, patience=10)
    assert 20 < len(calls) < 301  # all frozen before the steps were used up
    moved = [not torch.equal(a[1], b[1]) for a, b in pairwise(calls)]
    assert moved[:20] == [True] * 20
    calls.clear()
    search.search(lambda z: counted(z)[:1], starts[:1], steps=300, lr=0.1, patience=10)
    assert len(calls) == 11  # the start, and ten steps without a gain
    calls.clear()
    search.search(counted, starts, steps=300, lr=0.1)
    assert len(calls) == 301


def test_frozen_rows_stay_where_they_are():
    zs = []

    def noted(z):
        zs.append(z.detach().clone())
        return torch.stack([(z[0] - 1).abs().sum(), 1e3 + (z[1] - 50).abs().sum()])

    search.search(noted, torch.zeros(2, 1, 1), steps=200, lr=0.2, patience=3, gain=1e-5)
    first = torch.stack(zs)[:, 0, 0]
    assert len(first) > 100  # the other row goes on for long
    assert len(set(first[-50:].tolist())) == 1


def test_rows_without_a_finite_value_do_not_affect_others():
    def broken(z):
        return torch.cat([z[:1].sum(1) * torch.nan, bowl(z)[1:]])

    starts = torch.full((3, 1, 2), 2.0)
    z, value = search.search(broken, starts, steps=5, lr=0.1, patience=2)
    assert value[0] == torch.inf
    assert torch.equal(z[0], starts[0, 0])
    assert (value[1:] < bowl(starts[:, 0])[1:]).all()


@pytest.mark.parametrize("shape", [(1, 11, 9), (2, 16, 16), (5,), (30,)], ids=str)
@pytest.mark.parametrize("kind", ["dcgan", "egbad", "keras"])
def test_a_rows_search_does_not_depend_on_other_rows_or_its_position(shape, kind):
    """Through the networks, back to z, over steps and freezing."""
    torch.manual_seed(0)
    G = anogan.generator(shape, 5, kind=kind, width=8).eval().requires_grad_(False)
    D = anogan.discriminator(shape, kind=kind, width=8).eval().requires_grad_(False)
    for p in [*G.parameters(), *D.parameters()]:
        p.mul_(3.0)  # untrained networks hardly depend on their input

    def found(x):
        def objective(z):
            x_hat = G(z)
            return (x - x_hat).abs().flatten(1).sum(1) + (D(x)[1] - D(x_hat)[1]).abs().sum(1)

        return search.search(objective, starts.expand(len(x), 2, 5), steps=12, lr=0.05, patience=4, gain=0.02)

    starts, x = torch.randn(2, 5), torch.rand(16, *shape) * 2 - 1
    order = torch.randperm(16)
    z, value = found(x)
    assert not torch.equal(z[0], z[1])
    for part, expected in zip(found(x[order]), (z[order], value[order]), strict=True):
        assert torch.equal(part, expected)
    lonely = torch.zeros_like(x)
    lonely[3] = x[7]
    assert torch.equal(found(lonely)[0][3], z[7])


def by_hand(G, x, start, steps, lr_z, lr_weights):
    """One row from one start, with a deep copy of G and torch's own optimiser."""
    G, z = copy.deepcopy(G).requires_grad_(), start[None].clone().requires_grad_()
    parts = [{"params": [z], "lr": lr_z}, {"params": list(G.parameters()), "lr": lr_weights}]
    adam = torch.optim.Adam(parts, betas=(0.5, 0.999))
    for _ in range(steps):
        adam.zero_grad()
        F.mse_loss(G(z), x[None]).backward()
        adam.step()
    return G(z)[0].detach()


@pytest.fixture(params=["copies together", "one by one"])
def way(request, monkeypatch):
    if request.param == "one by one":
        monkeypatch.setattr(search, "SMALL_GENERATOR", 0)
    else:
        monkeypatch.setattr(search, "TOGETHER", 12 * 3_000)  # several groups in a block
    return request.param


@pytest.mark.parametrize("shape", [(1, 8, 8), (5,)], ids=str)
def test_private_weights_are_optimised_as_for_single_rows(shape, way):
    torch.manual_seed(0)
    G = adgan.generator(shape, 3, width=8).eval().requires_grad_(False)
    before = copy.deepcopy(G.state_dict())
    x, starts = torch.rand(8, *shape) * 2 - 1, torch.randn(2, 3)
    with torch.no_grad():
        x_hat = refine(G, x, starts, steps=3, lr_z=0.1, lr_weights=1e-2)
    assert x_hat.shape == (8, 2, *shape)
    expected = [torch.stack([by_hand(G, row, start, 3, 0.1, 1e-2) for start in starts]) for row in x]
    torch.testing.assert_close(x_hat, torch.stack(expected), rtol=1e-3, atol=1e-4)
    for name, value in G.state_dict().items():
        assert torch.equal(value, before[name]), "the generator itself is not to be moved"


@pytest.mark.parametrize("shape", [(1, 8, 8), (5,)], ids=str)
def test_private_weights_leave_rows_independent(shape, way):
    torch.manual_seed(0)
    G = adgan.generator(shape, 3, width=8).eval().requires_grad_(False)
    x, starts, order = torch.rand(16, *shape) * 2 - 1, torch.randn(3, 3), torch.randperm(16)
    x_hat = refine(G, x, starts, steps=4, lr_z=0.1, lr_weights=1e-2)
    assert torch.equal(refine(G, x[order], starts, steps=4, lr_z=0.1, lr_weights=1e-2), x_hat[order])
    lonely = torch.zeros_like(x)
    lonely[9] = x[2]
    assert torch.equal(refine(G, lonely, starts, steps=4, lr_z=0.1, lr_weights=1e-2)[9], x_hat[2])


def test_copies_that_are_optimised_together_are_few_and_divide_a_block():
    for b in (1, 2, 16, 64):
        for k in (1, 3, 8):
            for weights in (10, 1_000, 60_000):
                group = together(b, k, weights)
                assert b * k % group == 0
                assert group % k == 0
                assert group == k or group * weights <= search.TOGETHER
    assert together(64, 8, 1_000_000) == 1


def test_a_watched_search_takes_the_same_way():
    torch.manual_seed(0)
    targets, starts, visits = torch.randn(3, 2), torch.randn(3, 2, 2), []

    def far(z):
        return (z - targets).square().sum(1)

    plain = search.search(far, starts, steps=4, lr=0.1)
    with search.watched(visits.append):
        watched = search.search(far, starts, steps=4, lr=0.1)
    for a, b in zip(plain, watched, strict=True):
        assert torch.equal(a, b)
    assert [(visit.step, visit.runs.tolist()) for visit in visits[:2]] == [(0, [0, 2, 4]), (1, [0, 2, 4])]
    assert visits[-1].runs.tolist() == [1, 3, 5]
    assert torch.equal(visits[0].z, starts[:, 0])
    assert torch.equal(torch.stack([visit.value for visit in visits]).min(0).values, plain[1])


def test_a_watched_refinement_takes_the_same_way():
    torch.manual_seed(0)
    G, x, starts, visits = torch.nn.Linear(2, 5), torch.randn(2, 5), torch.randn(3, 2), []
    how = {"steps": 3, "lr_z": 0.1, "lr_weights": 0.01}
    plain = refine(G, x, starts, **how)
    with search.watched(visits.append):
        assert torch.equal(refine(G, x, starts, **how), plain)
    last = [visit for visit in visits if visit.step == 3]
    runs = torch.cat([visit.runs for visit in last])
    assert sorted(runs.tolist()) == list(range(6))  # run 3 r + s is that of row r from start s
    assert torch.equal(torch.cat([visit.x_hat for visit in last])[runs.argsort()].reshape(2, 3, 5), plain)
