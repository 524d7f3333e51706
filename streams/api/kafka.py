"""Is there a broker at all? Asked before an event is taken, so that a caller is told at once."""

from __future__ import annotations

import asyncio

from streams.stores.protocols import StoreUnavailable


async def reach(bootstrap: str) -> None:
    """Raises StoreUnavailable unless one of the brokers (``host:port,host:port``) accepts a connection."""
    reason = "no broker is named"
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, ValueError) as error:
            reason = str(error)
            continue
        writer.close()
        return
    raise StoreUnavailable("kafka", reason, retry_after=5.0)
