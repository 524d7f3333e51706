"""The order that ``docs/exactness.md`` argues from, watched: raw table before views, token before part."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

import pytest

from infra.migrate import migrate
from streams.stores.clickhouse import ClickHouseHTTP
from tests.clickhouse_process import EmbeddedServer, engagement, token

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="watches the folder with inotify")]

MODIFIED, MOVED_IN = 0x2, 0x80
EVENT = struct.Struct("iIII")


class Watch:
    """What happens in some folders, in the order in which it happened (the kernel's inotify)."""

    def __init__(self, folders: list[Path]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._file = self._libc.inotify_init1(os.O_NONBLOCK)
        self._folders = {
            self._libc.inotify_add_watch(self._file, str(folder).encode(), MODIFIED | MOVED_IN): folder
            for folder in folders
        }

    def events(self) -> list[tuple[Path, int, str]]:
        """Folder, what happened, name of the entry."""
        data, found, position = os.read(self._file, 1 << 20), [], 0
        os.close(self._file)
        while position < len(data):
            watch, mask, _, length = EVENT.unpack_from(data, position)
            name = data[position + EVENT.size : position + EVENT.size + length].rstrip(b"\0").decode()
            found.append((self._folders[watch], mask, name))
            position += EVENT.size + length
        return found


async def test_raw_before_views_and_token_before_part(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "clickhouse") as server:
        store = ClickHouseHTTP(server.url)
        await migrate(store)
        first, second = engagement(0, 1000), engagement(1000, 1000)
        await store.insert("engagement", first, token=token(first))  # the logs exist from now on
        await store.command("SYSTEM STOP MERGES")
        paths = await store.query("SELECT table, path FROM system.parts WHERE active AND table != 'schema_migrations'")
        tables = {Path(path).parent: name for name, path in zip(paths["table"], paths["path"], strict=True)}
        tables = {server.folder / folder: name for folder, name in tables.items()}
        watch = Watch([*tables, *(folder / "deduplication_logs" for folder in tables)])
        await store.insert("engagement", second, token=token(second))
        await store.close()

    seen: list[tuple[str, str]] = []
    for folder, mask, name in watch.events():
        if mask & MODIFIED and name.startswith("deduplication_log"):
            seen.append((tables[folder.parent], "token"))
        elif mask & MOVED_IN and name.startswith("all_"):
            seen.append((tables[folder], "part"))
    assert seen[:2] == [("engagement", "token"), ("engagement", "part")]
    assert len(seen) == 20, "ten tables (events of no slate earn no source anything), each with one token and one part"
    for name in set(tables.values()):
        assert [what for table, what in seen if table == name] == ["token", "part"]
