"""Claims: who may write a partition's rows. A worker that was given up by Kafka and does not know it is refused.

A worker claims a partition before it reads how far the ledger is, and names its claim with every insert. A later claim
of anybody takes its place, so of all that believe a partition to be theirs only the last one writes. See
``docs/decisions/0006-fence.md``. For a moment claimed inserts can be held back altogether, so that a starting worker
reads all sums as of one moment.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
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
        #: Who asked for stillness, and until when (seconds of the loop's clock).
        self._still: dict[str, float] = {}

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
        while claims and (until := self._still_until()) is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until), self._changed:
                    await self._changed.wait()
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

    async def still(self, seconds: float) -> str:
        """From when this returns, claimed inserts wait for :meth:`go_on`, or for so long. Returns the name for it."""
        name = secrets.token_hex(8)
        self._still[name] = asyncio.get_running_loop().time() + seconds
        async with self._changed:
            await self._changed.wait_for(lambda: not any(self._writing))
        return name

    async def go_on(self, name: str) -> None:
        """End one stillness; others may hold on. A name that is not known changes nothing."""
        self._still.pop(name, None)
        async with self._changed:
            self._changed.notify_all()

    def _still_until(self) -> float | None:
        now = asyncio.get_running_loop().time()
        self._still = {name: until for name, until in self._still.items() if until > now}
        return max(self._still.values(), default=None)

    @staticmethod
    def _stale(writing: Mapping[str, str], taken: Mapping[str, str]) -> bool:
        return any(writing.get(partition, claim) != claim for partition, claim in taken.items())


def read(header: str) -> dict[str, str]:
    """The claims in a request's header, ``saves:0=1f…,clicks:3=9a…``."""
    return dict(part.rpartition("=")[::2] for part in header.split(",") if part)
