"""One contract for both forms of ClickHouse: the embedded server over HTTP, a real server over the native protocol.

The real server here may be as old as Debian's 18.16. ``FORBIDDEN`` lists what its age rules out, test by test.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from bench._clickhouse_server import server
from infra.clickhouse_engine import QueryError
from infra.clickhouse_memory import opened
from infra.migrate import SQL
from streams.settings import Settings
from streams.stores.clickhouse import ClickHouseError, ClickHouseHTTP, open_event_store
from streams.stores.clickhouse_http import LONG
from streams.stores.clickhouse_native import ClickHouseNative
from streams.stores.clickhouse_sql import bind
from streams.stores.handed_memory import HandedMemory
from streams.stores.protocols import ClaimLost, EventStore, Repeated, StoreUnavailable
from tests.clickhouse_process import EmbeddedServer, free_port

pytestmark = pytest.mark.real

#: Test → why a ClickHouse of 2018 cannot pass it.
FORBIDDEN_BEFORE_22 = {
    "test_the_same_token_counts_once": "tokens, and windows for tables that are not replicated, came by 22.x",
    "test_an_array_may_follow_in": "IN took an array only later; has() does the same everywhere",
    "test_a_large_batch_is_one_part": "the settings that keep a view's rows together came with 20.x",
}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = EmbeddedServer(tmp_path_factory.mktemp("embedded") / "clickhouse")
    server.start()
    yield server.url
    assert server.stop() == 0


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server, started here from whatever ``clickhouse-server`` is installed."""
    if shutil.which("clickhouse-server") is None:
        pytest.skip("no clickhouse-server: `apt-get install clickhouse-server` (Debian) or ClickHouse's own package")
    with server(tmp_path_factory.mktemp("native")) as running:
        yield running.url


