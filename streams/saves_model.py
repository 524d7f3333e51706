"""Learning what goes together beside everything else: the mathematics hold neither the loop nor Python's lock."""

from __future__ import annotations

import asyncio
import logging
import time

from streams.pace import Pace
from streams.state import HotState

log = logging.getLogger(__name__)
#: Seconds between looks at whether a step is due, and where memory is short.
LOOK_SECONDS, SHORT_SECONDS = 0.5, 60.0
#: Of one core, learning takes at most this share.
SHARE = 0.25


async def learn(state: HotState, pace: Pace) -> float:
    """Take one step where one is due; returns the seconds to wait before the next call."""
    model = state.together
    if not model.due:
        return LOOK_SECONDS
    began = time.monotonic()
    try:
        await asyncio.to_thread(model.learn, model.draw())
    except MemoryError:
        log.exception("the model of saves does not learn: give the worker more memory")
        return SHORT_SECONDS
    spent = time.monotonic() - began
    return max(0.05, spent * (1 / SHARE - 1), pace.rest_of_learner(spent))
