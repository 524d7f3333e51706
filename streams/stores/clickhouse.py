"""ClickHouse, the ledger: which form the settings ask for."""

from __future__ import annotations

import os

from streams.settings import EMBEDDED, Settings
from streams.stores.clickhouse_http import ClickHouseHTTP
from streams.stores.clickhouse_sql import ClickHouseError
from streams.stores.protocols import EventStore

__all__ = ["ClickHouseError", "ClickHouseHTTP", "open_event_store"]


def open_event_store(settings: Settings, *, timeout: float = 60.0) -> EventStore:
    """The store of ``settings.clickhouse``; connects when first used. Raises ValueError for an unknown address."""
    if settings.clickhouse == EMBEDDED:
        password = os.environ.get("PINSTREAM_CLICKHOUSE_PASSWORD", "")
        return ClickHouseHTTP(settings.clickhouse_http, password=password, timeout=timeout)
    if settings.clickhouse.startswith(("clickhouse://", "clickhouses://")):
        # Imported here: the driver takes a second that the embedded form need not wait for.
        from streams.stores.clickhouse_native import ClickHouseNative

        return ClickHouseNative(settings.clickhouse, timeout=timeout)
    raise ValueError(
        f"PINSTREAM_CLICKHOUSE={settings.clickhouse!r}: use {EMBEDDED!r} or clickhouse://user:password@host:9000/database"
    )
