"""What POST /score answers, as JSON has it."""

import base64
import io
import math
from typing import Any

import numpy as np

from ..colours import Shades
from .models import Results, Served

DIGITS = 9  # of a number in text: what a float32, in which networks compute, has


def finite(value: float) -> float | None:
    """A number as JSON has it; null where it is not finite."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def header(model: Served) -> dict[str, Any]:
    """What an answer says of the model."""
    return {
        "model": model.name,
        "version": str(model.version),
        "threshold": finite(float(model.scorer.threshold_)),
        "false_alarm_rate": float(model.scorer.false_alarm_rate_),
    }


def of_row(model: Served, name: str, results: Results, i: int, *, regions: bool, heat: bool) -> dict[str, Any]:
    """The answer for row i. `regions`: whether it says where; `heat`: whether a picture's map comes as PNG."""
    found: dict[str, Any] = {
        "name": name,
        "score": finite(float(results.score[i])),
        "p_value": finite(float(results.p_value[i])),
        "verdict": "anomaly" if results.is_anomaly[i] else "normal",
    }
    if regions and model.pictures and model.locates:
        found["regions"] = [{**one, "value": finite(one["value"])} for one in results.regions(i)]
    if regions and results.shares is not None:
        found["shares"] = {
            column: finite(float(share)) for column, share in zip(model.like.names, results.shares[i], strict=True)
        }
    if heat and (anomaly_map := results.map(i)) is not None:
        found["map"] = map_png(anomaly_map, model.scorer.model_.map_threshold, bool(results.is_anomaly[i]))
    return found


def unusable(name: str, reason: str) -> dict[str, Any]:
    """The answer for a picture that could not be used, beside others that could."""
    return {"name": name, "score": None, "p_value": None, "verdict": "unusable", "reason": reason}


def map_png(anomaly_map: np.ndarray, threshold: float | None, flagged: bool) -> str:
    """A map (H, W) as a layer to be laid over its picture, in the colours and on the scale of reports: a PNG with
    transparency, as a data address."""
    from PIL import Image

    shades = Shades(1.0) if threshold is None else Shades.of(threshold)
    if flagged:
        shades = shades.shown_in(anomaly_map)
    buffer = io.BytesIO()
    Image.fromarray(shades.layer(anomaly_map)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
