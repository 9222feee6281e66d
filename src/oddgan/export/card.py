"""README.md of an export: what it is, what it promises, how it was compared, and how to call it. Its head is what
Hugging Face reads of a model card."""

from collections.abc import Mapping
from typing import Any

from ..model import Model

USE = """```python
from oddgan.runtime import Scorer

scorer = Scorer("{folder}")        # no torch, no scikit-learn
scorer.predict(rows)               # +1 normal, -1 anomaly
scorer.p_value(rows)
```

```
oddgan score {folder} DATA
```"""

OUTPUTS = {
    "term_": "a score term of each row",
    "embedding_": "features that are compared with reference rows or patches",
    "score": "the anomaly score of each row",
    "p_value": "its conformal p-value against the calibration rows",
    "is_anomaly": "the verdict: the score is above the threshold",
    "anomaly_map": "where each picture is anomalous, in usual deviations, at the size of the picture that was given",
    "map": "where each picture is anomalous, before it is standardised",
    "x_hat": "the reconstruction, in the networks' values",
    "shares": "each column's share of the residual",
}


def text(manifest: Mapping[str, Any], model: Model) -> str:
    """The card."""
    calibration = manifest["calibration"]
    lines = [
        *_facts(manifest),
        f"# {manifest['detector']}, exported to {manifest['runtime']} ({manifest['precision']})",
        "",
        f"Takes {model.preprocessor.describe()}. Made by oddgan {manifest['oddgan']}.",
        "",
        "## Verdict",
        "",
        f"A row is an anomaly where its score is above {calibration['threshold']:.6g}, set for a false-alarm rate of "
        f"{calibration['false_alarm_rate']:g} by {calibration['rows']:,} normal rows that were held out of training: "
        f"{manifest['guarantee']}.",
        "",
        *_parity(manifest),
        "## Use",
        "",
        USE.format(folder="THIS-FOLDER"),
        "",
        f"Or in any language that has {_NAMES[manifest['runtime']]}: the graph takes `{_signature(manifest['input'])}`"
        " and gives",
        "",
    ]
    for one in manifest["outputs"]:
        known = (name for name in OUTPUTS if one["name"] == name or (one["name"].startswith(name) and name[-1] == "_"))
        lines.append(f"- `{_signature(one)}`: {OUTPUTS.get(next(known, ''), '')}")
    lines += ["", *_callers(manifest), ""]
    return "\n".join(lines)


def _callers(manifest: Mapping[str, Any]) -> list[str]:
    """What a program in another language must know."""
    verdict = manifest["verdict"]
    if not verdict["outputs"]:
        return [
            f"The graph does not give the verdict: {verdict['why_not']}. The score is made of these as `score`, "
            "`tuning` and `maps` of oddgan.json say; the calibration scores are in verdict.safetensors."
        ]
    lines = ["`score`, `p_value` and `is_anomaly` are all that a program needs; the rest is what they are made of."]
    if manifest["columns"] is not None:
        lines.append("What each column of the input holds, with the codes of categories: `columns` of oddgan.json.")
    if left := verdict["left_to_callers"]:
        lines += ["", "What the graph leaves to the program:", "", *(f"- {one}" for one in left)]
    return lines


def _facts(manifest: Mapping[str, Any]) -> list[str]:
    """What Hugging Face reads; of the licence, which is the owner's to choose, nothing."""
    tags = ["anomaly-detection", manifest["detector"].lower(), manifest["runtime"]]
    return ["---", "library_name: oddgan", "tags:", *[f"- {tag}" for tag in tags], "---", ""]


_NAMES = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}


def _signature(one: Mapping[str, Any]) -> str:
    return f"{one['name']}: {one['type']} [{', '.join(map(str, one['shape']))}]"


def _parity(manifest: Mapping[str, Any]) -> list[str]:
    facts = manifest["parity"]
    if not facts:
        return []
    score, verdicts, maps = facts["score"], facts["verdicts"], facts["map"]
    rows = " and ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in facts["rows"].items())
    by = "scores of this runtime" if facts["rescored"] else "scores of the model that was exported"
    lines = [
        "## Compared with the model that was exported",
        "",
        f"On {rows} rows. The threshold was set by {by}.",
        "",
        "| what | value |",
        "|---|---|",
        f"| largest difference of scores | {score['largest_difference']:.3g}, {score['relative']:.1e} of the largest |",
        f"| verdicts that differ | {verdicts['differ']:,} |",
        f"| of these, farther than {score['tolerance']:.0e} from the threshold | "
        f"{verdicts['differ_beyond_tolerance']:,} |",
    ]
    if maps is not None:
        lines.append(f"| largest difference of maps, in usual deviations | {maps['largest_difference']:.3g} |")
    if graph := facts["graph"]:
        one = graph["scorer"]
        gap = "infinite" if one["score"] is None else f"{one['score']:.1e} of the largest"
        lines += [
            f"| `score` of the graph itself, against that of oddgan.runtime | {gap} |",
            f"| its verdicts that differ from those | {one['verdicts_differ']:,} |",
        ]
    if labelled := facts["labelled"]:
        lines.append(f"| labelled rows, anomalies among them | {labelled['rows']:,}, {labelled['anomalies']:,} |")
        for name in ("model", "export"):
            one = labelled[name]
            area = "" if one["auroc"] is None else f"AUROC {one['auroc']:.4f}, "
            lines.append(f"| {name} on them | {area}{one['false_alarms']:,} false alarms, {one['caught']:,} caught |")
        lines.append(f"| verdicts on them that differ | {labelled['verdicts_differ']:,} |")
    return [*lines, ""]
