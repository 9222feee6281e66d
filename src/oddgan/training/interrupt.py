"""Ctrl-C as a wish to end a stage early."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def heeded(wanted: bool) -> Iterator[Callable[[], bool]]:
    """While the block runs, note Ctrl-C instead of raising `KeyboardInterrupt`: gives a function that says whether it
    was pressed. Pressed again, it raises.

    Nothing is changed unless `wanted`, outside of the main thread, and where the program has a handler of its own.
    """
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            signal.default_int_handler(number, frame)
        pressed = True

    usual = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not (wanted and usual):
        yield lambda: False
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
