"""The reckoning: what the engine holds against the log, and the log against what was sent."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from operators.events import ENGAGEMENT_TOPICS, Kind
from operators.identity import stable_id
from operators.slate.slate import Slate, decode, slate_id
from streams.dead_letters import decode_dead_letter
from streams.encoders.following import parts_that_serve
from streams.recount import COUNTS, KEYS, recount
from streams.settings import Settings
from streams.stores.milvus import MilvusVectors
from streams.stores.protocols import EventStore
from tests.chaos.log import Record, read_log
from tests.chaos.traffic import Sent

HOUR = 3_600_000
TOPICS = ["saves", "clicks", "impressions", "pins", "pinners", "pins.accepted", "dead.letters", "feed.candidates"]
SHOWN = 5
KINDS = {"closeup": Kind.CLOSEUP, "outbound": Kind.OUTBOUND_CLICK, "hide": Kind.HIDE}


@dataclass
class Audit:
    """Numbers to print, and every difference as a sentence; without any, all is exact."""

    numbers: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        return not self.differences

    def same(self, what: str, found: set[Any], expected: set[Any]) -> None:
        """Two sets are equal; the number of what is missing and what is too much is kept."""
        missing, extra = expected - found, found - expected
        if missing:
            self.differences.append(f"{what}: {len(missing)} are missing, such as {sorted(missing, key=str)[:SHOWN]}")
        if extra:
            self.differences.append(f"{what}: {len(extra)} too many, such as {sorted(extra, key=str)[:SHOWN]}")

    def equal(self, what: str, found: Any, expected: Any) -> None:
        if found != expected:
            self.differences.append(f"{what}: {found} instead of {expected}")


def expected_events(records: list[Record], sent: Sent) -> dict[int, tuple[str, dict[str, Any]]]:
    """Event id → topic and event, of engagement that the log holds and that is no junk."""
    found: dict[int, tuple[str, dict[str, Any]]] = {}
    for record in records:
        if record.topic in ENGAGEMENT_TOPICS and (record.topic, record.partition, record.offset) not in sent.broken_at:
            event = orjson.loads(record.value or b"")
            found[stable_id(event["event_id"])] = record.topic, event
    return found


async def audit(settings: Settings, sent: Sent) -> Audit:
    """Compare everything. The engine must be at rest."""
    result = Audit()
    records = await asyncio.to_thread(read_log, settings.kafka_bootstrap, TOPICS)
    async with parts_that_serve(settings) as (events, _, vectors):
        _log(result, records, sent)
        truth = expected_events(records, sent)
        await _raw(result, events, truth, records, sent)
        await _sums(result, events, truth)
        for table in await recount(events):
            if not table.equal:
                result.differences.append(f"{table.table} against its recount: {table.different} {table.differences}")
        _dead_letters(result, records, sent)
        await _pins(result, events, vectors, records, sent)
        await _slates(result, events, records, truth)
    return result


def _log(result: Audit, records: list[Record], sent: Sent) -> None:
    """The broker kept what it acknowledged."""
    held = {
        stable_id(orjson.loads(record.value or b"")["event_id"])
        for record in records
        if record.topic in (*ENGAGEMENT_TOPICS, "pins", "pinners")
        and (record.topic, record.partition, record.offset) not in sent.broken_at
    }
    result.same("events in the log", held, set(sent.events))
    result.numbers["events sent"] = len(sent.events)
    result.numbers["sent twice on purpose"] = sum(times - 1 for times in sent.times.values())
    result.numbers["records nobody can use"] = len(sent.broken_at)


async def _raw(result: Audit, events: EventStore, truth: dict[int, Any], records: list[Record], sent: Sent) -> None:
    rows = await events.query("SELECT event_id FROM engagement")
    ids = rows["event_id"].tolist() if rows else []
    times = Counter(ids)
    result.same("events counted", set(ids), set(truth))
    result.numbers["events counted"] = len(ids)
    result.numbers["lost"] = len(set(truth) - set(ids))
    result.numbers["double"] = sum(count - 1 for count in times.values())
    result.equal("events counted twice", result.numbers["double"], 0)


async def _sums(result: Audit, events: EventStore, truth: dict[int, tuple[str, dict[str, Any]]]) -> None:
    """Counts by hour from the producer's own events; owner and domain are the catalogue's, and recounted only."""
    expected: dict[str, Counter[tuple[int, int, str]]] = {key: Counter() for key in ("pin", "pinner", "board")}
    for topic, event in truth.values():
        kind = {"saves": Kind.SAVE, "impressions": Kind.IMPRESSION}.get(topic) or KINDS[event["type"]]
        for key, counter in expected.items():
            if event.get(key):
                counter[stable_id(event[key]), event["time"] // HOUR, COUNTS[kind - 1]] += 1
    for key in KEYS:
        rows = await events.query(
            f"SELECT {key}, hour, {', '.join(f'sum({name}) AS {name}_' for name in COUNTS)} "
            f"FROM engagement_by_{key} GROUP BY {key}, hour"
        )
        if key not in expected:
            continue
        found: Counter[tuple[int, int, str]] = Counter()
        for name in COUNTS if rows else ():
            for identity, hour, count in zip(
                rows[key].tolist(), rows["hour"].tolist(), rows[name + "_"].tolist(), strict=True
            ):
                if count:
                    found[identity, hour, name] = count
        result.same(f"counts by {key} and hour", set(found.items()), set(expected[key].items()))


def _dead_letters(result: Audit, records: list[Record], sent: Sent) -> None:
    letters = [decode_dead_letter(record.value or b"") for record in records if record.topic == "dead.letters"]
    places = [(letter.topic, letter.partition, letter.offset) for letter in letters]
    result.same("dead letters", set(places), sent.broken_at)
    result.numbers["dead letters"] = len(set(places))
    # Sent again after a crash: the same id for the same place, so that a reader knows.
    result.numbers["dead letters sent again"] = len(places) - len(set(places))
    ids = defaultdict(set)
    for letter, place in zip(letters, places, strict=True):
        ids[place].add(letter.id)
    result.equal("places with several dead letters", sum(len(each) > 1 for each in ids.values()), 0)


async def _pins(result: Audit, events: EventStore, vectors: MilvusVectors, records: list[Record], sent: Sent) -> None:
    newest: dict[int, dict[str, Any]] = {}
    for record in records:
        if record.topic == "pins":
            event = orjson.loads(record.value or b"")
            pin = stable_id(event["pin"])
            if pin not in newest or event["time"] > newest[pin]["time"]:
                newest[pin] = event
    alive = {pin for pin, event in newest.items() if event["type"] != "deleted"}
    rows = await events.query("SELECT pin, version, deleted FROM pins FINAL")
    found = set(zip(*(rows[name].tolist() for name in ("pin", "version", "deleted")), strict=True))
    truth = {(pin, event["time"], int(event["type"] == "deleted")) for pin, event in newest.items()}
    result.same("pins in their newest version", found, truth)

    held = await vectors.fetch("pins", np.array(sorted(newest), np.int64))
    result.same("pins with a vector in Milvus", set(held), alive)
    result.equal("vectors in Milvus", await vectors.count("pins"), len(alive))
    rows = await events.query("SELECT pin, version, vector FROM pin_vectors FINAL")
    by_pin = {pin: (version, vector) for pin, version, vector in zip(*(rows[n].tolist() for n in rows), strict=True)}
    result.same(
        "pins with a vector in ClickHouse",
        {(pin, version) for pin, (version, vector) in by_pin.items() if len(vector)},
        {(pin, newest[pin]["time"]) for pin in alive},
    )
    other = [
        pin for pin, vector in held.items() if pin in by_pin and not np.allclose(vector, by_pin[pin][1], atol=1e-5)
    ]
    result.equal("pins whose two vectors differ", other[:SHOWN], [])
    result.numbers |= {"pins": len(newest), "vectors": len(held)}


async def _slates(result: Audit, events: EventStore, records: list[Record], truth: dict[int, Any]) -> None:
    slates: dict[int, list[Slate]] = defaultdict(list)
    for record in records:
        if record.topic == "feed.candidates":
            slate = decode(record.value or b"")
            slates[slate.slate].append(slate)
    everything = [slate for each in slates.values() for slate in each]
    wrong = [slate.slate for slate in everything if slate.slate != slate_id(slate.pinner, slate.trigger_event)]
    result.equal("slates with another id than their trigger's", wrong[:SHOWN], [])
    unknown = {slate.trigger_event for slate in everything} - set(truth)
    result.equal("slates for events that nobody sent", sorted(unknown)[:SHOWN], [])
    result.numbers["slates"] = len(slates)
    result.numbers["slates sent again"] = len(everything) - len(slates)
    changed = [name for name, each in slates.items() if len({tuple(i.pin for i in one.items) for one in each}) > 1]
    result.numbers["slates sent again with other pins"] = len(changed)
    rows = await events.query("SELECT slate, pins FROM slates FINAL")
    kept = {slate: tuple(pins.tolist()) for slate, pins in zip(*(rows[n] for n in rows), strict=True)} if rows else {}
    result.same("slates kept in ClickHouse", set(map(int, kept)), set(slates))
    other = [
        name
        for name, pins in kept.items()
        if int(name) in slates and all(pins != tuple(i.pin for i in one.items) for one in slates[int(name)])
    ]
    result.equal("slates kept otherwise than sent", other[:SHOWN], [])
