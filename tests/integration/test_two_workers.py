"""Two workers of one group: the partitions are shared, nothing is counted twice, both know everything."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from infra.ports import is_free
from tests.integration.running import Worker, until
from tests.integration.test_engine import assert_equal_to_recount, count, now

pytestmark = pytest.mark.real
FIRST = 30_000_000
STORED = f"engagement WHERE event_id >= {FIRST} AND event_id < {FIRST + 1_000_000}"


@pytest.fixture
def second(worker: Worker) -> Iterator[Worker]:
    host, base = worker.settings.host, worker.settings.port_base
    api, faust = [port for port in range(base + 1000, base + 1100) if is_free(host, port)][:2]
    other = Worker(worker.settings, "second-worker", {"api": api, "faust": faust})
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


def shares(worker: Worker) -> int:
    """Events that this worker counted, of all its topics."""
    import urllib.request

    with urllib.request.urlopen(worker.url + "/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(
        int(float(line.split()[-1]))
        for line in lines
        if line.startswith('pinstream_events_total{outcome="counted",topic="saves"')
    )


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
