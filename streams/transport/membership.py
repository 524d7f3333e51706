"""Static membership for Faust's consumer: a worker started again under its name has its partitions back at once.

Kafka gives a member that comes under a known ``group.instance.id`` the place of the one before it, without a rebalance
and without waiting for the session of the dead one. aiokafka does the joining; here is what it lacks: a member whose
name is taken over learns of it, and one that stops in order leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError


class NameTaken(KafkaError):
    """Another worker has joined the group under this one's name."""


def watch_name(consumer: AIOKafkaConsumer, taken: Callable[[NameTaken], None]) -> None:
    """Call ``taken``, and never join again, when another takes the name of a consumer that has just been started.

    aiokafka's heartbeats do not carry the name, so the broker only says that it does not know the member. It says so
    after the session has expired too, and then to join again is right. But within the session, nothing but another of
    that name (or an administrator) takes a member's place. Two would take it from each other for ever.
    """
    coordinator = cast(Any, consumer)._coordinator
    name, group, session = coordinator._group_instance_id, coordinator.group_id, coordinator._session_timeout_ms / 1000
    if name is None:
        return
    heartbeat = coordinator._do_heartbeat
    alive_at = time.monotonic()

    async def watched() -> bool:
        nonlocal alive_at
        asked, generation = time.monotonic(), coordinator.generation
        if await heartbeat():
            # When it was asked, not answered: the broker's own count of the session begins later than this.
            alive_at = asked
            return True
        if generation > 0 and coordinator.generation < 0 and time.monotonic() - alive_at < session:
            failure = NameTaken(
                f"another worker has joined the group {group!r} as {name!r} and this one ends: no two may have one name"
            )
            taken(failure)
            raise failure
        return False

    coordinator._do_heartbeat = watched


def leave_at_stop(consumer: AIOKafkaConsumer) -> None:
    """Let a consumer that is about to be stopped leave its group: who goes on should not wait for its session to end.

    With a name, aiokafka would stay, as one that is killed does.
    """
    cast(Any, consumer)._coordinator._group_instance_id = None
