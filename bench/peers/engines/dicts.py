"""The job in plain Python as a user would write it fast: a msgspec struct and dicts. Needs msgspec alone."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from bench.peers.answer import MINUTE


class Event(msgspec.Struct, gc=False):
    """What the job needs of an event; other fields are skipped."""

    type: str
    pin: int
    domain: str
    time: int


decode = msgspec.json.Decoder(Event).decode


class Dicts:
    """Both counts."""

    def __init__(self) -> None:
        self.pins: dict[tuple[int, str, int], int] = {}
        self.domains: dict[tuple[str, str], int] = {}

    def count(self, event: Event) -> None:
        pins, domains = self.pins, self.domains
        key = event.pin, event.type, event.time // MINUTE
        pins[key] = pins.get(key, 0) + 1
        name = event.domain, event.type
        domains[name] = domains.get(name, 0) + 1

    def lines(self) -> tuple[Iterator[str], Iterator[str]]:
        """As :func:`bench.peers.answer.answer` takes them."""
        pins = (f"{pin}\t{kind}\t{minute}\t{count}" for (pin, kind, minute), count in self.pins.items())
        return pins, (f"{domain}\t{kind}\t{count}" for (domain, kind), count in self.domains.items())
