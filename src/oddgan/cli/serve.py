"""oddgan serve."""

import math
import os
from typing import Annotated

import typer

from ..errors import ParameterError
from . import terminal
from .options import BlockSize, Convert, Device, FalseAlarmRate, Threads
from .process import loading

TOKEN = "ODDGAN_TOKEN"
LOOPBACK = ("127.", "localhost", "::1")


def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Folders of oddgan export, or model files; NAME=PATH or NAME:VERSION=PATH to give a name and a "
            "version, else the file's name and 1.",
            show_default=False,
        ),
    ],
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0: on every network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="The port; 0: any that is free.")] = 8080,
    host_name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name that clients ask for, such as that of a proxy; several may be given; *: any. Without a token "
            "only addresses, names without a dot and these are answered.",
            show_default=False,
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="What clients must send as Authorization: Bearer TEXT. Better in the environment variable "
            f"{TOKEN}, which other users of the machine do not see.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Processes that score; one that dies is replaced, and its rows are scored by another. Each holds the "
            "models. 0: a thread of the service.",
        ),
    ] = 0,
    max_batch: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Rows of several requests that are scored together.",
            show_default="the model's block size",
        ),
    ] = None,
    max_wait: Annotated[
        float, typer.Option(metavar="MS", min=0, help="Milliseconds that a row waits for others; 0: not at all.")
    ] = 2.0,
    queue: Annotated[
        int, typer.Option(metavar="N", min=1, help="Rows of a model that wait to be scored; beyond, 503.")
    ] = 1024,
    max_body: Annotated[
        float, typer.Option(metavar="MB", min=0.001, help="The longest body of a request; beyond, 413.")
    ] = 32.0,
    max_pixels: Annotated[
        int, typer.Option(metavar="N", min=64, help="Pixels of the largest picture; beyond, 413.")
    ] = 32_000_000,
    memory: Annotated[
        float, typer.Option(metavar="MB", min=0.1, help="Bodies and pictures that are held together; beyond, 503.")
    ] = 1024.0,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="From a request's begin to its answer; beyond, 504.")
    ] = 30.0,
    read_timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0.1, help="For a request's head, and without a byte of its body; beyond, 408."
        ),
    ] = 10.0,
    connections: Annotated[int, typer.Option(metavar="N", min=1, help="Open connections; beyond, 503.")] = 512,
    access_log: Annotated[bool, typer.Option("--access-log", help="Log each request.")] = False,
    false_alarm_rate: FalseAlarmRate = None,
    block_size: BlockSize = None,
    convert: Convert = False,
    device: Device = None,
    threads: Threads = None,
) -> None:
    """Answer requests over HTTP: score, p-value, verdict, and where.

    The Open Inference Protocol v2 (/v2/models/NAME/infer), which clients of Triton and KServe speak; plain uploads
    (POST /score with a picture, or with a row as JSON); Prometheus (/metrics); and a page to drop a picture on (/).
    Rows of several requests are scored together, which changes no answer. An export needs no torch.

    SIGTERM and Ctrl-C end it when the requests that it has are answered. With a token, all but /v2/health and the page
    itself wants it.
    """
    with loading():
        from ..serve import Limits, app, run
    amounts = {"max-body": max_body, "memory": memory, "max-wait": max_wait, "timeout": timeout}
    for name, value in {**amounts, "read-timeout": read_timeout}.items():
        if not math.isfinite(value):
            raise ParameterError(f"--{name} {value}: give a finite number")
    limits = Limits(
        max_body=round(max_body * 2**20),
        max_pixels=max_pixels,
        memory=round(memory * 2**20),
        queue=queue,
        max_batch=max_batch,
        max_wait=max_wait / 1000,
        timeout=timeout,
        read_timeout=read_timeout,
        connections=connections,
    )
    token = token if token is not None else os.environ.get(TOKEN)
    if token is not None and not (token.isascii() and token.isprintable() and token.strip() == token != ""):
        raise ParameterError(f"--token ({TOKEN}): is empty, or has characters that no header holds; choose another")
    application = app(
        models,
        limits=limits,
        token=token or "",
        workers=workers,
        hosts=[host, *(host_name or ())],
        false_alarm_rate=false_alarm_rate,
        block_size=block_size,
        convert=convert,
        device=device,
        threads=threads,
    )
    try:
        if token is None and not host.startswith(LOOPBACK):
            terminal.complain(
                f"warning: --host {host}: whoever reaches it may use the service; set {TOKEN}, or leave --host out"
            )
        for model in application.state.service.models:
            terminal.note(f"model {model.name}, version {model.version}: {model.detector}, {model.like.describe()}")

        def started(port: int) -> None:
            shown = f"[{host}]" if ":" in host else host
            terminal.note(f"listening on http://{shown}:{port}")

        run(application, host=host, port=port, limits=limits, grace=timeout, access_log=access_log, started=started)
    finally:
        application.state.service.scoring.close(0.0)  # also where it cannot listen
    terminal.note("stopped")
