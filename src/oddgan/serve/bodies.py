"""Bodies of requests, read with bounds on size and time."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from .. import strict_json
from .limits import Account, Limits, Refusal

PARTS = 1000  # of a form
DIGITS = 20  # of a length in bytes
COPIES = 2  # of a body, while it is put together
JSON_TIMES = 20  # bytes that Python holds for each byte of JSON


class Gone(Exception):
    """The client has closed the connection."""


async def chunks(request: Request, limits: Limits, account: Account, until: float) -> AsyncGenerator[bytes, None]:
    """The body, piece by piece, as it comes. Raises `Refusal`: 413 for one that is too long, 408 for one that comes too
    slowly, 415 for a compressed one; `Gone` where the client is."""
    coding = request.headers.get("content-encoding", "identity").lower()
    if coding != "identity":
        raise Refusal(415, f"content-encoding {coding:.40} is not taken; send the body as it is", "unsupported")
    said = request.headers.get("content-length")
    if (length := number(said)) is not None:  # else it comes in chunks, and is counted
        _check_length(length, limits)
    count, stream = 0, request.stream().__aiter__()
    while True:
        wait = min(limits.read_timeout, until - time.monotonic())
        try:
            piece = await asyncio.wait_for(stream.__anext__(), max(wait, 0.001))
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refusal(408, f"only {count:,} bytes of the body came in time; send it faster", "slow") from None
        except ClientDisconnect:
            raise Gone from None
        count += len(piece)
        _check_length(count, limits)
        account.take(COPIES * len(piece))
        yield piece


def number(text: str | None) -> int | None:
    """The whole number that a header holds; None where it holds none, or one that no body is as long as."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < DIGITS else None


def _check_length(count: int, limits: Limits) -> None:
    if count > limits.max_body:
        raise Refusal(413, f"the body is longer than {limits.max_body:,} bytes, the most that is taken", "large")


async def whole(request: Request, limits: Limits, account: Account, until: float) -> bytes:
    """The body. Raises as `chunks` does."""
    return b"".join([piece async for piece in chunks(request, limits, account, until)])


async def files(request: Request, limits: Limits, account: Account, until: float) -> list[tuple[str, bytes]]:
    """The files of a form, name and content of each, in their order. Raises `Refusal` for a damaged form and for one
    without a file."""
    form = None
    try:
        parser = MultiPartParser(
            request.headers, chunks(request, limits, account, until), max_files=PARTS, max_fields=PARTS
        )
        parser.spool_max_size = limits.max_body + 1  # nothing goes to disk: it is held anyway, and counted
        form = await parser.parse()
        found = [
            (_written(one.filename or f"file {i}"), await one.read())
            for i, (_, one) in enumerate(form.multi_items())
            if not isinstance(one, str)
        ]
    except MultiPartException as error:
        raise Refusal(400, f"the form cannot be read ({error.message})") from error
    except (KeyError, ValueError, UnicodeDecodeError) as error:  # of a header that is none
        raise Refusal(400, f"the form cannot be read ({error or type(error).__name__})") from error
    finally:
        if form is not None:
            await form.close()
    if not found:
        raise Refusal(400, "the form holds no file; send pictures in parts with a file name (curl -F file=@a.png)")
    return found


def _written(name: str) -> str:
    """A name as JSON in UTF-8 holds it: a form may be in an encoding that has halves of characters."""
    return name.encode("utf-8", "replace").decode()


def parsed(text: bytes, limits: Limits, account: Account) -> Any:
    """JSON, strictly. Raises `Refusal`."""
    if len(text) > limits.max_json:
        raise Refusal(
            413,
            f"{len(text):,} bytes of JSON, and at most {limits.max_json:,} are taken; send tensors as binary data, or "
            "pictures as files",
            "large",
        )
    account.take(JSON_TIMES * len(text))
    try:
        return strict_json.loads(text)
    except RecursionError:
        raise Refusal(400, "the JSON is nested too deeply") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise Refusal(400, f"the body is not JSON ({error})") from error
