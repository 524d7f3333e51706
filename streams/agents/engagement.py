"""Saves, clicks and impressions: decode, store, fold, schedule. The order of things is in ``streams.commit``."""

from __future__ import annotations

import asyncio

from operators.batch import Records
from streams.commit import commit_engagement
from streams.engine import Engine


async def handle(engine: Engine, records: Records) -> asyncio.Future[None] | None:
    """One batch of the topic ``saves``, ``clicks`` or ``impressions``; the future is done when it is stored."""
    return await commit_engagement(engine, records)
