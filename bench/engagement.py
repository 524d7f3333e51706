"""The whole engagement path: saves, clicks and impressions decoded, de-duplicated, folded, stored, committed.

The log is filled before the worker starts, so that the worker alone is measured. Afterwards every count by pin is
compared with what was sent, and every aggregate with a recount. Milvus and Triton stay down: counting needs neither.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import click
import numpy as np
import psutil
from confluent_kafka import Consumer, Producer, TopicPartition
from numpy.typing import NDArray

from bench._machine import Stolen
from infra import supervisor
from infra.standing import stand_up
from operators.events import ENGAGEMENT_TOPICS, Kind
from streams.cli.running import EngineFailed, Worker, home_of_its_own, link_installed, start_worker
from streams.outputs import client_config
from streams.recount import recount
from streams.settings import EMBEDDED, Settings
from streams.stores.clickhouse import ClickHouseError, open_event_store
from streams.stores.protocols import StoreUnavailable

#: Shares of the kinds, as of a feed: most of what is shown is passed by.
SHARES = {Kind.IMPRESSION: 0.75, Kind.CLOSEUP: 0.12, Kind.OUTBOUND_CLICK: 0.04, Kind.SAVE: 0.08, Kind.HIDE: 0.01}
TYPES = {Kind.CLOSEUP: "closeup", Kind.OUTBOUND_CLICK: "outbound", Kind.HIDE: "hide"}
COLUMNS = {Kind.IMPRESSION: "impressions", Kind.CLOSEUP: "closeups", Kind.OUTBOUND_CLICK: "outbound_clicks"} | {
    Kind.SAVE: "saves",
    Kind.HIDE: "hides",
}
#: Events that are made and sent at a time.
CHUNK = 1_000_000
#: Memory and speed are told when so many events are stored: what they cost must not grow.
MILESTONES = (1_000_000, 5_000_000, 20_000_000, 50_000_000)
SAMPLE_SECONDS = 0.1
STALLED_SECONDS = 120.0
#: A port where nobody listens.
NOWHERE = "127.0.0.1:9"


@dataclass(frozen=True)
class World:
    """What is sent: columns ``(n,)`` of numbers, not yet ids."""

    kind: NDArray[np.uint8]
    pin: NDArray[np.int64]
    pinner: NDArray[np.int64]
    board: NDArray[np.int64]
    time: NDArray[np.int64]

    @classmethod
    def make(cls, events: int, pins: int, pinners: int, span: tuple[float, float], seed: int) -> World:
        """Pins and pinners by Zipf's law, from the first to the last moment of ``span`` (ms)."""
        random = np.random.default_rng(seed)
        return cls(
            kind=random.choice(list(SHARES), events, p=list(SHARES.values())).astype(np.uint8),
            pin=random.permutation(pins)[random.zipf(1.1, events) % pins] + 1,
            pinner=random.permutation(pinners)[random.zipf(1.2, events) % pinners] + 1,
            board=random.integers(1, 3 * pinners, events),
            time=np.sort(random.uniform(*span, events)).astype(np.int64),
        )

    def counts(self, pins: int) -> NDArray[np.int64]:
        """``(pins + 1, 6)``: how often each kind of event was sent of each pin."""
        return np.bincount(self.pin * 6 + self.kind, minlength=6 * (pins + 1)).reshape(-1, 6)


@click.command("engagement")
@click.option("--events", default=2_000_000, show_default=True, help="Events in the log.")
@click.option("--pins", default=50_000, show_default=True, help="Pins, announced before.")
@click.option("--pinners", default=20_000, show_default=True, help="Pinners.")
@click.option("--minutes", default=10.0, show_default=True, help="How long a time the events are spread over.")
@click.option("--codec", default="lz4", type=click.Choice(["none", "lz4", "zstd", "snappy", "gzip"]), show_default=True)
@click.option("--clickhouse", default=EMBEDDED, help="A server: clickhouse://user:password@host:9000/EMPTY_DATABASE.")
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
def command(**options: Any) -> None:
    """Measure events/s of the whole engagement path of one worker."""
    as_json = options.pop("as_json")
    installed = Settings.load()
    try:
        found = measure(installed, **options)
    except (EngineFailed, supervisor.PartFailed, StoreUnavailable) as error:
        raise click.ClickException(str(error)) from None
    except ClickHouseError as error:
        raise click.ClickException(
            f"{options['clickhouse']} refuses a statement (it has to be 22 or later): {error}"
        ) from None
    click.echo(json.dumps(found) if as_json else "\n".join(f"{name:<44}{value}" for name, value in found.items()))


