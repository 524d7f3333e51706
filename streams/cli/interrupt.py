"""Ctrl-C as a wish rather than an exception, so that what was begun can be brought to an end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def stop_on_interrupt() -> Generator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second does what it always did.

    An exception out of a signal handler would also break into librdkafka's calls, which do not survive it.
    """
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def wish(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, wish)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
