"""Hostile requests against the API of a real worker: some made from our own OpenAPI document by schemathesis, more as
bytes that no client would send (``wire.py``). Each is answered, counted in the metrics, and leaves nothing in memory.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks

from tests.fuzz import wire
from tests.fuzz.test_events import GROWTH, SLACK, Counts, Log, all_read, resident
from tests.integration.running import Worker, until

pytestmark = [pytest.mark.real, pytest.mark.timeout(7200)]

#: ``make fuzz`` sends a hundred thousand.
COUNT = int(os.environ.get("PINSTREAM_FUZZ_REQUESTS", "1000"))
SEED = int(os.environ.get("PINSTREAM_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
#: The most that schemathesis makes: each costs it more than the worker, and those of an operation are soon much alike.
DOCUMENTED = int(os.environ.get("PINSTREAM_FUZZ_DOCUMENTED", "10000"))
#: Requests made of one operation before the next has its turn.
TURN = 250
#: No 5xx but a 503 that the document declares, and every answer is of a status, type and shape that it declares.
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
#: The operation that takes events, as schemathesis names it.
EVENTS = "POST /v1/events/{topic}"
#: What memory may grow by from a worker that has answered hardly anything to one that has answered everything: its
#: caches fill, and what was posted is in it.
WARM = 1.5
#: What there is among many requests, and among few whatever the seed.
MANY, EVERY, ALWAYS = 10_000, {200, 202, 400, 404, 405, 410, 415, 421, 422}, {200, 400, 404, 405, 415, 422}
#: Headers that no operation declares: any request may bring them.
HEADERS: tuple[dict[str, str], ...] = (
    {}, {}, {}, {"Accept": "\xff"}, {"Accept-Encoding": "gzip;q=x, *"}, {"X-Forwarded-For": "'" * 3000},
    {"Range": "bytes=0-"},
    {"If-None-Match": "*"}, {"Expect": "200-maybe"}, {"Authorization": "Bearer \xff"}, {"Cookie": "a=b;" * 900},
    {"Content-Encoding": "gzip"}, {"Upgrade": "websocket", "Connection": "Upgrade"}, {"Transfer-Encoding": "x"},
)  # fmt: skip


#: What the worker knows, so that there is something to answer; any of it may be left as it was made up.
PINS, PINNER = range(4_400_001, 4_400_021), 4_400_900
KNOWN: tuple[dict[str, str], ...] = (
    {}, {}, {"pin": str(PINS[0]), "pinner": str(PINNER), "domain": "known.example"},
    {"pin": str(PINS[1]), "pinner": f"00{PINNER}"}, {"pin": str(PINS[-1])},
)  # fmt: skip


def make_known(worker: Worker) -> None:
    """Pins of one pinner, one of them deleted, and a save of each."""
    now = int(time.time() * 1000)
    link = "https://known.example/x"
    pins = [
        {"type": "created", "pin": pin, "pinner": PINNER, "time": now, "link": link, "title": "\0é"} for pin in PINS
    ]
    worker.send("pins", [*pins, {"type": "deleted", "pin": PINS[-1], "time": now + 1}])
    worker.send("saves", [{"pinner": PINNER, "pin": pin, "board": 1, "time": now} for pin in PINS])
    saved = f"SELECT count() AS n FROM engagement WHERE pinner = {PINNER}"
    until("their saves count", lambda: int(worker.query(saved)["n"][0]) >= len(PINS), 60)
    written = f"SELECT count() AS n FROM pins FINAL WHERE pinner = {PINNER} AND deleted = 0"
    until("their pins are known", lambda: int(worker.query(written)["n"][0]) == len(PINS) - 1, 60)


class Fuzzer:
    """Sends requests to one worker and keeps count of the answers."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.statuses: Counter[tuple[str, int]] = Counter()
        #: Events that the worker said Kafka holds, by topic.
        self.held: Counter[str] = Counter()
        self._session = requests.Session()
        self._session.trust_env = False
        schema = schemathesis.openapi.from_url(f"{worker.url}/v1/openapi.json")
        self.operations = [result.ok() for result in schema.get_all_operations()]

    def documented(self, number: int, count: int) -> int:
        """At least ``count`` requests of all operations in turn; returns the next number."""
        size, until_ = min(TURN, max(10, count // (2 * len(self.operations)))), self.statuses.total() + count
        while self.statuses.total() < until_:
            for operation in self.operations:
                for mode in modes(operation):
                    number += 1
                    self.turn(operation, mode, number, size)
        return number

    def bytes(self, number: int, count: int) -> None:
        """``count`` requests as bytes."""
        settings = self.worker.settings
        found = asyncio.run(wire.send(settings.host, self.worker.ports["api"], number, count))
        self.statuses.update({("bytes", status): times for status, times in found.items()})

    def turn(self, operation: Any, mode: GenerationMode, number: int, count: int) -> None:
        """Requests of one kind; those of an operation without parameters are soon all made."""

        @seed(number)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode), st.sampled_from(HEADERS), st.sampled_from(KNOWN))
        def ask(case: Any, headers: dict[str, str], known: dict[str, str]) -> None:
            case.path_parameters = {name: known.get(name, text) for name, text in (case.path_parameters or {}).items()}
            answer = case.call(session=self._session, headers=headers, timeout=40)
            self.statuses[operation.label, answer.status_code] += 1
            if operation.label == EVENTS and answer.status_code == 202:
                self.held[answer.json()["topic"]] += answer.json()["accepted"]
            # What is not understood at all is refused before it reaches an operation.
            if not headers or answer.status_code not in (400, 417):
                case.validate_response(answer, checks=CHECKS)

        # Where nothing can be wrong there is nothing to send.
        with suppress(Unsatisfiable):
            ask()


