"""Two workers of one group: the partitions are shared, nothing is counted twice, both know everything."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.running import Worker, until
from tests.integration.test_engine import assert_equal_to_recount, count, now

pytestmark = pytest.mark.real
FIRST = 30_000_000
STORED = f"engagement WHERE event_id >= {FIRST} AND event_id < {FIRST + 1_000_000}"


@pytest.fixture
def second(worker: Worker) -> Iterator[Worker]:
    other = worker.another("second-worker")
    other.start()
    yield other
    other.stop()


def saves(first: int, count: int) -> list[dict[str, int]]:
    stamp = now()
    return [
        {
            "event_id": FIRST + n,
            "time": stamp,
            "pinner": 2_000 + n % 300,
            "pin": 6_000 + n % 40,
            "board": 8_000 + n % 300,
        }
        for n in range(first, first + count)
    ]


def outcome(worker: Worker, topic: str, outcome: str) -> int:
    """Events of a topic that this worker dealt with in one way."""
    with urllib.request.urlopen(worker.url + "/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    wanted = f'pinstream_events_total{{outcome="{outcome}",topic="{topic}"'
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith(wanted))


def shares(worker: Worker) -> int:
    """Saves that this worker counted."""
    return outcome(worker, "saves", "counted")


def pins(kind: str, time: int) -> list[dict[str, Any]]:
    return [
        {"type": kind, "time": time, "pin": FIRST + n, "pinner": 900, "board": 7001, "title": kind} for n in range(60)
    ]


def test_whoever_reads_a_pin_next_knows_its_newest_version(worker: Worker, second: Worker) -> None:
    """The second worker's partitions come back: what it accepted there must not be undone by an older version."""
    stored = f"pins FINAL WHERE pin >= {FIRST} AND pin < {FIRST + 60}"
    stamp = now()

    def second_does_some() -> bool:
        worker.send("pins", pins("created", stamp))
        time.sleep(0.5)
        return outcome(second, "pins", "counted") > 0

    until("the second worker has partitions", second_does_some, 60)
    until("all pins are stored", lambda: count(worker, stored) == 60, 60)
    duplicates = outcome(worker, "pins", "duplicate")
    second.stop()
    worker.send("pins", pins("updated", stamp - 1000))
    until("every older version is known", lambda: outcome(worker, "pins", "duplicate") == duplicates + 60, 60)
    assert count(worker, f"{stored} AND version = {stamp}") == 60


def test_two_workers_share_the_work_and_count_exactly(worker: Worker, second: Worker) -> None:
    before = shares(worker)
    worker.send("saves", saves(0, 5_000))
    until("all saves are stored", lambda: count(worker, STORED) == 5_000, 60)
    until("the second worker does a part", lambda: shares(second) > 0, 60)
    assert shares(worker) > before
    # The worker that did not count a save offers its pin no more all the same.
    for running in (worker, second):
        for pinner in (2_000, 2_001, 2_002, 2_003):
            saved = {6_000 + n % 40 for n in range(pinner - 2_000, 5_000, 300)}

            def offered(url: Worker = running, who: int = pinner, mine: frozenset[int] = frozenset(saved)) -> bool:
                return not mine & {item["pin"] for item in url.get(f"/v1/feed/{who}?n=100")["items"]}

            until(f"pinner {pinner} is offered nothing saved", offered, 20)

    # One dies in the middle; the other takes over its partitions, from exactly where it was.
    worker.send("saves", saves(5_000, 20_000))
    second.kill()
    worker.send("saves", saves(25_000, 5_000))
    began = time.monotonic()
    until("everything is stored", lambda: count(worker, STORED) == 30_000, 90)
    print(f"taken over after {time.monotonic() - began:.1f} s")
    assert_equal_to_recount(worker)
