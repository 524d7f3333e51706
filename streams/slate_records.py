"""What slates were made from, to ClickHouse: in the background, of some slates, and never waited for.

A record that finds no place is let go: nothing but an explanation and a replay depends on it. One is written under its
slate's id, so writing it again changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from zlib import compress

import msgspec
import numpy as np

from operators.slate.choices import Recording
from operators.slate.record import Record, encode_record
from operators.slate.slate import Slate
from streams.erasure import Erased
from streams.metrics import Metrics
from streams.persist import persist
from streams.slate_spec import SlateSpec, spec_called
from streams.stores.protocols import EventStore

log = logging.getLogger(__name__)
#: Records that may wait (some 0.2 MB each before they are compressed), and those of one insert.
MOST_WAITING, TOGETHER = 200, 20
#: Seconds between inserts.
WAIT = 1.0
DAY_SECONDS = 86_400
#: So many seconds' worth of records may come at once after a rest.
BURST_SECONDS = 60


class SpecBundle(msgspec.Struct):
    """A spec as it is stored: text, and the files that it names."""

    text: str
    files: dict[str, bytes]


class SlateRecords:
    """One for each worker."""

    def __init__(self, events: EventStore, erased: Erased, metrics: Metrics) -> None:
        self._events, self._erased, self._metrics = events, erased, metrics
        self._waiting: deque[tuple[Slate, Record]] = deque()
        self._specs: set[str] = set()
        self._room, self._filled = 0.0, time.monotonic() - BURST_SECONDS

    @property
    def waiting(self) -> int:
        """Records that wait."""
        return len(self._waiting)

    def wants(self, recording: Recording) -> bool:
        """Whether a record of the next slates may be kept: it is wanted, and there were not too many lately."""
        now = time.monotonic()
        most = max(1.0, recording.per_second * BURST_SECONDS)
        self._room = min(most, self._room + max(0.0, now - self._filled) * recording.per_second)
        self._filled = now
        return recording.share > 0 and self._room >= 1

    def write(self, slates: Sequence[Slate], messages: Sequence[bytes], records: Sequence[Record]) -> None:
        """Take slates that went out as ``messages``, and what each was made from; none where it was not wanted."""
        for slate, message, record in zip(slates, messages, records, strict=False):
            if self._room < 1 or not chosen(slate.slate, record.header.choices.recording.share):
                continue
            self._room -= 1
            if len(self._waiting) >= MOST_WAITING:
                self._metrics.unrecorded(1)
                continue
            self._waiting.append((slate, replace(record, message=message)))

    async def run(self, should_stop: Callable[[], bool]) -> None:
        """Write what waits until told to stop; what is left then is let go."""
        while not should_stop():
            await asyncio.sleep(WAIT)
            while self._waiting and not should_stop():
                await self._write_some()

    async def _write_some(self) -> None:
        some = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
        for version in {record.header.spec for _, record in some} - self._specs:
            if (spec := spec_called(version)) is not None:
                await persist("writing the spec of slates", partial(write_spec, self._events, spec), self._metrics)
                self._specs.add(version)
        # Somebody may have been erased while their record waited.
        gone = self._erased.mask(np.array([slate.pinner for slate, _ in some], np.int64)).tolist()
        kept = [each for each, erased in zip(some, gone, strict=True) if not erased]
        encoded = await asyncio.to_thread(lambda: [encode_record(record) for _, record in kept])
        await persist("writing what slates were made from", partial(self._insert, kept, encoded), self._metrics)

    async def _insert(self, some: Sequence[tuple[Slate, Record]], encoded: Sequence[bytes]) -> None:
        if not some:
            return
        expires = [
            slate.emitted // 1000 + int(record.header.choices.recording.days * DAY_SECONDS) for slate, record in some
        ]
        await self._events.insert(
            "slate_records",
            {
                "slate": [slate.slate for slate, _ in some],
                "pinner": [slate.pinner for slate, _ in some],
                "emitted": [slate.emitted for slate, _ in some],
                "expires": np.array(expires, np.uint32),
                "record": list(encoded),
            },
        )
        self._metrics.recorded(len(some), sum(map(len, encoded)))


def chosen(slate: int, share: float) -> bool:
    """Whether a slate is among the ``share`` that are recorded: by its id, so that every worker says the same."""
    return (slate & 0xFFFF) < share * 0x10000


async def write_spec(events: EventStore, spec: SlateSpec) -> None:
    """Keep a spec's text and files under its version. May be repeated. Raises StoreUnavailable."""
    bundle = msgspec.json.encode(SpecBundle(spec.text, dict(spec.files)))
    row = {
        "version": [spec.version],
        "bundle": [b64encode(compress(bundle)).decode()],
        "written": [int(time.time() * 1000)],
    }
    await events.insert("slate_specs", row)
