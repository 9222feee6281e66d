"""The verdict needs NumPy alone, and gives what the model gives."""

import subprocess
import sys

import numpy as np

import oddgan
from oddgan import testing
from oddgan.verdict import Combination


def test_it_is_importable_without_torch_and_scikit_learn():
    code = "import sys, oddgan.verdict; print(sorted({'torch', 'sklearn', 'scipy', 'pandas'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_terms_give_the_models_score_and_verdict(table):
    detector = testing.small(oddgan.EGBAD, score_by="combined").fit(table)
    model, found = detector.model_, detector.explain(table)
    score = model.combination.score({name: found.terms[name] for name in model.combination.asked})
    assert np.array_equal(score, found.score)
    assert np.array_equal(model.calibration.p_value(score), found.p_value)
    assert np.array_equal(score > model.calibration.threshold, found.is_anomaly)


def test_what_overflows_is_an_anomaly():
    score = Combination("off", ("a",)).score({"a": np.array([1.0, np.nan, np.inf])})
    assert score.tolist() == [1.0, np.inf, np.inf]
