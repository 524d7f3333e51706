"""Migrations: from nothing, from an older database with rows in it, twice, and at once."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.migrate import SQL, MigrationChanged, migrate, statements
from streams.recount import complete_last_blocks, recount
from streams.stores.clickhouse import ClickHouseHTTP
from tests.clickhouse_process import EmbeddedServer, engagement, token

pytestmark = pytest.mark.real

TABLES = {
    *("engagement", "signals_by_pin", "signals_by_pinner", "saves"),
    *("pins", "objects", "pin_vectors", "pinners", "follows", "slates"),
    *("claims", "crops", "pin_annotations", "fingerprints", "safety", "pinsage", "related_actions"),
    *("encoders", "encoder_fills", "encoder_misses"),
    *("slate_records", "slate_specs", "rewards_by_source"),
    *(f"engagement_by_{key}" for key in ("pin", "pinner", "owner", "domain", "board")),
}
ALL = [file.stem for file in sorted(SQL.glob("*.sql"))]


@pytest.fixture
async def store(server: EmbeddedServer, request: pytest.FixtureRequest) -> AsyncIterator[ClickHouseHTTP]:
    """A database of the test's own."""
    name = request.node.name
    outside = ClickHouseHTTP(server.url)
    await outside.command(f"CREATE DATABASE {name}")
    await outside.close()
    store = ClickHouseHTTP(server.url, database=name)
    yield store
    await store.close()


async def tables(store: ClickHouseHTTP) -> set[str]:
    found = await store.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    return {name for name in found["name"] if not name.endswith("_view") and name != "schema_migrations"}


async def test_from_nothing_and_again(store: ClickHouseHTTP) -> None:
    assert await migrate(store) == ALL
    assert await tables(store) == TABLES
    assert await migrate(store) == []


async def test_started_at_once(store: ClickHouseHTTP, server: EmbeddedServer, request: pytest.FixtureRequest) -> None:
    other = ClickHouseHTTP(server.url, database=request.node.name)
    await asyncio.gather(migrate(store), migrate(other))
    assert await tables(store) == TABLES
    rows = engagement(0, 100)
    await store.insert("engagement", rows, token=token(rows))
    counted = await store.query(
        "SELECT sum(impressions + closeups + outbound_clicks + saves + hides) AS n FROM engagement_by_pin"
    )
    assert int(counted["n"][0]) == 100, "each view exists once"
    await other.close()


async def test_from_an_older_database(store: ClickHouseHTTP, tmp_path: Path) -> None:
    shutil.copy(SQL / f"{ALL[0]}.sql", tmp_path)
    assert await migrate(store, tmp_path) == ALL[:1]
    for rows in (engagement(0, 50), engagement(50, 40), engagement(90, 60)):
        await store.insert("engagement", rows, token=token(rows))
    assert await migrate(store) == ALL[1:]
    assert await tables(store) == TABLES
    # What every start does: the newest block again. Sums that the old database had, and those it did not, are whole.
    assert await complete_last_blocks(store, [("saves", 0)]) == {("saves", 0): 149}
    assert all(each.equal for each in await recount(store))


async def test_one_that_stopped_half_way_is_finished(store: ClickHouseHTTP) -> None:
    await store.command(statements((SQL / f"{ALL[0]}.sql").read_text())[0])
    assert await migrate(store) == ALL


async def test_an_applied_file_may_not_change(store: ClickHouseHTTP, tmp_path: Path) -> None:
    file = tmp_path / "0001_one.sql"
    file.write_text("CREATE TABLE IF NOT EXISTS one (a Int64) ENGINE = MergeTree ORDER BY a;\n")
    await migrate(store, tmp_path)
    file.write_text("CREATE TABLE IF NOT EXISTS one (a Int64, b Int64) ENGINE = MergeTree ORDER BY a;\n")
    with pytest.raises(MigrationChanged, match="0001_one"):
        await migrate(store, tmp_path)


async def test_the_newest_version_of_a_pin_wins(store: ClickHouseHTTP) -> None:
    await migrate(store)
    for version, deleted in ((2, 1), (3, 0), (1, 0)):
        await store.insert(
            "pins", {"pin": [7], "version": [version], "deleted": [deleted]}, token=f"pins:0:{version}-{version}"
        )
    newest = await store.query("SELECT version, deleted FROM pins FINAL")
    assert (newest["version"].tolist(), newest["deleted"].tolist()) == ([3], [0])


def test_tables_written_by_token_have_no_partitions() -> None:
    """One insert is one part only as long as no table has partitions."""
    for file in SQL.glob("*.sql"):
        for statement in statements(file.read_text()):
            assert "PARTITION BY" not in statement, file
            if statement.startswith("CREATE TABLE") and " claims " not in statement:  # written without a token
                assert "non_replicated_deduplication_window" in statement, statement
