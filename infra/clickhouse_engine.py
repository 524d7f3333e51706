"""The embedded ClickHouse engine: runs one statement for one HTTP request."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chdb import ChdbError
from chdb.state.sqlitelike import Connection

from infra import clickhouse_damage, clickhouse_folder

#: chdb turns asynchronous inserts on by default; here an insert that returned is an insert that is there.
DEFAULTS = {"async_insert": "0"}
_ERROR_CODE = re.compile(r"Code: (\d+)\.")
_SETTING = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


class QueryError(Exception):
    """ClickHouse refused a statement; ``code`` is ClickHouse's own."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        found = _ERROR_CODE.search(text)
        self.code = int(found[1]) if found else 1002


@dataclass(frozen=True)
class Statement:
    """One statement. ``data`` is what an INSERT reads, in ``data_format``; or ``file``, a descriptor, has it."""

    sql: str
    output_format: str = "TabSeparated"
    data: bytes | None = None
    file: int | None = None
    data_format: str = ""
    database: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that an INSERT reads."""
        return os.fstat(self.file).st_size if self.file is not None else len(self.data or b"")


@dataclass(frozen=True)
class Answer:
    body: bytes = b""
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    elapsed: float = 0.0


class Engine:
    """Owns a folder. Every request gets a connection of its own (0.3 ms), so neither settings, databases nor long
    inserts of one request are felt by another; connections of one process run in parallel."""

    def __init__(self, folder: Path, readers: int = 8, writers: int = 4) -> None:
        self._lock = clickhouse_folder.lock(folder)
        self.mended = clickhouse_damage.mend(folder)
        self.torn = clickhouse_folder.forget_torn_inserts(folder)
        self.look = clickhouse_damage.Look(folder)
        self._path = str(folder)
        self._keeper = Connection(self._path)  # the engine lives as long as one connection is open
        # Two pools: however many inserts wait, a read never queues behind them.
        self.readers = ThreadPoolExecutor(readers, "clickhouse-read")
        self.writers = ThreadPoolExecutor(writers, "clickhouse-write")
        self.version = str(self._keeper.query("SELECT version()", "TabSeparated").bytes().decode()).strip()

    def run(self, statement: Statement) -> Answer:
        """Run a statement to its end. Blocks: call it in ``readers`` or ``writers``. Raises QueryError."""
        little = False
        if statement.data is not None:
            self._refuse_if_damaged()
            little = self._is_little(statement.size)
        connection = Connection(self._path)
        try:
            self._prepare(connection, statement)
            if statement.data is not None:
                result = _insert(connection, statement)
                if little or self.look.room() < clickhouse_damage.LITTLE:
                    self.look.again()
                    self._refuse_if_damaged()
            else:
                result = connection.query(statement.sql, statement.output_format, params=statement.parameters)
            return Answer(
                body=result.bytes(),
                read_rows=result.storage_rows_read(),
                read_bytes=result.storage_bytes_read(),
                written_rows=result.rows_written(),
                written_bytes=result.bytes_written(),
                elapsed=result.elapsed(),
            )
        except (ChdbError, RuntimeError) as error:
            raise QueryError(str(error)) from None
        finally:
            connection.close()

    def _refuse_if_damaged(self) -> None:
        """No insert is acknowledged once a part is damaged: it may be its own, and the next start looks at that."""
        if self.look.damaged:
            raise QueryError(f"Code: 243. DB::Exception: Damaged by a full disk: {', '.join(self.look.damaged)}.")

    def _is_little(self, size: int) -> bool:
        """Must an insert of ``size`` bytes be looked at, as there is little room? QueryError: there is too little."""
        room = self.look.room()
        if room < clickhouse_damage.ENOUGH + size:
            raise QueryError(f"Code: 243. DB::Exception: {room >> 20} MiB are free, too few. (NOT_ENOUGH_SPACE)")
        return room < clickhouse_damage.LITTLE

    @staticmethod
    def _prepare(connection: Connection, statement: Statement) -> None:
        if statement.database not in ("", "default"):
            connection.query("USE `{}`".format(statement.database.replace("\\", "\\\\").replace("`", "\\`")))
        settings = DEFAULTS | statement.settings
        for name in settings:
            if not _SETTING.match(name):
                raise QueryError(f"Code: 115. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)")
        # readonly goes last: after it no other setting may change.
        names = sorted(settings, key=lambda name: name == "readonly")
        connection.query("SET " + ", ".join(f"{name} = {quoted(settings[name])}" for name in names))

    def close(self) -> None:
        """Wait for what runs, then close the folder and give it free."""
        self.readers.shutdown(wait=True)
        self.writers.shutdown(wait=True)
        self._keeper.close()
        self._lock.close()


def _insert(connection: Connection, statement: Statement) -> Any:
    """Insert ``statement.data`` by way of a file in memory.

    Not by chdb's ``send_insert``: that says "written" also when the disk was full and nothing was
    (chdb 4.4.0, ``tests/infra/test_full_disk.py``).
    """
    if statement.file is None:
        with os.fdopen(os.memfd_create("insert"), "wb") as file:
            file.write(statement.data or b"")
            file.flush()
            return _insert(connection, replace(statement, file=file.fileno()))
    source = f"/proc/self/fd/{statement.file}"
    return connection.query(f"{statement.sql} FROM INFILE {quoted(source)} FORMAT {statement.data_format}")


def quoted(text: str) -> str:
    """``text`` as a ClickHouse string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