def measure(
    installed: Settings,
    *,
    events: int,
    pins: int,
    pinners: int,
    minutes: float,
    codec: str,
    seed: int,
    clickhouse: str = EMBEDDED,
) -> dict[str, Any]:
    """All figures. Raises EngineFailed and PartFailed; StoreUnavailable and ClickHouseError of a server."""
    settings = replace(home_of_its_own(installed, "bench-engagement"), milvus=f"http://{NOWHERE}", triton=NOWHERE)
    settings = replace(settings, clickhouse=clickhouse)
    link_installed(installed.home, settings.home)
    worker = None
    try:
        asyncio.run(stand_up(settings, _say))
        asyncio.run(refuse_filled(settings))
        announce(settings, pins)
        worker = start_worker(settings)
        take_in_pins(settings, worker, pins)
        worker.stop()
        began, size, sent = time.monotonic(), 0, np.zeros((pins + 1, 6), np.int64)
        # In order of time over the whole log, as a log is.
        end = time.time() * 1000
        at = np.interp(np.arange(0, events + CHUNK, CHUNK), [0, events], [end - minutes * 60_000, end]).tolist()
        for first, span in zip(range(0, events, CHUNK), pairwise(at), strict=True):
            world = World.make(min(CHUNK, events - first), pins, pinners, span, seed + first)
            size += fill(settings, world, codec)
            sent += world.counts(pins)
        seconds = time.monotonic() - began
        size /= events
        _say(f"log: {events:,} events of {size:.0f} bytes, filled at {events / seconds:,.0f}/s ({codec})")
        worker = start_worker(settings)
        found = watch(settings, worker, events)
        worker.stop()
        found["committed"] = committed(settings)
        asyncio.run(check(settings, sent, found))
        return {"cores": os.cpu_count(), "events": events, "bytes of an event": round(size), "codec": codec} | found
    finally:
        if worker is not None:
            worker.stop()
        supervisor.down(settings, _say)


def _say(line: str) -> None:
    click.echo(line, err=True)


async def refuse_filled(settings: Settings) -> None:
    """What a server holds already would be counted with the rest. Raises EngineFailed."""
    store = open_event_store(settings)
    rows = await store.query("SELECT (SELECT count() FROM engagement) + (SELECT count() FROM pins) AS n")
    await store.close()
    if int(rows["n"][0]):
        raise EngineFailed(f"{settings.clickhouse} holds pins or events already: give it an empty database")


def announce(settings: Settings, pins: int) -> None:
    """Pins without pictures, each with an owner, a board and a domain."""
    producer = Producer(client_config(settings) | {"linger.ms": 20, "queue.buffering.max.messages": 1_000_000})
    at = int(time.time() * 1000)
    for pin in range(1, pins + 1):
        event = {
            "type": "created",
            "pin": pin,
            "pinner": 1 + pin % 5_000,
            "board": 1 + pin // 20,
            "time": at,
            "domain": f"site{pin % 500}.example",
        }
        producer.produce("pins", json.dumps(event).encode(), str(pin).encode())
        producer.poll(0)
    producer.flush()


def take_in_pins(settings: Settings, worker: Worker, pins: int) -> None:
    """Wait until every pin is in the catalogue."""

    async def wait() -> None:
        store = open_event_store(settings)
        deadline = time.monotonic() + STALLED_SECONDS
        while int((await store.query("SELECT count() AS n FROM pins FINAL"))["n"][0]) < pins:
            worker.check()
            if time.monotonic() > deadline:
                raise EngineFailed(f"not all of {pins:,} pins were taken in after {STALLED_SECONDS:.0f} s")
            await asyncio.sleep(SAMPLE_SECONDS)
        await store.close()

    asyncio.run(wait())


def fill(settings: Settings, world: World, codec: str) -> int:
    """Send everything; returns how many bytes."""
    options = {"compression.type": codec, "linger.ms": 50, "batch.size": 1_000_000, "batch.num.messages": 10_000}
    producer = Producer(client_config(settings) | options | {"queue.buffering.max.messages": 2_000_000})
    size = 0
    run = f"{time.time_ns():x}"
    for row, (kind, pin, pinner, board, at) in enumerate(
        zip(*(getattr(world, name).tolist() for name in World.__dataclass_fields__), strict=True)
    ):
        head = f'{{"event_id":"{run}-{row}","time":{at},"pinner":{pinner},"pin":{pin},"position":{row % 25}'
        if kind == Kind.IMPRESSION:
            topic, value = "impressions", head + ',"surface":"home"}'
        elif kind == Kind.SAVE:
            topic, value = "saves", f'{head},"board":{board},"surface":"related"}}'
        else:
            topic, value = "clicks", f'{head},"type":"{TYPES[Kind(kind)]}"}}'
        size += len(value)
        producer.produce(topic, value.encode(), str(pinner).encode())
        if row % 10_000 == 0:
            producer.poll(0)
    producer.flush()
    return size


