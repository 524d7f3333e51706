"""Hostile requests made from our own OpenAPI document, by schemathesis, against the API of a real worker."""

from __future__ import annotations

import os
import random
import time
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

from tests.fuzz.test_events import GROWTH, SLACK, resident
from tests.integration.running import Worker, until

pytestmark = [pytest.mark.real, pytest.mark.timeout(7200)]

#: ``make fuzz`` sends a hundred thousand.
COUNT = int(os.environ.get("PINSTREAM_FUZZ_REQUESTS", "1000"))
SEED = int(os.environ.get("PINSTREAM_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
#: Requests made of one operation before the next has its turn.
TURN = 250
#: No 5xx but a 503 that the document declares, and every answer is of a status, type and shape that it declares.
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
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
        self._session = requests.Session()
        self._session.trust_env = False
        schema = schemathesis.openapi.from_url(f"{worker.url}/v1/openapi.json")
        self.operations = [result.ok() for result in schema.get_all_operations()]

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


def test_no_request_makes_the_api_fail(worker: Worker) -> None:
    print(f"seed {SEED}, {COUNT} requests; PINSTREAM_FUZZ_SEED={SEED} repeats them")
    make_known(worker)
    fuzzer, process = Fuzzer(worker), worker.process
    memory: list[int] = []
    began, number = time.monotonic(), SEED
    size = min(TURN, max(10, COUNT // 2 // (2 * len(fuzzer.operations))))
    for half in (1, 2):
        while fuzzer.statuses.total() < half * COUNT // 2:
            for operation in fuzzer.operations:
                for mode in modes(operation):
                    number += 1
                    fuzzer.turn(operation, mode, number, size)
        memory.append(resident(worker))
        sent, seconds = fuzzer.statuses.total(), time.monotonic() - began
        print(f"half {half}: {sent} requests, worker {memory[-1] >> 20} MiB, {seconds:.0f} s", flush=True)
    by_status: Counter[int] = Counter()
    for (_, status), count in fuzzer.statuses.items():
        by_status[status] += count
    print(dict(sorted(by_status.items())))
    assert worker.process is process and process is not None and process.poll() is None
    assert worker.get("/ready")["rung"] == "whole"
    assert not [status for status in by_status if status >= 500], fuzzer.statuses
    assert {200, 202, 400, 404, 410, 422} <= by_status.keys(), by_status
    assert memory[1] <= memory[0] * GROWTH + SLACK, [size >> 20 for size in memory]
