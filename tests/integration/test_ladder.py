"""Every rung of the ladder (``docs/degradation.md``) on real parts: slow, wrong and gone, and the way back."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from streams.neighbour_cache import FRESH_SECONDS
from streams.settings import Settings
from tests.conftest import free_base, link_installed
from tests.integration.ladder_world import DATABASE, LadderWorld
from tests.integration.running import until

pytestmark = pytest.mark.real
#: Bounds that a test can reach.
WAITING_ROWS, WAITING_SLATES, STOP_SECONDS = 2_000, 20, 12
WITHOUT_MILVUS = {"source.visual", "source.pinsage", "source.interests", "vectors"}


@pytest.fixture(scope="module")
def world(
    milvus: Settings,
    triton: Settings,
    milvus_apart: Callable[[str], Settings],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LadderWorld]:
    milvus_apart(DATABASE)
    home = tmp_path_factory.mktemp("ladder")
    own = Settings(home=home)
    link_installed(own, "kafka")
    bounds = {"waiting_rows": WAITING_ROWS, "waiting_slates": WAITING_SLATES, "stop_seconds": STOP_SECONDS}
    environment = {f"PINSTREAM_{name.upper()}": str(bound) for name, bound in bounds.items()}
    world = LadderWorld(triton, home, free_base(), environment)
    try:
        world.start()
        yield world
    finally:
        world.close()


@pytest.fixture(autouse=True)
def healthy_again(world: LadderWorld) -> Iterator[None]:
    """Each test finds and leaves a worker whose slates are whole and whose counts are exact."""
    yield
    world.heal()
    world.until_whole()
    world.assert_exact()


def assert_rows(world: LadderWorld, triggers: list[int]) -> None:
    """The slate of each of these events has its row."""
    ids = ",".join(map(str, triggers))
    stored = f"SELECT uniqExact(slate) AS n FROM slates WHERE trigger_event IN ({ids})"
    until("a row for every slate", lambda: int(world.worker.query(stored)["n"][0]) == len(triggers), 60)


FAULTS = {
    "slow": lambda proxy: proxy.delay(1.5),
    "hung": lambda proxy: proxy.blackhole(),
    "wrong": lambda proxy: proxy.corrupt(every=7),
    "gone": lambda proxy: proxy.refuse(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_without_triton_feeds_come_unranked(world: LadderWorld, fault: str) -> None:
    FAULTS[fault](world.proxies["triton"])
    first = world.slates(world.act())[0]
    assert first.degraded == ["ranker"] and first.items and first.models == {}
    opened = time.monotonic()
    slates = world.slates(world.act(12))
    assert all(slate.degraded == ["ranker"] and slate.items for slate in slates), fault
    assert time.monotonic() - opened < 30
    # A slate is counted once its broker has it: a reader may be sooner.
    counted = 'pinstream_slates_total{degraded="ranker"}'
    until("every slate is counted", lambda: world.metric(counted) >= 13, 10)
    rung = until("the rung is told", lambda: (now := world.ready())["parts"]["triton"] != "up" and now, 20)
    assert rung["rung"] == "unranked"


@pytest.mark.parametrize("fault", FAULTS)
def test_without_milvus_feeds_come_from_the_other_sources(world: LadderWorld, fault: str) -> None:
    FAULTS[fault](world.proxies["milvus"])
    # Neighbours found in the last ten seconds are remembered, and slates whole.
    until("neighbours are missed", lambda: world.slates(world.act())[0].degraded, 30)
    slates = [slate for _ in range(4) for slate in world.slates(world.act(3))]
    assert any(slate.degraded for slate in slates)
    for slate in slates:
        assert set(slate.degraded) <= WITHOUT_MILVUS, (fault, slate.degraded)
        assert slate.items and slate.models["ranker"]
    rung = until("the rung is told", lambda: (now := world.ready())["parts"]["milvus"] != "up" and now, 20)
    assert rung["rung"] == "no-neighbours"


@pytest.mark.parametrize("fault", ["slow", "hung", "wrong", "gone"])
def test_feeds_never_wait_for_clickhouse(world: LadderWorld, fault: str) -> None:
    FAULTS[fault](world.proxies["clickhouse"])
    slates = [slate for _ in range(3) for slate in world.slates(world.act(3))]
    assert [slate.degraded for slate in slates] == [[]] * len(slates)
    if fault in ("hung", "gone"):
        now = until("the rung is told", lambda: (now := world.ready())["rung"] == "memory" and now, 20)
        assert now["waiting"]["engagement"] >= 18 and now["waiting"]["slates"] >= 9


def test_an_insert_whose_answer_is_lost_counts_once(world: LadderWorld) -> None:
    world.proxies["clickhouse"].cut_after(0)
    world.slates(world.act(4))
    until("the rows arrived although nobody heard of it", lambda: world.stored() == world.sent, 30)
    assert world.metric('pinstream_store_errors_total{part="clickhouse"}') > 0


def test_a_cut_and_slow_kafka_loses_nothing(world: LadderWorld) -> None:
    kafka = world.proxies["kafka"]
    world.reader.consume(1, timeout=0.1)
    for _ in range(3):
        triggers = world.act(20)
        kafka.cut()
        world.slates(triggers, 60)
    kafka.delay(0.1)
    world.slates(world.act(5), 60)


def test_a_batch_that_cannot_be_read_holds_up_its_partition_alone_and_is_told(world: LadderWorld) -> None:
    """A byte of the broker's file is flipped before the worker has fetched it, and later flipped back."""
    files = sorted((world.settings.home / "data" / "kafka" / "data").glob("saves-*/*.log"))
    assert len(files) == 4
    sizes = {file: file.stat().st_size for file in files}
    assert world.worker.process is not None
    world.worker.process.send_signal(signal.SIGSTOP)
    time.sleep(1)  # the broker holds a fetch that was on its way, and would answer it with what comes now
    triggers = world.act()
    (grown,) = (file for file in files if file.stat().st_size > sizes[file])
    flip_last_byte(grown)
    world.worker.process.send_signal(signal.SIGCONT)
    partition = f"saves:{grown.parent.name.removeprefix('saves-')}"
    told = until("/ready names the partition", lambda: world.ready()["corrupt"], 30)
    assert list(told) == [partition] and "CRC" in told[partition]
    assert world.metric('pinstream_corrupt_partitions{topic="saves"}') == 1
    # Pinners of other partitions have their slates meanwhile.
    until("somebody else has a slate", lambda: comes(world, world.act()), 60)
    flip_last_byte(grown)
    world.slates(triggers, 30)
    until("/ready names it no more", lambda: not world.ready()["corrupt"], 30)