def watch(settings: Settings, worker: Worker, events: int) -> dict[str, Any]:
    """Sample until everything is stored."""
    store = open_event_store(settings)
    processes = {"worker": worker.process.pid} | {
        status.name: status.pid for status in supervisor.status(settings) if status.pid
    }
    watched = {name: psutil.Process(pid) for name, pid in processes.items()}
    cpu_before = {name: _cpu(process) for name, process in watched.items()}
    began, stolen = time.monotonic(), Stolen()
    samples: list[tuple[float, int]] = [(began, 0)]
    peak = dict.fromkeys(watched, 0)
    milestones: dict[str, str] = {}

    async def sample() -> None:
        moved = began
        while samples[-1][1] < events:
            await asyncio.sleep(SAMPLE_SECONDS)
            worker.check()
            rows = int((await store.query("SELECT count() AS n FROM engagement"))["n"][0])
            now = time.monotonic()
            if rows > samples[-1][1]:
                moved = now
                if samples[-1][1] == 0:
                    cpu_before.update({name: _cpu(process) for name, process in watched.items()})
            if now - moved > STALLED_SECONDS:
                raise EngineFailed(f"{rows:,} of {events:,} events after {STALLED_SECONDS:.0f} s without one")
            samples.append((now, rows))
            memory = {name: process.memory_info().rss for name, process in watched.items()}
            peak.update({name: max(peak[name], size) for name, size in memory.items()})
            for milestone in MILESTONES:
                if samples[-2][1] < milestone <= rows:
                    told = ", ".join(f"{name} {size >> 20}" for name, size in memory.items())
                    milestones[f"at {milestone:,} events"] = f"{_rate(samples, rows):,.0f} events/s; MiB: {told}"
                    _say(f"at {milestone:,} events: {milestones[f'at {milestone:,} events']}")
        await store.close()

    asyncio.run(sample())
    first = next(index for index, (_, rows) in enumerate(samples) if rows)
    (start, before), (end, after) = samples[first], samples[-1]
    seconds = end - start
    rates = [(b - a) / (t - s) for (s, a), (t, b) in pairwise(samples[first:]) if t > s]
    cpu = {name: (_cpu(process) - cpu_before[name]) / (after - before) * 1e6 for name, process in watched.items()}
    return {
        "events/s, first block stored to last": round((after - before) / seconds),
        "events/s, worker's start to last": round(events / (end - began)),
        "seconds until the first block is stored": round(start - began, 2),
        "best second, events/s": round(max(np.convolve(rates, np.ones(10) / 10, "valid"), default=0)),
        **milestones,
        **{f"CPU of {name}, µs an event": round(spent, 2) for name, spent in cpu.items()},
        **{f"memory of {name}, MiB": round(size / 2**20) for name, size in peak.items()},
        "processor time taken by the host, %": stolen.percent(),
    }


def _rate(samples: list[tuple[float, int]], rows: int) -> float:
    """Events/s over about the last million events (or all, if there were not as many)."""
    since, before = next((at, count) for at, count in reversed(samples) if count <= max(0, rows - CHUNK))
    return (rows - before) / (samples[-1][0] - since)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def committed(settings: Settings) -> bool:
    """Does Kafka hold the end of every partition as the group's position?"""
    consumer = Consumer(client_config(settings) | {"group.id": settings.group})
    try:
        for topic in ENGAGEMENT_TOPICS:
            parts = [TopicPartition(topic, part) for part in consumer.list_topics(topic).topics[topic].partitions]
            for part in consumer.committed(parts, timeout=10):
                end = consumer.get_watermark_offsets(part, timeout=10)[1]
                if end and part.offset != end:
                    return False
        return True
    finally:
        consumer.close()


async def check(settings: Settings, sent: NDArray[np.int64], found: dict[str, Any]) -> None:
    """Is every count by pin what was sent, and every aggregate what a recount gives?"""
    store = open_event_store(settings)
    try:
        sums = ", ".join(f"sum({name}) AS {name}_" for name in COLUMNS.values())
        rows = await store.query(f"SELECT pin, {sums} FROM engagement_by_pin GROUP BY pin")
        counted = np.zeros_like(sent)
        for kind, name in COLUMNS.items():
            counted[rows["pin"], kind] = rows[f"{name}_"]
        found["counts equal what was sent"] = bool((counted == sent).all())
        found["aggregates equal a recount"] = all(each.equal for each in await recount(store))
    finally:
        await store.close()


if __name__ == "__main__":
    command()
