"""A full disk: an insert that wrote nothing says so, and the same insert repeated counts once."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.recount import recount
from streams.stores.clickhouse import ClickHouseError, ClickHouseHTTP
from streams.stores.protocols import StoreUnavailable
from tests.clickhouse_process import EmbeddedServer, engagement, token

pytestmark = pytest.mark.real
SIZE = 256 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "pinstream-test", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount`, which a small disk needs")
    if done.returncode:
        pytest.skip(f"a small disk needs the right to mount one: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


@pytest.fixture
def server(disk: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(disk / "clickhouse") as started:
        yield started


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    for piece in (1 << 20, 512):
        with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(piece))
    return filler


async def test_an_insert_on_a_full_disk_fails_and_its_repetition_counts_once(store: ClickHouseHTTP, disk: Path) -> None:
    before, full = engagement(0, 200), engagement(200, 300)
    await store.insert("engagement", before, token=token(before))
    filler = await asyncio.to_thread(fill, disk)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await store.insert("engagement", full, token=token(full))
    filler.unlink()
    for _ in range(2):
        await store.insert("engagement", full, token=token(full))
    rows = await store.query("SELECT count() AS n, uniqExact(offset) AS different FROM engagement")
    assert (rows["n"][0], rows["different"][0]) == (500, 500)
    assert all(table.equal for table in await recount(store))


async def test_what_a_full_disk_damaged_is_found_and_mended_by_the_next_start(
    server: EmbeddedServer, store: ClickHouseHTTP, disk: Path
) -> None:
    """Inserts and merges run while the disk becomes full, until a part is damaged or ten times passed without.

    What was not acknowledged is repeated, as a worker does.
    """
    rows, ended, done = 0, 0, asyncio.Event()

    async def write() -> None:
        nonlocal rows
        while not done.is_set():
            batch, acknowledged = engagement(rows, 100), False
            while not acknowledged:
                with contextlib.suppress(StoreUnavailable):
                    await store.insert("engagement", batch, token=token(batch))
                    acknowledged = True
                await asyncio.sleep(0.02)
            rows += 100

    async def merge() -> None:
        while not done.is_set():
            with contextlib.suppress(StoreUnavailable, ClickHouseError):
                await store.command("OPTIMIZE TABLE engagement FINAL")
            await asyncio.sleep(0.02)

    tasks = asyncio.gather(write(), merge())
    for _ in range(10):
        await asyncio.sleep(0.4)
        filler = await asyncio.to_thread(fill, disk)
        await asyncio.sleep(1.0)
        filler.unlink()
        await asyncio.sleep(2.0)
        if server.ended():
            break
    done.set()
    async with asyncio.timeout(60):
        while not tasks.done():
            if server.ended():
                ended += 1
                server.start()
            await asyncio.sleep(0.1)
    await tasks
    held = await store.query("SELECT count() AS n, uniqExact(offset) AS different, max(last) AS last FROM engagement")
    assert held["n"][0] == held["different"][0] == held["last"][0] + 1 == rows
    assert all(table.equal for table in await recount(store))
    print(f"{rows} rows, {ended} new starts")
