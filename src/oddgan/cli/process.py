"""What the command line does with its process, which is its own."""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""The variables by which a user says how threads that wait for each other are to do so."""


def patient_threads() -> None:
    """Have torch's threads sleep when they wait for each other for long, unless the user has said how they are to wait.

    By default they wait in a loop. A thread that has no core because something else has it is then waited for with the
    core that it needs, at every operation of a network: training beside a busy neighbour is many times slower than with
    one thread. Where they sleep at once, a small network pays for waking them. A thousand turns of the loop, then
    sleep, costs little on either side (`benchmarks/studies/threads.py`); OpenMP libraries other than GNU's, which do
    not know that variable, sleep at once. It counts before torch is loaded only.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in WAITING):
        os.environ |= {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}


INTERRUPTED = 130
LEFT_OUT = 4
"""The exit code when all went well but for rows that could not be used and were left out."""

_ended_by: list[int] = []  # the signal that ended the process, if it was not Ctrl-C


def exit_code() -> int:
    """The exit code of an interrupted run: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return 128 + _ended_by[-1] if _ended_by else INTERRUPTED


def heed_signals() -> None:
    """Have SIGTERM and SIGHUP end the process as Ctrl-C does: unfinished files are removed, checkpoints stay."""

    def end(number: int, frame: object) -> None:
        del frame
        signal.signal(number, signal.SIG_IGN)  # once: what follows is cleaning up
        _ended_by.append(number)
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end)


@contextmanager
def finishing() -> Iterator[Callable[[], bool]]:
    """Around work that never ends by itself: Ctrl-C, and SIGTERM and SIGHUP where they end the process, have it end
    when what is at hand is done. Gives whether one of them has come; a second one ends it at once."""
    seen: list[int] = []

    def end(number: int, frame: object) -> None:
        del frame
        if seen:
            raise KeyboardInterrupt
        seen.append(number)
        if number != signal.SIGINT:
            _ended_by.append(number)

    own: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and callable(signal.getsignal(number)):  # neither ignored nor another's
                own[number] = signal.signal(number, end)
    try:
        yield lambda: bool(seen)
    finally:
        for number, handler in own.items():
            signal.signal(number, handler)


@contextmanager
def loading() -> Iterator[None]:
    """Around an import of `oddgan.detectors`, which brings torch and scikit-learn.

    Their hundred thousands of functions and classes are all there to stay: to look for garbage among them, as they are
    loaded and when the process ends, takes a good part of the time that loading does.
    """
    fresh = "torch" not in sys.modules and gc.isenabled()
    if fresh:
        gc.disable()
    try:
        yield
    finally:
        if fresh:
            gc.freeze()
            gc.enable()
