"""Models as a service over HTTP: the Open Inference Protocol v2, plain uploads, metrics, and a page to try it on.

    oddgan serve parts-onnx                                   # on the command line
    app = oddgan.serve.app(["parts-onnx"])                    # an ASGI application, for a server of your own

What is served is an export (`oddgan export`), which takes no torch, or a model file. Rows of requests that come at the
same time are scored together; a row's answer is the same as if it had come alone. Needs the extra `serve`.
"""

from typing import TYPE_CHECKING

from .limits import Limits

if TYPE_CHECKING:
    from .models import Served, opened
    from .server import run
    from .service import app

__all__ = ["Limits", "Served", "app", "opened", "run"]

_HOMES = {"Served": "models", "app": "service", "opened": "models", "run": "server"}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        import importlib

        from ..errors import MissingExtra

        try:
            return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in ("starlette", "uvicorn", "multipart", "prometheus_client"):
                raise
            raise MissingExtra(str(error.name), "serve", "a service") from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
