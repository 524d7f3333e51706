"""Parts whose files are cut off, as a full disk leaves them: what a start mends, and what it names."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from infra import clickhouse_damage, clickhouse_parts
from infra.migrate import migrate
from streams.recount import recount
from streams.stores.clickhouse import ClickHouseHTTP
from streams.stores.protocols import StoreUnavailable
from tests.clickhouse_process import EmbeddedServer, engagement, token

pytestmark = pytest.mark.real
TABLES = ["engagement", "engagement_by_pin", "signals_by_pin"]


#: Table → its only part.
Parts = dict[str, Path]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Parts]:
    """The folder of a server that was killed when each of :data:`TABLES` had one part, merged of three inserts; the
    number of a repeated insert is a hole."""
    server = EmbeddedServer(tmp_path_factory.mktemp("damaged") / "clickhouse")
    server.start()

    async def fill() -> Parts:
        store = ClickHouseHTTP(server.url)
        await migrate(store)
        for first in (0, 100, 100, 200):
            rows = engagement(first, 100)
            await store.insert("engagement", rows, token=token(rows))
        parts: Parts = {}
        for table in TABLES:
            await store.command(f"OPTIMIZE TABLE {table} FINAL")
            part = await store.query(f"SELECT name, path FROM system.parts WHERE table = '{table}' AND active")
            assert len(part["name"]) == 1
            parts[table] = Path(part["path"][0]).resolve().relative_to(server.folder.resolve())
        await store.close()
        return parts

    try:
        return server.folder, asyncio.run(fill())
    finally:
        server.kill()


@pytest.fixture
def parts(killed: tuple[Path, Parts], server: EmbeddedServer) -> Parts:
    """The parts of ``server``, all of them whole."""
    found = {table: server.folder / part for table, part in killed[1].items()}
    for part in found.values():
        assert all(clickhouse_parts.is_whole(part.parent / each.name) for each in clickhouse_parts.parts(part.parent))
    return found


@pytest.fixture
def server(killed: tuple[Path, Parts], tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server over a copy of that folder, not started yet."""
    shutil.copytree(killed[0], tmp_path / "clickhouse", symlinks=True)
    server = EmbeddedServer(tmp_path / "clickhouse")
    yield server
    server.kill()


@pytest.fixture
async def store(server: EmbeddedServer) -> AsyncIterator[ClickHouseHTTP]:
    store = ClickHouseHTTP(server.url)
    yield store
    await store.close()


async def assert_all_there(store: ClickHouseHTTP) -> None:
    held = await store.query("SELECT count() AS n, uniqExact(offset) AS different FROM engagement")
    assert (held["n"][0], held["different"][0]) == (300, 300)
    assert all(table.equal for table in await recount(store))


def empty_all(part: Path) -> None:
    for file in part.iterdir():
        file.write_bytes(b"")


def empty_marks(part: Path) -> None:
    """ClickHouse starts on this without a word, and cannot read."""
    next(part.glob("data.*mrk*")).write_bytes(b"")


def cut_data(part: Path) -> None:
    data = part / "data.bin"
    data.write_bytes(data.read_bytes()[:-1])


def empty_checksums(part: Path) -> None:
    (part / "checksums.txt").write_bytes(b"")


@pytest.mark.parametrize("damage", [empty_all, empty_marks, cut_data, empty_checksums])
@pytest.mark.parametrize("table", TABLES)
async def test_a_damaged_merge_gives_way_to_what_it_was_made_of(
    server: EmbeddedServer, store: ClickHouseHTTP, parts: Parts, table: str, damage: Callable[[Path], None]
) -> None:
    part = parts[table]
    damage(part)
    server.start()
    await assert_all_there(store)
    assert (part.parent / "detached" / f"broken_{part.name}").is_dir()


async def test_a_damaged_merge_whose_sources_are_gone_is_named_and_left(
    server: EmbeddedServer, store: ClickHouseHTTP, parts: Parts
) -> None:
    folder, part = parts["engagement"].parent, parts["engagement"].name
    empty_marks(folder / part)
    source = max((each for each in clickhouse_parts.parts(folder) if each.name != part), key=lambda each: each.last)
    (folder / source.name).rename(folder / "detached" / source.name)
    done = clickhouse_damage.mend(server.folder)
    assert (done.mended, done.inserts, done.lost) == ([], [], [f"{folder.name}/{part}"])
    assert (folder / part).is_dir()
    (folder / "detached" / source.name).rename(folder / source.name)
    server.start()
    await assert_all_there(store)


@pytest.mark.parametrize("table", TABLES)
async def test_a_damaged_insert_can_be_repeated(
    server: EmbeddedServer, store: ClickHouseHTTP, parts: Parts, table: str
) -> None:
    folder = parts[table].parent
    for each in clickhouse_parts.parts(folder):  # as it was before the merge
        if each.age > (0, 0):
            (folder / each.name).rename(folder / "detached" / each.name)
    newest = max(clickhouse_parts.parts(folder), key=lambda each: each.last)
    empty_all(folder / newest.name)
    server.start()
    rows = engagement(200, 100)
    for _ in range(2):
        await store.insert("engagement", rows, token=token(rows))
    await assert_all_there(store)


async def test_the_process_ends_when_a_damaged_part_comes_and_acknowledges_nothing_more(
    server: EmbeddedServer, store: ClickHouseHTTP, parts: Parts
) -> None:
    folder = parts["engagement"].parent
    server.start()
    (folder / "all_900_900_0").mkdir()
    (folder / "all_900_900_0" / "checksums.txt").write_bytes(b"")
    with pytest.raises(StoreUnavailable):
        for first in range(1000, 100_000, 100):
            rows = engagement(first, 100)
            await store.insert("engagement", rows, token=token(rows))
            await asyncio.sleep(0.05)
    while not server.ended():
        await asyncio.sleep(0.05)
    server.start()
    assert (folder / "detached" / "broken_all_900_900_0").is_dir()
    assert all(table.equal for table in await recount(store))