@pytest.fixture(params=["embedded", "native"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[EventStore]:
    url: str = request.getfixturevalue(request.param)
    store: EventStore = ClickHouseHTTP(url) if request.param == "embedded" else ClickHouseNative(url)
    version = str((await store.query("SELECT version() AS v"))["v"][0])
    test = re.sub(r"\[.*", "", request.node.name)
    if int(version.split(".")[0]) < 22 and test in FORBIDDEN_BEFORE_22:
        await store.close()
        pytest.skip(f"ClickHouse {version}: {FORBIDDEN_BEFORE_22[test]}")
    await store.command("DROP TABLE IF EXISTS t")
    yield store
    await store.close()


async def test_columns_come_back_as_they_went_in(store: EventStore) -> None:
    await store.command(
        "CREATE TABLE t (i Int64, u UInt8, p Int16, f Float64, s String, a Array(Float32), w Array(String)) "
        "ENGINE = MergeTree ORDER BY i"
    )
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4)
    await store.insert(
        "t",
        {
            "i": np.array([1, 2, 2**63 - 1]),
            "u": np.array([0, 1, 255], np.uint8),
            "p": np.array([-1, 0, 99], np.int16),
            "f": np.array([2.0**-360, -0.5, 1e300]),
            "s": ["", "it's a \\ pin\n", "桜"],
            "a": vectors,
            "w": [[], ["art"], ["a", "b'"]],
        },
    )
    rows = await store.query("SELECT * FROM t ORDER BY i")
    assert rows["i"].tolist() == [1, 2, 2**63 - 1]
    assert [rows[name].dtype for name in "iupf"] == [np.int64, np.uint8, np.int16, np.float64]
    assert rows["u"].tolist() == [0, 1, 255]
    assert rows["p"].tolist() == [-1, 0, 99]
    assert rows["f"].tolist() == [2.0**-360, -0.5, 1e300]
    assert rows["s"].tolist() == ["", "it's a \\ pin\n", "桜"]
    np.testing.assert_array_equal(np.stack(rows["a"].tolist()), vectors)
    assert [list(words) for words in rows["w"]] == [[], ["art"], ["a", "b'"]]


async def test_arrays_go_in_as_they_are(store: EventStore) -> None:
    """Blocks of engagement are arrays alone, and a text that repeats."""
    await store.command("CREATE TABLE t (s String, i Int64, u UInt8, p Int16, f Float32) ENGINE = MergeTree ORDER BY i")
    columns = {
        "s": Repeated(["saves", "桜", "saves"], [2, 1, 1]),
        "i": np.array([1, 2, 3, 2**63 - 1]),
        "u": np.array([True, False, True, True]),
        "p": np.array([-1, 0, 99, -32768], np.int16),
        "f": np.array([0.5, -1, 1e30, 0], np.float64),
    }
    await store.insert("t", columns)
    rows = await store.query("SELECT * FROM t ORDER BY i")
    assert rows["s"].tolist() == ["saves", "saves", "桜", "saves"]
    assert (rows["i"].tolist(), rows["u"].tolist()) == ([1, 2, 3, 2**63 - 1], [1, 0, 1, 1])
    assert rows["p"].tolist() == [-1, 0, 99, -32768]
    np.testing.assert_array_equal(rows["f"], columns["f"].astype(np.float32))
    await store.insert("t", {name: values[:0] for name, values in columns.items() if name != "s"})
    assert int((await store.query("SELECT count() AS n FROM t"))["n"][0]) == 4


async def test_no_rows_are_an_empty_answer(store: EventStore) -> None:
    await store.command("CREATE TABLE t (i Int64, s String) ENGINE = MergeTree ORDER BY i")
    await store.insert("t", {"i": np.array([], np.int64), "s": []})
    assert await store.query("SELECT * FROM t") == {}


async def test_parameters_are_values_never_sql(store: EventStore) -> None:
    await store.command("CREATE TABLE t (i Int64, s String) ENGINE = MergeTree ORDER BY i")
    nasty = "x' OR 1 = 1 --\\"
    await store.insert("t", {"i": [1, 2, 3], "s": [nasty, "{i:Int64}", "c"]})
    rows = await store.query("SELECT i FROM t WHERE s = {s:String}", {"s": nasty})
    assert rows["i"].tolist() == [1]
    rows = await store.query(
        "SELECT i FROM t WHERE has({ids:Array(Int64)}, i) ORDER BY i", {"ids": np.array([3, 1, 9])}
    )
    assert rows["i"].tolist() == [1, 3]
    rows = await store.query("SELECT count() AS n FROM t WHERE s = '{i:Int64}'")
    assert int(rows["n"][0]) == 1, "text in quotes is not a parameter"
    with pytest.raises(KeyError, match="missing"):
        await store.query("SELECT {missing:Int64}")
    with pytest.raises(ValueError, match="invalid literal"):
        await store.query("SELECT {i:Int64}", {"i": "1 OR 1"})


async def test_an_array_may_follow_in(store: EventStore) -> None:
    for ids in ([3, 1, 9], []):
        rows = await store.query("SELECT number AS i FROM numbers(5) WHERE i IN {ids:Array(Int64)}", {"ids": ids})
        assert [*rows.get("i", [])] == [i for i in range(5) if i in ids]


async def test_bad_sql_is_not_an_outage(store: EventStore) -> None:
    with pytest.raises(ClickHouseError) as syntax:
        await store.query("SELEKT 1")
    assert syntax.value.code == 62
    with pytest.raises(ClickHouseError) as table:
        await store.insert("nowhere", {"i": [1]})
    assert table.value.code == 60
    assert (await store.query("SELECT 1 AS one"))["one"].tolist() == [1], "the store goes on"


async def test_the_same_token_counts_once(store: EventStore) -> None:
    await store.command(
        "CREATE TABLE t (i Int64) ENGINE = MergeTree ORDER BY i SETTINGS non_replicated_deduplication_window = 100"
    )
    for token in ("saves:0:0-1", "saves:0:0-1", "saves:0:2-3", ""):
        await store.insert("t", {"i": [1, 2]}, token=token)
    # Without a token the rows are named by their content, which no insert before was.
    assert int((await store.query("SELECT count() AS n FROM t"))["n"][0]) == 6


async def test_only_the_last_claim_writes(store: EventStore) -> None:
    lines = (SQL / "0007_claims.sql").read_text().splitlines()
    await store.command("\n".join(line for line in lines if not line.startswith("--")).rstrip().rstrip(";"))
    await store.command("CREATE TABLE t (id Int64) ENGINE = MergeTree ORDER BY id")
    mine, other = ("saves", 0), ("saves", 1)
    first = await store.claim([mine, other])
    assert set(first) == {mine, other}
    await store.insert("t", {"id": [1]}, claims=first)
    second = await store.claim([mine])
    for _ in range(2):
        with pytest.raises(ClaimLost):
            await store.insert("t", {"id": [2]}, claims=first)
    await store.insert("t", {"id": [3]}, claims=second)
    await store.insert("t", {"id": [4]}, claims={other: first[other]})
    held = await store.query("SELECT id FROM t ORDER BY id")
    assert held["id"].tolist() == [1, 3, 4]


async def test_a_large_batch_is_one_part(store: EventStore) -> None:
    """Also behind a view with more groups than ClickHouse's default block has rows."""
    for name in ("t_view", "t_sums"):
        await store.command(f"DROP TABLE IF EXISTS {name}")
    await store.command("CREATE TABLE t (i Int64, s String) ENGINE = MergeTree ORDER BY i")
    await store.command("CREATE TABLE t_sums (i Int64, n UInt64) ENGINE = SummingMergeTree ORDER BY i")
    await store.command("CREATE MATERIALIZED VIEW t_view TO t_sums AS SELECT i, count() AS n FROM t GROUP BY i")
    await store.command("SYSTEM STOP MERGES")
    await store.insert("t", {"i": np.arange(300_000), "s": ["save"] * 300_000}, token="saves:0:0-299999")
    parts = await store.query("SELECT table, sum(rows) AS rows, count() AS n FROM system.parts WHERE active AND "
                              "table IN ('t', 't_sums') GROUP BY table ORDER BY table")  # fmt: skip
    await store.command("SYSTEM START MERGES")
    assert parts["rows"].tolist() == [300_000, 300_000]
    assert parts["n"].tolist() == [1, 1]


async def test_rows_are_read_where_they_lie(embedded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Handed over and sent are the same insert; what was written before and was longer leaves nothing behind."""
    asked: list[str] = []
    post = ClickHouseHTTP._post

    async def noted(self: ClickHouseHTTP, body: bytes | memoryview, **options: Any) -> bytes:
        asked.append("handed" if options.get("headers") else "sent" if len(body) > LONG else "short")
        return await post(self, body, **options)

    monkeypatch.setattr(ClickHouseHTTP, "_post", noted)
    store = ClickHouseHTTP(embedded)
    await store.command("DROP TABLE IF EXISTS t")
    await store.command(
        "CREATE TABLE t (i Int64) ENGINE = MergeTree ORDER BY i SETTINGS non_replicated_deduplication_window = 100"
    )
    for size in (500_000, 200_000):
        await store.insert("t", {"i": np.arange(size)}, token=str(size))
    monkeypatch.setattr(HandedMemory, "place", "/proc/1/fd/1 pinstream-insert-0123456789abcdef")
    for size in (500_000, 300_000):
        await store.insert("t", {"i": np.arange(size)}, token=str(size))
    assert [how for how in asked if how != "short"] == ["handed", "handed", "handed", "sent", "sent"]
    found = await store.query("SELECT count() AS n, sum(i) AS s FROM t")
    sizes = (500_000, 200_000, 300_000)
    assert found["n"].tolist() == [sum(sizes)]
    assert found["s"].tolist() == [sum(size * (size - 1) // 2 for size in sizes)]
    await store.close()


async def test_what_was_not_answered_is_not_written_again(embedded: str) -> None:
    """It may be read for a while yet."""
    store = ClickHouseHTTP(embedded, timeout=0.05)
    rows = {"i": np.arange(500_000)}
    await store.command("DROP TABLE IF EXISTS t")
    await store.command(
        "CREATE TABLE t (i Int64, s UInt8 DEFAULT sleepEachRow(0.000001)) ENGINE = MergeTree ORDER BY i"
    )
    with pytest.raises(StoreUnavailable):
        await store.insert("t", rows)
    assert store._memory == []
    await store.close()


@pytest.mark.parametrize("said", ["/etc/passwd", "/proc/self/fd/0", "/proc/1/fd/0 pinstream-insert-0123456789abcdef"])
def test_no_other_file_is_read_for_an_insert(said: str) -> None:
    with pytest.raises(QueryError, match="9002"), opened(said):
        pass


async def test_statements_run_side_by_side(store: EventStore) -> None:
    """A short read does not wait for a long one."""
    order: list[str] = []

    async def ask(name: str, seconds: float) -> None:
        await store.query(f"SELECT sleep({seconds}) AS {name}")
        order.append(name)

    slow = asyncio.create_task(ask("slow", 2))
    await asyncio.sleep(0.2)
    await ask("quick", 0)
    assert order == ["quick"]
    await slow


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "clickhouse://127.0.0.1:{port}/default"])
async def test_a_store_that_is_gone_says_so(url: str) -> None:
    address = url.format(port=free_port())
    store = ClickHouseHTTP(address) if address.startswith("http") else ClickHouseNative(address)
    with pytest.raises(StoreUnavailable) as gone:
        await store.query("SELECT 1")
    assert gone.value.part == "clickhouse"
    assert gone.value.retry_after > 0
    await store.close()


async def test_a_store_that_is_slow_says_so(embedded: str) -> None:
    store = ClickHouseHTTP(embedded, timeout=0.3)
    with pytest.raises(StoreUnavailable):
        await store.query("SELECT sleep(2)")
    await store.close()


def test_settings_choose_the_form() -> None:
    assert isinstance(open_event_store(Settings.load({})), ClickHouseHTTP)
    native = Settings.load({"PINSTREAM_CLICKHOUSE": "clickhouse://user:secret@host:9000/pins"})
    assert isinstance(open_event_store(native), ClickHouseNative)
    with pytest.raises(ValueError, match="PINSTREAM_CLICKHOUSE"):
        open_event_store(Settings.load({"PINSTREAM_CLICKHOUSE": "postgres://"}))


def test_bind_writes_literals() -> None:
    assert bind("{a:Array(String)} {f:Float64}", {"a": ["x", "y'"], "f": 0.1}) == r"['x','y\''] 0.1"
    assert bind("{a:Array(Int64)}", {"a": []}) == "CAST([] AS Array(Int64))"
    assert bind("'{a:Int64}' {a:Int64}", {"a": 7}) == "'{a:Int64}' 7"
    with pytest.raises(TypeError, match="DateTime"):
        bind("{t:DateTime}", {"t": 0})
