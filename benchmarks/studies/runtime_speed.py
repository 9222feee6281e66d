"""How fast exports score beside eager torch: one picture and blocks of 64, both runtimes, float32 and int8.

    python -m benchmarks.studies.runtime_speed [--only DETECTOR,...] [--cases CASE,...] [--rounds 15] [--threads 1]

A cell is a detector trained for some updates on a case, its exports, and rounds in which each of them scores the same
rows, one after another: torch first, then the exports in an order that changes, so that whatever else the machine does
affects all of them alike. A ratio is of one round; the line has them all. Beside the speed stands what it costs: the
largest difference of scores relative to the largest, verdicts that differ on labelled rows, and the AUROC of each on
them (held aside, for this table alone). Scoring is what users call: `anomaly_score` of arrays in memory, preprocessing
and verdict terms included.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, run

from . import RESULTS, of_each_class, say, versions

FILE = RESULTS / "runtime_speed.jsonl"
FORM = fields("detector", "case", "threads")
CASES = {
    "digits at 32": {"data": "digits", "how": {"size": 32}},
    "washers at 64": {"data": "washers", "how": {"size": 64}},
    "breast-cancer": {"data": "breast-cancer", "how": {}},
}
DETECTORS = ("ganomaly", "skipganomaly", "fanogan", "egbad", "alad", "vae", "patchcore")
EXPORTS = [(to, precision) for to in ("onnx", "openvino") for precision in ("float32", "int8")]
BLOCKS = (1, 64)
MOST = 100  # test rows of each class
CALL = 0.3  # seconds of calls in a round, at least


def loaded(case: str):
    """Training rows, and labelled rows held aside."""
    import oddgan
    from oddgan.rows import open_rows

    data = CASES[case]["data"]
    split = oddgan.data.load(data, anomaly={"5"}) if data == "digits" else oddgan.data.load(data)
    labels = np.asarray(split.labels)
    some = of_each_class(labels, MOST, np.random.default_rng(0))
    rows = open_rows(split.test).some(some)
    return split.train, rows, labels[some]


def seconds_of(score, rows) -> float:
    """Seconds of a call, over as many as `CALL` holds."""
    began, calls = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < CALL:
        score(rows)
        calls += 1
    return taken / calls


def measure(name: str, case: str, threads: int, updates: int, rounds: int, attempt: Attempt) -> dict:
    """One line."""
    import torch

    from oddgan import detectors, metrics
    from oddgan.errors import OddganError
    from oddgan.export import export
    from oddgan.rows import open_rows
    from oddgan.runtime import Scorer

    torch.set_num_threads(threads)
    train, held, labels = loaded(case)
    cls = detectors.get(name)
    given = {**CASES[case]["how"], "updates": updates, "encoder_updates": updates, "random_state": 0, "device": "cpu"}
    detector = cls(**{key: value for key, value in given.items() if key in set(cls._get_param_names())})
    line: dict = {"detector": name, "case": case, "threads": threads, "updates": updates}
    line |= {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": versions("onnxruntime", "openvino"),
    }
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            detector = attempt.fit(detector, train).detector
        except OddganError as error:
            return {**line, "error": str(error)}
        every, refused = {"torch": detector}, {}
        for to, precision in EXPORTS:
            try:
                place = Path(folder) / f"{to} {precision}"
                export(detector, place, train, to=to, precision=precision)
                every[f"{to} {precision}"] = Scorer(place, threads=threads)
            except OddganError as error:
                refused[f"{to} {precision}"] = str(error).removeprefix(f"{place}: ")
        scores = {kind: np.asarray(one.anomaly_score(held)) for kind, one in every.items()}
        verdicts = {kind: scores[kind] > one.threshold_ for kind, one in every.items()}
        line["loss"] = {
            kind: {
                "relative": float(np.abs(scores[kind] - scores["torch"]).max() / np.abs(scores["torch"]).max()),
                "auroc": round(metrics.auroc(labels, scores[kind]), 4),
                "verdicts_differ": int((verdicts[kind] != verdicts["torch"]).sum()),
            }
            for kind in every
        }
        line |= {"labelled": len(labels), "refused": refused, "milliseconds": {}}
        for block in BLOCKS:
            rows = open_rows(held).some(np.arange(block) % len(held))
            sized = {kind: one.with_block_size(block) for kind, one in every.items()}
            for one in sized.values():
                one.anomaly_score(rows)
            taken: dict[str, list[float]] = {kind: [] for kind in sized}
            for i in range(rounds):
                kinds = list(sized)
                for kind in kinds[:1] + kinds[1:][i % len(kinds) :] + kinds[1:][: i % len(kinds)]:
                    taken[kind].append(round(1e3 * seconds_of(sized[kind].anomaly_score, rows) / block, 4))
            line["milliseconds"][str(block)] = taken
    return line


def ratios(line: dict, kind: str, block: int) -> list[float]:
    """How many times faster than torch, by round."""
    taken = line["milliseconds"][str(block)]
    return [base / one for base, one in zip(taken["torch"], taken[kind], strict=True)]


def summary(line: dict) -> str:
    """What came out, in a few words."""
    if "error" in line:
        return line["error"]
    return "; ".join(
        f"{kind} "
        + " and ".join(f"x{statistics.median(ratios(line, kind, block)):.1f}" for block in BLOCKS)
        + f", AUROC {line['loss'][kind]['auroc']:.3f}"
        for kind in line["loss"]
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(DETECTORS))
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--threads", default="1")
    parser.add_argument("--output", type=Path, default=FILE)
    options = parser.parse_args()
    todo = []
    for threads in map(int, options.threads.split(",")):
        for case in options.cases.split(","):
            for name in options.only.split(","):
                key = FORM.key({"detector": name, "case": case, "threads": threads})
                work = partial(measure, name, case, threads, options.updates, options.rounds)
                todo.append(Job(key=key, title=f"{name}, {case}, {threads} threads", run=work))
    run(todo, Record(options.output, FORM), summary=summary, report=say)


if __name__ == "__main__":
    main()