def modes(operation: Any) -> Iterator[GenerationMode]:
    yield GenerationMode.POSITIVE
    if operation.path_parameters or operation.query or operation.body:
        yield GenerationMode.NEGATIVE


def answers(worker: Worker) -> Counter[int]:
    """What the worker says that it answered, by status."""
    with urllib.request.urlopen(worker.url + "/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    found: Counter[int] = Counter()
    for line in lines:
        if line.startswith("pinstream_requests_total{"):
            name, _, value = line.rpartition(" ")
            found[int(name.partition('status="')[2].partition('"')[0])] += int(float(value))
    return found


def test_no_request_makes_the_api_fail(worker: Worker) -> None:
    print(f"seed {SEED}, {COUNT} requests; PINSTREAM_FUZZ_SEED={SEED} repeats them")
    make_known(worker)
    fuzzer, process = Fuzzer(worker), worker.process
    log, counts, before = Log(worker.settings), Counts(worker), answers(worker)
    memory = [resident(worker)]
    print(f"before: worker {memory[0] >> 20} MiB", flush=True)
    began, number = time.monotonic(), SEED
    for half in (1, 2):
        before_half = fuzzer.statuses.total()
        number = fuzzer.documented(number, min(COUNT // 4, DOCUMENTED // 2))
        fuzzer.bytes(number, max(0, COUNT // 2 - (fuzzer.statuses.total() - before_half)))
        memory.append(resident(worker))
        sent, seconds = fuzzer.statuses.total(), time.monotonic() - began
        print(
            f"half {half}: {sent} requests, worker {memory[-1] >> 20} MiB, {seconds:.0f} s,"
            f" {sent / seconds:.0f} requests/s",
            flush=True,
        )
    by_status: Counter[int] = Counter()
    for (_, status), count in fuzzer.statuses.items():
        by_status[status] += count
    print(dict(sorted(by_status.items())))
    assert fuzzer.statuses.total() >= COUNT
    assert worker.process is process and process is not None and process.poll() is None
    # Each answer is in the metrics, as is the one that told what was there before. Status 0 is none.
    told = answers(worker) - before
    assert told == Counter({status: count for status, count in by_status.items() if status}) + Counter({200: 1})
    assert not [status for status in by_status if status >= 500], fuzzer.statuses
    assert (EVERY if COUNT >= MANY else ALWAYS) <= by_status.keys(), by_status
    # Each event that was accepted is on its topic and has an outcome.
    assert fuzzer.held and not fuzzer.held - log.sent()
    until("all events are read", lambda: all_read(counts, log), 60 + COUNT / 100)
    assert worker.get("/ready")["rung"] == "whole"
    assert memory[2] <= memory[1] * GROWTH + SLACK, [size >> 20 for size in memory]
    assert memory[2] <= memory[0] * WARM + SLACK, [size >> 20 for size in memory]
