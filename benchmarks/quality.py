"""How well the defaults find anomalies, over seeds, beside 1-nearest neighbour on the same pixels.

    ODDGAN_DATA=... python benchmarks/quality.py [digits|mvtec-bottle-256|hazelnut-toy|thyroid ...]
    python benchmarks/quality.py --table > docs/results.md

Every run uses a detector's defaults, which were chosen on other data (`ganomaly_defaults.py`), trains on normals alone,
takes the last step, and never looks at a test label before the end. Each line of the result file is one run; runs that
are there already are not made again.
"""

import json
import platform
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "quality.jsonl"
SEEDS = (0, 1, 2)
DIGITS = [("digits", str(d)) for d in range(10)]
SETS = {"digits": DIGITS, **{name: [(name, None)] for name in ("mvtec-bottle-256", "hazelnut-toy", "thyroid")}}


def measure(source: str, anomaly: str | None, seed: int) -> dict:
    """One run: fit, evaluate, and the neighbours' figure on the same rows."""
    import torch
    from sklearn.metrics import roc_auc_score
    from sklearn.neighbors import NearestNeighbors

    import oddgan

    split = oddgan.data.load(source, anomaly={anomaly} if anomaly else None)
    started = time.monotonic()
    det = oddgan.GANomaly(random_state=seed).fit(split.train)
    seconds = time.monotonic() - started
    evaluation = oddgan.evaluate(det, split)
    flat = [flatten(det, part) for part in (split.train, split.test)]
    distance, _ = NearestNeighbors(n_neighbors=1).fit(flat[0]).kneighbors(flat[1])
    return {
        "auroc": evaluation.estimates["auroc"].value,
        "auprc": evaluation.estimates["average_precision"].value,
        "chance_auprc": evaluation.estimates["average_precision"].chance,
        "false_alarms": float(evaluation.is_anomaly[~evaluation.labels].mean()),
        "asked_false_alarms": evaluation.false_alarm_rate,
        "detected": float(evaluation.is_anomaly[evaluation.labels].mean()),
        "terms": {k: float(roc_auc_score(evaluation.labels, v)) for k, v in evaluation.terms.items()},
        "pixel": dict(evaluation.pixel),
        "nearest_neighbour": float(roc_auc_score(evaluation.labels, distance[:, 0])),
        "rows": {"train": len(split.train), "test": len(split.test), "odd": int(evaluation.labels.sum())},
        "networks": det.preprocessor_.describe(),
        "seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "versions": {"oddgan": oddgan.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": f"{platform.machine()}, {det.training_['device']}, {det.training_['precision']}",
    }


def flatten(det, rows) -> np.ndarray:
    """Rows as the networks see them, flattened: what neighbours are told apart by."""
    numbers = np.arange(len(rows))
    prepared = det.preprocessor_.prepare(det._rows(rows), numbers)
    return np.concatenate(
        [prepared.batch(part).flatten(1).numpy() for part in np.array_split(numbers, len(rows) // 64 + 1)]
    )


def main(names: list[str]) -> None:
    """Make the runs that are missing."""
    RESULTS.parent.mkdir(exist_ok=True)
    done = {json.loads(line)["run"] for line in RESULTS.read_text().splitlines()} if RESULTS.exists() else set()
    for seed in SEEDS:
        for source, anomaly in [pair for name in names or SETS for pair in SETS[name]]:
            run = f"GANomaly {source} {anomaly or ''} {seed}".replace("  ", " ")
            if run not in done:
                line = {
                    "run": run,
                    "source": source,
                    "anomaly": anomaly,
                    "seed": seed,
                    **measure(source, anomaly, seed),
                }
                with RESULTS.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(run, line["auroc"], line["nearest_neighbour"], line["seconds"], flush=True)


def table() -> str:
    """The results as a page of the documentation."""
    groups = defaultdict(list)
    for line in RESULTS.read_text().splitlines():
        row = json.loads(line)
        groups[row["source"], row["anomaly"]].append(row)
    if missing := {pair for pairs in SETS.values() for pair in pairs} - groups.keys():
        print(f"no runs of {sorted(map(str, missing))}", file=sys.stderr)

    def cell(rows: list[dict], *keys: str) -> str:
        values = []
        for row in rows:
            value = row
            for key in keys:
                value = (value or {}).get(key)
            values.append(value)
        if any(v is None for v in values):
            return ""
        spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 and np.std(values) > 5e-4 else ""
        return f"{np.mean(values):.3f}{spread}"

    def line(name: str, rows: list[dict]) -> str:
        cells = [
            name,
            cell(rows, "auroc"),
            cell(rows, "nearest_neighbour"),
            cell(rows, "auprc"),
            cell(rows, "chance_auprc"),
            cell(rows, "detected"),
            cell(rows, "false_alarms"),
            cell(rows, "asked_false_alarms"),
        ]
        return "| " + " | ".join(cells) + " |"

    head = (
        "| anomaly | AUROC | 1-NN AUROC | AUPRC | chance AUPRC | detected | false alarms | asked |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    digits = [line(f"digit {d}", groups[pair]) for pair in DIGITS if (d := pair[1]) and pair in groups]
    all_digits = [row for pair in DIGITS for row in groups.get(pair, [])]
    digits.append(line("**mean of the ten**", [_mean(all_digits, seed) for seed in SEEDS]))
    others = [line(name, groups[name, None]) for name in SETS if (name, None) in groups]
    pixel = [
        f"| {name} | {cell(rows, 'pixel', 'pixel_auroc')} | {cell(rows, 'pixel', 'aupro_0.3')} |"
        for name in SETS
        if (rows := groups.get((name, None), [])) and rows[0]["pixel"]
    ]
    any_row = all_digits[0]
    text = f"""# Measured results

Made by `python benchmarks/quality.py` and written by `python benchmarks/quality.py --table`; the runs are in
`benchmarks/results/quality.jsonl`. Mean and standard deviation over {len(SEEDS)} seeds. GANomaly with its defaults,
which were chosen on other data (`benchmarks/ganomaly_defaults.py`: classes 1, 4 and 9 of MNIST and Fashion-MNIST).
Training sees normals alone; the last step is taken; no test label chooses anything. *1-NN* is the distance to the
nearest training row, on rows as the networks see them; it has all of the training rows, of which GANomaly holds 30
percent back to calibrate and tune. oddgan {any_row["versions"]["oddgan"]}, torch
{any_row["versions"]["torch"]}, {any_row["machine"].split(",")[0]} with two cores.

## scikit-learn's digits, one digit held out as the anomaly

{head}
{chr(10).join(digits)}

## Pictures and tables

{head}
{chr(10).join(others)}

Where it is odd, at the masks' own size:

| data | pixel AUROC | AUPRO (FPR up to 0.3) |
|---|---|---|
{chr(10).join(pixel)}

How to read this: *detected* and *false alarms* are shares of odd and of normal test rows at the threshold that was set
without labels, for the rate *asked*. Where 1-NN is better, use that: a GAN has no case there. MVTec AD bottle is
licensed for non-commercial use (CC BY-NC-SA 4.0) and is no part of this project.
"""
    return text


def _mean(rows: list[dict], seed: int) -> dict:
    mine = [row for row in rows if row["seed"] == seed]
    keys = ("auroc", "nearest_neighbour", "auprc", "chance_auprc", "detected", "false_alarms", "asked_false_alarms")
    return {key: float(np.mean([row[key] for row in mine])) for key in keys}


if __name__ == "__main__":
    if sys.argv[1:] == ["--table"]:
        print(table(), end="")
    else:
        main(sys.argv[1:])
