"""Parts that a full disk damaged: found while what they were made of is still there, and mended by a new start.

A merge that runs while the disk becomes full may be committed with an empty file of marks (chdb 4.4.0, which is
ClickHouse 26.9; ``tests/infra/test_full_disk.py`` shows it). Its rows cannot be read then, but the parts it was merged
of stay on disk for eight minutes (``old_parts_lifetime``), and ClickHouse takes those instead when it starts and finds
the merged one broken. So this process looks at its tables after the disk was full, and ends when it finds damage;
whoever keeps it starts it again (``pinstream run``).
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

from infra.clickhouse_engine import Engine, QueryError, Statement

LOOK_SECONDS = 1.0
#: Less room than this on the folder's disk is little (bytes).
LITTLE = 64 << 20
#: While there is little room, the tables are looked at so often: well within the eight minutes.
AGAIN_SECONDS = 60.0


async def watch(engine: Engine, folder: Path, stop: asyncio.Event) -> None:
    """Set ``stop`` when a table is damaged. Runs until it is cancelled."""
    loop = asyncio.get_running_loop()
    little, looked = False, 0.0
    while not stop.is_set():
        await asyncio.sleep(LOOK_SECONDS)
        before, little = little, shutil.disk_usage(folder).free < LITTLE
        if (before and not little) or (little and loop.time() - looked > AGAIN_SECONDS):
            looked = loop.time()
            if damaged := await loop.run_in_executor(engine.readers, damage, engine):
                told = ", ".join(damaged)
                print(
                    f"damaged while the disk was full, ending to be mended at the next start: {told}", file=sys.stderr
                )
                stop.set()


def damage(engine: Engine) -> list[str]:
    """``table/part`` of each part that is not whole. Blocks while it reads all of every table."""
    found = engine.run(
        Statement("SELECT name FROM system.tables WHERE database = 'default' AND engine LIKE '%MergeTree'")
    )
    damaged: list[str] = []
    for table in found.body.decode().split():
        try:
            parts = engine.run(
                Statement(f"CHECK TABLE `{table}`", settings={"check_query_single_value_result": "0"})
            ).body.decode()
        except QueryError as error:
            print(f"{table} could not be looked at: {error}", file=sys.stderr)
            continue
        rows = [line.split("\t") for line in parts.splitlines()]
        damaged += [f"{table}/{row[0]}" for row in rows if len(row) > 1 and row[1] == "0"]
    return damaged
