"""Stages of a batch of slates: how long each took, what came in and went out, and what had to be left out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

from operators.slate.slate import Stage
from streams.circuit import Circuit, Resting
from streams.metrics import Metrics
from streams.stores.protocols import StoreUnavailable

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass
class Count:
    """Pins into and out of one stage, one number a slate. ``went_out`` stays as it came in unless it is set."""

    name: str
    came_in: Sequence[int]
    went_out: Sequence[int]
    seconds: float = 0.0


class Stages:
    """The record of one batch."""

    def __init__(self, metrics: Metrics, slates: int) -> None:
        self._metrics, self._slates = metrics, slates
        self._counts: list[Count] = []
        self.degraded: list[str] = []

    @contextmanager
    def stage(self, name: str, came_in: Sequence[int] | None = None) -> Generator[Count]:
        """Time a stage; the caller sets ``went_out`` where the number changes."""
        entered = [0] * self._slates if came_in is None else came_in
        count = Count(name, entered, entered)
        began = perf_counter()
        yield count
        count.seconds = perf_counter() - began
        self._counts.append(count)
        self._metrics.stage(name, sum(count.came_in), sum(count.went_out), count.seconds)

    def of(self, row: int) -> list[Stage]:
        """The stages of one slate."""
        return [
            Stage(each.name, each.came_in[row], each.went_out[row], round(each.seconds * 1000, 3))
            for each in self._counts
        ]

    async def within(self, name: str, seconds: float, work: Awaitable[T], circuit: Circuit | None = None) -> T | None:
        """The result of ``work``, or None with ``name`` in :attr:`degraded` when it fails or takes too long.

        Work that takes too long goes on by itself, so that e.g. vectors arrive in time for the next slate. The
        ``circuit`` of the part that it asks is told, so that the next slates need not wait.
        """
        task = asyncio.ensure_future(work)
        await asyncio.wait([task], timeout=seconds)
        if not task.done():
            await asyncio.sleep(0)  # an answer that came while this worker was busy is not late
        if not task.done():
            task.add_done_callback(_finished_late)
            if circuit is not None:
                circuit.too_slow()
            self.leave_out(name, f"no answer in {seconds * 1000:.0f} ms")
            return None
        try:
            return task.result()
        except Resting:
            # Told when it began to rest; a line for every slate would hide all others.
            self.leave_out(name)
        except StoreUnavailable as gone:
            self._metrics.store_error(gone.part)
            self.leave_out(name, str(gone))
        except Exception:
            log.exception("%s failed; slates go on without it", name)
            self.leave_out(name, "failed")
        return None

    def leave_out(self, name: str, why: str = "") -> None:
        """Name in ``degraded`` what the slates go without."""
        if name not in self.degraded:
            self.degraded.append(name)
            if why:
                log.warning("slates without %s: %s", name, why)


def _finished_late(task: asyncio.Future[Any]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.warning("what came too late also failed: %s", error)
