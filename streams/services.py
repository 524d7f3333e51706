"""What a worker does beside its agents: write, follow, watch, build slates, serve the API."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any, cast

from faust.types import TP
from mode import Service

from streams import pin_judging, saves_model
from streams.agents import feeds
from streams.api.server import ApiServer
from streams.encoders.filling import IDLE, Filler, lead
from streams.encoders.following import follow
from streams.faust_app import PinStream
from streams.graph_compaction import compact
from streams.ladder import Ladder
from streams.memory import trim
from streams.persist import persist
from streams.pin_judging import Judging
from streams.pinsage_convolving import Convolving, convolve
from streams.readings import READINGS
from streams.related_memory import LEARN_SECONDS, learn
from streams.slate_spec import spec_of
from streams.transport.batches import BatchTransport

log = logging.getLogger(__name__)
#: Seconds between looks at which encoder serves.
FOLLOW_SECONDS = 0.5
#: Seconds between looks at whether the board graph is worth compacting.
COMPACT_SECONDS = 5.0
#: Seconds between looks at whether what was learned is due to be written.
KEEP_SECONDS = 1.0
#: Seconds between returns of free pages to the system.
TRIM_SECONDS = 30.0
#: Seconds between looks at how far this worker is behind, and at which parts answer.
LAG_SECONDS, LADDER_SECONDS = 2.0, 5.0


class Beside(Service):
    """A service of the worker ``app``."""

    app: PinStream


class Writer(Beside):
    """Writes engagement to ClickHouse in blocks."""

    @Service.task
    async def _write(self) -> None:
        await self.app.engine.writer.run(lambda: self.should_stop)


class Slates(Beside):
    """Writes rows of slates to ClickHouse, beside the feeds."""

    @Service.task
    async def _write(self) -> None:
        await self.app.engine.slate_writer.run(lambda: self.should_stop)


class Others(Beside):
    """Keeps memory up with what other workers of the group write."""

    @Service.task
    async def _follow(self) -> None:
        tail = self.app.tail
        while not self.should_stop:
            await self.wait(tail.pause(self.app.settings.follow_seconds))
            mine = {(tp.topic, tp.partition) for tp in self.app.consumer.assignment()}
            counts = {topic: self.app.consumer.topic_partitions(topic) or 0 for topic in READINGS}
            everything = {(topic, number) for topic, count in counts.items() for number in range(count)}
            await persist("reading what others wrote", partial(tail.keep_up, mine, everything), self.app.engine.metrics)


class Encoders(Beside):
    """Answers with the encoder that serves; one worker of the group fills the indexes of the others."""

    @Service.task
    async def _follow(self) -> None:
        while not self.should_stop:
            await persist("reading which encoder serves", partial(follow, self.app.engine), self.app.engine.metrics)
            await self.sleep(FOLLOW_SECONDS)

    @Service.task
    async def _fill(self) -> None:
        filler = Filler(self.app.engine)
        while not self.should_stop:
            leads = TP("pins.accepted", 0) in self.app.consumer.assignment()
            await self.sleep(await lead(filler) if leads else IDLE)


class Scores(Beside):
    """One worker of the group judges pins that the safety model could not be asked about."""

    @Service.task
    async def _judge(self) -> None:
        judging = Judging(self.app.engine)
        while not self.should_stop:
            if TP("pins.accepted", 0) in self.app.consumer.assignment():
                await self.sleep(await pin_judging.lead(judging))
            else:
                judging.stand_down()
                await self.sleep(IDLE)


class Neighbourhoods(Beside):
    """Gives pins their PinSage vectors: those that this worker saw, and one worker of the group all others."""

    @Service.task
    async def _convolve(self) -> None:
        if self.app.engine.pinsage is None:
            return
        work = Convolving(self.app.engine, self.app.engine.pinsage)
        while not self.should_stop:
            leads = TP("pins.accepted", 0) in self.app.consumer.assignment()
            await self.sleep(await convolve(work, leads))


class Lag(Beside):
    """Tells how far this worker is behind."""

    @Service.task
    async def _measure(self) -> None:
        while not self.should_stop:
            await self.sleep(LAG_SECONDS)
            behind = dict.fromkeys(READINGS, 0)
            for tp in self.app.consumer.assignment():
                # Faust says int, but it is None until the partition was fetched from once.
                end, read = cast("int | None", self.app.consumer.highwater(tp)), self.app.read.get(tp)
                if tp.topic in behind and end is not None and read is not None:
                    behind[tp.topic] += max(0, end - read)
            corrupt = cast(BatchTransport, self.app.transport).corrupt
            self.app.engine.corrupt = {f"{tp.topic}:{tp.partition}": why for tp, why in corrupt.items()}
            for topic, events in behind.items():
                self.app.engine.metrics.lag(topic, events)
                self.app.engine.metrics.corrupt(topic, sum(tp.topic == topic for tp in corrupt))


class Watch(Beside):
    """Asks every part, so that metrics tell the rung of the ladder also while nobody asks."""

    @Service.task
    async def _look(self) -> None:
        ladder = Ladder(self.app.engine)
        while not self.should_stop:
            await ladder.look()
            spec_of(self.app.engine.settings, self.app.engine.metrics)  # also while nobody gets a slate
            await self.sleep(LADDER_SECONDS)


class Graph(Beside):
    """Compacts the board graph, and learns from it what goes together."""

    @Service.task
    async def _compact(self) -> None:
        while not self.should_stop:
            await self.sleep(COMPACT_SECONDS)
            try:
                await compact(self.app.engine.state)
            except MemoryError:
                log.exception("the board graph is not compacted: give the worker more memory")

    @Service.task
    async def _learn(self) -> None:
        while not self.should_stop:
            engine = self.app.engine
            await self.sleep(await saves_model.learn(engine.state, engine.pace))


class Sessions(Beside):
    """Learns vectors of pins from what pinners do in one sitting."""

    @Service.task
    async def _learn(self) -> None:
        while not self.should_stop:
            await self.sleep(LEARN_SECONDS)
            engine = self.app.engine
            await learn(engine.state, int(time.time() * 1000), engine.pace)


class Learned(Beside):
    """Keeps in a file what was learned."""

    @Service.task
    async def _keep(self) -> None:
        while not self.should_stop:
            await self.sleep(KEEP_SECONDS)
            if keeping := self.app.engine.keeping:
                await keeping.look(works=bool(self.app.consumer.assignment()))


class Memory(Beside):
    """Gives the system what is free of the worker's memory."""

    @Service.task
    async def _trim(self) -> None:
        while not self.should_stop:
            await self.sleep(TRIM_SECONDS)
            if not await asyncio.to_thread(trim):
                return


class Feeds(Beside):
    """Builds the slates that are due."""

    @Service.task
    async def _build(self) -> None:
        await feeds.run(self.app.engine, lambda: self.should_stop)


class Api(Beside):
    """The HTTP API, in the worker's own loop beside the state that it reads."""

    async def on_start(self) -> None:
        self._server = ApiServer(self.app.engine)
        await self._server.start()

    async def on_stop(self) -> None:
        await self._server.stop()


def start_beside(app: PinStream) -> None:
    """Have ``app`` start every service when it starts. Faust makes them itself, and tells them nothing of the app."""
    for each in (
        Writer, Slates, Others, Encoders, Scores, Neighbourhoods, Lag, Watch, Graph, Sessions, Learned, Memory, Feeds,
        Api,
    ):  # fmt: skip
        app.service(cast(Any, type(each.__name__, (each,), {"app": app})))
