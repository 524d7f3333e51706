"""Saves, clicks and impressions: decode, store, fold, schedule. The order of things is in ``streams.commit``."""

from __future__ import annotations

from operators.batch import Records
from streams.commit import commit_engagement
from streams.engine import Engine


async def handle(engine: Engine, records: Records) -> None:
    """One batch of the topic ``saves``, ``clicks`` or ``impressions``."""
    await commit_engagement(engine, records)
