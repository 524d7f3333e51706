"""Counts are exact whatever is killed: every crash point built by hand, and real kills at random moments."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from infra.clickhouse_folder import forget_torn_inserts
from infra.migrate import migrate
from operators.events import Surface
from operators.positions import examination
from streams.cli import verify
from streams.recount import complete_last_blocks, recount
from streams.stores.clickhouse import ClickHouseHTTP
from streams.stores.protocols import StoreUnavailable
from tests.clickhouse_process import EmbeddedServer, engagement, token

pytestmark = pytest.mark.real

#: Raise it to look longer: PINSTREAM_KILLS=200 pytest --timeout 0 takes some ten minutes.
KILLS = int(os.environ.get("PINSTREAM_KILLS", "6"))
VIEWS = 10


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "clickhouse") as started:
        yield started


async def insert(store: ClickHouseHTTP, columns: dict[str, Any]) -> None:
    # Some of the events are put down to sources of slates.
    columns = columns | {"sources": (columns["event_id"] % 5).astype(np.uint32)}
    await store.insert("engagement", columns, token=token(columns))


async def assert_exact(store: ClickHouseHTTP, offsets: dict[int, int]) -> None:
    """Everything equals its recount, and partition ``p`` has each offset below ``offsets[p]`` exactly once."""
    for result in await recount(store):
        assert result.equal, result
    found = await store.query(
        "SELECT partition, count() AS n, uniqExact(offset) AS distinct, min(offset) AS low, max(offset) AS high "
        "FROM engagement GROUP BY partition ORDER BY partition"
    )
    rows = {int(p): (int(n), int(d), int(low), int(high)) for p, n, d, low, high in zip(*found.values(), strict=True)}
    assert rows == {partition: (end, end, 0, end - 1) for partition, end in offsets.items() if end}


async def test_recount_sees_what_is_wrong(server: EmbeddedServer) -> None:
    store = ClickHouseHTTP(server.url)
    await migrate(store)
    assert all(result.equal for result in await recount(store)), "an empty ledger is exact"
    await insert(store, engagement(0, 3000))
    await assert_exact(store, {0: 3000})

    await store.insert("engagement_by_board", {"board": [7], "hour": [1], "saves": [1]})
    await store.command("ALTER TABLE engagement_by_pin DELETE WHERE pin = 1 SETTINGS mutations_sync = 2")
    await store.insert("signals_by_pin", {"pin": [2], "is_follower": [0], "saves": [1e30]})
    wrong = {result.table: result for result in await recount(store) if not result.equal}
    assert set(wrong) == {"engagement_by_board", "engagement_by_pin", "signals_by_pin"}
    assert wrong["engagement_by_board"].different == 1
    difference = wrong["engagement_by_board"].differences[0]
    assert (difference["board"], difference["hour"]) == (7, 1)
    assert (difference["saves"], difference["saves_recounted"]) == (1, 0)
    await store.close()


async def test_an_event_that_is_there_twice_is_found(server: EmbeddedServer) -> None:
    store = ClickHouseHTTP(server.url)
    await migrate(store)
    await insert(store, engagement(0, 100))
    await store.insert("engagement", engagement(90, 100))
    repeated = {result.table: result.different for result in await recount(store) if not result.equal}
    assert repeated == {"engagement by (topic, partition, offset)": 10, "engagement by event_id": 10}
    await store.close()


async def test_signals_weigh_as_the_operators_do(server: EmbeddedServer) -> None:
    """SQL and Python state the same half-life, landmark and examination."""
    from operators.decay import QUALITY_HALF_LIFE_MS, weight

    store = ClickHouseHTTP(server.url)
    await migrate(store)
    rows = engagement(0, 4000)
    positions = np.arange(4000) % 101 - 1
    rows |= {"pin": np.arange(1, 4001), "position": positions.astype(np.int16)}
    await insert(store, rows)
    stored = await store.query(
        "SELECT *, exposure + closeups + outbound_clicks + saves + hides AS any FROM signals_by_pin"
    )
    order = np.argsort(stored["pin"])
    examined = examination(rows["surface"], rows["position"])
    expected = weight(rows["time"], QUALITY_HALF_LIFE_MS) * np.where(rows["kind"] == 1, examined, 1.0)
    np.testing.assert_allclose(stored["any"][order], expected, rtol=1e-12)
    assert set(np.unique(rows["surface"])) == {surface.value for surface in Surface}
    await store.close()


FIRST, SECOND, THIRD = engagement(0, 500), engagement(500, 400), engagement(900, 300)


@pytest.fixture(scope="module")
def two_batches(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with two batches, closed cleanly, and the folder name of its raw table."""

    async def fill(url: str) -> str:
        store = ClickHouseHTTP(url)
        await migrate(store)
        await store.command("SYSTEM STOP MERGES")
        await insert(store, FIRST)
        await insert(store, SECOND)
        found = await store.query("SELECT path FROM system.parts WHERE table = 'engagement'")
        await store.close()
        return Path(found["path"][0]).parent.name

    server = EmbeddedServer(tmp_path_factory.mktemp("two") / "clickhouse")
    server.start()
    try:
        raw = asyncio.run(fill(server.url))
    finally:
        assert server.stop() == 0
    return server.folder, raw


