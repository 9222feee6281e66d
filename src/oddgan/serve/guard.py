"""What stands around every route: the token, time, headers, and errors as JSON."""

import hmac
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .bodies import Gone
from .limits import Refusal
from .metrics import Metrics

log = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
SOON = {"Retry-After": "1"}

Handler = Callable[[Request], Awaitable[Response]]


def error(status: int, message: str) -> JSONResponse:
    """An error as every route answers it."""
    more = SOON if status == 503 else {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": message}, status, headers=more)


class Guard:
    """Wraps handlers. `token`: what clients must say, None: nothing; `hosts`: names of this service, "*": any."""

    def __init__(self, metrics: Metrics, token: str | None, hosts: Iterable[str] = ()) -> None:
        self.metrics, self.token = metrics, token
        self.hosts = frozenset(host.lower().strip("[]").rstrip(".") for host in hosts)

    def __call__(self, route: str, handler: Handler, *, open: bool = False) -> Handler:
        """The handler of a route, guarded. `open`: whether it needs no token."""

        async def guarded(request: Request) -> Response:
            start = time.perf_counter()
            try:
                if not open:
                    self._check(request)
                response = await handler(request)
            except Refusal as refusal:
                self.metrics.refused.labels(refusal.reason).inc()
                response = error(refusal.status, str(refusal))
            except Gone:
                self.metrics.refused.labels("gone").inc()
                response = Response(status_code=499)  # which nobody reads
            except HTTPException:
                raise
            except Exception:
                log.exception("%s failed", route)
                response = error(500, "the service failed at this request; its log says why")
            response.headers.update(HEADERS)
            self.metrics.requests.labels(route, str(response.status_code)).observe(time.perf_counter() - start)
            return response

        return guarded

    def _check(self, request: Request) -> None:
        """Raise `Refusal` for a request without the token, and for one that a page of another site sends."""
        headers = request.headers
        host, origin = headers.get("host"), headers.get("origin")
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") or not self._own(origin, host):
            raise Refusal(
                403, "requests of pages of other sites are refused; --host-name allows a name of a proxy", "forbidden"
            )
        if self.token is None and host is not None and not self._known(name := _split(host, "")[0]):
            # A page may have given its own name the address of this service, and is of the same site then.
            raise Refusal(
                403,
                f"{name!r:.80} is no name of this service; start it with --host-name, or with a token",
                "forbidden",
            )
        if self.token is None:
            return
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
            raise Refusal(401, "give the token of this service: the header Authorization: Bearer TOKEN", "forbidden")

    def _own(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of this origin is one of this service; only browsers say an origin."""
        if origin is None:
            return True
        scheme, _, place = origin.lower().partition("://")
        page = _split(place, scheme)
        return (host is not None and page == _split(host, scheme)) or page[0] in self.hosts or "*" in self.hosts

    def _known(self, name: str) -> bool:
        """Whether nobody else can have given this name to this service: an address, one within the network, or ours."""
        if "." not in name or name.endswith(".localhost") or name in self.hosts or "*" in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _split(place: str, scheme: str) -> tuple[str, str]:
    """Name and port of HOST:PORT or [ADDRESS]:PORT, in lower case, the port "" where it is the usual one."""
    name, colon, port = place.lower().rpartition(":")
    if not colon or port.endswith("]"):
        name, port = place.lower(), ""
    usual = {"http": "80", "https": "443"}.get(scheme)
    return name.strip("[]").rstrip("."), "" if port == usual else port


async def not_found(request: Request, problem: Any) -> Response:
    """What no route answers."""
    messages = {404: f"there is no {request.url.path:.200}", 405: f"{request.method} is not taken here"}
    found = error(problem.status_code, messages.get(problem.status_code, str(problem.detail)))
    found.headers.update({**HEADERS, **(problem.headers or {})})
    return found
