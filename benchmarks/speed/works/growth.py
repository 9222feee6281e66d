"""How time and memory grow: with rows, with the size of pictures, with the steps and the starts of a search.

Every point is a process of its own, one after the other, so that peak memory is that of the point. For each series,
`facts["series"]` holds the sizes, the seconds and the megabytes at the peak (including the rows, not the loaded
libraries), as medians over the rounds, and the slope of both on logarithmic axes: 1 is proportional, 0 is constant.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .. import Plan, Skip, Work

SERIES: dict[str, dict[str, Any]] = {
    "GANomaly on pictures 1x32x32: fit, one epoch": {
        "by": "rows",
        "sizes": [500, 1000, 2000, 4000, 8000],
        "cell": {"detector": "GANomaly", "shape": [32, 32], "work": "fit"},
    },
    "GANomaly on pictures 1x32x32: score": {
        "by": "rows",
        "sizes": [500, 1000, 2000, 4000, 8000],
        "cell": {"detector": "GANomaly", "shape": [32, 32], "work": "score"},
    },
    "GANomaly on a table of 10 columns: fit, one epoch": {
        "by": "rows",
        "sizes": [10000, 20000, 40000, 80000, 160000],
        "cell": {"detector": "GANomaly", "shape": [10], "work": "fit"},
    },
    "GANomaly on a table of 10 columns: score": {
        "by": "rows",
        "sizes": [10000, 20000, 40000, 80000, 160000],
        "cell": {"detector": "GANomaly", "shape": [10], "work": "score"},
    },
    "GANomaly, 50 updates of 64 pictures": {
        "by": "pixels",
        "sizes": [16, 32, 64, 128],
        "cell": {"detector": "GANomaly", "parameters": {"width": 32, "latent_dim": 100}, "work": "fit", "updates": 50},
    },
    "GANomaly, scores of 256 pictures": {
        "by": "pixels",
        "sizes": [16, 32, 64, 128],
        "cell": {"detector": "GANomaly", "parameters": {"width": 32, "latent_dim": 100}, "work": "score", "rows": 256},
    },
    "AnoGAN 1x28x28, scores of 64 pictures": {
        "by": "steps",
        "sizes": [25, 50, 100, 200, 400],
        "cell": {"detector": "AnoGAN", "parameters": {"patience": 0}, "shape": [28, 28], "work": "score", "rows": 64},
    },
    "AnoGAN 1x28x28, 25 steps, scores of 64 pictures": {
        "by": "starts",
        "sizes": [1, 2, 4, 8, 16],
        "cell": {
            "detector": "AnoGAN",
            "parameters": {"patience": 0, "steps": 25},
            "shape": [28, 28],
            "work": "score",
            "rows": 64,
        },
    },
    "ADGAN 1x32x32, 5 steps, scores of 64 pictures": {
        "by": "starts",
        "sizes": [1, 2, 4, 8, 16],
        "cell": {"detector": "ADGAN", "shape": [32, 32], "work": "score", "rows": 64},
    },
}


def growth(plan: Plan) -> dict[str, Any]:
    """time and memory of fit and score against rows, pixels, steps and starts"""
    if not Path("/proc/self/status").exists():
        raise Skip("peak memory is read from /proc, which only Linux has")
    rounds = 1 if plan.quick else min(3, plan.rounds)
    series = {}
    for name, given in SERIES.items():
        sizes = given["sizes"][:2] if plan.quick else given["sizes"]
        points: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
        for _ in range(rounds):
            for size in sizes:
                points[size].append(measured(of_size(given, size, plan.quick), plan.threads))
        values = [size * size for size in sizes] if given["by"] == "pixels" else sizes
        seconds, megabytes = (
            [median(one[what] for one in points[size]) for size in sizes] for what in ("seconds", "megabytes")
        )
        series[name] = {
            "by": given["by"],
            "values": values,
            "seconds": seconds,
            "megabytes": megabytes,
            "slope of seconds": slope(values, seconds),
            "slope of megabytes": slope(values, megabytes),
        }
    return {
        "what": "seconds and peak memory against rows, pixels, steps and starts",
        "against": None,
        "ratios": [],
        "reach": None,
        "aim": None,
        "ours": [],
        "theirs": [],
        "unit": "seconds",
        "facts": {"rounds": rounds, "series": series},
    }


def of_size(given: dict[str, Any], size: int, quick: bool) -> dict[str, Any]:
    """The cell of one point: the series' cell, of this size."""
    cell = {"rows": 256, "updates": 2, "epochs": None, "parameters": {}, **given["cell"]}
    cell["parameters"] = dict(cell["parameters"])
    if given["by"] == "rows":
        cell["rows"] = size // 10 if quick else size
        if cell["work"] == "fit":
            cell["epochs"], cell["updates"] = 1, None
    elif given["by"] == "pixels":
        cell["shape"] = [size, size]
    else:
        cell["parameters"][given["by"]] = size
    if quick:
        cell["parameters"]["width"] = 4
        cell["updates"] = cell["updates"] and 2
    return cell


def measured(cell: dict[str, Any], threads: int) -> dict[str, float]:
    """Seconds, and the peak in MB above what there was before, of one cell in a process of its own."""
    # by default glibc keeps freed memory, and the peak would depend more on that than on the work
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MALLOC_TRIM_THRESHOLD_": "0"}
    command = [sys.executable, "-c", "import sys; from benchmarks.speed.works.growth import cell; cell(sys.argv[1])"]
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run(
        [*command, json.dumps(cell)], check=True, capture_output=True, text=True, env=environment, cwd=root
    )
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def cell(given: str) -> None:
    """The work of one process: print its seconds and megabytes."""
    import time

    import oddgan
    from oddgan import detectors

    what = json.loads(given)
    shape = what["shape"]
    random = np.random.default_rng(0)
    few = random.integers(0, 256, (64 + 16, *shape), dtype=np.uint8) if len(shape) > 1 else random.normal(size=(80, 10))
    many = np.concatenate([few] * -(-what["rows"] // len(few)))[: what["rows"]]
    make = detectors.get(what["detector"])
    # What libraries load and set up when they are first used is not growth; the rows are.
    make(updates=2, width=2, latent_dim=2, random_state=0, device="cpu").fit(few[:20].reshape(20, -1)[:, :10])
    before = status("VmRSS") - many.nbytes / 2**20

    def detector(**budget: Any) -> oddgan.Detector:
        fixed = {"size": tuple(shape)} if len(shape) > 1 else {}
        return make(random_state=0, device="cpu", **fixed, **what["parameters"], **budget)

    warm = detector(updates=2).fit(few, calibrate=few[:8], tune=few[:8])
    if what["work"] == "score":
        warm.anomaly_score(few[:64])
    clear_peak()
    started = time.perf_counter()
    if what["work"] == "score":
        warm.anomaly_score(many)
    else:
        detector(updates=what["updates"], epochs=what["epochs"]).fit(many, calibrate=few[:8], tune=few[:8])
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "megabytes": max(status("VmHWM") - before, 0.1)}))


def status(name: str) -> float:
    """This process's VmRSS or VmHWM (its peak) in MB."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) / 1024


def clear_peak() -> None:
    """Reset the peak to the memory in use now."""
    Path("/proc/self/clear_refs").write_text("5")


def slope(sizes: list[int], values: list[float]) -> float:
    """The slope of log value on log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


WORKS: dict[str, Work] = {"growth": growth}
