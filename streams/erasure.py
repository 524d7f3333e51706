"""Erasing a pinner everywhere, and keeping them erased.

Their pins are deleted. Raw events stay without the person (id 0), so that counts of other people's pins still equal a
recount; everything kept by their name goes. Late events of theirs are refused until they sign up anew.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.events import PinEvent
from streams.engine import Engine
from streams.latest_event import unpack, without_owner
from streams.persist import persist
from streams.stores.protocols import EventStore

#: In this order, each of which may be repeated: a crash in between is finished when the event comes again.
_STATEMENTS = (
    "ALTER TABLE engagement UPDATE pinner = 0 WHERE pinner = {pinner} SETTINGS mutations_sync = 1",
    "ALTER TABLE engagement UPDATE owner = 0 WHERE owner = {pinner} SETTINGS mutations_sync = 1",
    "ALTER TABLE saves UPDATE pinner = 0 WHERE pinner = {pinner} SETTINGS mutations_sync = 1",
    f"ALTER TABLE signals_by_pin UPDATE latest = {without_owner('latest')} "
    f"WHERE {unpack('owner', 'latest')} = {{pinner}} SETTINGS mutations_sync = 1",
    "ALTER TABLE signals_by_pinner DELETE WHERE pinner = {pinner} SETTINGS mutations_sync = 1",
    "ALTER TABLE engagement_by_pinner DELETE WHERE pinner = {pinner} SETTINGS mutations_sync = 1",
    "ALTER TABLE engagement_by_owner DELETE WHERE owner = {pinner} SETTINGS mutations_sync = 1",
    "ALTER TABLE crops DELETE WHERE pinner = {pinner} SETTINGS mutations_sync = 1",
    "ALTER TABLE rewards_by_source DELETE WHERE pinner = {pinner} SETTINGS mutations_sync = 1",
    "ALTER TABLE slate_records DELETE WHERE pinner = {pinner} SETTINGS mutations_sync = 1",
    "ALTER TABLE slates DELETE WHERE pinner = {pinner} SETTINGS mutations_sync = 1",
    "ALTER TABLE follows DELETE WHERE follower = {pinner} OR followed = {pinner} SETTINGS mutations_sync = 1",
)


class Erased:
    """Pinners who asked to be erased: id → when (ms)."""

    def __init__(self) -> None:
        self._since: dict[int, int] = {}
        #: Grows whenever somebody else is erased.
        self.changes = 0

    @property
    def pinners(self) -> Ints:
        """All of them, ``(n,)``."""
        return np.fromiter(self._since, np.int64, len(self._since))

    async def load(self, events: EventStore) -> None:
        """Read who is erased. Raises StoreUnavailable."""
        rows = await events.query("SELECT pinner, version FROM pinners FINAL WHERE deleted = 1")
        if rows:
            since = dict(zip(rows["pinner"].tolist(), rows["version"].tolist(), strict=True))
            self.changes += bool(since.keys() - self._since.keys())
            self._since = since

    async def follow(self, events: EventStore, since: int) -> list[int]:
        """What rows inserted after ``since`` (ms) say; returns who is erased that was not. Raises StoreUnavailable."""
        rows = await events.query(
            "SELECT pinner, version, deleted FROM pinners FINAL"
            # FINAL alone would read all pinners there are, each time.
            " WHERE pinner IN (SELECT pinner FROM pinners WHERE inserted > {since:Int64})",
            {"since": since},
        )
        new: list[int] = []
        for pinner, time, deleted in zip(*(rows[name].tolist() for name in rows), strict=True) if rows else ():
            if not deleted:
                self.signed_up(pinner, time)
            elif time > self._since.get(pinner, -1):
                self.add(pinner, time)
                new.append(pinner)
        return new

    def add(self, pinner: int, time: int) -> None:
        self.changes += 1
        self._since[pinner] = max(time, self._since.get(pinner, 0))

    def signed_up(self, pinner: int, time: int) -> None:
        """A pinner may come back: what they do from now on counts again."""
        if time > self._since.get(pinner, time):
            del self._since[pinner]

    def mask(self, pinners: Ints) -> NDArray[np.bool_]:
        """Which of these are erased. ``(n,) -> (n,)``."""
        return np.isin(pinners, self.pinners)


async def erase_pinner(engine: Engine, pinner: int, time: int) -> None:
    """Erase a pinner from ClickHouse, Milvus (by deleting their pins) and memory. May be repeated."""
    engine.erased.add(pinner, time)
    engine.schedule.drop(pinner)

    # What they did a moment ago must be in the tables before it can be taken out of them.
    await engine.writer.drain()

    async def delete_pins() -> None:
        rows = await engine.events.query(
            "SELECT pin, version FROM pins FINAL WHERE pinner = {pinner:Int64} AND deleted = 0", {"pinner": pinner}
        )
        if not rows:
            return
        for pin, version in zip(rows["pin"].tolist(), rows["version"].tolist(), strict=True):
            gone = PinEvent(type="deleted", pin=pin, time=max(time, version))
            engine.outputs.send("pins", pin, msgspec.json.encode(gone))
        await engine.outputs.flush()

    async def forget() -> None:
        for statement in _STATEMENTS:
            await engine.events.command(statement.format(pinner=int(pinner)))

    await persist("deleting an erased pinner's pins", delete_pins, engine.metrics)
    await persist("erasing a pinner", forget, engine.metrics)
    leave_memory(engine, pinner)


def leave_memory(engine: Engine, pinner: int) -> None:
    """Forget a pinner in this worker, whoever of the group erased them. May be repeated."""
    engine.schedule.drop(pinner)
    engine.state.erase(pinner)
    engine.vector_cache.interests.forget(pinner)
