"""The examples of docs/howto/scale.md, where their engines are installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import oddgan

PAGE = Path(__file__).resolve().parents[1] / "docs" / "howto" / "scale.md"
BLOCKS = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text("utf-8"), flags=re.M | re.S)
MODULES = {"ray": "ray.data", "pyspark": "pyspark.ml.functions", "dask": "dask.dataframe"}


def test_every_engine_has_a_short_example():
    assert len(BLOCKS) == len(MODULES)
    assert max(len(block.splitlines()) for block in BLOCKS) <= 20


@pytest.mark.slow
@pytest.mark.parametrize("engine", MODULES)
def test_an_engine_gives_the_scores_of_one_process(engine, tmp_path):
    pytest.importorskip(MODULES[engine])
    block = next(block for block in BLOCKS if re.search(rf"^(import|from) {engine}\b", block, flags=re.M))
    random = np.random.default_rng(0)
    flows = pd.DataFrame({"duration": random.exponential(size=900), "service": random.choice(["http", "dns"], 900)})
    det = oddgan.PCA().fit(flows[:300])
    det.save(tmp_path / "flows.oddgan")
    flows.to_parquet(tmp_path / "flows.parquet")
    (tmp_path / "run.py").write_text(f'{block}\nout.to_pickle("out.pickle")\n')
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    subprocess.run(
        [sys.executable, "run.py"], cwd=tmp_path, check=True, timeout=300, capture_output=True, env=environment
    )
    out = pd.read_pickle(tmp_path / "out.pickle")
    assert (np.sort(out["score"].to_numpy()) == np.sort(det.anomaly_score(flows))).all()
    assert (np.sort(out["p_value"].to_numpy()) == np.sort(det.p_value(flows))).all()
    assert int(out["is_anomaly"].sum()) == int((det.predict(flows) == -1).sum())
