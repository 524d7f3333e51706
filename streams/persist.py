"""Outlasting a part that is gone: the same write, again, until it holds or the worker stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from streams.metrics import Metrics
from streams.stores.protocols import StoreUnavailable

T = TypeVar("T")
#: Seconds; a part that came back is found so soon, and one that is gone is asked so seldom.
LONGEST_PAUSE = 2.0
log = logging.getLogger(__name__)


async def persist(what: str, attempt: Callable[[], Awaitable[T]], metrics: Metrics) -> T:
    """Run ``attempt`` until it succeeds, waiting longer each time a part is unavailable.

    Every write of the engine may be repeated, so this is safe. Only :class:`StoreUnavailable` is
    outlasted; anything else is raised at once. Cancelling (the worker stops) ends it.
    """
    pause = 0.1
    while True:
        try:
            return await attempt()
        except StoreUnavailable as gone:
            metrics.store_error(gone.part)
            log.warning("%s waits %.1f s: %s", what, pause, gone)
            await asyncio.sleep(max(pause, min(gone.retry_after, LONGEST_PAUSE)))
            pause = min(pause * 2, LONGEST_PAUSE)
