"""What becomes of requests when things go wrong: a full queue, slow and broken clients, SIGKILL and SIGTERM under load.

    python -m benchmarks.studies.serving_faults [--requests 3000] [--only FAULT,...]

`oddgan serve` keeps no requests: an answer is a request's receipt. A request is accepted if it was sent whole and is
not refused with a status; what is accepted gets one answer as long as the process lives, and that answer is right,
even if one of its workers is killed (--workers). If the process itself is killed, the connection breaks, and the
client, which still has the request, sends it again; since a score depends on the row and the model alone, sending twice
does no harm. So clients here send again what broke off or was refused with 503, and a line says, of so many different
requests (`sent`), how many got exactly one answer (`answered`), how many answers were not what `Scorer` gives for that
picture (`wrong`), how many were never answered (`lost`), how often a request was refused by status (`refused`), and how
often a connection broke (`broken`). Good clients are 16.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import numpy as np

from oddgan.evaluation.runner import Attempt, Job, Record, fields, run

from . import RESULTS, say, versions
from .http_clients import answer
from .served import Service, export_of, running, serve, upload

FILE = RESULTS / "serving_faults.jsonl"
FORM = fields("fault", "requests")
GOOD = 16  # clients that do nothing wrong
BAD = 100
MODEL = "digits"


class Clients:
    """Good clients: they send every request until it is answered."""

    def __init__(self, port: int, requests: list[bytes], scores: np.ndarray) -> None:
        self.port, self.requests, self.scores = port, requests, scores
        self.todo = list(range(len(requests)))[::-1]
        self.answers: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        self.broken = self.wrong = 0
        self.seconds: list[float] = []

    async def work(self) -> None:
        """Send what is left, one after another."""
        reader = writer = None
        while self.todo:
            i = self.todo.pop()
            while True:
                try:
                    if writer is None:
                        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    started = time.perf_counter()
                    writer.write(self.requests[i])
                    status, body = await answer(reader)
                except (OSError, asyncio.IncompleteReadError):
                    self.broken += 1
                    if writer is not None:
                        writer.close()
                    writer = None
                    await asyncio.sleep(0.05)
                    continue
                if status == 200:
                    self.seconds.append(time.perf_counter() - started)
                    self.answers[i] += 1
                    score = json.loads(body)["results"][0]["score"]
                    self.wrong += abs(score - self.scores[i]) > 1e-6 * max(1.0, abs(self.scores[i]))
                    break
                self.refused[status] += 1
                if status != 503:
                    break  # it would be refused again
                await asyncio.sleep(random.uniform(0.01, 0.05))
        if writer is not None:
            writer.close()

    async def all(self) -> None:
        """All of them, until everything is answered."""
        await asyncio.gather(*[self.work() for _ in range(GOOD)])

    def line(self) -> dict:
        """What they saw."""
        return {
            "sent": len(self.requests),
            "answered": sum(n == 1 for n in self.answers.values()),
            "lost": len(self.requests) - len(self.answers),
            "wrong": int(self.wrong),
            "refused": {str(status): n for status, n in self.refused.items()},
            "broken": self.broken,
            "p50_ms": round(float(np.quantile(self.seconds, 0.5)) * 1e3, 2),
            "p99_ms": round(float(np.quantile(self.seconds, 0.99)) * 1e3, 2),
        }


async def _slow(port: int, request: bytes, seen: Counter, done: asyncio.Event) -> None:
    """A client that sends a byte now and then, of the head or of the body."""
    cut = random.choice([20, request.index(b"\r\n\r\n") + 14])
    while not done.is_set():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request[:cut])
            for byte in request[cut:]:
                await asyncio.sleep(0.5)
                if done.is_set() or reader.at_eof() or len(reader._buffer):  # type: ignore[attr-defined]
                    break
                writer.write(bytes([byte]))
            status = 0 if done.is_set() else (await asyncio.wait_for(answer(reader), 5))[0]
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            status = -1
        seen[status] += 1
        writer.close()


async def _broken(port: int, request: bytes, seen: Counter, done: asyncio.Event) -> None:
    """A client that goes away in the middle, sends nonsense, or does not read its answer."""
    while not done.is_set():
        kind = random.choice(["cut", "gone", "noise", "garbled"])
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if kind == "cut":
                writer.write(request[: random.randrange(1, len(request))])
            elif kind == "gone":
                writer.write(request)
            elif kind == "noise":
                writer.write(random.randbytes(300) + b"\r\n\r\n")
            else:
                head, body = request.split(b"\r\n\r\n", 1)
                writer.write(head + b"\r\n\r\n" + random.randbytes(len(body)))
            await asyncio.sleep(random.uniform(0, 0.5))
            if kind == "garbled":
                seen[(await asyncio.wait_for(answer(reader), 10))[0]] += 1
            writer.transport.abort()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError, ValueError):
            pass
        seen[kind] += 1


def _beside(kind: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[dict]]:
    """Bad clients of a kind beside the good ones."""

    async def drive(clients: Clients, service: Service, words: list[str], log: Path) -> dict:
        seen, done = Counter(), asyncio.Event()
        bad = [asyncio.create_task(kind(service.port, clients.requests[i], seen, done)) for i in range(BAD)]
        began = time.monotonic()
        await asyncio.sleep(1)
        await clients.all()
        while time.monotonic() < began + 12:  # long enough that slow ones are found out
            await asyncio.sleep(0.1)
        done.set()
        await asyncio.wait(bad, timeout=10)
        return {"bad_clients": BAD, "bad_saw": {str(key): n for key, n in seen.items()}}

    return drive


async def _alone(clients: Clients, service: Service, words: list[str], log: Path) -> dict:
    await clients.all()
    return {}


async def _workers_killed(clients: Clients, service: Service, words: list[str], log: Path) -> dict:
    """One of the processes that score is killed again and again."""
    working, killed = asyncio.create_task(clients.all()), 0
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children")
    while not working.done() and killed < 5:
        await asyncio.wait([working], timeout=1.0)
        mine = [int(pid) for pid in children.read_text().split()]
        scoring = [pid for pid in mine if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
        if not working.done() and scoring:
            os.kill(random.choice(scoring), signal.SIGKILL)
            killed += 1
    await working
    return {"killed": killed}


def _ended_by(number: int) -> Callable[..., Awaitable[dict]]:
    """The service is ended again and again while it works, and started anew, as systemd or Docker do."""

    async def drive(clients: Clients, service: Service, words: list[str], log: Path) -> dict:
        working, times = asyncio.create_task(clients.all()), 0
        codes: Counter[int] = Counter()
        current = service
        try:
            while not working.done():
                await asyncio.wait([working], timeout=1.0)
                if working.done() or times == 5:
                    await working
                    break
                codes[await asyncio.to_thread(current.end, number)] += 1
                current, times = await asyncio.to_thread(Service, words, log), times + 1
        finally:
            if current is not service:
                current.end()
        return {"ended": times, "exit_codes": {str(code): n for code, n in codes.items()}}

    return drive


FAULTS: dict[str, tuple[list[str], Callable[..., Awaitable[dict]]]] = {
    "none": ([], _alone),
    "full queue": (["--queue", "4", "--max-batch", "1"], _alone),
    "few connections": (["--connections", "8"], _alone),
    "slow clients": (["--read-timeout", "2", "--timeout", "5"], _beside(_slow)),
    "broken clients": ([], _beside(_broken)),
    "SIGKILL of workers": (["--workers", "2"], _workers_killed),
    "SIGKILL": ([], _ended_by(signal.SIGKILL)),
    "SIGTERM": ([], _ended_by(signal.SIGTERM)),
}


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as place:
        return int(place.getsockname()[1])


def measure(fault: str, count: int, attempt: Attempt) -> dict:
    """One line."""
    from oddgan.runtime import Scorer

    place, pictures = export_of(MODEL)
    which = np.arange(count) % len(pictures)
    requests = [upload(MODEL, one) for one in pictures]
    scores = Scorer(place).anomaly_score(pictures)[which]
    flags, drive = FAULTS[fault]
    with tempfile.TemporaryDirectory() as temporary:
        log = Path(temporary) / "log"
        words = serve(place, *flags, port=_free_port())
        with running(words, log) as service:
            before = service.memory_mb()
            clients = Clients(service.port, [requests[i] for i in which], scores)
            more = asyncio.run(drive(clients, service, words, log))
            alive = service.process.poll() is None
            memory = service.memory_mb() if alive else None
        tracebacks = log.read_bytes().count(b"Traceback")
    return {
        "fault": fault,
        "requests": count,
        **clients.line(),
        **more,
        "same_process": alive,
        "memory_mb": [before, memory],
        "tracebacks": tracebacks,
        "flags": flags,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": versions("onnxruntime", "starlette", "uvicorn", "python"),
    }


def summary(line: dict) -> str:
    """What came out, in a few words."""
    return (
        f"{line['answered']} of {line['sent']} answered once, {line['lost']} lost, {line['wrong']} wrong; refused "
        f"{line['refused']}, broken {line['broken']}; p50 {line['p50_ms']} ms, p99 {line['p99_ms']} ms; "
        f"tracebacks {line['tracebacks']}"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--only", default=",".join(FAULTS))
    parser.add_argument("--output", type=Path, default=FILE)
    options = parser.parse_args()
    todo = [
        Job(
            key=FORM.key({"fault": fault, "requests": options.requests}),
            title=fault,
            run=partial(measure, fault, options.requests),
        )
        for fault in options.only.split(",")
    ]
    run(todo, Record(options.output, FORM), summary=summary, report=say)


if __name__ == "__main__":
    main()
