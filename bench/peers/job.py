"""The job that every engine does: events of known content, and what counting them must give.

An event is a JSON object of about 127 bytes. Counted are (pin, type, minute of event time) and (domain, type). A pin
stays in one partition, as its key would keep it, and the four partitions are uneven. Same number and seed, same
events and same truth, on any machine.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TYPES = ("closeup", "save", "outbound", "hide")
TYPE_SHARES = (0.70, 0.17, 0.10, 0.03)
PARTITION_SHARES = (0.30, 0.27, 0.23, 0.20)
PARTITIONS = len(PARTITION_SHARES)
PINS, DOMAINS = 10_000, 500
FIRST_TIME = 1_770_000_000_000
MINUTE = 60_000
#: Event time goes through so many minutes; an event may be a few seconds late.
MINUTES, LATEST = 10, 5_000
SEED = 4

Ints = NDArray[np.int64]


class Counts(NamedTuple):
    """What an engine must give: events by (pin, type, minute since the epoch) and by (domain, type)."""

    pins: dict[tuple[int, str, int], int]
    domains: dict[tuple[str, str], int]


class Events(NamedTuple):
    """Columns ``(n,)`` of the events in the order in which they are produced."""

    number: Ints
    pin: Ints
    type: Ints
    domain: Ints
    time: Ints
    pinner: Ints
    partition: Ints

    def messages(self) -> Iterator[tuple[int, bytes, bytes]]:
        """(partition, key, value) of every event."""
        names = [domain_name(domain) for domain in range(DOMAINS)]
        for number, pin, kind, domain, time, pinner, partition in zip(*(each.tolist() for each in self), strict=True):
            value = (
                f'{{"event_id":{10**6 + number},"type":"{TYPES[kind]}","pin":{pin},"pinner":{pinner},'
                f'"domain":"{names[domain]}","time":{time},"position":{number % 50}}}'
            )
            yield partition, b"%d" % pin, value.encode()

    def counts(self) -> Counts:
        """The truth, from the columns."""
        first = FIRST_TIME // MINUTE - 1
        many = len(TYPES)
        keys, totals = np.unique(
            (self.time // MINUTE - first) + 100 * (self.type + many * self.pin), return_counts=True
        )
        pins = {
            (key // 100 // many, TYPES[key // 100 % many], key % 100 + first): total
            for key, total in zip(keys.tolist(), totals.tolist(), strict=True)
        }
        keys, totals = np.unique(self.type + many * self.domain, return_counts=True)
        domains = {
            (domain_name(key // many), TYPES[key % many]): total
            for key, total in zip(keys.tolist(), totals.tolist(), strict=True)
        }
        return Counts(pins, domains)


def events(n: int, seed: int = SEED) -> Events:
    """``n`` events: few pins get most of them, time goes forward but for some late ones."""
    chance = np.random.default_rng(seed)
    popularity = 1.0 / np.arange(10, PINS + 10)
    ranks = chance.choice(PINS, n, p=popularity / popularity.sum())
    pins = 10**5 + chance.permutation(PINS)
    homes = chance.choice(PARTITIONS, PINS, p=PARTITION_SHARES)
    domains = chance.integers(0, DOMAINS, PINS)
    forward = FIRST_TIME + np.arange(n) * (MINUTES * MINUTE) // max(n, 1)
    return Events(
        number=np.arange(n),
        pin=pins[ranks],
        type=chance.choice(len(TYPES), n, p=TYPE_SHARES),
        domain=domains[ranks],
        time=forward - chance.integers(0, LATEST, n),
        pinner=chance.integers(10**4, 10**5, n),
        partition=homes[ranks],
    )


def domain_name(domain: int) -> str:
    return f"site{domain:04d}.example"


def recount(values: Iterable[bytes]) -> Counts:
    """The job in the plainest Python there is."""
    pins: Counter[tuple[int, str, int]] = Counter()
    domains: Counter[tuple[str, str]] = Counter()
    for value in values:
        event = json.loads(value)
        pins[event["pin"], event["type"], event["time"] // MINUTE] += 1
        domains[event["domain"], event["type"]] += 1
    return Counts(dict(pins), dict(domains))
