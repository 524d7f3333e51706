"""Keeping what was learned: which worker of a home writes the file, and when.

All workers learn the same, so one of a home writes it: the one that holds its lock. Who is erased leaves it at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from typing import TYPE_CHECKING, TextIO

import msgspec

from streams.learned import Learned, Said, find_witness, forget, gathered
from streams.learned_file import unfinished, write
from streams.stores.protocols import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.engine import Engine
    from streams.learned_file import Views

log = logging.getLogger(__name__)
#: Seconds after a start, and from one writing to the next. What a crash takes is learned again from ClickHouse.
FIRST, EVERY = 60.0, 300.0
#: Rest after each, as a multiple of what it took: somebody is erased while somebody else is.
RESTS = 10.0
#: At a stop: so many looks at whether the last step of the model of saves is over, and seconds between two.
_LOOKS, _LOOK = 200, 0.01


class Keeping:
    """Writes the file that ``learned`` was found in, or should have been."""

    def __init__(self, engine: Engine, learned: Learned) -> None:
        self._engine, self._path = engine, learned.path
        self._witness = learned.said.witness if learned.said else None
        # What the file has: who was erased until then, and how much was learned.
        self._erased = engine.erased.changes if learned.clean else -1
        self._learned = self._so_far()
        self._due, self._rested = time.monotonic() + FIRST, 0.0
        self._lock: TextIO | None = None
        with suppress(OSError):
            engine.metrics.learned(self._path.stat().st_size)

    async def look(self, *, works: bool) -> None:
        """Write what is due. A worker that has no partitions learns nothing, and leaves it to others (``works``)."""
        if not works:
            self._let_go()
        elif time.monotonic() >= self._rested and self._holds() and await self._has_witness():
            somebody = self._engine.erased.changes != self._erased
            if somebody or (time.monotonic() >= self._due and self._so_far() != self._learned):
                # Who stops waiting does not stop the thread that writes.
                await asyncio.shield(self.keep())

    async def finish(self) -> None:
        """Write once more, and leave the file to others."""
        if self._lock:
            due = self._engine.erased.changes != self._erased or self._so_far() != self._learned
            if due and self._witness:
                for _ in range(_LOOKS):
                    if await self.keep():
                        break
                    await asyncio.sleep(_LOOK)
            self._let_go()

    async def keep(self) -> bool:
        """Write the file; false where a step of learning is under way, for which nobody waits here.

        What cannot be written is named in the log, and nobody who is erased stays in the old file then.
        """
        state, erased = self._engine.state, self._engine.erased
        async with state.learning:
            if state.together.busy or not self._witness:
                return False
            changes, so_far = erased.changes, self._so_far()
            forget(state, erased)
            began = time.monotonic()
            said, columns = gathered(state, self._witness)
            try:
                size = await asyncio.to_thread(self._write, said, columns)
            except (OSError, MemoryError) as error:
                log.error("what was learned is not kept in %s: %r", self._path, error)
                self._due = self._rested = time.monotonic() + FIRST
                if changes != self._erased:
                    with suppress(OSError):
                        self._path.unlink(missing_ok=True)
                        self._erased = changes
                return True
        spent = time.monotonic() - began
        self._erased, self._learned = changes, so_far
        self._due, self._rested = time.monotonic() + EVERY, time.monotonic() + RESTS * spent
        self._engine.metrics.learned(size)
        log.info("what was learned is kept: %.1f MB, %d actions, in %.2f s", size / 1e6, said.learned, spent)
        return True

    def _write(self, said: Said, columns: Callable[[], Views]) -> int:
        every = columns()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return write(self._path, msgspec.to_builtins(said), every)

    async def _has_witness(self) -> bool:
        if self._witness is None:
            with suppress(StoreUnavailable):
                self._witness = await find_witness(self._engine.events)
        return self._witness is not None

    def _so_far(self) -> tuple[int, ...]:
        state = self._engine.state
        return state.pin2vec.learned, state.together.taste.steps, state.together.spectrum.passes

    def _holds(self) -> bool:
        if self._lock is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                file = self._path.with_name("lock").open("a")
                try:
                    flock(file, LOCK_EX | LOCK_NB)
                except OSError:
                    file.close()
                    raise
                self._lock = file
                unfinished(self._path).unlink(missing_ok=True)
            except BlockingIOError:
                return False
            except OSError as error:
                log.error("what is learned is not kept in %s: %s", self._path.parent, error)
                self._rested = time.monotonic() + EVERY
                return False
        return True

    def _let_go(self) -> None:
        if self._lock:
            self._lock.close()
            self._lock = None