def flip_last_byte(file: Path) -> None:
    with file.open("r+b") as log:
        log.seek(-1, os.SEEK_END)
        last = log.read(1)[0]
        log.seek(-1, os.SEEK_END)
        log.write(bytes([last ^ 0xFF]))


def comes(world: LadderWorld, triggers: list[int]) -> bool:
    """Do slates come soon?"""
    with suppress(AssertionError):
        return bool(world.slates(triggers, 3))
    return False


def test_without_kafka_feeds_are_still_answered_over_http(world: LadderWorld) -> None:
    world.proxies["kafka"].refuse()
    assert world.worker.get("/v1/feed/40000?n=3")["items"]
    rung = until("the rung is told", lambda: (now := world.ready())["parts"]["kafka"] != "up" and now, 20)
    assert rung["rung"] == "memory"


def test_with_triton_milvus_and_clickhouse_all_gone_feeds_still_come(world: LadderWorld) -> None:
    for part in ("triton", "milvus"):
        world.proxies[part].refuse()
    world.clickhouse.kill()
    time.sleep(FRESH_SECONDS)  # until then what was found for some pins is remembered
    triggers: list[int] = []
    for _ in range(5):
        triggers += (some := world.act(6))
        for slate in world.slates(some):
            assert "ranker" in slate.degraded and slate.items
            assert WITHOUT_MILVUS & set(slate.degraded)
    assert world.worker.get("/v1/feed/40001?n=3")["degraded"]
    until("the rung is told", lambda: world.ready()["rung"] == "memory", 20)
    world.clickhouse.start()
    world.heal()
    world.until_whole()
    world.assert_exact()
    # More slates than may wait: those beyond the bound were read back from Kafka.
    assert len(triggers) > WAITING_SLATES
    assert_rows(world, triggers)


def test_a_rebalance_does_not_wait_for_a_triton_that_is_gone(world: LadderWorld) -> None:
    """Pins in hand wait for it; the group shares its partitions anew all the same, and counts."""
    world.proxies["triton"].refuse()
    world.new_pins([650, 651, 652, 653])
    waits = re.compile("(asking for the models|understanding pins) waits")
    until("vision waits", lambda: waits.search(world.worker.log.read_text()[-3000:]), 30)
    second = world.second_worker()
    try:
        second.start()
        log = second.log.read_text()
        asked, given = logged(log, "(Re-)joining group"), logged(log, "Setting newly assigned")
        print(f"a second worker has its share after {given - asked}")
        assert given - asked < timedelta(seconds=30), "it waited until the group's patience was over, a minute"
        world.slates(world.act(12), 60)
    finally:
        second.stop()
    world.heal()
    until("the pins are understood", lambda: world.understood([650, 651, 652, 653]) == 4, 60)


def logged(log: str, line: str) -> datetime:
    """When Faust last logged such a line."""
    found = re.findall(rf"^\[(.{{23}})\].*{re.escape(line)}", log, re.MULTILINE)
    return datetime.strptime(found[-1], "%Y-%m-%d %H:%M:%S,%f").astimezone()


def test_when_too_many_rows_wait_kafka_holds_the_rest(world: LadderWorld) -> None:
    world.clickhouse.kill()
    for _ in range(4):
        world.act(WAITING_ROWS // 4)
    until("the bound is reached", lambda: world.metric('pinstream_waiting{queue="engagement"}') >= WAITING_ROWS, 60)
    time.sleep(3)
    waiting = world.metric('pinstream_waiting{queue="engagement"}')
    world.act(10)
    time.sleep(2)
    assert world.metric('pinstream_waiting{queue="engagement"}') == waiting, "it reads on although too much waits"
    assert world.worker.get("/v1/feed/40001?n=3")["items"], "feeds are answered over HTTP all along"
    world.clickhouse.start()
    world.assert_exact(120)


def test_a_clickhouse_that_refuses_a_statement_stops_the_worker_and_nothing_is_lost(world: LadderWorld) -> None:
    world.worker.command("DETACH TABLE slates")
    world.act(3)
    process = world.worker.process
    assert process is not None
    until("the worker ends by itself", lambda: process.poll() is not None, 60)
    assert "slates" in world.worker.log.read_text()[-20_000:]
    world.worker.command("ATTACH TABLE slates")
    world.worker.start()


def test_it_stops_although_clickhouse_is_gone_and_nothing_is_lost(world: LadderWorld) -> None:
    world.clickhouse.kill()
    triggers = world.act(WAITING_SLATES + 5)
    world.slates(triggers)
    began = time.monotonic()
    assert world.worker.stop() == 0
    print(f"stopped after {time.monotonic() - began:.1f} s")
    assert "they are given up and Kafka delivers them again" in world.worker.log.read_text()
    world.clickhouse.start()
    world.worker.start()
    assert_rows(world, triggers)
