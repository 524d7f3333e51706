"""Faust's app, as a worker runs it: the engine opens before the first record and closes after the last."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import ssl
import threading
from typing import Any, cast

import faust
from faust.tables import TableManager
from faust.types import TP

from operators.events import ENGAGEMENT_TOPICS
from streams import opening
from streams.engine import Engine
from streams.instance import hold_name
from streams.memory import collect_seldom, give_back
from streams.settings import Settings
from streams.tail import Tail
from streams.transport.batches import BatchConsumer

log = logging.getLogger(__name__)
#: How long a rebalance waits for pins and pinners in hand, seconds. For engagement it waits until it is stored.
LET_GO_SECONDS = 1.0
#: After this share of ``stop_seconds`` a stop no longer waits for what is not stored.
GIVE_UP_SHARE = 0.5


class NoTables(TableManager):
    """Faust's, which waits a second at its start for tables to be made. Here are none, so nothing is waited for."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class PinStream(faust.App):
    """Faust with an engine that is open before the first record and closed after the last."""

    settings: Settings
    engine: Engine
    tail: Tail
    #: The next offset to work on, of each partition taken up so far.
    read: dict[TP, int]

    async def on_start(self) -> None:
        collect_seldom()
        give_back()
        self.read = {}
        # Not when the app is made: who only imports it is no worker.
        cast(Any, self.conf).consumer_group_instance_id = hold_name(self.settings)
        self.engine = await opening.open_engine(self.settings)
        self.tail = Tail(self.engine)
        # What is alive now stays alive: the collector need not look at it again. To look for the few hundred objects
        # that are dead by now would take a fifth of a second.
        gc.freeze()
        await super().on_start()

    async def stop(self) -> None:
        """Stop within ``settings.stop_seconds``, whatever part is gone."""
        # A thread, as the loop itself may be held up; it stays until the process is gone.
        timer = threading.Timer(self.settings.stop_seconds, _end, [self.settings.stop_seconds])
        timer.daemon = True
        timer.start()
        await super().stop()

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        letting_go = asyncio.create_task(self._let_go())
        try:
            await super()._on_partitions_revoked(revoked)
        finally:
            letting_go.cancel()

    async def _let_go(self) -> None:
        """Pins that wait for a part that is gone must not hold up the whole group: they are read again."""
        await asyncio.sleep(LET_GO_SECONDS)
        cast(BatchConsumer, self.consumer).let_go(lambda tp: tp.topic not in ENGAGEMENT_TOPICS)

    async def _stop_consumer(self) -> None:
        giving_up = asyncio.create_task(self._give_up())
        try:
            await super()._stop_consumer()
        finally:
            giving_up.cancel()

    async def _give_up(self) -> None:
        """Faust waits until all that was taken is stored. That is not for ever: what is not committed comes again."""
        seconds = self.settings.stop_seconds * GIVE_UP_SHARE
        await asyncio.sleep(seconds)
        unstored = cast(Any, self.consumer)._unacked_messages
        lost = {(message.tp.topic, message.tp.partition) for message in unstored}
        log.error(
            "after %g s %d batches of %s are not stored: they are given up and Kafka delivers them again",
            seconds, len(unstored), ", ".join(sorted({topic for topic, _ in lost})),
        )  # fmt: skip
        self.engine.gathering.give_up(lost)
        self.engine.writer.give_up(lost)
        unstored.clear()

    async def on_shutdown(self) -> None:
        await super().on_shutdown()
        if hasattr(self, "engine"):
            await opening.close_engine(self.engine)


def _end(seconds: float) -> None:
    log.critical("not stopped after %g s: the process ends now, and the next start reads on from the ledger", seconds)
    os._exit(1)


def broker(settings: Settings) -> str:
    """Addresses of Kafka, with the batch transport's scheme."""
    return ";".join(f"batches://{address.strip()}" for address in settings.kafka_bootstrap.split(","))


def credentials(settings: Settings) -> Any:
    """Faust's credentials for the security protocol of the settings; None for plain text."""
    if settings.kafka_security == "PLAINTEXT":
        return None
    context = None
    if settings.kafka_security.endswith("SSL"):
        context = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
    if settings.kafka_security == "SSL":
        return faust.SSLCredentials(context)
    return faust.SASLCredentials(
        username=settings.kafka_username,
        password=settings.kafka_password,
        mechanism=settings.kafka_sasl_mechanism,
        ssl_context=context,
    )
