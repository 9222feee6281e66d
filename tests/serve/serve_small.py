"""A client of a service in this process, and small helpers."""

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

import oddgan

httpx = pytest.importorskip("httpx")

SRC = Path(oddgan.__file__).parents[1]


def png(picture, form="PNG"):
    """A picture as a file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, form)
    return buffer.getvalue()


class Client:
    """A client of an application in this process."""

    def __init__(self, application):
        self.application, self.service = application, application.state.service

    def together(self, *requests):
        """The responses to requests that are sent at the same time: method, path and what else there is."""

        async def sent():
            transport = httpx.ASGITransport(app=self.application, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                asked = [client.request(method, path, **how) for method, path, how in requests]
                return await asyncio.gather(*asked)

        return asyncio.run(sent())

    def get(self, path, **how):
        return self.together(("GET", path, how))[0]

    def post(self, path, **how):
        return self.together(("POST", path, how))[0]
