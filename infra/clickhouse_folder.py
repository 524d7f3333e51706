"""The data folder of the embedded ClickHouse: one owner at a time, and no token without its part.

chdb 26.9 commits an insert table by table (the raw table first, then each view's target), and for each table in
two steps: it appends ``1 <part> <token hash>`` to ``deduplication_logs/``, then renames the temporary part to its
final name. A process that is killed between the two leaves a token whose rows do not exist, and the same insert
repeated would be dropped as a duplicate: a silent loss. :func:`forget_torn_inserts` runs before the folder is
opened and takes such tokens out. See ``docs/exactness.md``.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO

from infra import clickhouse_parts

_ADD, _DROP = "1", "2"


class FolderInUse(Exception):
    """Another process owns the folder."""


def lock(folder: Path) -> TextIO:
    """Own ``folder`` until the returned file is closed or the process ends, however it ends.

    Raises:
        FolderInUse: another process owns it; the message names its process id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder.with_name(folder.name + ".lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise FolderInUse(
            f"{folder} is owned by process {owner}; one process may own a folder. "
            "Stop that process (`pinstream down`) or choose another PINSTREAM_HOME."
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def forget_torn_inserts(folder: Path) -> list[str]:
    """Drop tokens of inserts that were cut off before their part got its name.

    Block numbers only grow and are given under the table's lock, so a torn insert is always newer than every
    part of its table: nothing else is touched. Returns ``table folder/part`` of each dropped token.
    """
    dropped: list[str] = []
    for logs in sorted(folder.glob("store/*/*/deduplication_logs")):
        table = logs.parent
        newest = max((part.last for part in clickhouse_parts.parts(table)), default=0)
        for log in sorted(logs.glob("deduplication_log_*.txt")):
            text = log.read_text()
            kept: list[str] = []
            for line in text.splitlines(keepends=True):
                fields = line.rstrip("\n").split("\t")
                if len(fields) != 3 or not line.endswith("\n"):
                    continue  # half a line: the record was never complete
                part = clickhouse_parts.part(fields[1])
                if fields[0] == _ADD and part and part.first > newest:
                    dropped.append(f"{table.name}/{fields[1]}")
                    continue
                kept.append(line)
            if len("".join(kept)) != len(text):
                fresh = log.with_name(log.name + ".new")
                fresh.write_text("".join(kept))
                fresh.replace(log)
    return dropped
