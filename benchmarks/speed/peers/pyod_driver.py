"""Runs PyOD's detectors in an environment of their own; `pyod_process.py` starts it with that environment's Python.

One request a line on standard input, {"detector", "rows", "seed", "arguments"}; one answer a line on standard output.
`rows` is an .npz file of "train" and "test" (n, d) and "labels".
"""

import json
import sys
import time


def main() -> None:
    """Answer requests until standard input ends."""
    import numpy as np
    import pyod
    import torch
    from pyod.models.alad import ALAD
    from pyod.models.anogan import AnoGAN
    from sklearn.metrics import roc_auc_score

    answers = sys.stdout
    sys.stdout = sys.stderr  # what PyOD prints is not an answer
    torch.set_num_threads(int(sys.argv[1]))
    versions = {"pyod": pyod.__version__, "torch": torch.__version__}
    print(json.dumps({"versions": versions}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        rows = np.load(asked["rows"])
        torch.manual_seed(asked["seed"])
        np.random.seed(asked["seed"])  # noqa: NPY002  # PyOD draws from the legacy generator
        cls = {"AnoGAN": AnoGAN, "ALAD": ALAD}[asked["detector"]]
        det = cls(contamination=1e-5, **asked["arguments"])
        started, processor = time.perf_counter(), time.process_time()
        det.fit(rows["train"])
        seconds, trained = time.perf_counter() - started, time.process_time()
        scores = np.asarray(det.decision_function(rows["test"])).ravel()
        answer = {
            "seconds": seconds,
            "cpu_seconds_to_train": trained - processor,
            "cpu_seconds_to_score": time.process_time() - trained,
            "auroc": float(roc_auc_score(rows["labels"], np.nan_to_num(scores))),
        }
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
