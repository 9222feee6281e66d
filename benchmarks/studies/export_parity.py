"""Do exports answer as the detectors do? Every detector, pictures and a table, both runtimes, three precisions.

    python -m benchmarks.studies.export_parity [--only DETECTOR,...] [--cases CASE,...] [--updates 300]

Detectors are trained with their defaults but for the budget. Each line has, of every runtime and precision, what
`parity.json` of the export holds: differences over held-out rows and simulated anomalies of them, and AUROC and
verdicts on the labelled test, which decides nothing; `graph` compares the verdict inside the graph with that of
`oddgan.runtime.Scorer` and of the detector. An export that was refused has its reason instead.
`export_seconds` is processor time.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, run

from . import RESULTS, of_each_class, say, versions

FILE = RESULTS / "export_parity.jsonl"
FORM = fields("detector", "case")
CASES = {
    "digits": {"data": "digits", "how": {}},
    "digits at 48 pixels": {"data": "digits", "how": {"size": 48}},
    "digits in tiles": {"data": "digits", "how": {"tile": 8}},
    "breast-cancer": {"data": "breast-cancer", "how": {}},
    "breast-cancer, near": {"data": "breast-cancer", "how": {"local": "distance"}},
    "breast-cancer, views": {"data": "breast-cancer", "how": {"local": "views"}},
    "digits, patches": {"data": "digits", "how": {"local": "patches"}},
}
EXPORTS = [(to, precision) for to in ("onnx", "openvino") for precision in ("float32", "float16", "int8")]
MOST = 200  # test rows of each class


def detector_of(name: str, how: dict, updates: int):
    """The unfitted detector, with what makes a search exportable."""
    from oddgan import detectors

    cls = detectors.get(name)
    more = {"start": "encoder", "steps": 0, "starts": 1} if name == "anogan" else {}
    known = set(cls._get_param_names())
    given = {**how, **more, "updates": updates, "encoder_updates": updates, "random_state": 0, "device": "cpu"}
    return cls(**{key: value for key, value in given.items() if key in known})


def measure(name: str, case: str, updates: int, attempt: Attempt) -> dict:
    """One line: fit, then export in every way."""
    import oddgan
    from oddgan.errors import OddganError
    from oddgan.export import export
    from oddgan.rows import open_rows

    data, how = CASES[case]["data"], CASES[case]["how"]
    split = oddgan.data.load(data, anomaly={"5"}) if data == "digits" else oddgan.data.load(data)
    some = of_each_class(np.asarray(split.labels), MOST, np.random.default_rng(0))
    check = open_rows(split.test).some(some), np.asarray(split.labels)[some]
    line: dict = {"detector": name, "case": case, "updates": updates, "exports": []}
    try:
        detector = attempt.fit(detector_of(name, how, updates), split.train).detector
    except OddganError as error:
        return {**line, "error": str(error), "versions": versions("onnxruntime", "openvino")}
    with tempfile.TemporaryDirectory() as folder:
        for to, precision in EXPORTS:
            started, made = time.process_time(), {"to": to, "precision": precision}
            try:
                place = Path(folder) / f"{to}-{precision}"
                found = export(detector, place, split.train, to=to, precision=precision, check=check)
                size = sum(one.stat().st_size for one in place.iterdir())
                made |= {key: found[key] for key in ("rows", "score", "threshold", "verdicts", "map", "labelled")}
                made |= {key: found[key] for key in ("simulated", "graph")}
                manifest = json.loads((place / "oddgan.json").read_text("utf-8"))
                made["verdict"] = manifest["verdict"]["why_not"] or "in the graph"
                made |= {"megabytes": round(size / 1e6, 3)}
            except OddganError as error:
                made["refused"] = str(error).split(": ", 1)[-1] if folder in str(error) else str(error)
            made["export_seconds"] = round(time.process_time() - started, 1)
            line["exports"].append(made)
            if made.get("refused", "").startswith(type(detector).__name__):  # it would be refused every time
                break
    return {**line, "versions": versions("onnxruntime", "openvino")}


def summary(line: dict) -> str:
    """What came out, in a few words."""
    if "error" in line:
        return line["error"]
    return "; ".join(
        f"{one['to']} {one['precision']} "
        + ("refused" if "refused" in one else f"{one['score']['relative']:.0e}, {one['verdicts']['differ']} verdicts")
        for one in line["exports"]
    )


def main() -> None:
    """The command."""
    from oddgan import detectors

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(detectors.names()))
    parser.add_argument("--cases", default=";".join(CASES), help="with semicolons between them")
    parser.add_argument("--updates", type=int, default=300)
    options = parser.parse_args()
    todo = [
        Job(
            key=FORM.key({"detector": name, "case": case}),
            title=f"{name}, {case}",
            run=lambda attempt, of=(name, case): measure(*of, options.updates, attempt),
        )
        for case in options.cases.split(";")
        for name in options.only.split(",")
    ]
    run(todo, Record(FILE, FORM), summary=summary, report=say)


if __name__ == "__main__":
    main()
