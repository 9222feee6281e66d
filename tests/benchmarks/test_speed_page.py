"""The speed benchmark: what its clock, its peers and its page do. Nothing here asserts a time."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _root(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_the_page_is_what_the_results_give():
    """`python -m benchmarks.pages.speed` writes it."""
    from benchmarks.pages import speed as page
    from benchmarks.speed.results import RESULTS, read

    assert page.PAGE.exists() == RESULTS.exists()
    if RESULTS.exists():
        results = read(RESULTS)
        assert not [name for name, entry in results.items() if entry.get("quick")], "quick runs measure nothing"
        assert page.text(results) == page.PAGE.read_text("utf-8")


def test_a_page_says_what_is_gained_and_what_is_not():
    from benchmarks.pages import speed as page

    entry = {"what": "a thing", "against": "another", "ratios": [2.0, 3.0, 4.0], "ours": [0.001], "theirs": [0.003]}
    entry |= {"unit": "seconds an update", "reach": 2.5, "aim": 5, "accuracy": {"AUROC": 0.95}, "threads": 2}
    loss = {**entry, "ratios": [0.5], "unit": "seconds to fit"}
    results = {"anogan-encoder": entry, "slow": {**entry, "ratios": [1.0, 2.0], "bound": "at least"}}
    text = page.text(results | {"outlier-tables-forest": loss})
    assert "AnoGAN scores 3 times as fast from an encoder's guess" in text
    assert "takes 50% of the time of ours" in text.partition("## Where little or nothing is gained")[2]
    assert "| `anogan-encoder`: a thing | another | 3 [2, 4] | 1 ms an update | 3 ms an update |" in text
    assert "at least 1.5 [1, 2]" in text
    assert "AUROC 0.95" in text


def test_ratios_are_the_peers_time_over_ours():
    from benchmarks.speed.timing import interleaved

    now, calls = 0.0, []

    def spend(who, seconds):
        nonlocal now
        now += seconds
        calls.append(who)

    found = interleaved(lambda: spend("ours", 1), lambda: spend("theirs", 3), 3, warm=1, clock=lambda: now)
    assert found.ratios == [3, 3, 3]
    assert found.entry(per=2) == {"ratios": [3, 3, 3], "ours": [0.5] * 3, "theirs": [1.5] * 3}
    assert calls == ["ours", "theirs"] * 2 + ["theirs", "ours"] + ["ours", "theirs"]


def test_the_garbage_collector_is_as_it_was(monkeypatch):
    import gc

    from benchmarks.speed.timing import timed

    assert gc.isenabled()
    timed(lambda: pytest.fail("it runs") if gc.isenabled() else None)
    assert gc.isenabled()


def test_the_command_lists_its_works_and_refuses_others(monkeypatch, capsys):
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # it is said for the command's own process
    from benchmarks.speed import __main__ as command

    monkeypatch.setattr(sys, "argv", ["speed", "--list"])
    command.main()
    names = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert names >= {"ganomaly-step-1x32", "egbad-kdd99", "anogan-500-float32", "adgan", "scoring-64", "pyod-alad"}
    monkeypatch.setattr(sys, "argv", ["speed", "--only", "nothing"])
    with pytest.raises(SystemExit, match="no work is called 'nothing'"):
        command.main()


@pytest.mark.slow
def test_a_quick_run_leaves_an_entry(tmp_path):
    """One work through the command, as short as can be, and only its entry is replaced."""
    import json

    file = tmp_path / "speed.json"
    file.write_text(json.dumps({"other": {"ratios": [1.0]}}))
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed",
        "--only",
        "outlier-tables-forest",
        "--quick",
        "--json",
        str(file),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*command, "--threads", "1"], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert run.returncode == 0, run.stderr
    entries = json.loads(file.read_text())
    assert entries["other"] == {"ratios": [1.0]}
    entry = entries["outlier-tables-forest"]
    assert len(entry["ratios"]) == len(entry["ours"]) == len(entry["theirs"]) == 2
    assert entry["versions"]["torch"] == torch.__version__


# --- the peers do the same work ---------------------------------------------------------------------------------------


class OneBatch:
    """A batch for a step that always gives the same rows and the same noise."""

    def __init__(self, x, noise=None):
        self.rows, self.noise = x, noise

    def x(self):
        return self.rows

    def z(self, latent_dim, prior="normal"):
        return self.noise


class Networks:
    """Networks by name, as a step sees them."""

    def __init__(self, nets):
        vars(self).update(nets)


def played(det, nets, batch):
    """The first losses of every player of oddgan's step, in the mean; each move is Adam's, as in the training loop."""
    losses = {}
    adams = {
        name: torch.optim.Adam(net.parameters(), lr=LR, betas=(0.5, 0.999))
        for name, net in nets.items()
        if list(net.parameters())
    }
    for moves in det.step(Networks(nets), batch):
        gradients = {}
        for player, terms in moves.items():
            total = sum(term.mean() for term in terms.values())
            weights = list(nets[player].parameters())
            gradients[player] = torch.autograd.grad(total, weights, retain_graph=True)
            losses |= {f"{player}.{term}": value.mean().item() for term, value in terms.items()}
        for player, found in gradients.items():
            for weight, gradient in zip(nets[player].parameters(), found, strict=True):
                weight.grad = gradient
            adams[player].step()
    return losses


LR = 2e-4


def moved(before, after):
    """How each weight has changed."""
    return torch.cat([(b - a).detach().flatten() for a, b in zip(before.parameters(), after.parameters(), strict=True)])


def test_ganomalys_peer_does_the_same_update():
    """Losses to 1e-5, and the same step; but D's of the peer, whose statistics the second pass through D has moved."""
    from benchmarks.speed.peers import ganomaly

    import oddgan

    torch.manual_seed(0)
    det = oddgan.GANomaly(width=4, latent_dim=5)
    nets = {name: net.train() for name, net in det.build((1, 16, 16)).items()}
    x = torch.rand(8, 1, 16, 16) * 2 - 1
    before = copy.deepcopy(nets)
    peer = ganomaly.Peer(nets["G"], nets["D"], lr=LR)
    theirs, ours = peer.step(x), played(det, nets, OneBatch(x))
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == pytest.approx(theirs[name], rel=1e-5, abs=1e-7) for name in ours)
    for ours_moved, theirs_moved in ((nets["G"], peer.G), (nets["D"], peer.D)):
        a = moved(before["G" if ours_moved is nets["G"] else "D"], ours_moved)
        b = moved(before["G" if ours_moved is nets["G"] else "D"], theirs_moved)
        assert (a - b).abs().mean() < 0.02 * a.abs().mean()


