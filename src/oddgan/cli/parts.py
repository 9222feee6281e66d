"""Which engine oddgan score is to use, and what goes with one."""

import importlib.util
from typing import TYPE_CHECKING, Any

from ..errors import ParameterError
from .options import engine_of

if TYPE_CHECKING:
    from ..engine import Ray

SECONDS = 3600.0  # for one task


def engine_for(asked: dict[str, Any], live: bool) -> "Ray | None":
    """The engine, and of `asked` only what its tasks are to be given. Raises `ParameterError` for what does not go with
    one."""
    own = {name: asked.pop(name) for name in ("engine", "workers", "address", "part_rows", "output", "shard")}
    if own["engine"] is None:
        if own.pop("part_rows") is not None:
            raise ParameterError("--part-rows: is of an engine: give --engine ray as well")
        return engine_of(None, own["workers"], own["address"], None)
    if live:
        raise ParameterError("--engine: is for DATA that are there; standard input and --watch are not")
    if own["output"] is None:
        raise ParameterError("--engine: give --output FILE, which is written when all tasks are done")
    of_one = ("fdr", "monitor", "report", "stream", "maps")
    if given := [f"--{name}" for name in of_one if asked[name]] + ["--shard"] * (own["shard"] is not None):
        raise ParameterError(f"{given[0]}: is of one process; leave it or --engine out")
    device = asked["device"]
    if device is not None and ":" in device:
        raise ParameterError(f"--device {device}: Ray chooses which of the GPUs; give --device {device.split(':')[0]}")
    asked["fail_on_anomaly"] = False
    from ..runtime import is_export

    return engine_of(
        own["engine"],
        own["workers"],
        own["address"],
        asked["threads"],
        seconds=SECONDS,
        gpus=0 if is_export(asked["model"]) else _gpus(device),
    )


def _gpus(device: str | None) -> int:
    """How many GPUs a task takes, so that it computes where this process would."""
    if device not in (None, "auto"):
        return int(device == "cuda")
    if importlib.util.find_spec("torch") is None:
        return 0
    import torch

    return int(torch.cuda.is_available())
