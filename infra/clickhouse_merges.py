"""Merges last: a row is written again by each, and nobody waits for that while others wait for their inserts.

Mutations are theirs as well: who is erased on a machine without a moment's rest leaves ClickHouse so much later.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

#: What ClickHouse calls the threads of the pool that merges and mutates parts.
THREADS = "MergeMutate"
#: They take what is left of the processors, and little beside a thread that is busy.
NICE = 19
LOOK_SECONDS = 1.0


def let_wait() -> None:
    """Let the threads of this process that merge by now go last; they begin when they are needed."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            if (thread / "comm").read_text().strip() == THREADS:
                os.setpriority(os.PRIO_PROCESS, int(thread.name), NICE)


async def watch() -> None:
    """Look again and again, until it is cancelled."""
    while True:
        let_wait()
        await asyncio.sleep(LOOK_SECONDS)
