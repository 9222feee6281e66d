"""docs/results/exports.md, from benchmarks/results/export_parity.jsonl: `python -m benchmarks.pages.exports`."""

import math

from oddgan.evaluation.runner import lines_of
from oddgan.report import markdown

from ..studies.export_parity import CASES, EXPORTS, FILE, FORM
from . import RESULTS

PAGE = RESULTS / "exports.md"
NAMES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}


def power(value: float | None) -> str:
    """A difference in one digit."""
    if value is None:
        return "not finite"
    return f"{value:.0e}" if value and math.isfinite(value) else "0"


def of_graph(one: dict) -> str:
    """How the graph's own verdict compares, in a few words."""
    if one["graph"] is None or one["verdict"] != "in the graph":
        return "not in the graph"
    found = one["graph"]["model" if one["precision"] == "float32" else "scorer"]
    return f"{power(found['score'])}, {found['verdicts_differ']}"


def exact(lines: list[dict]) -> str:
    """Each detector and case in float32: differences of scores and verdicts, by runtime."""
    rows = []
    for line in lines:
        for to in NAMES:
            one = found(line, to, "float32")
            if one is None:
                continue
            row = [line["detector"], line["case"], NAMES[to]]
            if "refused" in one:
                rows.append([*row, "refused", "", "", ""])
                continue
            verdicts, maps = one["verdicts"], one["map"]
            rows.append(
                [
                    *row,
                    power(one["score"]["relative"]),
                    f"{verdicts['differ']} ({verdicts['differ_beyond_tolerance']}) of {sum(one['rows'].values())}",
                    "" if maps is None else power(maps["relative"]),
                    of_graph(one),
                ]
            )
    head = ["detector", "data", "runtime", "scores", "verdicts that differ", "maps", "the graph's own"]
    return markdown.table(head, rows, numbers_from=4)


def smaller(lines: list[dict]) -> str:
    """Each detector and case in float16 and int8: AUROC on the labelled test before and after."""
    rows = []
    for line in lines:
        row, any_there = [line["detector"], line["case"]], False
        for to, precision in EXPORTS:
            if precision == "float32":
                continue
            one = found(line, to, precision)
            labelled = (one or {}).get("labelled")
            if labelled is None:
                row.append("refused" if one else "")
                continue
            any_there = True
            row.append(f"{labelled['export']['auroc'] - labelled['model']['auroc']:+.3f}")
        if any_there:
            before = next(one["labelled"]["model"]["auroc"] for one in line["exports"] if one.get("labelled"))
            rows.append([*row[:2], f"{before:.3f}", *row[2:]])
    named = [f"{NAMES[to]} {precision}" for to, precision in EXPORTS if precision != "float32"]
    return markdown.table(["detector", "data", "AUROC", *named], rows, numbers_from=3)


def found(line: dict, to: str, precision: str) -> dict | None:
    """The export of a line to that runtime in that precision."""
    return next((one for one in line["exports"] if (one["to"], one["precision"]) == (to, precision)), None)


def refusals(lines: list[dict]) -> str:
    """What was refused, and why."""
    reasons: dict[str, list[str]] = {}
    for line in lines:
        for one in line["exports"]:
            if "refused" in one:
                reason = " ".join(one["refused"].split())[:200]
                reasons.setdefault(reason, []).append(
                    f"{line['detector']}, {line['case']}, {NAMES[one['to']]} {one['precision']}"
                )
    return "\n".join(f"- {reason}: {'; '.join(where)}" for reason, where in sorted(reasons.items()))


def text() -> str:
    """The page."""
    lines = sorted(lines_of(FILE, FORM), key=lambda line: (line["detector"], list(CASES).index(line["case"])))
    lines = [line for line in lines if "error" not in line]
    versions = lines[0]["versions"]
    return f"""# Do exports answer as the detectors do?

Every [export](../howto/export.md) is compared with the detector that it was made of, on held-out rows and simulated
anomalies of them, and one that does not answer alike is not written. Here is what was found for all detectors that can
be exported. The runs are made by `python -m benchmarks.studies.export_parity`, this page by
`python -m benchmarks.pages.exports` from `benchmarks/results/export_parity.jsonl`. Detectors are trained with
{lines[0]["updates"]} updates. {", ".join(f"{name} {version}" for name, version in versions.items())}.

## In float32

Largest difference of scores and of maps, relative to the largest; verdicts that differ, in brackets those of rows
farther than the stated tolerance from the threshold. The last column is the verdict inside the graph, as a program in
another language gets it: largest difference of scores from the detector's, verdicts that differ.

{exact(lines)}

## In smaller numbers

AUROC on the labelled test, which decides nothing, and how much it changes.

{smaller(lines)}

## Refused

{refusals(lines)}
"""


if __name__ == "__main__":
    PAGE.write_text(text(), "utf-8")
