"""Clients of a service, in a process of their own: what `serving_load` and `serving_faults` drive it with.

    python -m benchmarks.studies.http_clients PORT FOLDER --clients 8 --seconds 10 [--warm 1]
    python -m benchmarks.studies.http_clients --echo BYTES       # a server that answers at once, and costs least

FOLDER holds whole requests as bytes, one a file; clients send them in turn over connections that stay open, each the
next one when it has its answer. Prints a line of JSON. A client is no more than a socket, so that what is measured is
the service: what clients cost is measured against the other form of the command.
"""

import argparse
import asyncio
import json
import resource
import time
from pathlib import Path

import numpy as np

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and body of an answer, or the head and body of a request, whose status is 0."""
    head = await reader.readuntil(b"\r\n\r\n")
    lowered, length = head.lower(), 0
    if (at := lowered.find(b"\r\ncontent-length:")) >= 0:
        length = int(lowered[at + 17 : lowered.index(b"\r\n", at + 2)])
    return int(head[9:12]) if head.startswith(b"HTTP") else 0, await reader.readexactly(length)


async def client(port: int, requests: list[bytes], first: int, began: float, ended: float, found: dict) -> None:
    """One client, from `began` on counted, until `ended`."""
    reader = writer = None
    i = first
    while (started := time.perf_counter()) < ended:
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(requests[i % len(requests)])
            i += 1
            status, _ = await answer(reader)
        except (OSError, asyncio.IncompleteReadError):
            status = -1
            if writer is not None:
                writer.close()
            writer = None
            await asyncio.sleep(0.01)
        if started >= began:
            found["seconds"].append(time.perf_counter() - started)
            found["statuses"][status] = found["statuses"].get(status, 0) + 1
    if writer is not None:
        writer.close()


async def clients(port: int, folder: Path, count: int, warm: float, seconds: float) -> dict:
    """What so many of them saw together."""
    requests = [path.read_bytes() for path in sorted(folder.iterdir())]
    found: dict = {"seconds": [], "statuses": {}}
    began = time.perf_counter() + warm
    ended = began + seconds
    step = max(1, len(requests) // count)
    before = time.process_time()
    await asyncio.gather(*[client(port, requests, i * step, began, ended, found) for i in range(count)])
    taken = np.array(found["seconds"])
    good = found["statuses"].get(200, 0)
    return {
        "requests": good,
        "per_second": round(good / (time.perf_counter() - began), 1),
        "p50_ms": round(float(np.quantile(taken, 0.5)) * 1e3, 3),
        "p99_ms": round(float(np.quantile(taken, 0.99)) * 1e3, 3),
        "largest_ms": round(float(taken.max()) * 1e3, 3),
        "others": {str(status): n for status, n in found["statuses"].items() if status != 200},
        "client_processor_ms": round((time.process_time() - before) * 1e3 / max(1, len(taken)), 4),
    }


async def echo(length: int) -> None:
    """Answer every request with so many bytes."""
    whole = OK % length + b" " * length

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await answer(reader)
                writer.write(whole)
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int, nargs="?")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warm", type=float, default=1.0)
    parser.add_argument("--echo", type=int)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    if options.echo is not None:
        asyncio.run(echo(options.echo))
    else:
        seen = clients(options.port, options.folder, options.clients, options.warm, options.seconds)
        print(json.dumps(asyncio.run(seen)))


if __name__ == "__main__":
    main()
