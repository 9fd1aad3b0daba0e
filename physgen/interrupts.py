"""Ctrl-C in long work: noticed between two steps, whatever code it happens to arrive in."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_STOPPING = b"\nstopping after this step; Ctrl-C again stops at once\n"


@contextmanager
def interrupt_flag(*, at_once: bool = False) -> Iterator[threading.Event]:
    """An event set by the first Ctrl-C, which says so; a second raises KeyboardInterrupt as usual.

    Python drops an exception raised in a destructor or a weak reference's callback: with
    `at_once` the first Ctrl-C raises too, and the event tells of it where that was lost.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def handle(signum: int, frame: Any) -> None:
        again = flag.is_set()
        flag.set()
        if again or at_once:
            raise KeyboardInterrupt
        os.write(2, _STOPPING)  # a signal may come while a buffered stream writes

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)
