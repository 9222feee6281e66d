"""docs/results/serving.md, from benchmarks/results: `python -m benchmarks.pages.serving`."""

import statistics
from typing import Any

from oddgan.evaluation.runner import lines_of
from oddgan.report import markdown

from ..studies import runtime_speed, serving_faults, serving_load
from . import RESULTS

PAGE = RESULTS / "serving.md"
HEAD = """
# Exports and the service, measured

[Exports](../howto/export.md) score without torch, [the service](../howto/serve.md) answers over HTTP. How fast both
are, beside what they are made of in the same minutes, and what becomes of requests when things go wrong.
"""
SPEED = """
## Exports beside torch

By `python -m benchmarks.studies.runtime_speed`: milliseconds of a row in eager torch, alone and in blocks of 64, and
how many times faster the export scores the same rows: the median over rounds in which each had its turn, and the middle
half of them. Beside it what that costs: differences of scores, relative to the largest, verdicts that differ, and AUROC
on labelled rows held aside.
"""
LOAD = """
## The service under load

By `python -m benchmarks.studies.serving_load`: clients in a process of their own send pictures, each the next one when
it has its answer; `png` is an upload in a form, with regions in the answer, `tensor` the Open Inference Protocol in
binary. The bare loop does the same work in the same process that has the pictures, in blocks of as many as there are
clients; `least` is what the clients reach against a server that answers at once. One thread computes. Memory is that of
the first, the middle and the last round.
"""
FAULTS = """
## What becomes of requests

By `python -m benchmarks.studies.serving_faults`, whose head says what *accepted* means: 16 clients send every request
until it is answered, and each answer is compared with that of `Scorer`.
"""
AFTER = """
Slow clients send a byte twice a second, of the head or of the body, and end with 408 or a closed connection; broken
ones leave in the middle, send noise, or do not wait for their answer. After SIGTERM and SIGKILL the service is started
anew, as Docker and systemd do, and clients try every 50 ms meanwhile: most of the broken connections are attempts while
nothing listened.
"""
NO_LINES = "Not measured yet."


def of_speed(lines: tuple[dict[str, Any], ...]) -> str:
    """Exports beside eager torch."""
    if not lines:
        return NO_LINES
    rows = []
    for line in lines:
        if "error" in line:
            rows.append([line["detector"], line["case"], str(line["threads"]), line["error"]])
            continue
        base = [f"{statistics.median(line['milliseconds'][str(block)]['torch']):.2f}" for block in runtime_speed.BLOCKS]
        for kind, loss in line["loss"].items():
            if kind == "torch":
                continue
            cells = [_spread(runtime_speed.ratios(line, kind, block)) for block in runtime_speed.BLOCKS]
            areas = f"{line['loss']['torch']['auroc']:.3f}", f"{loss['auroc']:.3f}"
            last = [f"{loss['relative']:.0e}", str(loss["verdicts_differ"]), *areas]
            rows.append([line["detector"], line["case"], str(line["threads"]), kind, *base, *cells, *last])
    head = ["detector", "case", "threads", "export", "torch, 1", "torch, 64", "faster, 1", "faster, 64"]
    head += ["scores differ", "verdicts", "AUROC, torch", "AUROC"]
    return markdown.table(head, rows)


def _spread(ratios: list[float]) -> str:
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    return f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})"


def of_load(lines: tuple[dict[str, Any], ...]) -> str:
    """The service beside the bare loop."""
    if not lines:
        return NO_LINES
    rows = []
    for line in lines:
        service = {name: serving_load.middle(line, "service", name) for name in ("per_second", "p50_ms", "p99_ms")}
        memory = [one["service"]["memory_mb"] for one in line["rounds"]]
        others = sum(sum(one["service"]["others"].values()) for one in line["rounds"])
        rows.append(
            [
                line["model"],
                line["kind"],
                str(line["clients"]),
                f"{line['minutes']:g}",
                f"{service['per_second']:.0f}",
                f"{service['p50_ms']:.1f}",
                f"{service['p99_ms']:.1f}",
                f"{serving_load.middle(line, 'bare', 'per_second'):.0f}",
                _spread(serving_load.ratios(line)),
                f"{serving_load.middle(line, 'service', 'processor_ms'):.2f}",
                f"{serving_load.middle(line, 'bare', 'processor_ms'):.2f}",
                f"{serving_load.middle(line, 'least', 'per_second'):.0f}",
                f"{memory[0]:.0f}, {memory[len(memory) // 2]:.0f}, {memory[-1]:.0f}",
                str(others),
            ]
        )
    head = ["model", "request", "clients", "minutes", "requests/s", "p50, ms", "p99, ms", "bare loop/s", "ratio"]
    head += ["processor ms", "bare", "least/s", "memory, MB", "not 200"]
    return markdown.table(head, rows, numbers_from=2)


def of_faults(lines: tuple[dict[str, Any], ...]) -> str:
    """What was lost."""
    if not lines:
        return NO_LINES
    rows = []
    for line in lines:
        refused = ", ".join(f"{n:,} with {status}" for status, n in line["refused"].items()) or "0"
        what = ""
        if "ended" in line:
            what = f"{line['ended']} times"
        elif "killed" in line:
            what = f"{line['killed']} of them"
        elif "bad_clients" in line:
            what = f"{line['bad_clients']} beside"
        counts = [f"{line[name]:,}" for name in ("sent", "answered", "lost", "wrong")]
        times = [f"{line['p50_ms']:.0f}", f"{line['p99_ms']:.0f}"]
        rows.append([line["fault"], what, *counts, refused, f"{line['broken']:,}", *times])
    head = ["fault", "", "sent", "answered once", "lost", "wrong", "refused, sent again", "broken, sent again"]
    return markdown.table([*head, "p50, ms", "p99, ms"], rows, numbers_from=3)


def _conditions(lines: tuple[dict[str, Any], ...]) -> str:
    if not lines:
        return ""
    found = ", ".join(f"{name} {version}" for name, version in lines[-1]["versions"].items())
    return f" {lines[-1]['machine']}; {found}."


def text() -> str:
    """The page."""
    parts = [HEAD]
    for study, about, table in (
        (runtime_speed, SPEED, of_speed),
        (serving_load, LOAD, of_load),
        (serving_faults, FAULTS, of_faults),
    ):
        lines = lines_of(study.FILE, study.FORM)
        parts += [about.strip() + _conditions(lines), table(lines)]
    return "\n\n".join(part.strip() for part in [*parts, AFTER]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text(), "utf-8")
