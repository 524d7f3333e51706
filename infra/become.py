"""One process becomes another, and leaves something behind that looks after it at its start."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence


def become(command: Sequence[str], beside: Callable[[], None]) -> None:
    """Run ``beside`` in a process of its own and become ``command``, so that the process id stays. Never returns."""
    if os.fork() == 0:
        # Once more, so that the helper is nobody's child: the command would never ask how it ended.
        if os.fork() == 0:
            beside()
        os._exit(0)
    os.wait()
    os.execvp(command[0], command)  # noqa: S606 - our own command
