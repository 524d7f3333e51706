"""Gathering: small batches that come within some milliseconds are committed together.

A fetch brings a few events of every partition, and to fold a batch costs the same for one event as for hundreds. So a
batch that may be committed waits a moment for others; large ones do not wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple

from operators.batch import Records

Partition = tuple[str, int]
#: Seconds that a batch waits for others; the batches of one fetch come within some milliseconds.
SECONDS = 0.005
#: Records that no longer wait.
ENOUGH = 2_000


class Gathered(NamedTuple):
    """A batch, and what is done when it is stored."""

    records: Records
    stored: asyncio.Future[None]

    @property
    def partition(self) -> Partition:
        return self.records.source[:2]


class Gathering:
    """Batches in the order in which they came. ``seconds`` 0 lets none wait."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds
        self._waiting: list[Gathered] = []
        self._newest: dict[Partition, asyncio.Future[None]] = {}
        #: Work beside, and those who wait for it and for more: the event loop itself keeps no hold of a task.
        self._working: set[asyncio.Task[None]] = set()
        self._both: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def take(self, records: Records, commit: Callable[[list[Gathered]], None]) -> asyncio.Future[None]:
        """Take a batch, to be committed by ``commit`` with whatever else waits then; the future is ``commit``'s."""
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()
        self._waiting.append(Gathered(records, stored))
        self._newest[self._waiting[-1].partition] = stored
        if not self._seconds or sum(len(each.records) for each in self._waiting) >= ENOUGH:
            self._commit(commit)
        elif self._timer is None:
            self._timer = loop.call_later(self._seconds, self._commit, commit)
        return stored

    def holds(self, partition: Partition) -> bool:
        """Does a batch of this partition wait here?"""
        return any(each.partition == partition for each in self._waiting)

    def pending(self, partition: Partition) -> asyncio.Future[None] | None:
        """Done when everything taken of a partition so far is; None when it is."""
        newest = self._newest.get(partition)
        return None if newest is None or newest.done() else newest

    async def room(self) -> None:
        """Wait until the work that :meth:`also` was given is done: what it is about is held in memory meanwhile."""
        if self._working:
            await asyncio.wait(self._working)

    def also(
        self, stored: asyncio.Future[None], written: asyncio.Future[None], work: Coroutine[Any, Any, None]
    ) -> None:
        """Let a batch be stored when it is ``written`` and this ``work`` is done."""
        working = asyncio.create_task(work)

        async def both() -> None:
            try:
                await working
                await written
            except asyncio.CancelledError:
                stored.cancel()
            except Exception as failure:  # whoever waits for the batch is told
                if not stored.done():
                    stored.set_exception(failure)
            else:
                if not stored.done():
                    stored.set_result(None)

        for task, tasks in ((working, self._working), (asyncio.create_task(both()), self._both)):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def give_up(self, partitions: Iterable[Partition]) -> None:
        """Another worker has these partitions now and reads what waits here itself. Nothing of it is in memory yet."""
        lost = set(partitions)
        for each in self._waiting:
            if each.partition in lost:
                each.stored.cancel()
        self._waiting = [each for each in self._waiting if each.partition not in lost]

    def _commit(self, commit: Callable[[list[Gathered]], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            commit(waiting)
        except Exception as failure:  # whoever waits for a batch is told
            for each in waiting:
                if not each.stored.done():
                    each.stored.set_exception(failure)
