"""Data larger than memory: what a process holds does not grow with the data set, nor over epochs."""

import os
import subprocess
import sys

import numpy as np
import pytest

TRAIN = """
import sys
import oddgan
from oddgan.detectors.ganomaly import GANomaly

held = []

class Watch(oddgan.hooks.Hook):
    def on_update(self, moment):
        status = open("/proc/self/status").read()
        held.append(int(status.split("RssAnon:")[1].split()[0]) // 1024)

X = oddgan.data.load(sys.argv[1]).train
GANomaly(updates=int(sys.argv[2]), width=2, latent_dim=2, batch_size=16, random_state=0).fit(X, hooks=[Watch()])
print(held[len(held) // 4], max(held))
"""


def megabytes(path, updates):
    """Anonymous memory after a quarter of the updates, and its peak during training."""
    run = subprocess.run(
        [sys.executable, "-c", TRAIN, str(path), str(updates)], capture_output=True, text=True, check=True
    )
    return tuple(map(int, run.stdout.split()))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_data(tmp_path):
    peaks = []
    for n in (2_000, 200_000):  # 24 MB and 2.4 GB, most of it holes in the file
        path = tmp_path / f"{n}.npy"
        X = np.lib.format.open_memmap(path, "w+", np.uint8, (n, 64, 64, 3))
        X[:: n // 100] = np.random.default_rng(0).integers(0, 256, (100, 64, 64, 3), dtype=np.uint8)
        X.flush()
        peaks.append(megabytes(path, 40)[1])
    assert peaks[1] < peaks[0] + 60, f"{peaks} MB"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_over_epochs(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (64, 8, 8), dtype=np.uint8))
    early, peak = megabytes(tmp_path / "x.npy", 3_000)
    assert peak < early + 20, f"{early} and {peak} MB"


EPOCHS = """
import sys
import numpy as np
import oddgan

class Watch(oddgan.hooks.Hook):
    def on_start(self, moment):
        self.at = []

    def on_update(self, moment):
        status = open("/proc/self/status").read()
        self.at.append(int(status.split("RssAnon:")[1].split()[0]) / 1024)
        self.epochs = moment.epoch

random = np.random.default_rng(0)
pictures = random.integers(0, 256, (120, 8, 8), dtype=np.uint8)
X = pictures if sys.argv[1] == "pictures" else random.normal(size=(120, 6))
watch = Watch()
oddgan.GANomaly(updates=600, width=4, latent_dim=2, batch_size=16, random_state=0).fit(X, hooks=[watch])
assert watch.epochs >= 90
print(watch.at[300], watch.at[-1])
"""


@pytest.mark.parametrize("kind", ["pictures", pytest.param("table", marks=pytest.mark.slow)])
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_as_it_is_once_training_has_warmed_up(kind):
    """Half of a hundred short epochs: four kilobytes that every update kept would show."""
    run = subprocess.run([sys.executable, "-c", EPOCHS, kind], capture_output=True, text=True, check=True)
    warm, end = map(float, run.stdout.split())
    assert end < warm + 1.0, f"{warm:.1f} MB after half of the updates, {end:.1f} MB after all"


LARGE_TABLE = """
import sys, threading, time
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import oddgan
from oddgan.preprocessing import table_sums, tables
from oddgan.rows import parquet_files, stored_table, table_cache, together

for module in (stored_table, table_sums, tables, parquet_files, table_cache):
    module.LARGE = 2**20
for module in (stored_table, table_sums, tables, sys.modules["oddgan.rows.together"]):
    module.PIECE = 2**20
stored_table.MOST_MAPPED = 2**22

def own():
    return int(open("/proc/self/status").read().split("RssAnon:")[1].split()[0]) / 1024

def write(n, path):
    writer = None
    for part in range(4):
        x = np.random.default_rng(part).normal(size=(n // 4, 20))
        table = pa.table({f"x{i}": column for i, column in enumerate(x.T.copy())})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=4096)
    writer.close()

def fit(path):
    rows = oddgan.data.load(path).train
    oddgan.GANomaly(updates=3, width=4, latent_dim=2, batch_size=16, local="off", random_state=0).fit(rows)

for i, n in enumerate((20_000, 20_000, 200_000)):
    path = f"{sys.argv[1]}/{i}.parquet"
    write(n, path)
    before, peak, done = own(), [0.0], threading.Event()
    def watch():
        while not done.wait(0.002):
            peak[0] = max(peak[0], own())
    watching = threading.Thread(target=watch)
    watching.start()
    fit(path)
    done.set()
    watching.join()
    print(peak[0] - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_a_table_in_a_file(tmp_path):
    """Thirty-two megabytes of numbers: one copy of them would show. What grows is the rows' order and fingerprints."""
    environment = {**os.environ, "ODDGAN_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", LARGE_TABLE, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    _, small, large = map(float, run.stdout.split())
    assert large < small + 24, f"{small:.0f} and {large:.0f} MB"
