"""Which agent reads which topic, and in what batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from operators.batch import Records
from operators.events import ENGAGEMENT_TOPICS
from streams.agents import catalogue, crops, engagement, pinners, vision
from streams.engine import Engine


class Reading(NamedTuple):
    """How a topic is read."""

    #: Returns a future when the batch may be acknowledged only later.
    handle: Callable[[Engine, Records], Coroutine[Any, Any, asyncio.Future[None] | None]]
    #: The most records of one batch.
    most: int
    #: Batches that may wait for the agent, of all partitions together.
    waiting: int = 64


async def _see(engine: Engine, records: Records) -> None:
    await vision.handle(engine, records)


READINGS = {
    **dict.fromkeys(ENGAGEMENT_TOPICS, Reading(engagement.handle, most=50_000, waiting=40)),
    "pins": Reading(catalogue.handle, most=5_000),
    # Understanding takes a tenth of a second a pin: short batches, so that a crash repeats little.
    "pins.accepted": Reading(_see, most=32, waiting=1024),
    "pinners": Reading(pinners.handle, most=5_000),
    "crops": Reading(crops.handle, most=5_000),
}
