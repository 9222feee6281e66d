"""Why two threads can be many times slower than one: OpenMP's ways of waiting, beside neighbours that keep a core busy.

    python -m benchmarks.studies.threads [--quick] [--only SETTING,...]

Every cell is a process of its own with two torch threads (`one thread`: with one), started with the setting's variables
in its environment. It trains a tiny network (121-64-32-1, batch 50) and a convolutional one (1x32x32, batch 64) beside
neighbours: processes that count in a Python loop, or a second process of the same kind. For each network it notes
milliseconds per step, by the clock and of processor time, and how often a step was preempted (involuntary context
switches). Cells run in rounds, all settings in each, so that other load on the machine affects all of them. Prints the
table of medians and writes benchmarks/results/threads.jsonl, one line per cell.

How to read it: processor time of two threads far above that of one is busy waiting; many milliseconds per step with
hardly more processor time than that is a thread that waits for another one that has no core.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from contextlib import contextmanager
from statistics import median

from . import RESULTS

FILE = RESULTS / "threads.jsonl"
ROUNDS = 3
SECONDS = 1.0  # of each network in each cell

SETTINGS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "active": {"OMP_WAIT_POLICY": "active"},
    "spin 0": {"GOMP_SPINCOUNT": "0"},
    "spin 100": {"GOMP_SPINCOUNT": "100"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "spin 10000": {"GOMP_SPINCOUNT": "10000"},
    "spin 100000": {"GOMP_SPINCOUNT": "100000"},
    "bound to cores": {"OMP_PROC_BIND": "true"},
    "passive and bound": {"OMP_WAIT_POLICY": "passive", "OMP_PROC_BIND": "true"},
}
NEIGHBOURS = {"none": 0, "one loop": 1, "two loops": 2, "its like": 0}
OWN = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "OMP_PROC_BIND", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")


def cell(seconds: float) -> dict:
    """Run both networks in this process; what a step took."""
    import resource
    import time

    import torch
    from torch import nn

    def step_of(net, x):
        optimiser = torch.optim.Adam(net.parameters(), 1e-4)

        def step():
            optimiser.zero_grad(set_to_none=True)
            net(x).square().mean().backward()
            optimiser.step()

        return step

    torch.manual_seed(0)
    tiny = nn.Sequential(nn.Linear(121, 64), nn.LeakyReLU(0.1), nn.Linear(64, 32), nn.LeakyReLU(0.1), nn.Linear(32, 1))
    conv = nn.Sequential(nn.Conv2d(1, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.LeakyReLU(0.2),
                         nn.Conv2d(32, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
                         nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
                         nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh())  # fmt: skip
    conv = conv.to(memory_format=torch.channels_last)
    works = {"tiny": step_of(tiny, torch.randn(50, 121)), "conv": step_of(conv, torch.randn(64, 1, 32, 32))}
    found = {}
    print("ready", flush=True)
    sys.stdin.readline()
    for name, step in works.items():
        for _ in range(3):
            step()
        before, started, steps = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter(), 0
        while steps < 3 or time.perf_counter() - started < seconds:
            step()
            steps += 1
        spent, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found[name] = {
            "ms": 1e3 * spent / steps,
            "processor_ms": 1e3 * processor / steps,
            "taken_off": (after.ru_nivcsw - before.ru_nivcsw) / steps,
        }
    return {**found, "threads": torch.get_num_threads(), "torch": torch.__version__}


@contextmanager
def loops(count: int):
    """`count` processes that do nothing but count."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


def measured(setting: str, neighbour: str, seconds: float) -> dict:
    """One cell; with a neighbour of the same kind, the mean of the two."""
    environment = {name: value for name, value in os.environ.items() if name not in OWN}
    environment |= {"OMP_NUM_THREADS": "2", **SETTINGS[setting]}
    command = [sys.executable, "-m", "benchmarks.studies.threads", "--cell", str(seconds)]
    started = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2 if neighbour == "its like" else 1)
    ]
    for one in started:
        one.stdout.readline()  # once it has loaded torch
    load = os.getloadavg()[0]
    with loops(NEIGHBOURS[neighbour]):
        for one in started:
            one.stdin.write("go\n")
            one.stdin.flush()
        results = [json.loads(one.communicate()[0]) for one in started]
    of = results[0]
    for name in ("tiny", "conv"):
        of[name] = {k: round(sum(r[name][k] for r in results) / len(results), 4) for k in of[name]}
    return {"setting": setting, "neighbour": neighbour, **of, "load_before": round(load, 2)}


def table(lines: list[dict]) -> str:
    """Median milliseconds per step (and of processor time), by setting and neighbour."""
    text = []
    for name in ("tiny", "conv"):
        text += [f"{name} network, ms a step (processor ms)", f"{'':18}" + "".join(f"{n:>20}" for n in NEIGHBOURS)]
        for setting in SETTINGS:
            cells = []
            for neighbour in NEIGHBOURS:
                some = [x[name] for x in lines if (x["setting"], x["neighbour"]) == (setting, neighbour)]
                values = [median(one[k] for one in some) for k in ("ms", "processor_ms")] if some else None
                cells.append("" if values is None else f"{values[0]:.3g} ({values[1]:.3g})")
            if any(cells):
                text.append(f"{setting:18}" + "".join(f"{c:>20}" for c in cells))
        text.append("")
    return "\n".join(text)


def main() -> None:
    """Measure every cell, round by round."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cell", type=float)
    parser.add_argument("--only", default=",".join(SETTINGS))
    parser.add_argument("--neighbours", default=",".join(NEIGHBOURS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="one short round that writes no results")
    options = parser.parse_args()
    if options.cell is not None:
        print(json.dumps(cell(options.cell)))
        return
    lines = []
    for _ in range(1 if options.quick else options.rounds):
        for neighbour in options.neighbours.split(","):
            for setting in options.only.split(","):
                lines.append(measured(setting, neighbour, 0.3 if options.quick else SECONDS))
                print(json.dumps(lines[-1]), flush=True)
    print(table(lines))
    if not options.quick:
        about = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
        FILE.write_text("".join(json.dumps({**line, **about}) + "\n" for line in lines))


if __name__ == "__main__":
    main()
