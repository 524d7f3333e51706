"""Bring ClickHouse's tables to the newest shape: the numbered files of ``infra/sql``, each once and in order."""

from __future__ import annotations

import time
from hashlib import blake2b
from pathlib import Path

from streams.stores.protocols import EventStore

SQL = Path(__file__).with_name("sql")
_LEDGER = (
    "CREATE TABLE IF NOT EXISTS schema_migrations (name String, digest String, applied Int64) "
    "ENGINE = ReplacingMergeTree(applied) ORDER BY name"
)


class MigrationChanged(Exception):
    """A migration that was applied has been edited since: write a new one instead."""


async def migrate(store: EventStore, folder: Path = SQL) -> list[str]:
    """Apply what is missing; returns the names applied now.

    Several processes may start it at once: every statement of a migration may be repeated (``IF NOT EXISTS``,
    or an insert with a token), so the second does nothing again. One that stopped half-way is run from its start.

    Raises:
        MigrationChanged: an applied file differs from what was applied.
        StoreUnavailable, ClickHouseError: as the store does.
    """
    await store.command(_LEDGER)
    rows = await store.query("SELECT name, digest FROM schema_migrations FINAL")
    applied = dict(zip(rows["name"], rows["digest"], strict=True)) if rows else {}
    done: list[str] = []
    for file in sorted(folder.glob("[0-9]*.sql")):  # noqa: ASYNC240 (a few small files, once)
        text = file.read_text()
        digest = blake2b(text.encode(), digest_size=8).hexdigest()
        if file.stem in applied:
            if applied[file.stem] != digest:
                raise MigrationChanged(f"{file.name} was applied and has been edited since; add a new file instead")
            continue
        for statement in statements(text):
            await store.command(statement)
        await store.insert(
            "schema_migrations", {"name": [file.stem], "digest": [digest], "applied": [int(time.time() * 1000)]}
        )
        done.append(file.stem)
    return done


def statements(text: str) -> list[str]:
    """The statements of a file: each ends with ``;`` at the end of a line; lines of comment fall away."""
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [statement.strip() for statement in (code + "\n").split(";\n") if statement.strip()]
