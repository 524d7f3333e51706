"""Everything standing: parts, topics and tables, as ``pinstream up`` leaves them."""

from __future__ import annotations

from infra import supervisor, topics
from infra.migrate import migrate
from infra.part import Say
from streams.settings import Settings
from streams.stores.clickhouse import open_event_store


async def stand_up(settings: Settings, say: Say = print) -> list[str]:
    """Start the embedded parts, apply the declared topics, migrate ClickHouse; what changed beyond processes.

    Raises:
        PartFailed: a part did not start.
        KafkaException, StoreUnavailable, ClickHouseError: a part that is a server cannot be reached or refuses.
    """
    supervisor.up(settings, say)
    changes = topics.apply(settings)
    store = open_event_store(settings)
    try:
        changes += [f"applied migration {name}" for name in await migrate(store)]
    finally:
        await store.close()
    for change in changes:
        say(change)
    return changes
