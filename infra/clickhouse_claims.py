"""Claims: who may write a partition's rows. A worker that was given up by Kafka and does not know it is refused.

A worker claims a partition before it reads how far the ledger is, and names its claim with every insert. A later claim
of anybody takes its place, so of all that believe a partition to be theirs only the last one writes. See
``docs/decisions/0006-fence.md``.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from infra.clickhouse_engine import QueryError
from streams.stores.clickhouse_sql import CLAIM_LOST


class Claims:
    """Partition (as text, ``saves:0``) → its claim. They outlive the process, in ``file``."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._held: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        #: Inserts under way, by the claims that they were let in with.
        self._writing: list[Mapping[str, str]] = []
        self._changed = asyncio.Condition()

    async def take(self, partitions: Iterable[str]) -> dict[str, str]:
        """New claims; older ones let nothing in from now on. Returns when what they let in before has ended."""
        taken = {partition: secrets.token_hex(8) for partition in partitions}
        held = self._held | taken
        fresh = self._file.with_name(self._file.name + ".new")
        try:
            fresh.write_text(json.dumps(held))
            fresh.replace(self._file)
        except OSError as error:
            raise QueryError(f"Code: 243. DB::Exception: A claim cannot be kept: {error}. (NOT_ENOUGH_SPACE)") from None
        self._held = held
        async with self._changed:
            await self._changed.wait_for(lambda: not any(self._stale(writing, taken) for writing in self._writing))
        return taken

    @asynccontextmanager
    async def writing(self, claims: Mapping[str, str]) -> AsyncGenerator[None]:
        """Let an insert in. Raises QueryError (``CLAIM_LOST``) when one of its claims is not the last."""
        if lost := [partition for partition, claim in claims.items() if self._held.get(partition) != claim]:
            raise QueryError(
                f"Code: {CLAIM_LOST}. DB::Exception: Another worker has claimed {', '.join(lost)}. (CLAIM_LOST)"
            )
        self._writing.append(claims)
        try:
            yield
        finally:
            # By identity: two inserts may carry equal claims.
            self._writing = [other for other in self._writing if other is not claims]
            async with self._changed:
                self._changed.notify_all()

    @staticmethod
    def _stale(writing: Mapping[str, str], taken: Mapping[str, str]) -> bool:
        return any(writing.get(partition, claim) != claim for partition, claim in taken.items())


def read(header: str) -> dict[str, str]:
    """The claims in a request's header, ``saves:0=1f…,clicks:3=9a…``."""
    return dict(part.rpartition("=")[::2] for part in header.split(",") if part)
