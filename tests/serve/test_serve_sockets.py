"""Clients that treat their connection in ways that no library of HTTP does."""

import contextlib
import json
import socket
import threading
import time

import pytest
import uvicorn
from starlette.responses import Response
from starlette.routing import Route

ROW = b'{"row": [0.5, 1, 2]}'
HEAD = b"POST /models/numbers/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n"


@pytest.fixture
def listening(serve):
    """A service in a thread, which has little patience with a client that reads nothing, and its port."""
    from oddgan.serve import server

    place = server.listening("127.0.0.1", 0, 8)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    application = serve().application
    application.router.routes.append(Route("/long", lambda request: Response(bytes(2**22))))
    config = uvicorn.Config(application, http=server.Timed, ws="none", log_level="error", timeout_keep_alive=0.2)
    running = server.Stopping(config)
    thread = threading.Thread(target=running.run, args=([place],))
    thread.start()
    yield running, place.getsockname()[1]
    running.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def received(connection):
    """All that comes until the end."""
    found = b""
    while piece := connection.recv(2**16):
        found += piece
    return found


def test_a_client_that_closes_its_side_has_its_answers(listening):
    _, port = listening
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(2 * (HEAD + ROW))
        client.shutdown(socket.SHUT_WR)
        found = received(client)
    assert found.count(b"HTTP/1.1 200 ") == 2
    assert json.loads(found.rpartition(b"\r\n\r\n")[2])["results"][0]["verdict"]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(HEAD + ROW[:5])
        client.shutdown(socket.SHUT_WR)
        assert received(client) == b""


def test_what_is_no_request_is_told_so_as_json(listening):
    _, port = listening
    for sent in (
        b"\x16\x03\x01 nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000,
        HEAD[:-4] + b"0\r\nA\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(sent)
            head, _, body = client.recv(2**16).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert json.loads(body)["error"].startswith("this is no HTTP request")


def test_a_client_that_asks_on_and_reads_nothing_is_cut_off(listening):
    running, port = listening
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.settimeout(0.1)
        with contextlib.suppress(OSError):  # it blocks, or was cut off already
            client.sendall(20_000 * b"GET /page.js HTTP/1.1\r\nHost: x\r\n\r\n")
        end = time.monotonic() + 20
        while running.server_state.connections and time.monotonic() < end:
            time.sleep(0.05)
        assert not running.server_state.connections


@pytest.mark.parametrize("end", [b"Connection: close\r\n", b""])
def test_a_client_that_reads_no_last_answer_is_cut_off(listening, end):
    running, port = listening
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(b"GET /long HTTP/1.%d\r\nHost: x\r\n%s\r\n" % (bool(end), end))
        deadline = time.monotonic() + 20
        while not running.server_state.total_requests and time.monotonic() < deadline:
            time.sleep(0.01)
        while running.server_state.connections and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not running.server_state.connections


def test_a_client_that_reads_slowly_has_its_last_answer(listening):
    _, port = listening
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.settimeout(20)
        client.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        found = b""
        for _ in range(8):  # longer than the patience with one that reads nothing
            time.sleep(0.05)
            found += client.recv(2**17, socket.MSG_WAITALL)
        found += received(client)
    assert len(found.partition(b"\r\n\r\n")[2]) == 2**22
