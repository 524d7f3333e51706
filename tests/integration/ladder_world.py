"""A worker whose every part stands behind a fault proxy, with a Kafka and a ClickHouse of its own."""

from __future__ import annotations

import asyncio
import base64
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer

from infra import topics
from infra.migrate import migrate
from infra.ports import is_free
from operators.slate.slate import Slate, decode
from streams.settings import PROJECT, Settings
from streams.stores.clickhouse import open_event_store
from tests.chaos.parts import own_clickhouse, own_kafka
from tests.chaos.proxy import FaultProxy
from tests.integration.running import Worker, until

PHOTOS = sorted((PROJECT / "examples" / "sample" / "photos").glob("*.jpg"))[:8]
PINS = list(range(601, 601 + len(PHOTOS)))
DATABASE = "ladder"
PARTS = {"kafka": "kafka", "clickhouse": "clickhouse", "milvus": "milvus", "triton": "triton_grpc"}


class LadderWorld:
    """The worker, its parts and the proxies before them; pinners who act, and the slates that they get."""

    def __init__(self, session: Settings, home: Path, port_base: int, environment: dict[str, str]) -> None:
        """``session`` has Milvus and Triton; Kafka and ClickHouse are made anew in ``home``."""
        own = replace(Settings.load({}), home=home, port_base=port_base, group="ladder", milvus_database=DATABASE)
        upstream = {part: (own if part in ("kafka", "clickhouse") else session).port(PARTS[part]) for part in PARTS}
        self._closing = ExitStack()
        self.proxies = {name: self._closing.enter_context(FaultProxy(port)) for name, port in upstream.items()}
        self.settings = own
        self.kafka, self.clickhouse = own_kafka(own, self.proxies["kafka"]), own_clickhouse(own)
        for part in (self.kafka, self.clickhouse):
            self._closing.callback(part.kill)
        self._session = session
        self._ports = {PARTS[name]: proxy.port for name, proxy in self.proxies.items()}
        self._environment = {"PINSTREAM_MILVUS_DATABASE": DATABASE} | environment
        self.worker = Worker(own, "ladder", self._ports, self._environment)
        self._closing.callback(self._kill_worker)
        self._events = 0
        #: Events sent so far that must count.
        self.sent = 0

    def start(self) -> None:
        """Everything up, a few pins understood, and the first slate whole."""
        self.clickhouse.start()
        self.kafka.start()
        topics.apply(self.settings)

        async def tables() -> None:
            store = open_event_store(self.settings)
            await migrate(store)
            await store.close()

        asyncio.run(tables())
        self.worker.start()
        self.reader = Consumer(
            {"bootstrap.servers": self.settings.kafka_bootstrap, "group.id": "ladder-reader"}
            | {"auto.offset.reset": "earliest"}
        )
        self._closing.callback(self.reader.close)
        self.reader.subscribe(["feed.candidates"])
        self.new_pins(PINS)
        until("all pins are understood", lambda: self.understood(PINS) == len(PINS), 120)
        self.until_whole()

    def close(self) -> None:
        """Stop it all."""
        self._closing.close()

    def heal(self) -> None:
        """No proxy does harm any more."""
        for proxy in self.proxies.values():
            proxy.heal()

    def act(self, pinners: int = 1) -> list[int]:
        """Each of some new pinners saves two pins; returns the ids of the events that should bring a slate."""
        now = int(time.time() * 1000)
        first, self._events = self._events, self._events + 2 * pinners
        events = [
            {
                "event_id": 5_000_000 + first + n,
                "time": now,
                "pinner": 40_000 + (first + n) // 2,
                "pin": PINS[(first + n) % len(PINS)],
                "board": 50_000 + (first + n) // 2,
            }
            for n in range(2 * pinners)
        ]
        self.sent += self.worker.send("saves", events)
        return [event["event_id"] for event in events[1::2]]

    def slates(self, triggers: list[int], seconds: float = 30.0) -> list[Slate]:
        """The slates on ``feed.candidates`` for these events, in their order; fails when one does not come."""
        found: dict[int, Slate] = {}

        def all_came() -> bool:
            for message in self.reader.consume(200, timeout=0.2):
                if message.error() is None:
                    slate = decode(message.value())
                    found[slate.trigger_event] = slate
            return found.keys() >= set(triggers)

        try:
            until(f"slates for {triggers}", all_came, seconds)
        except AssertionError:
            missing = sorted(set(triggers) - found.keys())
            raise AssertionError(
                f"no slates for {missing} in {seconds} s:\n{self.worker.log.read_text()[-4000:]}"
            ) from None
        return [found[trigger] for trigger in triggers]

    def until_whole(self, seconds: float = 60.0) -> None:
        """Somebody acts again and again until a slate goes without nothing, and not by what is only remembered."""
        open_circuits = [f'pinstream_circuit_open{{part="{part}"}}' for part in ("milvus", "triton")]

        def whole() -> bool:
            return self.slates(self.act())[0].degraded == [] and not any(map(self.metric, open_circuits))

        until("a slate is whole and every part is asked again", whole, seconds)

    def second_worker(self) -> Worker:
        """Another of the same group, behind the same proxies; not started yet."""
        host, base = self.settings.host, self.settings.port_base
        api, faust = [port for port in range(base + 200, base + 300) if is_free(host, port)][:2]
        return Worker(self.settings, "ladder-second", self._ports | {"api": api, "faust": faust}, self._environment)

    def new_pins(self, pins: list[int]) -> None:
        """Announce pins, each with a photo."""
        self.worker.send("pins", [_pin_event(pin, photo) for pin, photo in zip(pins, PHOTOS, strict=False)])

    def understood(self, pins: list[int]) -> int:
        """How many of these have a vector."""
        ids = ",".join(map(str, pins))
        sql = f"SELECT uniqExact(pin) AS n FROM pin_vectors WHERE notEmpty(vector) AND pin IN ({ids})"
        return int(self.worker.query(sql)["n"][0])

    def stored(self) -> int:
        """Saves that ClickHouse holds."""
        return int(self.worker.query("SELECT count() AS n FROM engagement")["n"][0])

    def assert_exact(self, seconds: float = 60.0) -> None:
        """Everything sent is counted once, and every sum equals its recount."""
        until(f"{self.sent} events are stored", lambda: self.stored() >= self.sent, seconds)
        until("every sum equals its recount", lambda: not self.worker.differing(), 20)
        distinct = self.worker.query("SELECT count() AS n, uniqExact(event_id) AS ids FROM engagement")
        assert (int(distinct["n"][0]), int(distinct["ids"][0])) == (self.sent, self.sent)

    def ready(self) -> dict[str, Any]:
        """What ``/ready`` says, whatever its status."""
        try:
            return self.worker.get("/ready")
        except urllib.error.HTTPError as answer:
            return msgspec.json.decode(answer.read())

    def metric(self, name: str) -> float:
        """The value of one series, as ``/metrics`` writes it; 0 where there is none."""
        with urllib.request.urlopen(self.worker.url + "/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                series, _, value = line.rpartition(" ")
                if series == name:
                    return float(value)
        return 0.0

    def _kill_worker(self) -> None:
        process = self.worker.process
        if process is not None and process.poll() is None:
            self.worker.kill()


def _pin_event(pin: int, photo: Path) -> dict[str, Any]:
    image = "data:image/jpeg;base64," + base64.b64encode(photo.read_bytes()).decode()
    now = int(time.time() * 1000)
    return {"type": "created", "time": now, "pin": pin, "pinner": 900 + pin % 3, "board": 7001, "image": image}
