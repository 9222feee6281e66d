"""What must hold on a GPU as on a processor; skipped where there is none."""

import numpy as np
import pytest
import torch

import oddgan
from oddgan import testing
from oddgan.detectors.ganomaly import GANomaly

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")


@pytest.mark.parametrize(
    "law", [testing.refits_are_identical, testing.saved_models_are_identical, testing.resumed_runs_are_identical]
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_laws_on_a_gpu(law, precision, pictures):
    law(testing.small(GANomaly, device="cuda", precision=precision), pictures)


def test_a_model_from_a_gpu_scores_alike_on_a_processor(pictures, tmp_path):
    det = testing.small(GANomaly, device="auto").fit(pictures)
    assert det.training_["device"] == "cuda"
    scores = det.anomaly_score(pictures)
    det.save(tmp_path / "m.oddgan")
    other = oddgan.load(tmp_path / "m.oddgan", device="cpu").anomaly_score(pictures)
    assert np.abs(other - scores).max() <= 10 * det.tolerance * np.abs(scores).max()
