"""The service as a process: it listens, is patient with nobody, and stops in good order."""

import asyncio
import math
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import ParameterError
from .guard import error
from .limits import Limits

KEEP_ALIVE = 15  # seconds that a connection without a request stays
BACKLOG = 1024  # connections that wait to be accepted


def _last(status: bytes, message: bytes) -> bytes:
    """An answer after which the connection is closed, where no route gives one."""
    content = b'{"error": "%s"}' % message
    return b"HTTP/1.1 %s\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (
        status,
        len(content),
        content,
    )


SLOW = _last(b"408 Request Timeout", b"the head of the request came too slowly; send it faster")
BROKEN = _last(b"400 Bad Request", b"this is no HTTP request, or its head is longer than 64 kB")


class Timed(H11Protocol):
    """HTTP with a bound on the time that the head of a request takes, and on an answer that nobody reads. A client that
    closes its side after a request still has its answer."""

    seconds = 10.0
    most = 512
    _late: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None
    _heard = False
    _half = False
    _unread = -1

    @staticmethod
    def refused(reason: str) -> None:
        """Called with the reason of each refusal that no route sees."""

    def connection_made(self, transport: Any) -> None:
        """A client has connected."""
        super().connection_made(transport)
        # asyncio does so itself for sockets that say that they are TCP, which those of `socket.create_server` do not.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > self.most:
            self.app = self._full
        self._begin()

    def data_received(self, data: bytes) -> None:
        """Something has come."""
        self._heard = True
        super().data_received(data)
        if self._asking():
            self._end()
            self._see_to_it()
        elif self._late is None and not self.transport.is_closing() and self.timeout_keep_alive_task is None:
            self._begin()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more. What it has sent in full is answered."""
        self._half = self._asking() and self.conn.their_state in (h11.DONE, h11.MUST_CLOSE)
        return self._half

    def on_response_complete(self) -> None:
        """A request is answered."""
        super().on_response_complete()
        if self._half and not self._asking() and not self.transport.is_closing():
            self.transport.close()
        self._see_to_it()

    def shutdown(self) -> None:
        """The service is stopping."""
        super().shutdown()
        self._see_to_it()

    def send_400_response(self, msg: str) -> None:
        """Something came that is no request."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(BROKEN)
        self.transport.close()
        self._see_to_it()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._end()
        if self._stuck is not None:
            self._stuck.cancel()
        super().connection_lost(exc)

    def _see_to_it(self) -> None:
        """That answers are read where a further request, or the end of the connection, waits for that without end."""
        if self._stuck is None and self._waiting() and self.transport.get_write_buffer_size():
            self._watch()

    def _watch(self, before: int = -1) -> None:
        self._stuck, unread = None, self.transport.get_write_buffer_size()
        if unread and unread == before:
            self.transport.abort()
        elif self._asking() or (unread and self._waiting()):
            self._stuck = self.loop.call_later(self.timeout_keep_alive, self._watch, unread)

    def timeout_keep_alive_handler(self) -> None:
        """No further request has come: what was answered is not waited for without end."""
        unread = self.transport.get_write_buffer_size()
        if unread and not self.transport.is_closing():
            if unread == self._unread:
                self.transport.abort()
                return
            self._unread = unread
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
            return
        super().timeout_keep_alive_handler()

    def _asking(self) -> bool:
        """Whether a request has come whose answer is not yet complete."""
        return self.cycle is not None and not self.cycle.response_complete

    def _waiting(self) -> bool:
        """Whether something waits until answers are read, and nothing else bounds that."""
        return self._asking() or self.transport.is_closing()

    def _begin(self) -> None:
        self._late = self.loop.call_later(self.seconds, self._too_late)

    def _end(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if not self._asking() and not self.transport.is_closing():
            if self._heard and self.conn.their_state is h11.IDLE:  # else it is silent, or what it sends is refused
                self.transport.write(SLOW)
                self.refused("slow")
            self.transport.close()
            self._see_to_it()

    async def _full(self, scope: Any, receive: Any, send: Any) -> None:
        """What answers where there are too many connections."""
        self.refused("busy")
        response = error(503, "there are too many connections; try again in a second")
        response.headers["Connection"] = "close"
        await response(scope, receive, send)


class Stopping(uvicorn.Server):
    """A server that ends well: SIGTERM and SIGINT have it take no more requests and answer those that it has.
    `stopping`: called at such a signal."""

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None] = lambda: None) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal has come."""
        self._stopping()
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Heed signals while it runs; unlike the base class, do not raise them again at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def listening(host: str, port: int, backlog: int) -> socket.socket:
    """A socket that listens. Raises `ParameterError` where that is not possible."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=backlog)
    except (OSError, OverflowError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise ParameterError(f"--host {host} --port {port}: cannot listen there ({reason}); choose another") from None


def run(
    application: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    limits: Limits | None = None,
    grace: float = 30.0,
    access_log: bool = False,
    started: Callable[[int], None] = lambda port: None,
) -> None:
    """Serve until SIGTERM or SIGINT comes.

    Parameters
    ----------
    application : ASGI application
        What `oddgan.serve.app` gave.
    host, port
        Where to listen; port 0: any that is free.
    limits : Limits, optional
        The bounds of connections and of time, as the application has them.
    grace : float
        Seconds at most that requests in progress have to be answered when the service stops.
    access_log : bool
        Whether each request is logged, on standard output.
    started : callable
        Called with the port when the service listens.
    """
    if not 0 <= grace < math.inf:
        raise ParameterError(f"grace={grace!r}: must be at least 0 seconds, and finite")
    service = application.state.service
    limits = limits or service.limits
    bounds = {"seconds": limits.read_timeout, "most": limits.connections, "refused": staticmethod(service.refused)}
    timed = type("Timed", (Timed,), bounds)
    config = uvicorn.Config(
        application,
        http=timed,
        ws="none",
        lifespan="on",
        log_level="info" if access_log else "warning",
        access_log=access_log,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(grace)),
        server_header=False,
        proxy_headers=False,
    )
    with listening(host, port, BACKLOG) as place:
        try:
            started(place.getsockname()[1])
            Stopping(config, service.stop).run([place])
        finally:
            service.scoring.close(0.0)  # at a second Ctrl-C the application itself does not
