"""Every detector learns: on small real pictures and on a small real table it is far better than chance.

The budgets are a small part of the defaults'; the levels that detectors reach with theirs are in docs/comparison.md.
"""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from oddgan import detectors, testing

ALL = [detectors.get(name) for name in detectors.names()]
FLOOR = 0.75
BUDGET = {"updates": 60, "batch_size": 32, "width": 16, "steps": 20, "lr": 1e-3, "ema": 0.9, "calibrate_fraction": 0.1}


def learner(cls, **changes):
    known = {name: value for name, value in BUDGET.items() if name in cls._get_param_names()}
    return testing.small(cls, **known | changes)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_zeros_are_told_from_other_digits(cls, digits):
    X, y = digits
    zeros, others = X[y == 0], X[y != 0][:120]
    changes = {"updates": 150} if cls.__name__ == "ADGAN" else {}  # its critic is slow to teach pictures
    scores = learner(cls, **changes).fit(zeros[:130]).anomaly_score(np.concatenate([zeros[130:], others]))
    assert roc_auc_score(np.arange(len(scores)) >= len(zeros) - 130, scores) > FLOOR


@pytest.mark.parametrize("cls", [cls for cls in ALL if "table" in cls.kinds], ids=lambda cls: cls.__name__)
def test_malignant_is_told_from_benign(cls):
    X, y = load_breast_cancer(return_X_y=True)
    benign, malignant = X[y == 1], X[y == 0][:60]
    # A plain discriminator's verdict is worse than a coin far from all that it has met, as its page says; what its
    # features say of a row's place is not.
    changes = {"local": "density"} if cls.__name__ == "DCGAN" else {}
    scores = learner(cls, **changes).fit(benign[:280]).anomaly_score(np.concatenate([benign[280:], malignant]))
    assert roc_auc_score(np.arange(len(scores)) >= len(benign) - 280, scores) > FLOOR
