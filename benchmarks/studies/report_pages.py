"""How large reports are, and how long a browser takes to load them: benchmarks/results/report_pages.jsonl.

    python -m benchmarks.studies.report_pages       # needs chromium and chromedriver in PATH

The evaluation is made up: 42 drawn washers of 768 pixels with reconstruction and map, and rows whose scores are random.
"""

import json
import os
import platform
import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from selenium import webdriver

import oddgan
from oddgan import metrics, report
from oddgan.data.drawn import washers
from oddgan.evaluation import Evaluation, Example
from oddgan.evaluation.findings import by_kind, operating_points
from oddgan.evaluation.latent import LatentMap
from oddgan.verdict import Guarantee

RESULTS = Path(__file__).resolve().parents[1] / "results" / "report_pages.jsonl"
ROWS, SHOWN, SIDE, LOADS = (100, 1_000, 10_000), 42, 768, 5
GROUPS = ("most anomalous", "miss", "false alarm", "most normal", "random")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
LOADED = "const t = performance.getEntriesByType('navigation')[0]; return [t.domContentLoadedEventEnd, t.loadEventEnd]"
OPENED = (
    "const t = performance.now(); document.querySelector('details.listing').open = true; document.body.offsetHeight; "
    "return performance.now() - t"
)


def made_up(n: int) -> Evaluation:
    """An evaluation of n rows."""
    random = np.random.default_rng(0)
    drawn = [Image.fromarray(washers.washer(i, "good")[0]).resize((SIDE, SIDE)) for i in range(SHOWN)]
    pictures = [np.asarray(one) for one in drawn]
    labels = np.arange(n) % 5 == 0
    scores = random.normal(size=n) + 2 * labels
    p_values, flagged = np.clip(1 - (scores + 3) / 8, 0.001, 1), scores > 2
    names = tuple(f"camera 2/2024-05-17/part {i:05}.png" for i in range(n))
    kinds = tuple(f"kind {i % 4}" if anomalous else "good" for i, anomalous in enumerate(labels))
    y, x = np.mgrid[:SIDE, :SIDE]

    def example(k: int) -> Example:
        i = k * (n // SHOWN)
        return Example(
            group=GROUPS[min(4, k // 9)],
            row=i,
            name=names[i],
            score=float(scores[i]),
            p_value=float(p_values[i]),
            is_anomaly=bool(flagged[i]),
            label=bool(labels[i]),
            kind=kinds[i],
            picture=pictures[k],
            reconstruction=pictures[(k + 1) % SHOWN],
            anomaly_map=(8 * np.exp(-((y - 200 - 8 * k) ** 2 + (x - 300) ** 2) / 9000)).astype(np.float32),
        )

    mapped = min(400, n)
    areas = ("auroc", "average_precision", "auprc_trapezoid")
    return Evaluation(
        data="parts",
        note="",
        detector={"detector": "GANomaly", "parameters": {}},
        names=names,
        scores=scores,
        p_values=p_values,
        is_anomaly=flagged,
        labels=labels,
        kinds=kinds,
        terms={},
        estimates={name: metrics.bootstrap(name, labels, scores, 50) for name in areas},
        rates=metrics.rates(labels, flagged),
        by_kind=by_kind(scores, flagged, labels, kinds, 50, 0),
        pixel={},
        n_masks=0,
        threshold=2.0,
        false_alarm_rate=0.02,
        false_alarm_range=(0.01, 0.03),
        n_calibrate=500,
        guarantee=Guarantee(0.02, 500, "500 rows", 0.01, 0.03).paragraphs,
        history={},
        warnings=(),
        examples=tuple(map(example, range(SHOWN))),
        map_scale=1.0,
        map_threshold=4.0,
        operating_points=operating_points(p_values, labels, 500),
        latent=LatentMap(np.arange(mapped), random.normal(size=(mapped, 2)), (0.5, 0.2)),
    )


def main() -> None:
    """Measure, and write a line for each number of rows."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for flag in (*FLAGS, f"--user-data-dir={folder}/profile"):
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        for n in ROWS:
            page = Path(folder) / f"{n}.html"
            report.write(made_up(n), page)
            loads = []
            for _ in range(LOADS):
                browser.get(page.as_uri())
                loads.append(browser.execute_script(LOADED))
            ready, loaded = (statistics.median(column) for column in zip(*loads, strict=True))
            lines.append(
                {
                    "rows": n,
                    "megabytes": round(page.stat().st_size / 1e6, 2),
                    "ms to DOMContentLoaded": round(ready),
                    "ms to load": round(loaded),
                    "ms to open the list": round(browser.execute_script(OPENED)),
                    "oddgan": oddgan.__version__,
                    "browser": browser.capabilities["browserVersion"],
                    "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                }
            )
            print(lines[-1])
        browser.quit()
    RESULTS.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")


if __name__ == "__main__":
    main()
