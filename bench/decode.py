"""How fast one core turns Kafka records into columns: ``python -m bench.decode``. A table, and a line of JSON."""

from __future__ import annotations

import json
import time

import numpy as np

from operators.batch import Records, Source
from operators.decode import decode_engagement
from operators.duplicates import RecentIds

EVENTS, ROUNDS = 50_000, 5
LOGGED = 1_770_000_000_000


def batch(event_id: str, bad: int = 0, **extra: object) -> Records:
    """A batch of saves; every ``bad``-th record is cut short."""
    names = {
        "integer": lambda i: {"event_id": i + 1},
        "text": lambda i: {"event_id": f"event-{i}"},
        "none": lambda _: {},
    }
    values: list[bytes | None] = []
    for i in range(EVENTS):
        event = {"time": LOGGED - i, "pinner": i % 997 + 1, "pin": i % 9973 + 1, "board": i % 1999 + 1}
        event |= {"slate": i + 1, "position": i % 50, "surface": "home", **names[event_id](i), **extra}
        value = json.dumps(event).encode()
        values.append(value[:-3] if bad and i % bad == 0 else value)
    return Records.of(Source("saves", 0, 0, EVENTS - 1), np.arange(EVENTS), np.full(EVENTS, LOGGED), values)


def main() -> None:
    cases = {
        "clean, integer event_id": batch("integer"),
        "clean, text event_id": batch("text"),
        "clean, named by content": batch("none"),
        "every event has an unknown field": batch("integer", mood="calm"),
        "one record in 1,000 is bad": batch("integer", bad=1000),
        "every record is bad": batch("integer", bad=1),
    }
    rates = {name: EVENTS / min(_seconds(records) for _ in range(ROUNDS)) for name, records in cases.items()}
    rates["duplicates: look up and remember"] = _duplicates()
    for name, rate in rates.items():
        print(f"{name:<34} {rate:>12,.0f} events/s")
    print(json.dumps({name: round(rate) for name, rate in rates.items()}))


def _seconds(records: Records) -> float:
    began = time.perf_counter()
    decode_engagement(records)
    return time.perf_counter() - began


def _duplicates() -> float:
    recent, chance = RecentIds(), np.random.default_rng(0)
    recent.load(np.arange(1, 2))  # compiled before it is timed
    recent.fresh(np.arange(1, 2))
    ids = chance.integers(1, 2**62, EVENTS * ROUNDS)
    began = time.perf_counter()
    for part in np.split(ids, ROUNDS):
        recent.load(part[recent.fresh(part)])
    return len(ids) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