def parts_by_table(folder: Path) -> dict[Path, list[Path]]:
    """Table folder → its parts, oldest first, of every table that got rows by token."""
    tables = {}
    for logs in sorted(folder.glob("store/*/*/deduplication_logs")):
        parts = [path for path in logs.parent.iterdir() if path.name.startswith("all_")]
        if parts:
            tables[logs.parent] = sorted(parts, key=lambda path: int(path.name.split("_")[1]))
    return tables


@pytest.mark.parametrize(
    ("renamed", "logged"),
    [(0, False), (0, True), (1, False), (1, True), (4, False), (4, True), (VIEWS, True), (VIEWS + 1, False)],
)
async def test_every_crash_point_of_an_insert(
    two_batches: tuple[Path, str], tmp_path: Path, renamed: int, logged: bool
) -> None:
    """``renamed`` tables have the newest insert (raw first), with ``logged`` one more has its token; the rest nothing.

    That is what a kill there leaves; here it is built by hand from a folder that was closed cleanly.
    """
    closed, raw = two_batches
    server = EmbeddedServer(tmp_path / "clickhouse")
    shutil.copytree(closed, server.folder, symlinks=True)
    tables = parts_by_table(server.folder)
    ordered = sorted(tables, key=lambda table: table.name != raw)
    assert len(ordered) == VIEWS + 1
    for index, table in enumerate(ordered[renamed:]):
        part = tables[table][-1]
        shutil.rmtree(part)
        if not (logged and index == 0):
            log = table / "deduplication_logs" / "deduplication_log_1.txt"
            lines = log.read_text().splitlines(keepends=True)
            log.write_text("".join(line for line in lines if f"\t{part.name}\t" not in line))

    server.start()
    try:
        store = ClickHouseHTTP(server.url)
        assert await complete_last_blocks(store, [("saves", 0)]) == {("saves", 0): 899 if renamed else 499}
        await insert(store, SECOND)  # Kafka delivers again what was not acknowledged
        await insert(store, THIRD)
        await assert_exact(store, {0: 1200})
        await store.close()
    finally:
        server.kill()


def test_only_torn_tokens_are_forgotten(tmp_path: Path) -> None:
    logs = tmp_path / "store" / "abc" / "abcdef" / "deduplication_logs"
    logs.mkdir(parents=True)
    for part in ("all_1_3_1", "all_4_4_0", "tmp_insert_all_6_6_0", "detached"):
        (logs.parent / part).mkdir()
    kept = "".join(f"1\tall_{n}_{n}_0\thash{n}\n" for n in range(1, 5)) + "2\tall_5_5_0\thash5\n"
    log = logs / "deduplication_log_1.txt"
    log.write_text(kept + "1\tall_6_6_0\thash6\n1\tall_")
    assert forget_torn_inserts(tmp_path) == ["abcdef/all_6_6_0"]
    assert log.read_text() == kept
    assert forget_torn_inserts(tmp_path) == []


async def test_kills_in_the_middle_of_inserts(server: EmbeddedServer) -> None:
    """Two partitions are written at once; the process dies at random moments; the writers never lose or repeat."""
    rng = random.Random(7)
    store = ClickHouseHTTP(server.url, timeout=30)
    await migrate(store)
    done = {0: 0, 1: 0}  # offset that each partition's writer goes on from
    acknowledged = {0: 0, 1: 0}

    async def write(partition: int) -> None:
        while True:
            rows = rng.choice([50, 2000, 20_000])
            await insert(store, engagement(done[partition], rows, partition=partition))
            done[partition] += rows
            acknowledged[partition] = done[partition]

    for _ in range(KILLS):
        writers = [asyncio.create_task(write(partition)) for partition in done]
        await asyncio.sleep(rng.uniform(0.05, 1.2))
        server.kill()
        ended = await asyncio.wait_for(asyncio.gather(*writers, return_exceptions=True), 30)
        assert all(isinstance(error, StoreUnavailable) for error in ended), ended
        server.start()
        last = await complete_last_blocks(store, [("saves", partition) for partition in done])
        for partition in done:
            done[partition] = last.get(("saves", partition), -1) + 1
            assert done[partition] >= acknowledged[partition], "what was acknowledged is there"
    assert sum(done.values()) > 0
    await assert_exact(store, done)
    await store.close()


async def test_verify_says_it_with_its_exit_status(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINSTREAM_PORT_CLICKHOUSE", str(server.port))
    monkeypatch.delenv("PINSTREAM_CLICKHOUSE", raising=False)
    store = ClickHouseHTTP(server.url)
    await migrate(store)
    await insert(store, engagement(0, 200))
    equal = await asyncio.to_thread(CliRunner().invoke, verify.command, ["--json"])
    assert equal.exit_code == 0, equal.output
    assert '"equal": true' in equal.output
    await store.insert("engagement_by_owner", {"owner": [1], "hour": [1], "hides": [3]})
    different = await asyncio.to_thread(CliRunner().invoke, verify.command, [])
    assert different.exit_code == 1
    assert "DIFFERENT" in different.output
    server.kill()
    assert (await asyncio.to_thread(CliRunner().invoke, verify.command, [])).exit_code == 2
    await store.close()
