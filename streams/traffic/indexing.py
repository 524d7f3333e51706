"""Bringing pins to a running engine and waiting until it has looked at each; what it could not read, and why."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from operators.batch import Records, Source
from operators.decode import decode_events
from streams.dead_letter_log import Wanted, read_letters
from streams.settings import Settings
from streams.stores.protocols import EventStore
from streams.traffic.folder import Found, Unread, inline

#: Sends events of the topic ``pins`` as lines of JSON; returns when Kafka holds them.
Post = Callable[[bytes], None]
#: ``(pins done, pins in all)``.
Progress = Callable[[int, int], None]

#: Events and bytes of one request, and pins that ClickHouse is asked for at once.
MOST_EVENTS, MOST_BYTES, ASKED = 500, 8 << 20, 5_000
#: What an event takes beside its picture, roughly.
SMALL = 2_000
#: What the catalogue keeps of a picture that came in its event (:mod:`streams.agents.catalogue`).
INLINE = "inline"
POLL_SECONDS = 0.5
#: Without any progress for so long the dead letters are looked through, and then it is given up.
QUIET_SECONDS, STALLED_SECONDS = 10.0, 120.0
#: A picture is told about before its letter is written: that waits for the batch to end.
LETTER_SECONDS = 60.0
#: Of a letter only the beginning is sure to be there, and that is where the id is.
_PIN = re.compile(rb'^\s*\{\s*"pin"\s*:\s*(\d+)')

_HELD = """
SELECT p.pin AS pin, p.version AS version, p.image AS image, p.title AS title, v.version AS seen, v.there AS there
FROM (SELECT pin, version, image, title FROM pins FINAL WHERE pin IN {pins:Array(Int64)}) AS p
LEFT JOIN (SELECT pin, version, notEmpty(vector) AS there FROM pin_vectors FINAL WHERE pin IN {pins:Array(Int64)}) AS v
ON p.pin = v.pin
"""
_SEEN = """
SELECT pin, version, notEmpty(vector) AS there FROM pin_vectors FINAL WHERE pin IN {pins:Array(Int64)}
"""


@dataclass
class Outcome:
    """What became of each: ``found`` = ``already`` + ``understood`` + ``failures`` + those still ``waiting``."""

    found: int = 0
    #: Of them the engine had already looked at these, and they were not sent again.
    already: int = 0
    sent: int = 0
    understood: int = 0
    #: The same picture once more.
    twice: int = 0
    waiting: int = 0
    failures: list[Unread] = field(default_factory=list[Unread])
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        """Everything that was found is understood."""
        return not (self.failures or self.waiting or self.interrupted)

    def summary(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "found": self.found,
            "twice": self.twice,
            "already": self.already,
            "sent": self.sent,
            "understood": self.understood,
            "failed": len(self.failures),
            "waiting": self.waiting,
            "failures": [one._asdict() for one in self.failures],
            "seconds": round(self.seconds, 1),
            "interrupted": self.interrupted,
        }


class Indexing:
    """One run over some pins; :meth:`run` may be called once."""

    def __init__(self, settings: Settings, events: EventStore, post: Post, *, inline: bool = False) -> None:
        """``inline``: pictures travel in the events, for a worker that may not read their folder."""
        self._settings, self._events, self._post, self._inline = settings, events, post, inline
        self.outcome = Outcome()
        #: Pins that were sent → version and where they come from.
        self._waiting: dict[int, tuple[int, str]] = {}
        self._began = int(time.time() * 1000)

    async def run(self, found: Iterable[Found | Unread], progress: Progress, stop: threading.Event) -> Outcome:
        """Send what is not understood yet, and wait for it.

        Raises:
            StoreUnavailable: ClickHouse or Kafka is gone.
        """
        started, outcome = time.monotonic(), self.outcome
        todo = self._once(found)
        outcome.found += len(todo)
        for start in range(0, len(todo), ASKED):
            for part in self._requests(await self._unknown(todo[start : start + ASKED])):
                if stop.is_set():
                    break
                await asyncio.to_thread(self._send, part)
                progress(outcome.already + len(outcome.failures), outcome.found)
        await self._settle(progress, stop)
        outcome.waiting = len(self._waiting)
        outcome.interrupted = stop.is_set()
        outcome.seconds = time.monotonic() - started
        return outcome

    def _once(self, found: Iterable[Found | Unread]) -> list[Found]:
        first: dict[int, Found] = {}
        for one in found:
            if isinstance(one, Unread):
                self.outcome.found += 1
                self.outcome.failures.append(one)
            elif one.pin in first:
                self.outcome.twice += 1
            else:
                first[one.pin] = one
        return list(first.values())

    async def _unknown(self, some: Sequence[Found]) -> list[Found]:
        """Those that the engine has not looked at as they are, each with a time that makes it the newest version."""
        rows = await self._events.query(_HELD, {"pins": [one.pin for one in some]})
        columns = (
            [rows[name].tolist() for name in ("pin", "version", "image", "title", "seen", "there")] if rows else []
        )
        held = {pin: tuple(facts) for pin, *facts in zip(*columns, strict=True)}
        unknown: list[Found] = []
        for one in some:
            version, image, title, seen, there = held.get(one.pin, (0, "", "", 0, 0))
            given = str(one.event.get("image") or "")
            kept = INLINE if given.startswith("data:") or (self._inline and one.file) else given
            if there and seen == version and (image, title) == (kept, one.event.get("title", "")):
                self.outcome.already += 1
                continue
            at = one.event.get("time")
            newer = max(self._began, version + 1)
            unknown.append(one._replace(event={**one.event, "time": at if _is_newer(at, version) else newer}))
        return unknown

    def _send(self, given: Sequence[Found]) -> None:
        some, lines = self._usable(given)
        if not some:
            return
        self._post(b"\n".join(lines))
        self.outcome.sent += len(some)
        self._waiting.update((one.pin, (int(one.event["time"]), one.source)) for one in some)

    def _requests(self, some: Sequence[Found]) -> Iterator[list[Found]]:
        """Parts that one request can carry."""
        part: list[Found] = []
        size = 0
        for each in some:
            one = self._with_picture(each)
            if one is None:
                continue
            length = len(str(one.event.get("image") or "")) + SMALL
            if part and (len(part) == MOST_EVENTS or size + length > MOST_BYTES):
                yield part
                part, size = [], 0
            part.append(one)
            size += length
        if part:
            yield part

    def _with_picture(self, one: Found) -> Found | None:
        """The same, its picture in the event where that is wished; None when it cannot be read."""
        if not (self._inline and one.file):
            return one
        try:
            return one._replace(event={**one.event, "image": inline(one.file)})
        except (OSError, ValueError) as error:
            self.outcome.failures.append(Unread(one.source, "unreadable_file", str(error)))
            return None

    def _usable(self, some: Sequence[Found]) -> tuple[list[Found], list[bytes]]:
        """Those that the engine's own reading takes, and their lines; one bad event spoils no other."""
        values = [orjson.dumps(one.event) for one in some]
        n = len(values)
        now = np.full(n, self._began, np.int64)
        records = Records.of(Source("pins", 0, 0, n - 1), np.arange(n, dtype=np.int64), now, [*values])
        bad = {reject.offset: reject for reject in decode_events(records).rejects}
        self.outcome.failures += [
            Unread(some[row].source, str(reject.reason), reject.detail) for row, reject in bad.items()
        ]
        good = [row for row in range(n) if row not in bad]
        return [some[row] for row in good], [values[row] for row in good]

    async def _settle(self, progress: Progress, stop: threading.Event) -> None:
        """Until all that was sent has been looked at, or nothing has moved for long."""
        blind: dict[int, str] = {}
        moved = looked = time.monotonic()
        while (self._waiting or blind) and not stop.is_set():
            now = time.monotonic()
            if done := await self._looked_at(blind):
                moved = now
            told = self.outcome
            progress(told.already + told.understood + len(told.failures) + len(blind), told.found)
            if (blind and not self._waiting) or now - moved > QUIET_SECONDS:
                if now - looked > POLL_SECONDS and (await asyncio.to_thread(self._take_letters, blind)):
                    moved = looked = now
                wait = LETTER_SECONDS if not self._waiting else STALLED_SECONDS
                if now - moved > wait:
                    break
            if not done:
                await asyncio.to_thread(stop.wait, POLL_SECONDS)
        for source in blind.values():
            self.outcome.failures.append(Unread(source, "unknown", "no vector; `pinstream dead-letters` may say why"))

    async def _looked_at(self, blind: dict[int, str]) -> int:
        """Take what ClickHouse knows by now; pins without a vector go to ``blind``. Returns how many there were."""
        asked = list(self._waiting)[:ASKED]
        rows = await self._events.query(_SEEN, {"pins": asked}) if asked else {}
        columns = [rows[name].tolist() for name in ("pin", "version", "there")] if rows else []
        count = 0
        for pin, version, there in zip(*columns, strict=True):
            sent, source = self._waiting[pin]
            if version < sent:
                continue
            del self._waiting[pin]
            count += 1
            if there:
                self.outcome.understood += 1
            else:
                blind[pin] = source
        return count

    def _take_letters(self, blind: dict[int, str]) -> int:
        """Give each pin that was set aside since the start its reason. Returns how many there were."""
        count = 0
        wanted = Wanted(topics=frozenset({"pins", "pins.accepted"}), since=self._began, redriven=True)
        for letter, *_ in read_letters(self._settings, wanted):
            match = _PIN.match(letter.value or b"")
            pin = int(match[1]) if match else 0
            source = blind.pop(pin, "") or self._waiting.pop(pin, (0, ""))[1]
            if source:
                self.outcome.failures.append(Unread(source, letter.reason, letter.detail))
                count += 1
        return count


def _is_newer(at: object, version: int) -> bool:
    return isinstance(at, int) and at > version
