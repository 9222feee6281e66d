"""How much memory a call needs at its peak."""

import ctypes
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

STATM = Path("/proc/self/statm")
EVERY = 0.002  # seconds between two samples


def peak(call: Callable[[], object]) -> float | None:
    """The peak memory of this process while `call` runs, in MiB above what it held before; None on systems other than
    Linux.

    Memory that earlier calls freed is first returned to the system: a call that reuses it would seem to need less.
    """
    if not STATM.exists():
        return None
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
    before = most = _held()
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.is_set():
            most = max(most, _held())
            time.sleep(EVERY)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        call()
    finally:
        done.set()
        watcher.join()
    return (most - before) / 2**20


def _held() -> int:
    return int(STATM.read_text().split()[1]) * resource.getpagesize()