def test_egbads_peer_does_the_same_update(monkeypatch):
    from benchmarks.speed.peers import egbad

    import oddgan

    torch.manual_seed(0)
    det = oddgan.EGBAD(width=8, latent_dim=3, w_residual=0.0)
    nets = {name: net.train() for name, net in det.build((12,)).items()}
    for net in nets.values():
        for module in net.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # drawn anew by each side
    x, noise = torch.randn(6, 12), torch.randn(6, 3)
    monkeypatch.setattr(torch, "randn", lambda *size: noise)
    before = copy.deepcopy(nets)
    peer = egbad.Peer(nets["G"], nets["E"], nets["D"], 3, lr=LR)
    theirs, ours = peer.step(x, x), played(det, nets, OneBatch(x, noise))
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == pytest.approx(theirs[name], rel=1e-5) for name in ours)
    for name in "GED":
        a, b = moved(before[name], nets[name]), moved(before[name], peer.net[name])
        assert (a - b).abs().mean() < 0.02 * a.abs().mean()
        share = moved(before[name], peer.averages[name]) / b.where(b != 0, torch.ones(()))
        assert share.median() == pytest.approx(1e-4, rel=0.05)


def test_anogans_peer_searches_the_same_way():
    """Where both are at their start, and after some steps, as far as rounding lets them go together."""
    from benchmarks.speed.peers import anogan

    import oddgan
    from oddgan.kit.search import search

    torch.manual_seed(0)
    det = oddgan.AnoGAN(width=8, latent_dim=3)
    nets = Networks({name: net.eval().requires_grad_(False) for name, net in det.build((12,)).items()})
    x, start = torch.randn(5, 12), torch.randn(3)
    with torch.no_grad():
        _, f = nets.D(x)

    def objective(z):
        return det.losses(nets, x, f, z)["paper"]

    for steps in (0, 4):
        _, best = search(objective, start.expand(5, 1, 3), steps=steps, lr=0.01)
        theirs = anogan.search(nets.G, nets.D, x, start, steps=steps, lr=0.01)
        assert torch.allclose(best, theirs, rtol=1e-3)


def test_adgans_peer_scores_alike():
    from benchmarks.speed.peers import adgan

    import oddgan

    torch.manual_seed(0)
    det = oddgan.ADGAN(width=8, latent_dim=3, starts=2)
    nets = Networks({name: net.eval().requires_grad_(False) for name, net in det.build((12,)).items()})
    x = torch.randn(5, 12)
    asked = {"steps": det.steps, "z_lr": det.z_lr, "weights_lr": det.weights_lr}
    ours = det.score_rows(nets, x)["paper"]
    assert torch.allclose(ours, adgan.search(nets.G, x, nets.Z.starts, **asked), rtol=1e-4)


def test_ganomalys_scores_are_the_same():
    from benchmarks.speed.peers import ganomaly

    import oddgan

    X = np.random.default_rng(0).integers(0, 256, (40, 16, 16), dtype=np.uint8)
    det = oddgan.GANomaly(width=4, latent_dim=5, updates=3, score_by="latent_l1", random_state=0).fit(X)
    x = torch.from_numpy(X)[:, None].float().div(127.5).sub(1)
    theirs = ganomaly.scores(det.net_["G"], x, 16).numpy()
    assert np.allclose(det.anomaly_score(X), theirs, rtol=1e-4)


def test_a_counted_convolution_has_its_operations():
    from benchmarks.speed.roofline import gflop

    x, w = torch.randn(2, 3, 8, 8), torch.randn(5, 3, 3, 3)
    assert gflop(lambda: torch.nn.functional.conv2d(x, w)) == pytest.approx(2e-9 * 2 * 5 * 6 * 6 * 3 * 9)
