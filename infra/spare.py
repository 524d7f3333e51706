"""A spare: a process that has done ahead what takes long, and waits until the one that it stands in for has died.

It waits for :data:`GO` on its standard input. When that is closed, whoever kept it is gone, and it ends by itself.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from infra.part import Part

GO = b"go\n"


class Spare:
    """One that was begun; it takes some seconds until it really has something ahead, and may be told before."""

    def __init__(self, part: Part, output: int) -> None:
        """Begin it, with ``output`` (a file descriptor) for what it says. Raises OSError."""
        self._process = subprocess.Popen(
            part.spare,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | part.environment,
            cwd=part.folder,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def go(self) -> bool:
        """Let it be the process now; whether it heard that."""
        assert self._process.stdin is not None
        try:
            with self._process.stdin as said:
                said.write(GO)
        except OSError:
            return False
        return self.alive()

    def end(self) -> None:
        """It is not needed any more."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


def wait_until_needed() -> None:
    """In the spare: returns when it is needed; ends the process when it never will be."""
    if sys.stdin.buffer.readline() != GO:
        sys.exit(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
