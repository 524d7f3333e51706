"""A worker process on the session's real parts, and what tests ask of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import Producer

from infra.ports import is_free
from streams.recount import Comparison, recount
from streams.settings import Settings
from streams.stores.clickhouse import open_event_store
from streams.stores.protocols import EventStore

T = TypeVar("T")


class Worker:
    """``pinstream worker`` as a process of its own; it may be killed and started again."""

    def __init__(
        self,
        settings: Settings,
        name: str = "worker",
        ports: dict[str, int] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        """``ports`` moves some of its ports and of those that it asks; ``environment`` is further settings."""
        self.settings, self.environment = settings, environment or {}
        self.ports = {part: settings.port(part) for part in ("api", "faust")} | (ports or {})
        self.url = f"http://{settings.host}:{self.ports['api']}"
        self.log = settings.home / "logs" / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def another(self, name: str, environment: dict[str, str] | None = None) -> Worker:
        """One more of the same home and group, on ports that are free; not started yet."""
        host, base = self.settings.host, self.settings.port_base
        api, faust = [port for port in range(base + 1000, base + 1100) if is_free(host, port)][:2]
        return Worker(self.settings, name, {"api": api, "faust": faust}, environment)

    def start(self) -> None:
        environment = os.environ | {
            "PINSTREAM_HOME": str(self.settings.home),
            "PINSTREAM_PORT_BASE": str(self.settings.port_base),
            "PINSTREAM_GROUP": self.settings.group,
            **{f"PINSTREAM_PORT_{part.upper()}": str(port) for part, port in self.ports.items()},
            **self.environment,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).with_name("pinstream")), "worker"],
                env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        until("the worker is ready", self.is_ready, 90)

    def is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the worker ended:\n{self.log.read_text()[-6000:]}")
        try:
            return self.get("/ready") is not None
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """``kill -9``: nothing is flushed, nothing is committed."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to stop; returns its exit status."""
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the worker did not stop:\n{self.log.read_text()[-6000:]}") from None

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def query(self, sql: str) -> dict[str, Any]:
        """Ask the session's ClickHouse."""
        return self._asked(lambda store: store.query(sql))

    def command(self, sql: str) -> None:
        """Have the session's ClickHouse do something."""
        self._asked(lambda store: store.command(sql))

    def differing(self) -> list[Comparison]:
        """The sums that a recount of the raw rows contradicts."""
        return [table for table in self._asked(recount) if not table.equal]

    def _asked(self, question: Callable[[EventStore], Awaitable[T]]) -> T:
        async def ask() -> T:
            store = open_event_store(self.settings)
            try:
                return await question(store)
            finally:
                await store.close()

        return asyncio.run(ask())

    def send(self, topic: str, events: Iterable[dict[str, Any]]) -> int:
        """Produce events as a client would, keyed by pin or pinner; returns how many the broker holds."""
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap, "linger.ms": 5})
        count = 0
        for event in events:
            key = event["pin"] if topic == "pins" else event["pinner"]
            while True:
                try:
                    producer.produce(topic, json.dumps(event).encode(), str(key).encode())
                    break
                except BufferError:
                    producer.poll(0.1)
            count += 1
        assert producer.flush(60) == 0
        return count


def until(what: str, check: Callable[[], T], seconds: float) -> T:
    """Ask again until the answer is truthy; fails after ``seconds`` with the last answer."""
    deadline = time.monotonic() + seconds
    while not (answer := check()):
        assert time.monotonic() < deadline, f"after {seconds} s still not so: {what} (last answer: {answer!r})"
        time.sleep(0.1)
    return answer
