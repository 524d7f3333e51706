"""Filling an encoder's index from the pins that are stored, while every other one goes on.

One worker of the group does it, a few pins at a time. How far it is stands in ClickHouse: whoever takes the work over,
after a ``kill -9`` or on another machine, goes on from there.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace

import msgspec

from streams.encoders.again import look_again, make_up
from streams.encoders.following import Encoder, IndexDropped
from streams.encoders.parity import Parity, compare
from streams.encoders.states import KEPT, Standing, State, advanced, serving, standings, write
from streams.engine import Engine
from streams.stores.milvus_bits import open_vector_store
from streams.stores.protocols import EventStore, StoreUnavailable

log = logging.getLogger(__name__)
#: Pins looked at together, and ids read at a time.
STEP, PAGE = 8, 2_000
#: After a step it rests for so many times what the step took, so that new pins, feeds and photos have the models, too.
RESTS, RESTS_BEHIND = 1.0, 9.0
#: Seconds between looks where nothing is to be done, and after which an index is dropped: answers under way may use it.
IDLE, DROP_AFTER = 1.0, 25.0


@dataclass(frozen=True)
class Fill:
    """How far an index is; ``began`` is when its encoder began to fill, ``position`` the last pin looked at."""

    model: str
    began: int
    position: int = 0
    filled: int = 0
    gone: int = 0
    total: int = 0
    done: bool = False
    parity: str = ""
    changed: int = 0


async def fills(events: EventStore) -> dict[str, Fill]:
    """How far each index is, by its encoder's model. Raises StoreUnavailable."""
    names = ("model", "began", "position", "filled", "gone", "total", "done", "parity", "changed")
    rows = await events.query(f"SELECT {', '.join(names)} FROM encoder_fills FINAL")
    if not rows:
        return {}
    found = (Fill(*row) for row in zip(*(rows[name].tolist() for name in names), strict=True))
    return {one.model: replace(one, done=bool(one.done)) for one in found}


def parity_of(fill: Fill | None) -> Parity | None:
    """The last check of an index, if it was made."""
    return msgspec.json.decode(fill.parity, type=Parity) if fill and fill.parity else None


class Filler:
    """The work of the one worker that leads; what it holds in memory may be lost at any moment."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        #: Pins to look at next, of each model, and since when a model is to be dropped (monotonic seconds).
        self._pages: dict[str, list[int]] = {}
        self._dropping: dict[str, float] = {}

    async def work(self) -> float:
        """Do a little of what is to be done; returns for how many seconds to rest then.

        Raises:
            StoreUnavailable: a part is gone; the next call goes on.
        """
        engine, encoders = self._engine, self._engine.encoders
        if encoders is None:
            return IDLE
        await encoders.load(engine.events)
        began, busy = time.monotonic(), False
        for standing in list(encoders.standings.values()):
            if standing.state is State.DROPPING:
                await self._drop(encoders.of(standing.model))
            elif standing.state in KEPT and standing.model != engine.encoder:
                busy |= await self._advance(encoders.of(standing.model), standing)
        took = time.monotonic() - began
        return took * (RESTS_BEHIND if engine.pace.pressed else RESTS) if busy else IDLE

    async def _advance(self, other: Encoder, standing: Standing) -> bool:
        """One step; false where nothing is left to do."""
        engine = self._engine
        if standing.state is not State.FILLING:
            return bool(await make_up(engine, other, STEP))
        fill = (await fills(engine.events)).get(standing.model)
        if fill is None or fill.began != standing.changed:
            fill = Fill(standing.model, standing.changed, total=await _stored(engine.events))
            self._pages.pop(standing.model, None)
            log.info("the index of %s is filled from %d pins", standing.model, fill.total)
        pins = await self._next(fill)
        if pins:
            looked = await look_again(engine, other, pins)
            fill = replace(fill, position=pins[-1], filled=fill.filled + looked.filled, gone=fill.gone + looked.gone)
            await _write(engine.events, fill)
            del self._pages[standing.model][: len(pins)]
        elif not await make_up(engine, other, STEP):
            await self._check(other, fill)
        return True

    async def _next(self, fill: Fill) -> list[int]:
        page = self._pages.get(fill.model)
        if not page:
            rows = await self._engine.events.query(
                f"SELECT DISTINCT pin FROM pin_vectors WHERE pin > {{after:Int64}} ORDER BY pin LIMIT {PAGE}",
                {"after": fill.position},
            )
            page = self._pages[fill.model] = rows["pin"].tolist() if rows else []
        return page[:STEP]

    async def _check(self, other: Encoder, fill: Fill) -> None:
        """The index is whole: compare it with the one that serves, and say that it is ready."""
        engine = self._engine
        # By clients of its own: what takes long here must not make feeds believe that Milvus is slow.
        now = serving(await standings(engine.events))
        old, new = (open_vector_store(engine.settings, engine.models).of(each.suffix) for each in (now, other.standing))
        try:
            parity = await compare(engine.events, old, new, fill.gone)
        finally:
            await old.close()
            await new.close()
        await _write(engine.events, replace(fill, done=True, parity=msgspec.json.encode(parity).decode()))
        await write(engine.events, [advanced(other.standing, State.READY)])
        log.info("the index of %s is ready: %s", fill.model, parity)

    async def _drop(self, other: Encoder) -> None:
        """Drop an index when no answer that began with it can be under way."""
        model = other.standing.model
        since = self._dropping.setdefault(model, time.monotonic())
        if time.monotonic() - since >= DROP_AFTER:
            await other.vectors.drop()
            await write(self._engine.events, [advanced(other.standing, State.DROPPED)])
            del self._dropping[model]
            log.info("the index of %s is dropped", model)


async def lead(filler: Filler) -> float:
    """As :meth:`Filler.work`; what fails is told and tried again later."""
    try:
        return await filler.work()
    except (StoreUnavailable, ValueError, IndexDropped) as error:
        log.warning("the index of another encoder waits: %s", error)
        return IDLE


async def _stored(events: EventStore) -> int:
    rows = await events.query("SELECT uniqExact(pin) AS n FROM pin_vectors")
    return int(rows["n"][0])


async def _write(events: EventStore, fill: Fill) -> None:
    changed = max(time.time_ns() // 1_000_000, fill.changed + 1)
    row = {**fill.__dict__, "done": int(fill.done), "changed": changed}
    await events.insert("encoder_fills", {name: [value] for name, value in row.items()})
