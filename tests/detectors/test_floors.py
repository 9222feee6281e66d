"""Every detector learns: on small real pictures and on a small real table it is far better than chance.

The budgets are a small part of the defaults'; the levels that detectors reach with theirs are in
docs/results/comparison.md.

What is farther from the middle of all values than normal rows are is found without any training: most other digits and
malignant tumours are. Zeros that are moved by half a picture are not, as they have the same pixels in other places: a
network must have learnt where ink belongs.
"""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from oddgan import detectors, testing
from oddgan.detectors.ganomaly import GANomaly

ALL = [detectors.get(name) for name in detectors.names()]
FLOOR, MOVED_FLOOR = 0.75, 0.97
BUDGET = {"updates": 60, "batch_size": 32, "width": 16, "steps": 20, "lr": 1e-3, "ema": 0.9, "calibrate_fraction": 0.1}
ON_PICTURES = {"ADGAN": 150, "DRAEM": 30, "FAnoGAN": 30}  # updates: one learns them slowly, the others' take long


def learner(cls, **changes):
    known = {name: value for name, value in BUDGET.items() if name in cls._get_param_names()}
    return testing.small(cls, **known | changes)


def areas(detector, digits):
    """AUROC of the score between zeros and other digits, and between zeros and moved ones; the latter of GANomaly's
    residual, since its codes may differ for the two where they are random."""
    X, y = digits
    zeros, others = X[y == 0], X[y != 0][:120]
    train, normal = zeros[:130], zeros[130:]
    found = detector.fit(train).explain(np.concatenate([normal, others, np.roll(normal, (4, 4), (1, 2))]))
    score = found.score
    term = found.terms["residual"] if isinstance(detector, GANomaly) else score
    n, end = len(normal), len(normal) + len(others)
    return (
        roc_auc_score(np.arange(end) >= n, score[:end]),
        roc_auc_score(np.arange(2 * n) >= n, np.concatenate([term[:n], term[end:]])),
    )


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_zeros_are_told_from_other_digits_and_moved_ones(cls, digits):
    budget = {"updates": ON_PICTURES[cls.__name__]} if cls.__name__ in ON_PICTURES else {}
    other, moved = areas(learner(cls, **budget), digits)
    assert other > FLOOR
    assert moved > MOVED_FLOOR


@pytest.mark.parametrize("name", ["ganomaly", "alad", "egbad", "fanogan", "skipganomaly", "ocgan", "vae"])
def test_networks_that_have_learnt_nothing_do_not_tell_moved_zeros(name, digits):
    cls = detectors.get(name)
    start = {budget: 1 for budget in ("updates", "encoder_updates") if budget in cls._get_param_names()}
    assert areas(learner(cls, **start), digits)[1] < MOVED_FLOOR - 0.1


@pytest.mark.parametrize("cls", [cls for cls in ALL if "table" in cls.kinds], ids=lambda cls: cls.__name__)
def test_malignant_is_told_from_benign(cls):
    X, y = load_breast_cancer(return_X_y=True)
    benign, malignant = X[y == 1], X[y == 0][:60]
    # A plain discriminator's verdict is worse than a coin far from all that it has met, as its page says; what its
    # features say of a row's place is not.
    changes = {"local": "density"} if cls.__name__ == "DCGAN" else {}
    scores = learner(cls, **changes).fit(benign[:280]).anomaly_score(np.concatenate([benign[280:], malignant]))
    assert roc_auc_score(np.arange(len(scores)) >= len(benign) - 280, scores) > FLOOR
