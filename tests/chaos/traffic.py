"""The load: SIMULATED traffic with known truth, some of it twice, late, out of order or broken."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from confluent_kafka import Producer

from operators.identity import stable_id
from streams.cli.simulate import MANIFEST, simulated_world
from streams.settings import PROJECT, Settings
from streams.traffic.lines import Line
from streams.traffic.simulate import pin_events, pinner_events, traffic

DAY = 86_400_000
#: Shares of engagement events.
TWICE, LATE, BROKEN = 0.05, 0.05, 0.02
#: Of so many events that wait, one at random is next: neighbours change places.
SHUFFLED = 30
#: An event comes again within so many later ones; the engine promises two million.
HORIZON = 5_000
#: Seconds between pins: each costs the models 0.1 to 0.3 s of a core.
PIN_EVERY = 1.5
#: Records nobody can use, each made unique by its number.
JUNK = (
    b"",
    b"{not json %d",
    b"[%d]",
    b'{"event_id": "broken-%d"}',
    b'{"time": 17, "pinner": 1, "pin": 2, "board": 3, "type": "closeup", "event_id": "%d"}',
    b"\xff\xfe %d",
    b'{"time": "%d"}',
)


@dataclass
class Sent:
    """What the broker acknowledged."""

    #: Event id → the event, of engagement, pins and pinners.
    events: dict[int, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    #: Event id → how many times it was sent on purpose.
    times: dict[int, int] = field(default_factory=dict)
    acknowledged: set[int] = field(default_factory=set)
    broken: int = 0
    #: ``(topic, partition, offset)`` of the records nobody can use.
    broken_at: set[tuple[str, int, int]] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)


class Load:
    """Sends ``rate`` events a second from a thread of its own until it is stopped."""

    def __init__(self, settings: Settings, seed: int, rate: float, pins: int = 20) -> None:
        self.sent = Sent()
        self._rate, self._rng = rate, random.Random(seed)
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "enable.idempotence": True,
                "message.timeout.ms": 0,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        photos = orjson.loads(MANIFEST.read_bytes())
        end = int(time.time() * 1000)
        self._world = simulated_world(
            photos, name=f"chaos-{seed}-{end}", pins=pins + 400, pinners=150, days=1, seed=seed
        )
        files = [PROJECT / "examples" / "sample" / "photos" / photo["file"] for photo in photos]
        images = [f"file:{files[n % len(files)].relative_to(PROJECT)}" for n in range(pins + 400)]
        self._pins = deque(pin_events(self._world, end, images))
        self._engagement = traffic(self._world, slates=1_000_000 // 24, days=1, end=end)
        self._first = [self._pins.popleft() for _ in range(pins)] + pinner_events(self._world, end, 1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._lock = threading.Lock()
        self._images = images
        self._probes = 0

    def start(self) -> None:
        """The first pins and pinners, then everything else at its rate."""
        for line in self._first:
            self._send(line)
        self._thread.start()

    def stop(self) -> None:
        """Send no more, and wait until the broker has everything."""
        self._stop.set()
        self._thread.join()
        left = self._producer.flush(120)
        assert left == 0, f"{left} messages did not reach the broker"
        assert not self.sent.failed, self.sent.failed[:3]

    def probe(self) -> tuple[list[int], int]:
        """One save for every partition of the engagement topics and one pin, now: ids of the saves, and the pin."""
        self._probes += 1
        now = int(time.time() * 1000)
        ids: list[int] = []
        for partition in range(4):
            for topic in ("saves", "clicks", "impressions"):
                event: dict[str, Any] = {"event_id": f"{self._world.name}-probe-{self._probes}-{topic}-{partition}"}
                event |= {"time": now, "pinner": 1 + self._probes % 150, "pin": 1 + partition}
                event |= {"saves": {"board": "probe"}, "clicks": {"type": "closeup"}}.get(topic, {})
                self._send(Line(topic, event["pinner"], event), partition)
                ids.append(stable_id(event["event_id"]))
        pin = stable_id(f"{self._world.name}-probe-{self._probes}")
        event = {"type": "created", "time": now, "event_id": f"{self._world.name}-pin-probe-{self._probes}", "pin": pin}
        event |= {"pinner": 1, "board": "probe", "title": "Probe", "image": self._images[self._probes % 300]}
        self._send(Line("pins", pin, event))
        return ids, pin

    def some(self) -> tuple[list[int], list[int], list[str]]:
        """Some pins, pinners and domains of this load, to look at."""
        pins = [stable_id(line.event["pin"]) for line in self._first if line.topic == "pins"]
        return pins[:30], self._world.pinner[:15].tolist(), list(self._world.domains[:10])

    def _run(self) -> None:
        began, number, next_pin = time.monotonic(), 0, time.monotonic()
        for line in self._disturbed():
            if self._stop.is_set():
                return
            number += 1
            self._send(line)
            if self._rng.random() < BROKEN:
                self._send_junk(line.topic, line.message()[0])
            if time.monotonic() >= next_pin and self._pins:
                next_pin = time.monotonic() + PIN_EVERY
                self._send_pin()
            ahead = number / self._rate - (time.monotonic() - began)
            if ahead > 0:
                time.sleep(ahead)
            elif ahead < -5:  # the machine was busy: go on at the rate, do not catch up
                began, number = time.monotonic(), 0

    def _disturbed(self) -> Iterator[Line]:
        """The world's events in another order, some of them late, some again later."""
        window: list[Line] = []
        again: list[tuple[int, Line]] = []
        for number, line in enumerate(self._engagement):
            if self._rng.random() < LATE:
                line.event["time"] -= self._rng.randrange(30 * DAY)
            window.append(line)
            if len(window) < SHUFFLED:
                continue
            chosen = window.pop(self._rng.randrange(SHUFFLED))
            yield chosen
            if self._rng.random() < TWICE:
                again.append((number + self._rng.randrange(HORIZON), chosen))
            due = [entry for entry in again if entry[0] <= number]
            again = [entry for entry in again if entry[0] > number]
            for _, line_again in due:
                yield line_again

    def _send_pin(self) -> None:
        """A new pin, or an earlier one changed, deleted, or in an older version that comes too late."""
        self._send(self._pins.popleft())
        if self._rng.random() > 0.3:
            return
        line = self._first[self._rng.randrange(len(self._first))]
        if line.topic != "pins":
            return
        kind, now = self._rng.choice(("updated", "deleted", "older")), int(time.time() * 1000)
        changed = {"event_id": f"{line.event['event_id']}-{now}", "time": now, "type": kind}
        if kind == "older":
            changed |= {"time": line.event["time"] - 1000, "type": "updated"}
        self._send(Line("pins", line.key, {**line.event, **changed, "image": self._rng.choice(self._images)}))

    def _send_junk(self, topic: str, key: bytes) -> None:
        with self._lock:
            self.sent.broken += 1
            pattern = JUNK[self.sent.broken % len(JUNK)]
            value = pattern % self.sent.broken if b"%d" in pattern else pattern

        def delivered(error: Any, message: Any) -> None:
            if error is None:
                self.sent.broken_at.add((message.topic(), message.partition(), message.offset()))
            else:
                self.sent.failed.append(str(error))

        self._produce(topic, value, key, delivered)

    def _send(self, line: Line, partition: int = -1) -> None:
        key, value = line.message()
        name = stable_id(line.event["event_id"])
        with self._lock:
            self.sent.events[name] = line.topic, dict(line.event)
            self.sent.times[name] = self.sent.times.get(name, 0) + 1

        def delivered(error: Any, _message: Any) -> None:
            if error is None:
                self.sent.acknowledged.add(name)
            else:
                self.sent.failed.append(str(error))

        self._produce(line.topic, value, key, delivered, partition)

    def _produce(self, topic: str, value: bytes, key: bytes, delivered: Any, partition: int = -1) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition, on_delivery=delivered)
                self._producer.poll(0)
                return
            except BufferError:  # the broker has been away for long
                self._producer.poll(0.2)
