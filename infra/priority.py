"""Which process goes first when cores are short."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def give_way(pid: int, nice: int) -> None:
    """Let a process that was just started, and all that it starts, yield to others by ``nice`` (0 … 19).

    Where Linux shares cores between sessions first, niceness counts within a session only: the session's own is set as
    well. Does nothing where that cannot be, or the process has ended.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
