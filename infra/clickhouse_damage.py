"""Parts that a full disk damaged: found while what they were made of is still there, and mended by a new start.

A merge that runs while the disk becomes full may be committed with empty files (chdb 4.4.0, which is ClickHouse 26.9;
``tests/infra/test_full_disk.py`` shows it). What it was merged of stays on disk for two minutes
(``old_parts_lifetime``, ``infra/sql/0008_old_parts.sql``; chdb's own value is 0 seconds). So this process looks at each
part that comes, and ends when one is damaged; whoever keeps it starts it again (``pinstream run``). Before it opens its
folder, it puts such parts into ``detached/``, and ClickHouse takes the older ones. See ``docs/exactness.md``.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from infra import clickhouse_parts
from infra.clickhouse_parts import Part

#: Far below ``old_parts_lifetime``.
LOOK_SECONDS = 1.0
#: With less room than this on the folder's disk (bytes), an insert looks at its own parts before it is acknowledged.
LITTLE = 1 << 30
#: With less than this (bytes), no insert is begun: one that is cut off may leave raw rows damaged and sums whole.
ENOUGH = 32 << 20


@dataclass
class Mended:
    """What :func:`mend` did, as ``table folder/part``."""

    #: Set aside, with all that they were made of in their place.
    mended: list[str] = field(default_factory=list)
    #: Set aside: inserts that were damaged themselves. They count again when they are repeated.
    inserts: list[str] = field(default_factory=list)
    #: Damaged, and what they were made of is gone: left where they are.
    lost: list[str] = field(default_factory=list)


def tables(folder: Path) -> list[Path]:
    """The folders of the tables that have parts."""
    return sorted(mark.parent for mark in folder.glob("store/*/*/format_version.txt"))


def mend(folder: Path) -> Mended:
    """Set damaged parts aside where whole ones can take their place. Before the folder is opened."""
    done = Mended()
    for table in tables(folder):
        all_parts = clickhouse_parts.parts(table)
        whole = {each for each in all_parts if clickhouse_parts.is_whole(table / each.name)}
        # The newest first: what it covered is looked at when it has gone.
        for bad in sorted(set(all_parts) - whole, key=lambda each: each.age, reverse=True):
            told = f"{table.name}/{bad.name}"
            if any(each.covers(bad) for each in whole):
                continue
            if bad.age == (0, 0):
                done.inserts.append(told)
                _forget(table, bad)
            elif _committed(table, bad) <= {block for each in whole if bad.covers(each) for block in _blocks(each)}:
                done.mended.append(told)
            else:
                done.lost.append(told)
                continue
            _set_aside(table, bad)
    return done


def _blocks(each: Part) -> range:
    return range(each.first, each.last + 1)


def _committed(table: Path, merged: Part) -> set[int]:
    """The blocks that ``merged`` must hold: of its range those that were committed, as the tokens tell.

    A refused insert leaves a hole in the numbers. Of blocks older than all tokens nothing is known: they must be there.
    """
    known: set[int] = set()
    for fields in _records(table):
        if len(fields) == 3 and (named := clickhouse_parts.part(fields[1])):
            (known.add if fields[0] == "1" else known.discard)(named.first)
    oldest = min(known, default=merged.last + 1)
    return {block for block in _blocks(merged) if block in known or block < oldest}


def _records(table: Path) -> Iterable[list[str]]:
    for log in sorted(table.glob("deduplication_logs/deduplication_log_*.txt")):
        yield from (line.split("\t") for line in log.read_text().splitlines())


def _forget(table: Path, insert: Part) -> None:
    """Take its token out, so that the insert can be repeated."""
    for log in sorted(table.glob("deduplication_logs/deduplication_log_*.txt")):
        lines = log.read_text().splitlines(keepends=True)
        kept = [line for line in lines if line.split("\t")[:2] != ["1", insert.name]]
        if len(kept) != len(lines):
            fresh = log.with_name(log.name + ".new")
            fresh.write_text("".join(kept))
            fresh.replace(log)


def _set_aside(table: Path, bad: Part) -> None:
    detached = table / "detached"
    detached.mkdir(exist_ok=True)
    name, again = f"broken_{bad.name}", 0
    while (detached / name).exists():
        again += 1
        name = f"broken_{bad.name}_try{again}"
    (table / bad.name).rename(detached / name)


class Look:
    """Looks at each part once, when it has come. What is there at first has been looked at by :func:`mend`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._seen = {table: set(clickhouse_parts.parts(table)) for table in tables(folder)}
        #: ``table folder/part`` of each damaged part found so far.
        self.damaged: list[str] = []

    def again(self) -> list[str]:
        """All damaged parts found so far. Blocks: it reads folders."""
        with self._lock:
            for table in tables(self._folder):
                try:
                    now = set(clickhouse_parts.parts(table))
                except FileNotFoundError:  # a table that was dropped
                    continue
                bad = [
                    each
                    for each in now - self._seen.get(table, set())
                    if not clickhouse_parts.is_whole(table / each.name)
                ]
                self.damaged += [f"{table.name}/{each.name}" for each in bad]
                self._seen[table] = now
            return self.damaged

    def room(self) -> int:
        """Bytes that are free on the folder's disk."""
        return shutil.disk_usage(self._folder).free


async def watch(look: Look, stop: asyncio.Event) -> None:
    """Set ``stop`` when a part is damaged. Runs until it is cancelled."""
    while not stop.is_set():
        await asyncio.sleep(LOOK_SECONDS)
        if damaged := await asyncio.to_thread(look.again):
            told = ", ".join(damaged)
            print(f"damaged while the disk was full, ending to be mended at the next start: {told}", file=sys.stderr)
            stop.set()
