"""The service as an ASGI application: its routes, and what each of them does."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .. import __version__
from . import answers, bodies, inference, rows
from .guard import Guard, not_found
from .limits import Account, Limits, Refusal, in_time
from .models import Models, Results, Served, opened
from .scoring import Scoring

if TYPE_CHECKING:
    from .workers import Workers

TOKEN = "ODDGAN_TOKEN"
PAGE = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
CLOSING = 1.0  # seconds that batches have at the end: requests are answered by then, or given up
METRICS = "text/plain; version=0.0.4; charset=utf-8"


def app(
    models: Iterable[str | Path] | Mapping[str, Any],
    *,
    limits: Limits | None = None,
    token: str | None = None,
    workers: int = 0,
    hosts: Iterable[str] = (),
    **how: Any,
) -> Starlette:
    """The ASGI application that serves models.

    Parameters
    ----------
    models : iterable of paths, or mapping
        Paths of exports and model files, "NAME=PATH" or "NAME:VERSION=PATH"; or names to paths, scorers or fitted
        detectors. `oddgan.serve.opened` says more; it takes `how`: false_alarm_rate, block_size, convert, device,
        threads.
    limits : Limits, optional
        The bounds of the service.
    token : str, optional
        What clients must send as ``Authorization: Bearer TOKEN``; None: the environment variable ODDGAN_TOKEN, where
        there is one; "": nothing.
    workers : int
        Processes that score, beside this one, which reads requests: for models given by paths. 0: threads of this one.
    hosts : iterable of str
        Names under which clients reach the service, beside addresses and names without a dot, or "*": any. Without a
        token requests to other names are refused: a page in a browser may have given its own name the service's
        address. Pages that a proxy shows under one of these names may ask, with a token or without.

    Raises
    ------
    ArtifactError, ParameterError
        A model cannot be opened, or two have one name and version.
    """
    models = models if isinstance(models, Mapping) else list(models)
    found, limits = Models(opened(models, **how)), limits or Limits()
    given, processes = os.environ.get(TOKEN) if token is None else token, None
    if workers:
        from .workers import Workers

        processes = Workers(models, how, workers, seconds=limits.timeout)
    return Service(found, limits, given or None, processes, hosts).application()


class Service:
    """The routes over some models."""

    def __init__(
        self,
        models: Models,
        limits: Limits,
        token: str | None,
        workers: "Workers | None" = None,
        hosts: Iterable[str] = (),
    ) -> None:
        self.models, self.limits = models, limits
        self.scoring = Scoring(models, limits, workers)
        self.guard = Guard(self.scoring.metrics, token, hosts)
        self.ready = True

    def application(self) -> Starlette:
        """The application; its `state.service` is this."""
        get, post = ["GET"], ["POST"]
        one = "/v2/models/{model}"
        table: list[tuple[str, Any, list[str], bool]] = [
            ("/v2", self.server, get, False),
            ("/v2/health/live", self.live, get, True),
            ("/v2/health/ready", self.is_ready, get, True),
            ("/v2/repository/index", self.index, post, False),
            *[
                (f"{prefix}{end}", handler, methods, False)
                for prefix in (one, one + "/versions/{version}")
                for end, handler, methods in (
                    ("", self.metadata, get),
                    ("/ready", self.model_ready, get),
                    ("/infer", self.infer, post),
                )
            ],
            ("/models", self.list, get, False),
            ("/score", self.score, post, False),
            ("/models/{model}/score", self.score, post, False),
            ("/models/{model}/versions/{version}/score", self.score, post, False),
            ("/metrics", self.metrics, get, False),
            *[(path, partial(self.page, *about), get, True) for path, about in PAGE.items()],
        ]
        routes = [
            Route(path, self.guard(path, handler, open=free), methods=methods) for path, handler, methods, free in table
        ]

        @asynccontextmanager
        async def lifespan(application: Starlette) -> AsyncIterator[None]:
            yield
            self.stop()
            self.scoring.close(CLOSING)

        found = Starlette(routes=routes, lifespan=lifespan, exception_handlers={HTTPException: not_found})
        found.state.service = self
        return found

    def stop(self) -> None:
        """Say that the service is ready no more: it is about to stop."""
        self.ready = False

    def refused(self, reason: str) -> None:
        """Count a request that was refused before it came to a route."""
        self.scoring.metrics.refused.labels(reason).inc()

    # --- what there is ----------------------------------------------------------------------------------------------

    async def server(self, request: Request) -> Response:
        """GET /v2."""
        return JSONResponse(
            {"name": "oddgan", "version": __version__, "extensions": ["binary_tensor_data", "model_repository"]}
        )

    async def live(self, request: Request) -> Response:
        """GET /v2/health/live."""
        return JSONResponse({"live": True})

    async def is_ready(self, request: Request) -> Response:
        """GET /v2/health/ready."""
        return JSONResponse({"live": True, "ready": self.ready}, 200 if self.ready else 503)

    async def index(self, request: Request) -> Response:
        """POST /v2/repository/index."""
        return JSONResponse(
            [
                {"name": model.name, "version": str(model.version), "state": "READY", "reason": ""}
                for model in self.models
            ]
        )

    async def list(self, request: Request) -> Response:
        """GET /models."""
        return JSONResponse({"models": [model.facts() for model in self.models]})

    async def metadata(self, request: Request) -> Response:
        """GET /v2/models/M."""
        model = self._model(request)
        return JSONResponse(inference.metadata(model, sorted(self.models.by_name[model.name])))

    async def model_ready(self, request: Request) -> Response:
        """GET /v2/models/M/ready."""
        return JSONResponse({"name": self._model(request).name, "ready": self.ready}, 200 if self.ready else 503)

    async def metrics(self, request: Request) -> Response:
        """GET /metrics."""
        return Response(await asyncio.to_thread(self.scoring.metrics.text), media_type=METRICS)

    async def page(self, name: str, kind: str, request: Request) -> Response:
        """The page to try models on."""
        content = resources.files(__package__).joinpath("page", name).read_bytes()
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    def _model(self, request: Request) -> Served:
        name = request.path_params.get("model")
        return self.models.only() if name is None else self.models.get(name, request.path_params.get("version"))

    # --- scoring ----------------------------------------------------------------------------------------------------

    async def infer(self, request: Request) -> Response:
        """POST /v2/models/M/infer."""
        until = time.monotonic() + self.limits.timeout
        model, length = self._model(request), request.headers.get(inference.LENGTH)
        with self.scoring.memory.account() as account:
            body = await bodies.whole(request, self.limits, account, until)
            asked = await self.scoring.aside(inference.read, body, length, model, self.limits, account, until)
            del body
            results = await self.scoring.score(
                model, asked.rows, explained=asked.explained, until=until, account=account
            )
            content, head = await self.scoring.aside(inference.response, asked, results, model)
        response = Response(content, media_type="application/json" if head is None else "application/octet-stream")
        if head is not None:
            response.headers[inference.LENGTH] = str(head)
        return response

    async def score(self, request: Request) -> Response:
        """POST /score."""
        until = time.monotonic() + self.limits.timeout
        model = self._model(request)
        regions, heat = _switch(request, "regions", True), _switch(request, "map", False)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        with self.scoring.memory.account() as account:
            if kind == "application/json":
                names, taken, bad = await self._rows(request, model, account, until)
            elif kind == "multipart/form-data" or kind.startswith("image/"):
                names, taken, bad = await self._pictures(request, model, account, until, form=kind.startswith("m"))
            else:
                raise Refusal(
                    415,
                    f"content-type {kind or 'is missing'!r:.80}: send pictures as multipart/form-data, or rows as "
                    "application/json",
                    "unsupported",
                )
            explained = (regions or heat) and model.locates
            results = await self.scoring.score(model, taken, explained=explained, until=until, account=account)
            found = await self.scoring.aside(_answers, model, names, results, bad, regions, heat)
        return Response(found, media_type="application/json")

    async def _rows(
        self, request: Request, model: Served, account: Account, until: float
    ) -> tuple[Any, Any, dict[int, str]]:
        """The rows of a table in JSON."""
        if model.pictures:
            raise Refusal(415, f"model {model.name} takes pictures: send files (curl -F file=@a.png)", "unsupported")
        body = await bodies.whole(request, self.limits, account, until)

        def read() -> Any:
            sent = bodies.parsed(body, self.limits, account)
            if not isinstance(sent, dict) or len(sent.keys() & {"row", "rows"}) != 1:
                raise Refusal(400, 'the body is neither {"row": ...} nor {"rows": [...]}')
            given = sent.get("rows", [sent.get("row")])
            if not isinstance(given, list):
                raise Refusal(400, "rows are not a list")
            return rows.of_rows(given, model)

        taken = await self.scoring.aside(read)
        return [f"row {i}" for i in range(len(taken))], taken, {}

    async def _pictures(
        self, request: Request, model: Served, account: Account, until: float, *, form: bool
    ) -> tuple[Any, Any, dict[int, str]]:
        """The pictures of a form, or the one that is the body; and which of several cannot be used, and why."""
        if not model.pictures:
            raise Refusal(415, f'model {model.name} takes rows of a table: send JSON, {{"row": ...}}', "unsupported")
        if form:
            files = await bodies.files(request, self.limits, account, until)
        else:
            files = [("picture", await bodies.whole(request, self.limits, account, until))]
        taken: list[Any] = []
        bad: dict[int, str] = {}
        for i, (name, data) in enumerate(files):
            in_time(self.limits, until)
            try:
                taken.append(await self.scoring.aside(rows.decoded, data, name, model, self.limits, account))
            except Refusal as refusal:
                if len(files) == 1 or refusal.status == 503:
                    raise
                bad[i] = str(refusal).removeprefix(f"{name}: ")
        if not taken:
            raise Refusal(400, f"none of {len(files)} pictures can be used; {files[0][0]}: {bad[0]}")
        return [name for name, _ in files], taken, bad


def _answers(
    model: Served, names: list[str], results: Results, bad: Mapping[int, str], regions: bool, heat: bool
) -> bytes:
    """The answer to POST /score, as JSON."""
    usable = iter(range(len(results.score)))
    found = [
        answers.unusable(name, bad[i])
        if i in bad
        else answers.of_row(model, name, results, next(usable), regions=regions, heat=heat)
        for i, name in enumerate(names)
    ]
    return json.dumps({**answers.header(model), "results": found}, ensure_ascii=False, allow_nan=False).encode()


def _switch(request: Request, name: str, usual: bool) -> bool:
    """Whether a parameter of the address is on: 1 or 0. Raises `Refusal`."""
    given = request.query_params.get(name)
    if given not in (None, "0", "1", "false", "true"):
        raise Refusal(400, f"{name}={given!r:.40}: give 1 or 0")
    return usual if given is None else given in ("1", "true")
